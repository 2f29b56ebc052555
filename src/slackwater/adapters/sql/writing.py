"""One thread that writes: works that wait for it together share a transaction, and so what makes it durable.

Whose work goes wrong is found by running each of them again alone. A caller that is cancelled waits until its transaction has
ended, so its outcome is always known.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from slackwater.adapters.sql.db import Db

T = TypeVar("T")
# Works that share a transaction at most: some milliseconds of the writer's.
TOGETHER_MAX = 64


class Transact(Protocol):
    """Runs a work in one transaction, on the thread of whoever calls."""

    def __call__(self, work: Callable[[Db], T], /, *, durable: bool) -> T: ...


class _Asked:
    """A work that waits for its transaction, and whoever waits for its outcome."""

    __slots__ = ("_loop", "alone", "durable", "future", "work")

    def __init__(
        self,
        work: Callable[[Db], Any],
        durable: bool,
        loop: asyncio.AbstractEventLoop,
        alone: Callable[[], Any] | None = None,
    ) -> None:
        self.work = work
        self.durable = durable
        self.alone = alone
        self.future: asyncio.Future[Any] = loop.create_future()
        self._loop = loop

    def tell(self, result: Any, error: BaseException | None) -> None:
        """Says how it went; on the writer's thread."""
        # Nobody is left to hear of it where the loop has ended.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end, result, error)

    def _end(self, result: Any, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


def _nothing(db: Db) -> None:
    """The work of what is a transaction of its own."""


class Writer:
    """The thread, and what waits for it."""

    def __init__(self, thread: ThreadPoolExecutor, transact: Transact, *, together: int = TOGETHER_MAX) -> None:
        """`together` is how many works share a transaction at most."""
        self._together = together
        self._thread = thread
        self._transact = transact
        self._asked: deque[_Asked] = deque()

    async def write(self, work: Callable[[Db], T], *, durable: bool) -> T:
        """Runs `work` in a transaction that may be that of others, too: it may be run again alone."""
        asked = self._ask(_Asked(work, durable, asyncio.get_running_loop()))
        return await finish(asked.future)

    async def write_alone(self, call: Callable[[], T]) -> T:
        """Runs `call`, which is a transaction of its own, on the thread."""
        asked = self._ask(_Asked(_nothing, False, asyncio.get_running_loop(), call))
        return await finish(asked.future)

    def _ask(self, asked: _Asked) -> _Asked:
        self._asked.append(asked)
        # Every request has a turn of its own on the thread, so that reads that come later come behind it. Whoever is first there
        # takes along all that wait, and the others find nothing left to do.
        self._thread.submit(self._take_asked)
        return asked

    def refuse(self, error: Exception) -> None:
        """Tells all whose work has not begun that it will not. On the thread itself, while a transaction of it has no end."""
        while self._asked:
            self._asked.popleft().tell(None, error)

    def _take_asked(self) -> None:
        group: list[_Asked] = []
        while self._asked and len(group) < self._together:
            if group and (self._asked[0].alone or group[0].alone):
                break
            group.append(self._asked.popleft())
        if len(group) > 1:
            # Where one of them goes wrong, whose fault it is shows when each is alone.
            with contextlib.suppress(Exception):
                results = self._transact(
                    lambda db: [asked.work(db) for asked in group], durable=any(asked.durable for asked in group)
                )
                for asked, result in zip(group, results, strict=True):
                    asked.tell(result, None)
                return
        for asked in group:
            try:
                result = asked.alone() if asked.alone else self._transact(asked.work, durable=asked.durable)
            except BaseException as error:
                asked.tell(None, error)
            else:
                asked.tell(result, None)


async def finish(future: Awaitable[T]) -> T:
    """Awaits to the end even when cancelled meanwhile, then passes the cancellation on."""
    task = asyncio.ensure_future(future)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait([task])
        raise
