"""Whether an engine listens, and who was with it when it died."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.sending.evidence import SUCCESS, Evidence, Kind
from slackwater.core.sending.reach import BROKEN_MAX, DEATH_SECONDS, Reach

LOST = Evidence(Kind.LOST, "broke off")
TROUBLE = Evidence(Kind.TROUBLE, "status 500")
OWN = Evidence(Kind.OWN, "status 400")
GONE = Evidence(Kind.UNREACHED, "refused")


def test_who_broke_off_before_nobody_listened_is_suspected() -> None:
    """All that was in flight, told once; the death is counted once."""
    reach: Reach[str] = Reach()
    for name in "abc":
        assert reach.heard(name, LOST, begun=1.0, now=2.0) == []
    assert reach.listens
    assert reach.heard("d", GONE, begun=2.1, now=2.1) == ["a", "b", "c"]
    assert (reach.listens, reach.deaths, reach.reason) == (False, 1, "refused")
    assert reach.heard("e", GONE, begun=2.2, now=2.2) == []
    assert reach.deaths == 1


def test_a_break_without_a_death_is_nothing() -> None:
    """Connections break; an engine that goes on listening has not died."""
    reach: Reach[str] = Reach()
    for name in "abc":
        reach.heard(name, LOST, begun=1.0, now=2.0)
        reach.heard(name, TROUBLE, begun=1.0, now=2.0)
    assert (reach.listens, reach.deaths, reach.broken) == (True, 0, True)


def test_who_answered_is_no_suspect() -> None:
    """A success, and a fault found in a request, are the ends of calls that an engine has lived through."""
    reach: Reach[str] = Reach()
    reach.heard("a", SUCCESS, begun=1.0, now=2.0)
    reach.heard("b", OWN, begun=1.0, now=2.0)
    assert reach.silent(GONE, 2.1) == []
    assert (reach.listens, reach.deaths) == (False, 0)


def test_who_is_heard_of_late_is_a_suspect_as_well() -> None:
    """Some calls are told of the end of their connection after somebody else has found nobody listening."""
    reach: Reach[str] = Reach()
    assert reach.silent(GONE, 2.0) == []
    assert reach.deaths == 0
    assert reach.heard("a", LOST, begun=1.0, now=2.1) == ["a"]
    assert reach.heard("b", TROUBLE, begun=1.5, now=2.2) == ["b"]
    assert reach.deaths == 1


def test_what_broke_long_ago_has_nothing_to_do_with_it() -> None:
    """An engine that is stopped an hour after a bad line has not died of it."""
    reach: Reach[str] = Reach()
    reach.heard("a", LOST, begun=1.0, now=2.0)
    assert reach.silent(GONE, 2.0 + DEATH_SECONDS + 0.1) == []
    assert reach.deaths == 0


def test_a_success_that_was_sent_later_acquits() -> None:
    """The engine answered somebody who came after the break: it did not die of that."""
    reach: Reach[str] = Reach()
    reach.heard("a", LOST, begun=1.0, now=2.0)
    reach.heard("b", SUCCESS, begun=1.9, now=2.5)
    assert reach.broken
    reach.heard("c", SUCCESS, begun=2.1, now=2.6)
    assert not reach.broken
    assert reach.silent(GONE, 3.0) == []


def test_an_answer_to_what_was_sent_before_does_not_bring_it_back() -> None:
    """An answer that was under way when nobody listened any more."""
    reach: Reach[str] = Reach()
    reach.silent(GONE, 10.0)
    assert not reach.answered(9.0, 10.1)
    assert not reach.listens
    assert reach.answered(10.2, 10.3)
    assert (reach.listens, reach.reason, reach.since) == (True, "", 10.3)
    assert not reach.answered(10.4, 10.5), "that is no news"


def test_two_deaths_are_two() -> None:
    """Each with its own suspects."""
    reach: Reach[str] = Reach()
    reach.heard("a", LOST, begun=1.0, now=2.0)
    assert reach.silent(GONE, 2.1) == ["a"]
    reach.answered(5.0, 5.1)
    reach.heard("a", LOST, begun=6.0, now=6.5)
    reach.heard("b", LOST, begun=6.0, now=6.5)
    assert reach.silent(GONE, 6.6) == ["a", "b"]
    assert reach.deaths == 2


def test_a_week_of_silence() -> None:
    """It is looked at again and again, with gaps that grow to half a minute and no further."""
    reach: Reach[str] = Reach()
    now, looks = 0.0, 0
    reach.silent(GONE, now)
    while now < 7 * 86_400:
        assert not reach.due(reach.until - 0.001)
        assert 0.0 < reach.until - now <= 30.0 + 1e-6
        now = reach.until
        assert reach.due(now)
        reach.silent(GONE, now)
        looks += 1
    assert looks < 7 * 86_400 / 30 + 10
    reach.answered(now, now)
    reach.silent(GONE, now + 1)
    assert reach.until == pytest.approx(now + 1.5), "the gap begins anew"


def test_a_hundred_lanes_that_find_nobody_are_one_piece_of_news() -> None:
    """They do not double the gap a hundred times."""
    reach: Reach[int] = Reach()
    for lane in range(100):
        reach.heard(lane, GONE, begun=1.0, now=1.0)
    assert reach.until == pytest.approx(1.5)


def test_try_now() -> None:
    """An operator does not wait for the gap."""
    reach: Reach[str] = Reach()
    for _ in range(10):
        reach.silent(GONE, reach.until)
    now = reach.until - 20
    assert not reach.due(now)
    reach.try_now(now)
    assert reach.due(now)


def test_suspects_are_bounded() -> None:
    """An engine that answers 500 for days does not fill the memory."""
    reach: Reach[int] = Reach()
    for call in range(BROKEN_MAX + 1000):
        reach.heard(call, TROUBLE, begun=1.0, now=1.0)
    assert len(reach.silent(GONE, 1.1)) == BROKEN_MAX


def test_what_has_an_end_is_forgotten() -> None:
    """Lines that have their results are no suspects."""
    reach: Reach[str] = Reach()
    for name in "abc":
        reach.heard(name, LOST, begun=1.0, now=2.0)
    reach.forget(["a", "z"])
    assert reach.silent(GONE, 2.1) == ["b", "c"]
    reach.heard("a", LOST, begun=1.0, now=2.0)
    reach.forget_all()
    assert not reach.broken


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(list(Kind)), st.floats(0, 3), st.floats(0, 3)),
        max_size=80,
    )
)
def test_whatever_happens(calls: list[tuple[int, Kind, float, float]]) -> None:
    """Silence ends only by an answer to what was sent after it; no look is farther away than the longest gap."""
    reach: Reach[int] = Reach()
    now = 0.0
    for call, kind, passed, length in calls:
        now += passed
        begun = max(0.0, now - length)
        was, since = reach.listens, reach.since
        suspects = reach.heard(call, Evidence(kind, kind.value), begun=begun, now=now)
        assert len(suspects) == len(set(suspects))
        if not was and reach.listens:
            assert kind not in (Kind.UNREACHED, Kind.LOST)
            assert begun >= since
        if kind is Kind.UNREACHED:
            assert not reach.listens
        if not reach.listens:
            assert reach.until <= now + 30.0
