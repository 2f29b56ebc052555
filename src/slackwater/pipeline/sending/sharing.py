"""Shares engines with the other members of a cluster: asks the ledger for slots before they end, for many engines at once.

Before: the engines, which say what they could use. After: the ledger, which divides. An embedded server has none of this.
"""

import asyncio
import logging
from collections.abc import Iterable, Sized
from typing import Protocol

from slackwater.core.errors import StorageTrouble
from slackwater.core.sending.shared_slots import GRANT_SECONDS, Ask, Grant
from slackwater.pipeline.loops import Hint, Loop, Pace
from slackwater.pipeline.sending.engine_share import NEVER, EngineShare
from slackwater.pipeline.sending.engine_share import Sharing as Engine
from slackwater.pipeline.sending.member_words import MemberWords
from slackwater.ports import Clock, SharingLedger
from slackwater.telemetry import event

# While something is held, it is looked so often whether something is due.
STEP_SECONDS = 0.25
# A round that takes longer is stuck: the ledger does not answer.
STUCK_SECONDS = 60.0
# Engines that are asked for in one transaction, which keeps the other members from them until it ends: of one with a thousand the
# others would wait for longer than their grants are good for.
ASKED_AT_ONCE = 50
# At a stop nobody waits longer than that to give slots back: they end by themselves.
LEAVING_SECONDS = 2.0


class Share(Protocol):
    """Something of which a member has a part."""

    name: str
    held: bool
    """Whether the ledger has something of ours, as far as is known."""
    serial: int
    """That of the last ask."""

    @property
    def calls(self) -> Sized:
        """What is out by it."""
        ...

    def due(self, now: float) -> float:
        """Seconds until there is something to ask."""
        ...

    def ask(self, now: float) -> Ask | None:
        """What is wanted now; None where that is nothing, and all of it can be given back."""
        ...

    def granted(self, grant: Grant, *, asked: float) -> None:
        """This was granted to what was asked for at that moment."""
        ...

    def unanswered(self, now: float) -> None:
        """The ledger has not answered."""
        ...

    def left(self) -> None:
        """Everything has been given back."""
        ...

    def close(self) -> None:
        """Nobody waits for its end any more."""
        ...


class Sharing:
    """What a member shares."""

    def __init__(
        self, ledger: SharingLedger, clock: Clock, *, member: str, grant_seconds: float = GRANT_SECONDS
    ) -> None:
        """`member` is this life of the process, and no other one."""
        self.words = MemberWords(ledger, clock, member=member)
        """What is said to the others and heard of them."""
        self._ledger = ledger
        self._clock = clock
        self._member = member
        self._seconds = grant_seconds
        self._shares: dict[str, Share] = {}
        self._hint = Hint()
        self._unheard = False
        self._task: asyncio.Task[None] | None = None
        self.loop = Loop(
            "share",
            self.step,
            clock=clock,
            hint=self._hint,
            idle_seconds=STEP_SECONDS,
            step_seconds=STUCK_SECONDS,
            resting=lambda: all(share.due(0.0) == NEVER for share in self._shares.values()),
        )

    def share_of(self, engine: Engine) -> EngineShare:
        """What may be out at an engine; asked once for each."""
        share = EngineShare(engine, self._clock, self._hint.notify, seconds=self._seconds)
        self.add(share)
        return share

    def add(self, share: Share) -> None:
        """Something else that is divided."""
        self._shares[share.name] = share

    def start(self) -> None:
        """Begins to ask."""
        self._task = asyncio.create_task(self.loop.run(), name="share")
        self.words.start()

    async def step(self) -> Pace:
        """Asks for what is due."""
        now = self._clock.monotonic()
        due = {name: share for name, share in self._shares.items() if share.due(now) <= 0.0}
        if not due:
            return Pace.IDLE
        asks = {name: ask for name, share in due.items() if (ask := share.ask(now)) is not None}
        leaving = [name for name, share in due.items() if name not in asks and share.held]
        try:
            if leaving:
                await self._ledger.leave_engines(self._member, {name: self._shares[name].serial for name in leaving})
                for name in leaving:
                    self._shares[name].left()
            wanted = list(asks.values())
            for first in range(0, len(wanted), ASKED_AT_ONCE):
                now = self._clock.monotonic()
                for grant in await self._ledger.share_engines(
                    self._member, wanted[first : first + ASKED_AT_ONCE], seconds=self._seconds, now=self._clock.now()
                ):
                    self._shares[grant.engine].granted(grant, asked=now)
        except StorageTrouble as trouble:
            # Whoever has a grant uses it to its end, and the ledger may be back before that.
            self._say(trouble)
            self._again(due.values())
            return Pace.IDLE
        except BaseException:
            self._again(due.values())
            raise
        self._unheard = False
        return Pace.IDLE

    def _again(self, shares: Iterable[Share]) -> None:
        now = self._clock.monotonic()
        for share in shares:
            share.unanswered(now)

    def _say(self, trouble: StorageTrouble) -> None:
        """Once for each time that it does not answer."""
        if not self._unheard:
            self._unheard = True
            event("engines_not_shared", level=logging.WARNING, reason=trouble)

    async def close(self) -> None:
        """Gives everything back. Comes after the engines have ended, whose calls need their slots until then."""
        if self._task is None:
            return
        await self.words.close()
        self.loop.end()
        await asyncio.wait((self._task,), timeout=LEAVING_SECONDS)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        held = {name: share.serial for name, share in self._shares.items() if share.held and not share.calls}
        for share in self._shares.values():
            share.close()
        try:
            if held:
                await asyncio.wait_for(self._ledger.leave_engines(self._member, held), LEAVING_SECONDS)
        except Exception as error:
            event("engines_not_left", engines=len(held), error=repr(error))
