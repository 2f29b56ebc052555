"""Who of those that work with a ledger sends for which deployment; and that nobody does, which is said and not only shown.

A deployment that nobody sends for takes batches, and nothing becomes of them. That is no error of anybody who can be seen here: a
worker has not been started, or names other deployments. Before: the members, who say for what they send. After: whoever asks why
a batch waits.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from slackwater.core.members import Member
from slackwater.pipeline.loops import Pace
from slackwater.ports import Clock
from slackwater.telemetry import event

STEP_SECONDS = 1.0
# One worker for another, or a deployment that has just been made: that is not worth a word.
MOMENT_SECONDS = 5.0
FIX = "start 'slackwater worker' for it, or 'slackwater serve' without --no-sending"
NOBODY = f"No living server or worker sends for it. Its batches wait, and nothing is lost: {FIX}."


class MembersAndWork(Protocol):
    """The part of the ledger that this needs."""

    async def members(self) -> list[Member]:
        """See ports.MemberLedger."""
        ...

    async def deployments_at_work(self) -> set[str]:
        """See ports.WatchLedger."""
        ...


class Senders:
    """Looks at the members, once a second."""

    def __init__(
        self,
        ledger: MembersAndWork,
        clock: Clock,
        *,
        deployments: Callable[[], Iterable[str]],
        serves: Callable[[str], bool],
        speaks: Callable[[], bool],
    ) -> None:
        """`deployments` are the keys of all that are known here; `serves`: whether this process sends for one. `speaks`: whether
        it is this one that writes into the log what all of them see.
        """
        self._ledger = ledger
        self._clock = clock
        self._deployments = deployments
        self._serves = serves
        self._speaks = speaks
        # Since when nobody sends, by a monotonic moment, for each deployment that has nobody.
        self._since: dict[str, float] = {}
        self._said: set[str] = set()

    def nobody_since(self, key: str) -> float | None:
        """Since when nobody sends for a deployment, in seconds since 1970; None where somebody does, or did a moment ago."""
        since = self._since.get(key)
        if since is None or self._serves(key):
            return None
        lasted = self._clock.monotonic() - since
        return None if lasted < MOMENT_SECONDS else self._clock.now() - lasted

    async def step(self) -> Pace:
        """Looks once, and says what is new."""
        living = [each for each in await self._ledger.members() if not each.dead]
        now = self._clock.monotonic()
        self._since = {
            key: self._since.get(key, now)
            for key in self._deployments()
            if not self._serves(key) and not any(each.sends(key) for each in living)
        }
        await self._say()
        return Pace.IDLE

    async def _say(self) -> None:
        for key in self._said - self._since.keys():
            event("somebody_sends", deployment=key)
        self._said &= self._since.keys()
        news = {key for key in self._since if key not in self._said and self.nobody_since(key) is not None}
        if not news or not self._speaks():
            return
        for key in sorted(news & await self._ledger.deployments_at_work()):
            self._said.add(key)
            event("nobody_sends", level=logging.WARNING, deployment=key, fix=FIX)
