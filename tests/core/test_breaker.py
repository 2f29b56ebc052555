"""When the classifier of a content filter is left alone, and who finds out whether it is back."""

import pytest

from slackwater.core.filtering.breaker import Breaker


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


def test_ten_thousand_probes_that_fail_do_not_overflow() -> None:
    """An outage may last for days: the pause stays at its bound, and the first success ends it."""
    breaker, now = Breaker(threshold=1, open_first=0.5, open_max=30.0), 0.0
    breaker.failed(now)
    for _ in range(10_000):
        pause = breaker.wait(now)
        assert pause is not None
        assert 0.0 < pause <= 30.0 + 1e-6
        # The sum of a moment and a pause is not always past the pause, to the last bit.
        now += pause + 1e-6
        assert breaker.wait(now) == 0.0
        breaker.failed(now)
    breaker.succeeded()
    assert breaker.closed
    breaker.failed(now)
    assert breaker.wait(now) == pytest.approx(0.5)


def test_failures_of_calls_under_way_do_not_lengthen_the_pause() -> None:
    """A hundred calls that fail together are one piece of news."""
    breaker = Breaker(threshold=2, open_first=1.0)
    for _ in range(100):
        breaker.failed(0.0)
    assert breaker.wait(0.0) == pytest.approx(1.0)


def test_retry_after_is_obeyed() -> None:
    """The classifier's own wish wins over ours when it is longer, and an abandoned probe is somebody else's chance."""
    breaker = Breaker()
    breaker.pause(12.0)
    breaker.pause(5.0)
    assert breaker.wait(2.0) == pytest.approx(10.0)
    assert breaker.wait(12.0) == 0.0
    breaker.abandon()
    assert breaker.wait(12.0) == 0.0
