"""What the pacing of an engine knows of each prompt of ours that it reads, until it has.

Before: a lane, which sends. After: the pacer, which lets the engine read a few of them at once.
"""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush

from slackwater.core.sending.pacing import Pacer

# Prompts that are over within so long of each other are so at once: a timer for each would cost more than all else.
GRAIN_SECONDS = 0.005


class Readings:
    """Prompts at one engine of which nobody says when they have been read: they are over when they should be."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Reading]] = []
        self._count = 0
        self._timer: asyncio.Handle | None = None
        # For which moment. A handle need not say when it is: for what is due at once uvloop makes one without a time.
        self._timed = 0.0

    def add(self, reading: "Reading", seconds: float) -> None:
        """It should be over in so long."""
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        self._count += 1
        heappush(self._due, (at, self._count, reading))
        if self._timer is None or at < self._timed:
            if self._timer is not None:
                self._timer.cancel()
            self._wake(at, loop)

    def _wake(self, at: float, loop: asyncio.AbstractEventLoop) -> None:
        self._timed = at
        self._timer = loop.call_at(at + GRAIN_SECONDS, self._end, loop)

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        due, now = self._due, loop.time()
        over = []
        while due and (due[0][0] <= now or due[0][2].is_over):
            over.append(heappop(due)[2])
        if due:
            self._wake(due[0][0], loop)
        # Each makes room for others, which come here.
        for reading in over:
            reading.over()


class Reading:
    """A prompt of ours that the engine reads. It is over once: at its first token, its answer, or when it should be.

    One that goes in slices (the Ahead of `slicing`) is told of each, and when the rest of it goes.
    """

    __slots__ = ("_chunk", "_over", "_pacer", "_readings", "tokens")

    def __init__(
        self, pacer: Pacer, tokens: float, now: float, *, readings: Readings, over: Callable[[], None]
    ) -> None:
        """`over` is called when it is: there may be room for another."""
        self._over = over
        self._readings = readings
        self._pacer: Pacer | None = pacer
        self._chunk = pacer.sent(tokens, now)
        self.tokens = tokens
        """About how many tokens it has."""
        if not self.sliced:
            self._goes()

    @property
    def sliced(self) -> bool:
        """Whether it is to go in slices."""
        return self._chunk < self.tokens

    @property
    def slice(self) -> int:
        """So many tokens may be read at once; 0 for all of them."""
        return 0 if self._pacer is None else self._pacer.slice

    def found(self, tokens: float, before: float) -> None:
        """A slice with so many tokens goes, and so many of them went with the one before it."""
        if self._pacer is not None:
            self._pacer.found(tokens, before)

    def rest(self, tokens: float, before: float) -> None:
        """The request itself goes, after slices with so many of its tokens; with none, it goes whole."""
        if self._pacer is None:
            return
        self._pacer.found(tokens, before)
        more = tokens - before - self._chunk
        if more > 0.0:
            self._pacer.grown(more)
            self._chunk += more
        self._goes()

    def _goes(self) -> None:
        assert self._pacer is not None, "it is not over"
        # Whoever sees the first token come may call `over` sooner.
        self._readings.add(self, self._pacer.reading_seconds(self._chunk))

    @property
    def is_over(self) -> bool:
        """Whether the engine has read it."""
        return self._pacer is None

    def over(self) -> None:
        """The engine has read it."""
        if self._pacer is not None:
            self._pacer.read(self._chunk)
            self._pacer = None
            self._over()
