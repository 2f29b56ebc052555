"""Servers of ours at one engine: how they share one window, and what they believe of each other."""

import math

import pytest

from slackwater.core.sending.engine_counters import Counters
from slackwater.core.sending.pacing import FIRST_WINDOW, FOREVER, Pacer
from slackwater.core.sending.peers import Peers, Word, credible


def heard(*words: Word) -> Peers:
    peers = Peers()
    peers.heard({f"{number}": word for number, word in enumerate(words)})
    return peers


def test_alone_everything_is_ours() -> None:
    """The window, and nothing is added to what is out."""
    peers = heard()
    assert (len(peers), peers.out, peers.share(40.0), peers.agreed(40.0, 0.0)) == (0, 0, 40.0, 40.0)


def test_whoever_wants_has_an_equal_part() -> None:
    """Also where it has more out by now; what somebody does not want is the others'."""
    assert heard(Word(out=35, window=40.0, wants=True)).share(40.0) == 20.0
    assert heard(Word(out=0, window=40.0)).share(40.0) == 40.0
    assert heard(Word(out=4, window=40.0), Word(out=30, window=40.0, wants=True)).share(42.0) == 42.0 - 4 - 14


def test_each_has_one_at_least() -> None:
    """Where the window is smaller than there are servers, none of them starves."""
    pacer = Pacer(window=1.0)
    pacer.peers.heard({"other": Word(out=1, window=1.0, wants=True)})
    assert pacer.admits(0, 100.0, 0.0) == 0.0
    assert pacer.admits(1, 100.0, 0.0) == FOREVER


def test_nobody_sends_before_there_is_room() -> None:
    """Whoever comes late waits until some of what the other has out is back: the share alone is not enough."""
    pacer = Pacer(window=40.0)
    pacer.peers.heard({"other": Word(out=38, window=40.0, wants=True)})
    assert pacer.admits(1, 100.0, 0.0) == 0.0
    assert pacer.admits(2, 100.0, 0.0) == FOREVER
    assert pacer.wanted


def test_their_prompts_are_read_by_the_same_engine() -> None:
    """A few at a time, whoever sent them."""
    pacer = Pacer(window=40.0)
    pacer.peers.heard({"other": Word(out=3, window=40.0, reading=2, reading_tokens=800.0)})
    assert pacer.admits(0, 100.0, 0.0) == FOREVER
    pacer.peers.heard({"other": Word(out=3, window=40.0)})
    assert pacer.admits(0, 100.0, 0.0) == 0.0


def test_the_window_is_that_of_those_who_know() -> None:
    """Whoever has just come takes what the others have found, and moves nobody."""
    assert heard(Word(out=9, window=100.0, seconds=600.0)).agreed(4.0, 0.0) == 100.0
    assert heard(Word(out=1, window=4.0, seconds=0.0)).agreed(100.0, 600.0) == 100.0
    assert heard(Word(out=9, window=60.0, seconds=600.0)).agreed(100.0, 900.0) == pytest.approx(80.0)


def test_what_they_send_is_counted_once() -> None:
    """From one look to the next; nothing of somebody who was not there at the last one, or has begun anew."""
    peers = heard(Word(out=1, window=4.0, sent=1000.0))
    assert peers.counted() == (0.0, 0.0, 0.0)
    peers.heard({"0": Word(out=1, window=4.0, sent=1700.0, looked_up=700.0, found=16.0), "1": Word(1, 4.0, sent=9e9)})
    assert peers.counted() == (700.0, 700.0, 16.0)
    peers.heard({"0": Word(out=1, window=4.0)})
    assert peers.counted() == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "word",
    [
        Word(out=-1, window=4.0),
        Word(out=10**9, window=4.0),
        Word(out=1, window=math.nan),
        Word(out=1, window=0.0),
        Word(out=1, window=4.0, seconds=math.inf),
        Word(out=1, window=4.0, sent=-1.0),
    ],
)
def test_a_word_that_cannot_be(word: Word) -> None:
    """One absurd number would hide every online user."""
    assert not credible(word)
    assert len(heard(word)) == 0


def test_a_peer_is_nobody_else() -> None:
    """What it has out is not others', so the engine is full of ours; what is more than both have out is others'."""
    pacer = Pacer()
    peers = {"other": Word(out=30, window=60.0, seconds=60.0, wants=True)}
    for number, running in ((1, 40.0), (2, 40.0), (3, 52.0)):
        counters = Counters(
            running=running, steps=50.0 * number, step_tokens=2000.0 * number, generated=2000.0 * number
        )
        pacer.looked(counters, in_flight=10, now=0.5 * number, peers=peers)
        assert pacer.others == running - 40.0
        if number == 2:
            assert pacer.target == FOREVER
    assert pacer.target != FOREVER


def test_a_peer_that_is_gone_is_one_of_the_others() -> None:
    """What it had out may run for long, and nobody knows that it was a batch's."""
    pacer = Pacer()
    pacer.looked(Counters(running=40.0), in_flight=10, now=1.0, peers={"other": Word(out=30, window=60.0)})
    pacer.looked(Counters(running=40.0), in_flight=10, now=1.5)
    assert pacer.others == 30.0


def test_an_engine_that_starts_again_is_begun_with_anew_by_all() -> None:
    """What a peer says of its window before it has looked again is of the engine before."""
    pacer, peers = Pacer(), {"other": Word(out=30, window=200.0, seconds=600.0)}
    pacer.looked(Counters(running=30.0, steps=5000.0), in_flight=0, now=1.0, peers=peers)
    assert pacer.window == 200.0
    pacer.looked(Counters(running=0.0, steps=3.0), in_flight=0, now=1.5, peers=peers)
    pacer.looked(Counters(running=0.0, steps=9.0), in_flight=0, now=2.0, peers=peers)
    assert pacer.window == FIRST_WINDOW
