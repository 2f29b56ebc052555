"""Peers on other hosts: what a seat says at an engine goes to the other members by way of the ledger, and theirs comes back.

Whoever is heard in the host's own memory (adapters/shared_memory), at once, is heard there alone. What comes by way of the ledger
is a second old or two, and comes with its past (core/sending/late_peers.py). Before: an engine's pacing. After: `member_words`.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from slackwater.core.sending.late_peers import FarPeer, Past
from slackwater.core.sending.peers import Word
from slackwater.pipeline.sending.member_words import MemberWords
from slackwater.ports import Clock, Heard, PeerBoard, PeerSeat, Said

# A word is heard for so long, and said no more where the engine was not looked at for so long.
HEARD_SECONDS, QUIET_SECONDS = 4.0, 3.0


class Carried(Struct, frozen=True):
    """What is said."""

    seat: str
    """By which name hosts hear it that share a memory."""
    peer: FarPeer


_decoder = msgspec.json.Decoder(Carried)


class FarBoard:
    """Where members on all hosts find each other (the PeerBoard of ports)."""

    def __init__(
        self, near: PeerBoard, words: MemberWords, clock: Clock, *, shared_as: Callable[[str], str] = str
    ) -> None:
        """`near` is that of this host; `shared_as` gives the name of an engine that is the same on all members."""
        self._shared_as = shared_as
        self._near = near
        self._words = words
        self._clock = clock

    def seat(self, engine: str) -> "FarSeat":
        """A place where one user of an engine speaks and listens."""
        seat = FarSeat(self._near.seat(engine), self._clock)
        self._words.add(PeerSpeaker(f"peers {self._shared_as(engine)}", seat))
        return seat


class FarSeat:
    """One engine, for one who uses it (the PeerSeat of ports)."""

    def __init__(self, near: PeerSeat, clock: Clock) -> None:
        self.name = near.name
        self.word: Word | None = None
        """What it says; None while it is quiet."""
        self._said_at = -QUIET_SECONDS
        self._near = near
        self._clock = clock
        self._past = Past()
        self._far: dict[str, tuple[FarPeer, float]] = {}

    def say(self, word: Word) -> None:
        """What others are to know from now on."""
        self.word, self._said_at = word, self._clock.monotonic()
        self._past.add(word, self._clock.now())
        self._near.say(word)

    def hear(self) -> Mapping[str, Word]:
        """What others at the engine say now, by name."""
        near = self._near.hear()
        if not self._far:
            return near
        now = self._clock.monotonic()
        return {name: peer.word for name, (peer, until) in self._far.items() if until > now} | dict(near)

    def far(self) -> Mapping[str, FarPeer]:
        """Those of them whose words are late, with their past."""
        if not self._far:
            return {}
        now, near = self._clock.monotonic(), self._near.hear()
        return {name: peer for name, (peer, until) in self._far.items() if until > now and name not in near}

    def told(self) -> FarPeer:
        """What those on other hosts are to know."""
        assert self.word is not None, "something has been said"
        return self._past.told(self.word, self._clock.now())

    def heard(self, words: Mapping[str, tuple[FarPeer, float]]) -> None:
        """What those on other hosts say, and until when that is to be heard."""
        self._far = dict(words)

    def quiet(self, now: float) -> bool:
        """Whether nothing has been said here for a while: nobody looks at the engine."""
        return now - self._said_at >= QUIET_SECONDS


class PeerSpeaker:
    """What is said at one seat (the Speaker of `member_words`)."""

    def __init__(self, topic: str, seat: FarSeat) -> None:
        self.topic = topic
        self._seat = seat
        self._said = False

    @property
    def listens(self) -> bool:
        """While the engine is looked at."""
        return self._seat.word is not None

    def say(self, now: float) -> Said | None:
        """What is new; a word is said again and again while it is looked at."""
        seat = self._seat
        if seat.quiet(now):
            seat.word = None
            seat.heard({})
            said, self._said = self._said, False
            return Said("", 0.0) if said else None
        self._said = True
        return Said(msgspec.json.encode(Carried(seat.name, seat.told())).decode(), HEARD_SECONDS)

    def hear(self, words: Sequence[Heard], now: float) -> None:
        """What the others say."""
        far = {}
        for each in words:
            try:
                carried = _decoder.decode(each.text)
            except (msgspec.MsgspecError, UnicodeEncodeError):
                # Another version's.
                continue
            far[carried.seat] = carried.peer, now + each.left
        self._seat.heard(far)
