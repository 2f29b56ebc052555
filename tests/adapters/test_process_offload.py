"""The worker process: it answers, it ends when it should, it dies with its parent, and it inherits nothing."""

import asyncio
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
import uvloop

from slackwater.adapters.work.process_offload import InlineOffload, ProcessOffload
from slackwater.core.errors import InvalidRequest, SlackwaterError
from slackwater.core.sending.answer_kinds import Answer
from slackwater.pipeline.sending.large_answers import LargeAnswers
from slackwater.ports import Offload

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], *, loop: Callable[[], asyncio.AbstractEventLoop] | None = None) -> T:
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(asyncio.wait_for(work, 30))


def alive(pid: int) -> bool:
    """Whether a process runs: it exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        # The second one where it ends between the opening and the reading.
        return False


async def ended(pid: int) -> None:
    """Waits until a process is gone."""
    while alive(pid):
        await asyncio.sleep(0.002)


# What is run in the worker. All of it is importable there.


def announce_and_hang(path: str) -> None:
    """Says that it runs, then never returns."""
    Path(path).write_text(str(os.getpid()))
    while True:
        time.sleep(60)


def announce(path: str) -> None:
    """Says that it ran."""
    Path(path).write_text(str(os.getpid()))


def die(path: str, times: int, number: int) -> str:
    """Ends its process, as an OOM killer would, the first `times` times it is called."""
    count = len(os.listdir(path))
    if count < times:
        Path(path, str(count)).touch()
        os.kill(os.getpid(), number)
    return f"lived after {count}"


def refuse() -> None:
    raise InvalidRequest("no such thing", param="colour")


def leave() -> None:
    sys.exit(3)


class Unreadable(Exception):
    """Can be pickled, but not unpickled."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(one)


def raise_unreadable() -> None:
    raise Unreadable(1, 2)


def talk() -> tuple[str, str]:
    """Uses the standard streams, which must not disturb the conversation."""
    print("printed")
    os.write(1, b"written\n")
    return "read", sys.stdin.read()


def sockets() -> list[str]:
    """The open sockets of this process."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            pass
    return [link for link in links if link.startswith("socket:")]


@pytest.mark.parametrize("offload", [ProcessOffload(), InlineOffload()], ids=["process", "inline"])
def test_the_result_and_the_error_come_back(offload: Offload) -> None:
    """What a call returns is returned, what it raises is raised, with its attributes."""

    async def work() -> None:
        assert await offload.run(sorted, [3, 1, 2]) == [1, 2, 3]
        assert len(await offload.run(bytes, 3_000_000)) == 3_000_000
        assert await offload.run(len, b"x" * 3_000_000) == 3_000_000
        for text in ('{"model":"m","x":"%s"}', '{"model":"m","x":"%s","y":NaN}'):
            body = (text % ("x" * 3_000_000)).encode()
            for each in (body, bytearray(body)):
                answer = await LargeAnswers(offload).read(cast(bytes, each), path="/x")
                assert isinstance(answer, Answer)
                assert answer.model == "m"
                assert answer.body == body.replace(b"NaN", b"null")
                assert (answer.body is each) != answer.mended
            # It may be changed again afterwards: nobody holds on to it.
            if isinstance(body, bytearray):
                body += b"y"
        with pytest.raises(InvalidRequest, match="no such thing") as caught:
            await offload.run(refuse)
        assert caught.value.param == "colour"
        if isinstance(offload, ProcessOffload):
            assert "in refuse" in "".join(caught.value.__notes__)
            await offload.close()

    run(work())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_it_runs_in_one_other_process(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Work runs elsewhere, one piece after another in one process, whichever event loop waits for it."""

    async def work() -> None:
        offload = ProcessOffload()
        pids = set(await asyncio.gather(*(offload.run(os.getpid) for _ in range(5))))
        assert pids == set(offload.pids) != {os.getpid()}
        await offload.close()
        assert offload.pids == []
        assert not alive(pids.pop())

    run(work(), loop=loop)


@pytest.mark.parametrize("function", [leave, raise_unreadable])
def test_strange_errors_come_back_in_words(function: Callable[[], None]) -> None:
    """An exit is not the parent's, and an exception that cannot travel is told; the worker goes on."""

    async def work() -> None:
        offload = ProcessOffload()
        pid = await offload.run(os.getpid)
        with pytest.raises(RuntimeError, match=f"in {function.__name__}"):
            await offload.run(function)
        assert await offload.run(os.getpid) == pid
        await offload.close()

    run(work())


def test_a_call_may_use_the_standard_streams(capfd: pytest.CaptureFixture[str]) -> None:
    """Prints go to standard error, reads find nothing, and the answer still arrives."""

    async def work() -> None:
        offload = ProcessOffload()
        assert await offload.run(talk) == ("read", "")
        await offload.close()

    run(work())
    assert capfd.readouterr().out == ""


def test_a_worker_that_dies_is_replaced_once(tmp_path: Path) -> None:
    """One kill, as by the OOM killer, goes unnoticed; a second one is a SlackwaterError; the next call runs again."""

    async def work() -> None:
        offload = ProcessOffload()
        (tmp_path / "once").mkdir()
        assert await offload.run(die, str(tmp_path / "once"), 1, signal.SIGKILL) == "lived after 1"
        (tmp_path / "twice").mkdir()
        with pytest.raises(SlackwaterError, match=r"die ended twice .* signal 9; is the machine out of memory"):
            await offload.run(die, str(tmp_path / "twice"), 2, signal.SIGKILL)
        assert await offload.run(die, str(tmp_path / "twice"), 2, signal.SIGKILL) == "lived after 2"
        await offload.close()

    run(work())


def test_a_worker_that_died_idle_is_replaced(tmp_path: Path) -> None:
    """A worker that is killed between two calls costs nothing but its start."""

    async def work() -> None:
        offload = ProcessOffload(idle_seconds=60)
        pid = await offload.run(os.getpid)
        os.kill(pid, signal.SIGKILL)
        assert await offload.run(os.getpid) != pid
        await offload.close()

    run(work())


def test_a_worker_that_is_stopped_is_replaced(tmp_path: Path) -> None:
    """A worker that gives no sign of life is killed, and its work begins again in another; others never wait for it."""

    async def work() -> None:
        offload = ProcessOffload(at_once=2, idle_seconds=60, silent_seconds=1.5)
        pid = await offload.run(os.getpid)
        os.kill(pid, signal.SIGSTOP)
        stopped = asyncio.create_task(offload.run(os.getpid))
        await asyncio.sleep(0)
        assert await offload.run(os.getpid) != pid
        assert not stopped.done()
        assert await stopped != pid
        assert not alive(pid)
        await offload.close()

    run(work())


def test_as_many_run_at_once_as_there_are_places(tmp_path: Path) -> None:
    """Two pieces of work run beside each other in two processes; a third one waits for the first place that is free."""

    async def work() -> None:
        offload = ProcessOffload(at_once=2, idle_seconds=60)
        hanging = [asyncio.create_task(offload.run(announce_and_hang, str(tmp_path / name))) for name in "ab"]
        while not all((tmp_path / name).exists() and (tmp_path / name).read_text() for name in "ab"):
            await asyncio.sleep(0.002)
        third = asyncio.create_task(offload.run(os.getpid))
        hanging[0].cancel()
        assert await third not in {int((tmp_path / name).read_text()) for name in "ab"}
        hanging[1].cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        await offload.close()

    run(work())


def test_cancelling_ends_the_work(tmp_path: Path) -> None:
    """Cancelling the caller kills the worker in the middle of its work; the next call has a new one."""

    async def work() -> None:
        offload = ProcessOffload(idle_seconds=60)
        told = tmp_path / "told"
        call = asyncio.create_task(offload.run(announce_and_hang, str(told)))
        while not (told.exists() and told.read_text()):
            await asyncio.sleep(0.002)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await ended(int(told.read_text()))
        assert await offload.run(os.getpid) != int(told.read_text())
        await offload.close()

    run(work())


def test_an_idle_worker_ends(tmp_path: Path) -> None:
    """A worker without work gives its memory back after a while and leaves no zombie; the next call starts another."""

    async def work() -> None:
        offload = ProcessOffload(idle_seconds=0.05)
        pid = await offload.run(os.getpid)
        # It may have gone already.
        with contextlib.suppress(ProcessLookupError):
            await ended(pid)
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.002)
        assert offload.pids == []
        assert await offload.run(os.getpid) != pid
        await offload.close()

    run(work())


def test_it_inherits_no_socket() -> None:
    """A worker holds no listening socket, even one that was made inheritable: a restart can bind its port again."""

    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.set_inheritable(True)
            offload = ProcessOffload()
            assert await offload.run(sockets) == []
            await offload.close()

    run(work())


PARENT = """
    import asyncio, sys
    from slackwater.adapters.work.process_offload import ProcessOffload
    from tests.adapters import test_process_offload

    async def main():
        offload = ProcessOffload(idle_seconds=60)
        await offload.run(getattr(test_process_offload, sys.argv[1]), sys.argv[2])
        await asyncio.Event().wait()

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
"""


@pytest.mark.parametrize("function", [announce, announce_and_hang])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_it_dies_with_its_parent(tmp_path: Path, number: int, function: Callable[[str], None]) -> None:
    """A parent that is killed, or stopped by Ctrl-C, takes the worker along, idle or in the middle of a call.

    Ctrl-C goes to the whole foreground group of a terminal; the worker is not in it, so it prints no traceback.
    """
    told = tmp_path / "told"
    os.mkfifo(told)
    reader = os.open(told, os.O_RDONLY | os.O_NONBLOCK)
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), function.__name__, str(told)],
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as parent:
        try:
            assert select.select([reader], [], [], 20)[0]
            worker = int(os.read(reader, 32))
            os.close(reader)
            assert alive(worker)
            assert os.getpgid(worker) != parent.pid
            os.killpg(parent.pid, number)
            # Standard error is the worker's too: it ends when both have ended.
            errors = parent.communicate(timeout=20)[1]
        finally:
            parent.kill()
    run(ended(worker))
    assert errors == ""
