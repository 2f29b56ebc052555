"""What is kept in memory of durable facts that another server may change: read again when a number in the ledger says so.

The numbers are looked at each second, and at once when somebody hints at it. Whoever decides by what is kept asks first how old
that is: so what was changed on one server counts on every other one after a bounded time, whatever becomes of hints and loops.
Where a ledger has one server, there is nothing of this.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from slackwater.core.errors import StorageTrouble
from slackwater.pipeline.loops import Hint, Hints, Pace
from slackwater.ports import Clock, Together

LOOK_SECONDS = 1.0
# What was looked at longer ago is looked at again before anybody decides by it.
FRESH_SECONDS = 2.0

Read = Callable[[], Awaitable[object]]


class Following:
    """Follows the changes of other servers, and hears their hints."""

    def __init__(self, together: Together, clock: Clock, hints: Hints) -> None:
        self._together = together
        self._clock = clock
        self._hints = hints
        self._reads: dict[str, list[Read]] = {}
        self._numbers: dict[str, int] = {}
        self._looked: dict[str, float] = {}
        self._one_at_a_time = asyncio.Lock()
        self._saying: set[asyncio.Task[None]] = set()
        self.hint = Hint()
        """That something has changed."""
        self.tried: Callable[[str], None] = lambda word: None
        """Hears what somebody has asked another server to try now."""

    def follow(self, what: str, read: Read) -> None:
        """From now on `read` is called when something of that kind may have changed, and at the next look in any case."""
        self._reads.setdefault(what, []).append(read)
        self._numbers.pop(what, None)
        self._looked.pop(what, None)

    async def current(self, what: str) -> None:
        """Returns when what is kept of that kind is at most FRESH_SECONDS old. Raises what a read of the ledger raises."""
        await self._no_older(what, self._clock.monotonic() - FRESH_SECONDS)

    async def now(self, what: str) -> None:
        """Returns when it is what the ledger had after this was called. Raises what a read of the ledger raises."""
        await self._no_older(what, self._clock.monotonic())

    async def _no_older(self, what: str, moment: float) -> None:
        if self._looked.get(what, float("-inf")) >= moment:
            return
        async with self._one_at_a_time:
            # One look does for all who have waited for it meanwhile.
            if self._looked.get(what, float("-inf")) < moment:
                await self._look(only=what)

    async def step(self) -> Pace:
        """Looks once, listens again where that has ended, and hints at everything as long as nobody can be heard."""
        await self._together.listen(self.heard)
        async with self._one_at_a_time:
            await self._look()
        if not self._together.listening:
            self._hints.heard("everything")
        return Pace.IDLE

    async def _look(self, only: str | None = None) -> None:
        begun = self._clock.monotonic()
        # Before what they are about: what changes in between is read twice, and never missed.
        numbers = await self._together.changes()
        faults: list[Exception] = []
        for what, reads in self._reads.items():
            if only not in (None, what):
                continue
            number = numbers.get(what, 0)
            try:
                if self._numbers.get(what) != number:
                    for read in reads:
                        await read()
            except Exception as fault:
                # One that cannot be read must not make the others old.
                faults.append(fault)
                continue
            self._numbers[what], self._looked[what] = number, begun
        if faults:
            raise faults[0]

    def heard(self, word: str) -> None:
        """Somebody else hints at something."""
        if word in ("changed", "everything"):
            self.hint.notify()
        if word.startswith("try "):
            self.tried(word)
        elif word == "everything":
            # It listens again: a database that was away may have lost its last moments, of claims and burials, too.
            self._hints.anew()
        elif word != "changed":
            self._hints.heard(word)

    def say(self, word: str) -> None:
        """Lets the others hear a word, soon, if they can be reached."""
        task = asyncio.create_task(self._say(word))
        self._saying.add(task)
        task.add_done_callback(self._saying.discard)

    async def _say(self, word: str) -> None:
        with contextlib.suppress(StorageTrouble):
            await self._together.say(word)
