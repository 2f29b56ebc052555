"""Whether an engine listens, and who was with it when it died.

An engine *died* where calls broke off, or were answered with 5xx, and then nobody listened. Who was out at that moment did
not fail: they are *suspects*. A suspect of two deaths is sent alone, one at a time; who is alone at a death is the culprit.

Every moment is monotonic and comes from the caller.
"""

import math
from collections.abc import Iterable
from typing import Generic, TypeVar

from slackwater.core.sending.door import Gap
from slackwater.core.sending.evidence import Evidence, Kind

T = TypeVar("T")

# A call that broke off so long before nobody listened has nothing to do with it.
DEATH_SECONDS = 10.0
# More than any engine has slots; who is beyond that is no suspect.
BROKEN_MAX = 20_000


class Reach(Generic[T]):
    """One engine, and the calls (of type T) that broke lately."""

    __slots__ = ("_broken", "_died", "_gap", "deaths", "listens", "reason", "since", "until")

    def __init__(self) -> None:
        self.listens = True
        self.reason = ""
        self.since = 0.0
        self.until = 0.0
        """Nobody tries before this moment."""
        self.deaths = 0
        self._gap = Gap(0.5, 30.0)
        self._died = False
        # What broke, when, and when it was sent.
        self._broken: dict[T, tuple[float, float]] = {}

    def due(self, now: float) -> bool:
        """Whether somebody should see if it listens again."""
        return not self.listens and now >= self.until

    def heard(self, call: T, evidence: Evidence, *, begun: float, now: float) -> list[T]:
        """A call has ended. Returns the suspects where that tells of a death: they have not failed, they were there."""
        kind = evidence.kind
        if kind is Kind.UNREACHED:
            return self.silent(evidence, now)
        if kind in (Kind.LOST, Kind.TROUBLE):
            if not self.listens and begun < self.since:
                # It was out when nobody listened any more, and its end was heard of late.
                self._dies()
                return [call]
            if len(self._broken) < BROKEN_MAX:
                self._broken[call] = (now, begun)
            if kind is Kind.TROUBLE:
                self.answered(begun, now)
            return []
        self.answered(begun, now)
        if kind is Kind.SUCCESS and self._broken:
            self.works(begun)
        return []

    @property
    def well(self) -> bool:
        """Whether it listens, and no call has broken lately."""
        return self.listens and not self._broken

    @property
    def broken(self) -> bool:
        """Whether calls have broken lately, of which it is not known yet why."""
        return bool(self._broken)

    @property
    def broke_at(self) -> float:
        """When the last of them ended."""
        return max((ended for ended, _ in self._broken.values()), default=-math.inf)

    def silent(self, evidence: Evidence, now: float) -> list[T]:
        """Nobody listens. Returns the suspects, where it has died."""
        first = self.listens
        if first:
            self.listens = False
            self.since = now
        self.reason = evidence.reason
        if first or now >= self.until:
            self.until = now + self._gap.next()
        suspects = [each for each, (ended, _) in self._broken.items() if now - ended <= DEATH_SECONDS]
        self._broken.clear()
        if suspects:
            self._dies()
        return suspects

    def _dies(self) -> None:
        if not self._died:
            self._died = True
            self.deaths += 1

    def answered(self, begun: float, now: float) -> bool:
        """Something was answered, whatever it was. Returns whether that is news: it listens again."""
        if self.listens or begun < self.since:
            return False
        self.listens = True
        self.reason = ""
        self.since = now
        self._gap.reset()
        self._died = False
        return True

    def works(self, begun: float) -> None:
        """What was sent then has succeeded: who broke before did not break a dying engine."""
        self._broken = {each: times for each, times in self._broken.items() if times[0] > begun}

    def forget(self, calls: Iterable[T]) -> None:
        """These have an end, or are not ours any more."""
        for call in calls:
            self._broken.pop(call, None)

    def forget_all(self) -> None:
        """What broke before has nothing to do with what is sent from now on."""
        self._broken.clear()

    def try_now(self, now: float) -> None:
        """It is looked at at once."""
        self.until = now
        self._gap.reset()
