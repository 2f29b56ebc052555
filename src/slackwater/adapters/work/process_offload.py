"""The Offload in other processes: heavy work keeps a core busy without ever holding this process's interpreter.

A worker process is started when work comes and none is free, and ended when none has come for a while, so an idle service does
not carry it. Ctrl-C in a terminal does not reach it (the parent decides), and it dies with its parent. It is watched: one
that gives no sign of life any more is killed, and its work begins again in another.
"""

import asyncio
import contextlib
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from slackwater.adapters.work import offload_worker
from slackwater.core.errors import SlackwaterError

T = TypeVar("T")
# Work that comes together shares one start and one import; an idle service carries neither.
IDLE_SECONDS = 1.0
# A worker that was heard of for so long the last time is stopped, or stuck where no Python runs: far longer than any piece of
# C code of ours keeps the interpreter, also on a machine that is very busy.
SILENT_SECONDS = 10.0


class ProcessOffload:
    """A few worker processes, and one piece of work at a time in each. Who comes first is served first."""

    def __init__(
        self,
        *,
        at_once: int = 1,
        idle_seconds: float = IDLE_SECONDS,
        silent_seconds: float = SILENT_SECONDS,
        niceness: int = 0,
    ) -> None:
        """`niceness` is what its processes add to that of this one, so that others go before them where a core is short."""
        self._idle_seconds = idle_seconds
        self._silent_seconds = silent_seconds
        self._niceness = niceness
        self._places = asyncio.Semaphore(at_once)
        self._free: list[_Worker] = []
        self._busy: set[_Worker] = set()

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that there are."""
        return [worker.pid for worker in (*self._free, *self._busy)]

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Runs `function(*args)` in a worker process; all of it, and what it returns, must be picklable.

        Bytes in a PickleBuffer are not copied into the call or the answer, and arrive as bytes.

        What it raises is raised here. A worker that dies or falls silent is replaced once; if the second does as well,
        SlackwaterError says so. Cancelling kills the worker.
        """
        buffers: list[pickle.PickleBuffer] = []
        call = pickle.dumps((function, args), pickle.HIGHEST_PROTOCOL, buffer_callback=buffers.append)
        async with self._places:
            try:
                how = ""
                for _ in range(2):
                    worker = self._taken()
                    try:
                        answer = await self._answer(worker, call, buffers)
                    except BaseException:
                        self._busy.discard(worker)
                        raise
                    if answer is not None:
                        self._give_back(worker)
                        succeeded, value = answer
                        if succeeded:
                            result: T = value
                            return result
                        raise value
                    self._busy.discard(worker)
                    status = await asyncio.to_thread(worker.end)
                    how = f"signal {-status}" if status < 0 else f"exit status {status}"
                    if worker.fell_silent:
                        how = f"no sign of life for {self._silent_seconds:g} s"
            finally:
                # Whose bytes they are may want to change them, however long a thread still holds on to the call.
                for buffer in buffers:
                    buffer.release()
        name = getattr(function, "__qualname__", repr(function))
        raise SlackwaterError(
            f"the worker process for {name} ended twice before it answered, last with {how}; is the machine out of memory?"
        )

    def _taken(self) -> "_Worker":
        """A worker that is free, the one that was busy last, or a new one."""
        if self._free:
            worker = self._free.pop()
            if worker.ending is not None:
                worker.ending.cancel()
        else:
            # Blocks for less than a millisecond: what a worker does to start, it does in its own time.
            worker = _Worker(self._niceness)
        self._busy.add(worker)
        return worker

    def _give_back(self, worker: "_Worker") -> None:
        self._busy.discard(worker)
        self._free.append(worker)
        worker.ending = asyncio.get_running_loop().call_later(self._idle_seconds, self._retire, worker)

    async def _answer(
        self, worker: "_Worker", call: bytes, buffers: list[pickle.PickleBuffer]
    ) -> tuple[bool, Any] | None:
        """(True, what was returned), (False, what was raised), or None from a worker that died."""
        waiting = asyncio.ensure_future(asyncio.to_thread(worker.ask, call, buffers))
        watching = asyncio.ensure_future(self._watch(worker))
        try:
            answer = await asyncio.shield(waiting)
        except asyncio.CancelledError:
            self._end(worker)
            raise
        finally:
            watching.cancel()
        if answer is None:
            return None
        return pickle.loads(answer[0], buffers=answer[1])  # type: ignore[no-any-return]  # noqa: S301 - from a process of ours

    async def _watch(self, worker: "_Worker") -> None:
        """Kills a worker that falls silent. Whoever waits for its answer then hears that it has ended."""
        heard_at = time.monotonic()
        while True:
            await asyncio.sleep(self._silent_seconds / 4)
            # First what is there, then how long ago that is: this process may have been the one that stood still.
            if worker.heard():
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > self._silent_seconds:
                worker.fell_silent = True
                worker.kill()
                return

    def _retire(self, worker: "_Worker") -> None:
        """Ends a worker that nobody has had work for."""
        self._free.remove(worker)
        self._end(worker)

    def _end(self, worker: "_Worker") -> None:
        """Ends a worker. Its memory goes back in the background."""
        worker.kill()
        asyncio.get_running_loop().run_in_executor(None, worker.end)

    async def close(self) -> None:
        """Ends the worker processes. Returns once they are gone."""
        free, self._free = self._free, []
        for worker in free:
            if worker.ending is not None:
                worker.ending.cancel()
        for worker in (*free, *self._busy):
            await asyncio.to_thread(worker.end)


class _Worker:
    """One worker process."""

    def __init__(self, niceness: int) -> None:
        self._signs, signs = os.pipe()
        os.set_blocking(self._signs, False)
        # -P: what lies beside the script is not to be imported. A process group of its own: a terminal sends Ctrl-C only
        # to the one in the foreground. Popen closes every descriptor but these pipes, inheritable listening sockets too.
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(Path(offload_worker.__file__)), str(signs), str(niceness)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=(signs,),
                process_group=0,
            )
        except BaseException:
            os.close(self._signs)
            raise
        finally:
            os.close(signs)
        self._greeting: bytes | None = pickle.dumps(sys.path)
        self.ending: asyncio.TimerHandle | None = None
        """When it is to go, should nobody come."""
        self.fell_silent = False

    def heard(self) -> bool:
        """Whether it has given a sign of life since the last look."""
        try:
            # An end of the pipe is none.
            return bool(os.read(self._signs, 4096))
        except BlockingIOError:
            return False

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, call: bytes, buffers: list[pickle.PickleBuffer]) -> offload_worker.Call | None:
        """The answer to a call, or None if the process ended before it. Blocks."""
        source, target = self._process.stdout, self._process.stdin
        assert source is not None, "a pipe was asked for"
        assert target is not None, "a pipe was asked for"
        try:
            if self._greeting is not None:
                offload_worker.write_message(target, self._greeting)  # type: ignore[arg-type]
                self._greeting = None
            offload_worker.write_call(target, call, buffers)  # type: ignore[arg-type]
            return offload_worker.read_call(source)  # type: ignore[arg-type]
        except (OSError, ValueError):
            # The process has gone; or the caller has, and its bytes with it.
            return None

    def kill(self) -> None:
        """Ends the process at once, whatever it does. An `ask` that waits for it returns None."""
        self._process.kill()

    def end(self) -> int:
        """Kills the process and waits for its end. Returns its exit status, or minus the signal that ended it. Blocks."""
        self._process.kill()
        status = self._process.wait()
        # Only now, because an `ask` may still have been reading; what it could not write fails again here.
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        if self._signs >= 0:
            os.close(self._signs)
            self._signs = -1
        return status


class InlineOffload:
    """Does the work right here, for simulations and for commands that have nothing else to do."""

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Calls `function(*args)`."""
        return function(*args)
