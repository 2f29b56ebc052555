"""What is made of an answer, and when a backend is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.errors import BackendReplyBroken, BackendTimeout, BackendUnreachable
from slackwater.core.sending.breaker import Breaker
from slackwater.core.sending.judgement import RetryPolicy, Verdict, judge, judge_error

POLICY = RetryPolicy(attempts_max=3)


@pytest.mark.parametrize(
    ("status", "attempts", "retry_after", "verdict"),
    [
        (200, 1, None, Verdict.DONE),
        (204, 1, None, Verdict.DONE),
        (400, 1, None, Verdict.FAILED),
        (401, 1, None, Verdict.FAILED),
        (404, 1, 5.0, Verdict.FAILED),
        (413, 1, None, Verdict.FAILED),
        (408, 1, None, Verdict.RETRY),
        (500, 2, None, Verdict.RETRY),
        (500, 3, None, Verdict.FAILED),
        (429, 1, None, Verdict.WAIT),
        (429, 99, 1.0, Verdict.WAIT),
        (503, 99, 1.0, Verdict.WAIT),
        (503, 3, None, Verdict.FAILED),
    ],
)
def test_judging_an_answer(status: int, attempts: int, retry_after: float | None, verdict: Verdict) -> None:
    """A request's own fault is final, trouble costs an attempt, and a busy backend costs nothing."""
    assert judge(status, attempts=attempts, policy=POLICY, retry_after=retry_after) is verdict


def test_judging_a_call_without_an_answer() -> None:
    """Nobody there costs no attempt; a time-out or half an answer does."""
    assert judge_error(BackendUnreachable("x", sent=False), attempts=99, policy=POLICY) is Verdict.WAIT
    assert judge_error(BackendTimeout("x"), attempts=2, policy=POLICY) is Verdict.RETRY
    assert judge_error(BackendReplyBroken("x"), attempts=3, policy=POLICY) is Verdict.FAILED


@given(st.integers(1, 1000), st.floats(0, 1, exclude_max=True))
def test_delays_are_bounded_and_spread(attempt: int, chance: float) -> None:
    """Each delay lies between half of its value and all of it, and never above the bound."""
    policy = RetryPolicy(delay_first=0.5, delay_max=30.0)
    full = min(30.0, 0.5 * 2.0 ** min(attempt - 1, 30))
    assert full / 2 <= policy.delay(attempt, chance=chance) <= full


def test_a_breaker_opens_after_failures_in_a_row() -> None:
    """A success in between starts the count again."""
    breaker = Breaker(threshold=3, open_first=1.0)
    for _ in range(2):
        breaker.failed(0.0)
    breaker.succeeded()
    for _ in range(2):
        breaker.failed(0.0)
    assert breaker.closed
    breaker.failed(0.0)
    assert not breaker.closed
    assert breaker.wait(0.4) == pytest.approx(0.6)


def test_one_probe_decides() -> None:
    """After the pause one caller is let through; the others wait for what becomes of it."""
    breaker = Breaker(threshold=1, open_first=1.0, open_max=4.0)
    breaker.failed(0.0)
    assert breaker.ready(1.0)
    assert breaker.wait(1.0) == 0.0
    assert breaker.wait(1.0) is None
    assert not breaker.ready(1.0)
    breaker.failed(1.0)
    assert breaker.wait(1.0) == pytest.approx(2.0)
    assert breaker.wait(3.0) == 0.0
    breaker.succeeded()
    assert breaker.closed


def test_pauses_double_up_to_a_bound() -> None:
    """Probes that fail make the next pause longer, but not without end."""
    breaker, now, pauses = Breaker(threshold=1, open_first=1.0, open_max=5.0), 0.0, []
    breaker.failed(now)
    for _ in range(5):
        pauses.append(pause := breaker.wait(now) or 0.0)
        now += pause
        assert breaker.wait(now) == 0.0
        breaker.failed(now)
    assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_failures_of_calls_under_way_do_not_lengthen_the_pause() -> None:
    """A hundred calls that fail together are one piece of news."""
    breaker = Breaker(threshold=2, open_first=1.0)
    for _ in range(100):
        breaker.failed(0.0)
    assert breaker.wait(0.0) == pytest.approx(1.0)


def test_retry_after_is_obeyed() -> None:
    """The backend's own wish wins over ours when it is longer, and an abandoned probe is somebody else's chance."""
    breaker = Breaker()
    breaker.pause(12.0)
    breaker.pause(5.0)
    assert breaker.wait(2.0) == pytest.approx(10.0)
    assert breaker.wait(12.0) == 0.0
    breaker.abandon()
    assert breaker.wait(12.0) == 0.0
