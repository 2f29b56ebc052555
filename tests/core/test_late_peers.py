"""Words that are late: a look at the page is taken with what peers had out in its moment, once that is known."""

from slackwater.core.sending.engine_counters import Counters
from slackwater.core.sending.late_peers import CLOCKS_SECONDS, PAST_SECONDS, STEP_SECONDS, FarPeer, LateLooks, Past
from slackwater.core.sending.pacing import FIRST_WINDOW, FOREVER, Pacer
from slackwater.core.sending.peers import Word

T = 1000.0


def counters(running: float) -> Counters:
    """A page of an engine in which so many requests run."""
    return Counters(running=running, waiting=0.0)


def told(past: Past, out: int, at: float) -> FarPeer:
    return past.told(Word(out=out, window=40.0), at)


def test_what_was_out_then() -> None:
    """Within what clocks differ by, the most of it; before all that is known, the first."""
    past = Past()
    for second, out in enumerate((4, 9, 6)):
        past.add(Word(out=out, window=40.0, sent=100.0 * second), T + second)
    peer = told(past, 6, T + 2.5)
    found = [peer.at(T + each) for each in (-5.0, 0.5, 1.5, 2.0, 2.0 + 2 * CLOCKS_SECONDS)]
    assert [word.out for word in found] == [4, 4, 9, 9, 6]
    assert [word.sent for word in found] == [0.0, 0.0, 100.0, 200.0, 200.0]
    assert FarPeer(Word(out=3, window=4.0), T, ()).at(T).out == 3


def test_the_past_is_short() -> None:
    """As long as others need it, in steps."""
    past = Past()
    for number in range(10_000):
        past.add(Word(out=number, window=40.0), T + number / 1000)
    moments = told(past, 9_999, T + 10.0).past
    assert len(moments) <= PAST_SECONDS / STEP_SECONDS + 2
    assert moments[-1].out == 9_999


def test_a_look_waits_until_all_have_spoken_of_its_moment() -> None:
    """Then it is taken as it was; what has been sent since is there by now."""
    pacer, late, past = Pacer(), LateLooks(), Past()
    past.add(Word(out=10, window=40.0), T)
    far = {"far": told(past, 10, T + 0.5)}
    for number in range(2):
        late.looked(pacer, counters(14.0), in_flight=4, now=float(number), at=T + 1 + number, near={}, far=far)
    assert late.waits
    assert pacer.step is None
    pacer.sent(100.0, 2.0)
    past.add(Word(out=20, window=40.0), T + 1.5)
    far = {"far": told(past, 20, T + 2.2)}
    late.looked(pacer, counters(30.0), in_flight=5, now=2.2, at=T + 2.3, near={}, far=far)
    # Ten of the other one and four of ours at the first, and at the second twenty, of which the page shows fewer.
    assert pacer.others == 0.0
    assert pacer.peers.out == 20
    assert late.waits
    late.looked(pacer, counters(30.0), in_flight=5, now=3.0, at=T + 3.0, near={}, far={})
    assert not late.waits


def test_others_have_come_while_nobody_looked() -> None:
    """Looks from before say nothing of now, and nothing goes until one of now was told: the window is of an empty engine."""
    pacer, late, past = Pacer(), LateLooks(), Past()
    pacer.target, pacer.window = FOREVER, 200.0
    past.add(Word(out=0, window=200.0), T)
    late.looked(pacer, counters(0.0), in_flight=0, now=0.0, at=T + 1, near={}, far={"far": told(past, 0, T + 0.5)})
    assert late.waits
    pacer.back(60.0)
    late.forget(pacer)
    far = {"far": told(past, 0, T + 59.0)}
    late.looked(pacer, counters(9.0), in_flight=0, now=60.0, at=T + 60, near={}, far=far)
    assert late.waits
    assert pacer.admits(0, 10.0, 60.1) == FOREVER
    far = {"far": told(past, 0, T + 60.3)}
    late.looked(pacer, counters(9.0), in_flight=0, now=60.5, at=T + 60.5, near={}, far=far)
    assert pacer.admits(0, 10.0, 60.5) == 0.0
    assert pacer.window <= FIRST_WINDOW
    # Who says nothing any more keeps nobody waiting.
    late.looked(pacer, counters(9.0), in_flight=0, now=65.0, at=T + 65, near={}, far={})
    assert not late.waits
