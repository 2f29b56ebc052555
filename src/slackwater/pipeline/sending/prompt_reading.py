"""What the pacing of an engine knows of each prompt of ours that it reads, until it has.

Before: a lane, which sends. After: the pacer, which lets the engine read a few of them at once.
"""

import asyncio
from collections.abc import Callable

from slackwater.core.sending.pacing import Pacer


class Reading:
    """A prompt of ours that the engine reads. It is over once: at its first token, its answer, or when it should be.

    One that goes in slices (the Ahead of `slicing`) is told of each, and when the rest of it goes.
    """

    __slots__ = ("_chunk", "_over", "_pacer", "_timer", "tokens")

    def __init__(self, pacer: Pacer, tokens: float, now: float, *, over: Callable[[], None]) -> None:
        """`over` is called when it is: there may be room for another."""
        self._over = over
        self._pacer: Pacer | None = pacer
        self._chunk = pacer.sent(tokens, now)
        self._timer: asyncio.TimerHandle | None = None
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
        self._timer = asyncio.get_running_loop().call_later(self._pacer.reading_seconds(self._chunk), self.over)

    def over(self) -> None:
        """The engine has read it."""
        if self._pacer is not None:
            if self._timer is not None:
                self._timer.cancel()
            self._pacer.read(self._chunk)
            self._pacer = None
            self._over()
