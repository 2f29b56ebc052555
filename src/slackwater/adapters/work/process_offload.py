"""The Offload in another process: heavy work keeps a core busy without ever holding this process's interpreter.

A worker process is started when the first work comes and ended when none has come for a while, so an idle service does not
carry it. Ctrl-C in a terminal does not reach it (the parent decides), and it dies with its parent.
"""

import asyncio
import contextlib
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from slackwater.adapters.work import offload_worker
from slackwater.core.errors import SlackwaterError

T = TypeVar("T")
# Batches that come together share one start and one loading of the tokenizer; an idle service carries neither.
IDLE_SECONDS = 1.0


class ProcessOffload:
    """One worker process at a time, and one piece of work in it at a time."""

    def __init__(self, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._worker: _Worker | None = None
        self._one_at_a_time = asyncio.Lock()
        self._ending: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the worker, while there is one."""
        return self._worker.pid if self._worker else None

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Runs `function(*args)` in the worker process; all of it, and what it returns, must be picklable.

        Bytes in a PickleBuffer are not copied into the call or the answer, and arrive as bytes.

        What it raises is raised here. A worker that dies is replaced once; if the second dies as well, SlackwaterError
        says so. Cancelling kills the worker.
        """
        buffers: list[pickle.PickleBuffer] = []
        call = pickle.dumps((function, args), pickle.HIGHEST_PROTOCOL, buffer_callback=buffers.append)
        async with self._one_at_a_time:
            if self._ending is not None:
                self._ending.cancel()
            try:
                status = 0
                for _ in range(2):
                    # Blocks for less than a millisecond: what a worker does to start, it does in its own time.
                    worker = self._worker = self._worker or _Worker()
                    answer = await self._answer(worker, call, buffers)
                    if answer is not None:
                        succeeded, value = answer
                        if succeeded:
                            result: T = value
                            return result
                        raise value
                    self._worker = None
                    status = await asyncio.to_thread(worker.end)
            finally:
                # Whose bytes they are may want to change them, however long a thread still holds on to the call.
                for buffer in buffers:
                    buffer.release()
                if self._worker is not None:
                    self._ending = asyncio.get_running_loop().call_later(self._idle_seconds, self._retire)
        name = getattr(function, "__qualname__", repr(function))
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        raise SlackwaterError(
            f"the worker process for {name} ended twice before it answered, last with {how}; is the machine out of memory?"
        )

    async def _answer(
        self, worker: "_Worker", call: bytes, buffers: list[pickle.PickleBuffer]
    ) -> tuple[bool, Any] | None:
        """(True, what was returned), (False, what was raised), or None from a worker that died."""
        waiting = asyncio.ensure_future(asyncio.to_thread(worker.ask, call, buffers))
        try:
            answer = await asyncio.shield(waiting)
        except asyncio.CancelledError:
            self._retire()
            raise
        if answer is None:
            return None
        return pickle.loads(answer[0], buffers=answer[1])  # type: ignore[no-any-return]  # noqa: S301 - from a process of ours

    def _retire(self) -> None:
        """Ends the worker. Its memory goes back in the background."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()
            asyncio.get_running_loop().run_in_executor(None, worker.end)

    async def close(self) -> None:
        """Ends the worker process. Returns once it is gone."""
        if self._ending is not None:
            self._ending.cancel()
        worker, self._worker = self._worker, None
        if worker is not None:
            await asyncio.to_thread(worker.end)


class _Worker:
    """One worker process."""

    def __init__(self) -> None:
        # -P: what lies beside the script is not to be imported. A process group of its own: a terminal sends Ctrl-C only
        # to the one in the foreground. Popen closes every descriptor but these pipes, inheritable listening sockets too.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(offload_worker.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
        )
        self._greeting: bytes | None = pickle.dumps(sys.path)

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
        return status


class InlineOffload:
    """Does the work right here, for simulations and for commands that have nothing else to do."""

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Calls `function(*args)`."""
        return function(*args)
