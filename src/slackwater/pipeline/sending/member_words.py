"""What this member says to the others of its engines, and hears of them, by way of the ledger: at a bounded rate, in one go.

Before: whoever has something to say on a topic. After: the same, told what others have said. What is said late or lost costs a
little work, never an answer: nothing here grants anything.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from slackwater.core.errors import StorageTrouble
from slackwater.pipeline.loops import Hint, Loop, Pace
from slackwater.ports import Clock, Heard, Said, SharingLedger
from slackwater.telemetry import event

# How often something is said and heard, while somebody sends.
TALK_SECONDS = 1.0
STUCK_SECONDS = 60.0


class Speaker(Protocol):
    """Somebody who speaks on one topic."""

    topic: str

    @property
    def listens(self) -> bool:
        """Whether it wants to hear the others now."""
        ...

    def say(self, now: float) -> Said | None:
        """What is new; None where nothing is."""
        ...

    def hear(self, words: Sequence[Heard], now: float) -> None:
        """What the others say now, all of it."""
        ...


class MemberWords:
    """All topics of a member."""

    def __init__(self, ledger: SharingLedger, clock: Clock, *, member: str) -> None:
        self.member = member
        self._ledger = ledger
        self._clock = clock
        self._speakers: dict[str, Speaker] = {}
        # What has been said and was not taken back: whoever leaves takes it along.
        self._standing: set[str] = set()
        self._unheard = False
        self._hint = Hint()
        self._task: asyncio.Task[None] | None = None
        self._loop = Loop(
            "words",
            self.step,
            clock=clock,
            hint=self._hint,
            idle_seconds=TALK_SECONDS,
            every=True,
            step_seconds=STUCK_SECONDS,
        )

    def add(self, speaker: Speaker) -> None:
        """It speaks and hears from now on."""
        self._speakers[speaker.topic] = speaker

    def start(self) -> None:
        """Begins to talk."""
        self._task = asyncio.create_task(self._loop.run(), name="words")

    async def step(self) -> Pace:
        """Says what is new and hears what others say."""
        now = self._clock.monotonic()
        said = {topic: word for topic, speaker in self._speakers.items() if (word := speaker.say(now)) is not None}
        listening = [topic for topic, speaker in self._speakers.items() if speaker.listens]
        if not said and not listening:
            return Pace.IDLE
        try:
            heard = await self._ledger.exchange_words(self.member, said, listening, now=self._clock.now())
        except StorageTrouble as trouble:
            if not self._unheard:
                self._unheard = True
                event("members_unheard", level=logging.WARNING, reason=trouble)
            return Pace.IDLE
        self._unheard = False
        for topic, word in said.items():
            (self._standing.add if word.text else self._standing.discard)(topic)
        now = self._clock.monotonic()
        for topic, words in heard.items():
            self._speakers[topic].hear(words, now)
        return Pace.IDLE

    async def close(self) -> None:
        """Takes back what it has said."""
        if self._task is None:
            return
        self._loop.end()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        if self._standing:
            try:
                back = {topic: Said("", 0.0) for topic in self._standing}
                await asyncio.wait_for(
                    self._ledger.exchange_words(self.member, back, (), now=self._clock.now()), TALK_SECONDS
                )
            except Exception as error:
                event("words_not_taken_back", topics=len(self._standing), error=repr(error))
