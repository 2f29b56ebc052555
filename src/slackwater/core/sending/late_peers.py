"""Peers whose words are late: what an engine's page said is looked at again once it is known what they had out in that moment.

A word that is a second old says nothing of now: whatever has been sent since would be taken for online users (two servers on an
engine that nobody else uses got a quarter of it). So each says what it had out when, for the last moments, by the clock of the
ledger's database; and a look at the page waits until all have spoken of its moment. What is known then is exact, and a second or
two late: with one word a second, two servers get what one does alone (benchmarks/coserving/together.py --hears late).
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from slackwater.core.sending.engine_counters import Counters
from slackwater.core.sending.pacing import Counted, Pacer
from slackwater.core.sending.peers import Word

# The past is told for so long, in steps of so many seconds.
PAST_SECONDS, STEP_SECONDS = 3.0, 0.05
# Clocks of members that ask one database for the time differ by less. What comes or goes in so short a time is not seen.
CLOCKS_SECONDS = 0.1
# So many looks wait at most.
WAITING_MAX = 16


class Moment(Struct, frozen=True, array_like=True):
    """What a server had out from a moment on, and what it had sent in all. Seconds since 1970, by the ledger's clock."""

    at: float
    out: int
    sent: float
    looked_up: float
    found: float


class FarPeer(Struct, frozen=True):
    """What one of them says."""

    word: Word
    """As it was last."""
    until: float
    """To this moment its past is known."""
    past: Sequence[Moment]

    def at(self, moment: float) -> Word:
        """What it would have said then. Of what it had out about then, the most: its clock is not quite ours."""
        if not self.past:
            return self.word
        first, place, last = (
            max(0, bisect_right(self.past, each, key=lambda past: past.at) - 1)
            for each in (moment - CLOCKS_SECONDS, moment, moment + CLOCKS_SECONDS)
        )
        then, out = self.past[place], max(past.out for past in self.past[first : last + 1])
        counts = {"out": out, "sent": then.sent, "looked_up": then.looked_up, "found": then.found}
        return msgspec.structs.replace(self.word, **counts)


class Past:
    """What a server itself has had out lately."""

    def __init__(self) -> None:
        self._moments: deque[Moment] = deque()

    def add(self, word: Word, at: float) -> None:
        """From now on it is so."""
        moments = self._moments
        if moments and at - moments[-1].at < STEP_SECONDS:
            at = moments.pop().at
        moments.append(Moment(at, word.out, word.sent, word.looked_up, word.found))
        while len(moments) > 1 and moments[1].at <= at - PAST_SECONDS:
            moments.popleft()

    def told(self, word: Word, at: float) -> FarPeer:
        """What others are to know. What is read in a moment is no news a second later."""
        return FarPeer(
            msgspec.structs.replace(word, reading=0, reading_tokens=0.0),
            at,
            [msgspec.structs.replace(each, at=round(each.at, 3)) for each in self._moments],
        )


class _Look(Struct, frozen=True):
    counters: Counters
    in_flight: int
    now: float
    at: float
    near: Mapping[str, Word]
    counted: Counted


class LateLooks:
    """Looks at one engine's page that wait for what peers had out."""

    def __init__(self) -> None:
        self._waiting: deque[_Look] = deque(maxlen=WAITING_MAX)
        self._counted = Counted()

    @property
    def waits(self) -> bool:
        """Whether any look waits."""
        return bool(self._waiting)

    def forget(self, pacer: Pacer) -> None:
        """Nobody has looked for a while: what was seen before says nothing of now."""
        self._waiting.clear()
        self._counted = pacer.counted

    def counted(self, pacer: Pacer) -> None:
        """The pacer has been told of a look at once."""
        self._counted = pacer.counted

    def looked(
        self,
        pacer: Pacer,
        counters: Counters,
        *,
        in_flight: int,
        now: float,
        at: float,
        near: Mapping[str, Word],
        far: Mapping[str, FarPeer],
    ) -> None:
        """The page says this now: `now` is monotonic, `at` the same moment by the ledger's clock. The pacer hears what is due."""
        self._waiting.append(_Look(counters, in_flight, now, at, near, pacer.counted))
        until = min((peer.until - CLOCKS_SECONDS for peer in far.values()), default=at)
        while self._waiting and self._waiting[0].at <= until:
            look = self._waiting.popleft()
            peers = {name: peer.at(look.at) for name, peer in far.items()} | dict(look.near)
            pacer.looked_then(
                look.counters,
                in_flight=look.in_flight,
                now=look.now,
                peers=peers,
                before=self._counted,
                then=look.counted,
            )
            self._counted = look.counted
