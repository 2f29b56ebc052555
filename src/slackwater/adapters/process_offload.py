"""The Offload in another process: heavy work keeps a core busy without ever holding this process's interpreter.

A worker process is started when the first work comes and ended when none has come for a while, so an idle service does not
carry it. It ignores Ctrl-C (the parent decides) and dies with its parent.
"""

import asyncio
import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from slackwater.core.errors import SlackwaterError

T = TypeVar("T")
IDLE_SECONDS = 1.0
PR_SET_PDEATHSIG = 1


def _prepare(parent: int) -> None:
    """Runs first in the worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    except (OSError, AttributeError):
        # Not Linux: the end of the queue's pipe ends the worker, a little later.
        return
    if os.getppid() != parent:
        os._exit(0)


class ProcessOffload:
    """One worker process at a time, and one piece of work in it at a time."""

    def __init__(self, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._pool: ProcessPoolExecutor | None = None
        self._one_at_a_time = asyncio.Lock()
        self._ending: asyncio.TimerHandle | None = None

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Runs `function(*args)` in the worker process; all of it must be picklable.

        A worker that dies is replaced once; if the second dies as well, SlackwaterError says so. Cancelling kills the
        worker.
        """
        async with self._one_at_a_time:
            for last in (False, True):
                try:
                    return await self._submit(function, args)
                except BrokenProcessPool as error:
                    self._end(kill=True)
                    if last:
                        raise SlackwaterError(
                            f"the worker process for {function.__name__} died twice; is the machine out of memory?"
                        ) from error
                except asyncio.CancelledError:
                    self._end(kill=True)
                    raise
                finally:
                    if self._pool is not None:
                        loop = asyncio.get_running_loop()
                        self._ending = loop.call_later(self._idle_seconds, self._end)
            raise AssertionError("the loop above returns or raises")

    async def _submit(self, function: Callable[..., T], args: tuple[object, ...]) -> T:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        if self._pool is None:
            # Spawned, not forked: a fork would copy locks, sockets and the event loop's state.
            self._pool = ProcessPoolExecutor(
                1, mp_context=multiprocessing.get_context("spawn"), initializer=_prepare, initargs=(os.getpid(),)
            )
        return await asyncio.wrap_future(self._pool.submit(function, *args))

    def _end(self, *, kill: bool = False) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        if kill:
            for process in list((pool._processes or {}).values()):
                process.kill()
        pool.shutdown(wait=False, cancel_futures=True)

    async def close(self) -> None:
        """Ends the worker process."""
        if self._ending is not None:
            self._ending.cancel()
        self._end(kill=True)


class InlineOffload:
    """Does the work right here, for simulations and for commands that have nothing else to do."""

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Calls `function(*args)`."""
        return function(*args)
