"""What the front door decides: sizes, contradictions, patience, who makes room, and how long a wrong key waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.accounts.wrong_keys import FREE, PLACES_MAX, WAIT_SECONDS_MAX, WrongKeys
from slackwater.core.arriving.crowd import Crowd, share_of
from slackwater.core.arriving.heads import (
    AROUND_A_CHUNK,
    HeadLimits,
    Refusal,
    empty_lines,
    framing_fault,
    is_host,
    meaning_fault,
    unfinished_fault,
    whole_fault,
)
from slackwater.core.arriving.patience import Patience, Phase, overdue

LIMITS = HeadLimits(head_bytes=1000, headers=3)


def test_the_size_of_a_head() -> None:
    """The limit itself is fine; a byte or a line more is not."""
    head = b"GET / HTTP/1.1\r\nA: %b\r\n\r\n"
    assert whole_fault(head % (b"a" * (1000 - len(head) + 2)), LIMITS) is None
    assert whole_fault(head % (b"a" * (1001 - len(head) + 2)), LIMITS) is Refusal.HEAD_TOO_LARGE
    assert whole_fault(b"GET / HTTP/1.1\r\n" + b"A:\r\n" * 3 + b"\r\n", LIMITS) is None
    assert whole_fault(b"GET / HTTP/1.1\r\n" + b"A:\r\n" * 4 + b"\r\n", LIMITS) is Refusal.HEAD_TOO_LARGE
    assert whole_fault(b"GET /" + b"a" * 1000 + b" HTTP/1.1\r\n\r\n", LIMITS) is Refusal.URL_TOO_LONG


def test_empty_lines_before_a_request() -> None:
    """They are read over; half of one is not yet one."""
    assert [empty_lines(data) for data in (b"", b"G", b"\r", b"\r\n", b"\r\n\r\nG\r\n", b"\n")] == [0, 0, 0, 2, 4, 0]


def test_a_request_line_has_two_spaces() -> None:
    """More could be read in two ways."""
    for line in (b"\rGET / HTTP/1.1", b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b"GET / HTTP/1.1 ", b"GET /"):
        assert whole_fault(line + b"\r\nA: b c d\r\n\r\n", LIMITS) is Refusal.MALFORMED


def test_a_head_that_has_not_ended() -> None:
    """It may go on as long as it could still become one."""
    assert unfinished_fault(b"GET / HTTP/1.1\r\nA: b\r\n", LIMITS) is None
    assert unfinished_fault(b"GET / HTTP/1.1\r\nA: b\r", LIMITS) is None
    assert unfinished_fault(b"G", LIMITS) is None
    assert unfinished_fault(b"\r", LIMITS) is None
    assert unfinished_fault(b"\rG", LIMITS) is Refusal.MALFORMED
    assert unfinished_fault(b"\x16\x03", LIMITS) is Refusal.MALFORMED
    assert unfinished_fault(b"GET / HTTP/1.1\nA: b\n\n", LIMITS) is Refusal.MALFORMED
    assert unfinished_fault(b"GET / HTTP/1.1\nA: b\n\r\n", LIMITS) is Refusal.MALFORMED
    assert unfinished_fault(b"GET /" + b"a" * 1000, LIMITS) is Refusal.URL_TOO_LONG
    assert unfinished_fault(b"GET / HTTP/1.1\r\n" + b"a" * 1000, LIMITS) is Refusal.HEAD_TOO_LARGE


@pytest.mark.parametrize(
    ("version", "hosts", "codings", "fault"),
    [
        ("1.1", [b"a"], [], None),
        ("1.1", [b""], [], None),
        ("1.1", [b"[::1]:80"], [b"Chunked"], None),
        ("1.0", [], [], None),
        ("1.1", [], [], Refusal.NO_HOST),
        ("1.1", [b"a", b"a"], [], Refusal.NO_HOST),
        ("1.1", [b"a b"], [], Refusal.NO_HOST),
        ("1.0", [], [b"chunked"], Refusal.MALFORMED),
        ("1.1", [b"a"], [b"gzip, chunked"], Refusal.MALFORMED),
        ("1.1", [b"a"], [b"identity", b"chunked"], Refusal.MALFORMED),
        ("2.0", [b"a"], [], Refusal.MALFORMED),
    ],
)
def test_lines_that_contradict_each_other(
    version: str, hosts: list[bytes], codings: list[bytes], fault: Refusal | None
) -> None:
    """What two servers could read in two ways is refused."""
    assert meaning_fault(version=version, hosts=hosts, transfer_encodings=codings) is fault


def test_hosts() -> None:
    """Names and addresses, with a port or without; nothing that a URL could not have there."""
    assert all(map(is_host, (b"a.example", b"127.0.0.1:8080", b"[::1]", b"[fe80::1]:1", b"a_b-c:", b"")))
    assert not any(
        map(is_host, (b"[::1", b"[zz]", b"[1.2.3.4]", b"a/b", b"a@b", b"a b", b"a:x", b"a#b", b"\xe4", b"a:123456"))
    )


def test_what_may_be_around_chunks() -> None:
    """Much at once or a little each time; without end is neither."""
    assert framing_fault(around=1000, chunks=0, limits=LIMITS) is None
    assert framing_fault(around=1001, chunks=0, limits=LIMITS) is Refusal.FRAMING
    assert framing_fault(around=1000 + 9 * AROUND_A_CHUNK, chunks=9, limits=LIMITS) is None


def test_patience() -> None:
    """Each thing has its time, and what is being worked on has all of it."""
    patience = Patience(head=1, body=2, idle=4, closing=5)
    times = {Phase.FRESH: 1, Phase.HEAD: 1, Phase.BODY: 2, Phase.IDLE: 4, Phase.CLOSING: 5}
    for phase, seconds in times.items():
        assert overdue(phase, waited=seconds - 0.1, patience=patience) is None
        assert overdue(phase, waited=seconds, patience=patience) is not None
    assert overdue(Phase.ANSWER, waited=1e9, patience=patience) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["stranger", "friend", "works"]))))
def test_who_goes(steps: list[tuple[int, str]]) -> None:
    """Strangers before friends, whoever has waited longest first, and nobody who is at work: as a list would say it."""
    crowd: Crowd[int] = Crowd()
    strangers: list[int] = []
    friends: list[int] = []
    for key, what in steps:
        for line in (strangers, friends):
            if key in line:
                line.remove(key)
        if what == "works":
            crowd.works(key)
        else:
            crowd.waits(key, friend=what == "friend")
            (friends if what == "friend" else strangers).append(key)
        assert crowd.who_goes() == next(iter(strangers + friends), None)


def test_the_share_of_the_front_door() -> None:
    """Engines keep theirs, however few there are."""
    assert share_of(1024, wanted=2048) == 256
    assert share_of(1 << 20, wanted=2048) == 2048
    assert share_of(20, wanted=2048) == 8


def test_wrong_keys_wait_and_are_forgiven() -> None:
    """A few are free; then each waits longer, up to a bound; time heals; other places do not notice."""
    wrong = WrongKeys()
    assert [wrong.refused("a", now=0.0) for _ in range(FREE)] == [0.0] * FREE
    waits = [wrong.refused("a", now=0.0) for _ in range(100)]
    assert waits == sorted(waits)
    assert 0 < waits[0] < waits[-1] == WAIT_SECONDS_MAX
    assert wrong.refused("b", now=0.0) == 0.0
    assert wrong.refused("a", now=3600.0) == 0.0


def test_places_are_bounded() -> None:
    """Whoever has many addresses does not fill our memory with them."""
    wrong = WrongKeys()
    for number in range(PLACES_MAX + 100):
        wrong.refused(str(number), now=0.0)
    assert len(wrong._places) == PLACES_MAX
