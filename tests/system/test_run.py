"""`slackwater run` as its users meet it: exit codes, messages, and backends that misbehave."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.adapters.scripted_server import Peer, ScriptedServer
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines

ANSWER = b'{"choices":[{"message":{"role":"assistant","content":"fine"}}],"usage":{"prompt_tokens":1}}'
MODELS = b'{"object":"list","data":[]}'


@contextmanager
def served(script: Callable[[Peer], Awaitable[None]]) -> Iterator[str]:
    """A scripted server on a thread of its own; yields its base URL."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    found: list[str] = []
    stop = asyncio.Event()

    async def main() -> None:
        async with ScriptedServer(script) as server:
            found.append(server.url)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    assert ready.wait(10)
    yield found[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


def hanging_but_for(word: bytes) -> Callable[[Peer], Awaitable[None]]:
    """A script that answers what has a word in it, and leaves everybody else waiting."""

    async def script(peer: Peer) -> None:
        while True:
            head, body = await peer.request()
            if head.startswith(b"GET"):
                await peer.answer(MODELS)
            elif word in body:
                await peer.answer(b'{"choices":[{"index":0}]}')
            else:
                await asyncio.Event().wait()

    return script


def answering(answer: Callable[[Peer, int], Awaitable[None]]) -> Callable[[Peer], Awaitable[None]]:
    """A script that answers the probe, and every other request as the test says; the number counts them from 0."""
    count = 0

    async def script(peer: Peer) -> None:
        nonlocal count
        while True:
            head, _ = await peer.request()
            if head.startswith(b"GET"):
                await peer.answer(MODELS)
                continue
            count += 1
            await answer(peer, count - 1)

    return script


def slackwater_run(cwd: Path, url: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs in.jsonl into out.jsonl."""
    command = [sys.executable, "-m", "slackwater", "run", "in.jsonl", "-o", "out.jsonl", "--backend", url]
    return subprocess.run([*command, *options], cwd=cwd, capture_output=True, text=True, timeout=90)


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_all_done(tmp_path: Path) -> None:
    """Exit code 0, no error file, no state left, and an output that others may read."""
    (tmp_path / "in.jsonl").write_bytes(input_lines("run", 50))
    with CountingBackend(latency=0.0) as backend:
        done = slackwater_run(tmp_path, backend.url)
    assert done.returncode == 0, done.stderr
    assert "50 answered, 0 failed" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o044


def test_invalid_input_names_the_lines(tmp_path: Path) -> None:
    """Exit code 3; each fault with file and line; nothing is sent."""
    (tmp_path / "in.jsonl").write_bytes(input_lines("run", 2) + b"\n{broken\n")
    with CountingBackend(latency=0.0) as backend:
        done = slackwater_run(tmp_path, backend.url)
        assert not backend.received
    assert done.returncode == 3
    assert "in.jsonl:3: invalid_json_line" in done.stderr
    assert not (tmp_path / "out.jsonl").exists()
    assert not (tmp_path / "out.jsonl.slackwater").exists()


def test_nobody_there(tmp_path: Path) -> None:
    """Exit code 4 and one line that says what to look at."""
    (tmp_path / "in.jsonl").write_bytes(input_lines("run", 2))
    done = slackwater_run(tmp_path, "http://127.0.0.1:9/v1")
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "nothing answers at http://127.0.0.1:9/v1" in done.stderr


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--api-key-env", "SURELY_NOT_SET"), "SURELY_NOT_SET is not set"),
        (("-e", "out.jsonl"), "three different files"),
        (("--concurrency", "0"), "concurrency"),
    ],
)
def test_wrong_usage(tmp_path: Path, options: tuple[str, ...], word: str) -> None:
    """Exit code 2, and the message says what to do."""
    (tmp_path / "in.jsonl").write_bytes(input_lines("run", 2))
    done = slackwater_run(tmp_path, "http://127.0.0.1:9/v1", *options)
    assert (done.returncode, word in done.stderr) == (2, True), done.stderr


def test_an_existing_output_is_not_replaced_unasked(tmp_path: Path) -> None:
    """A second run over a finished output says so; --overwrite replaces it."""
    (tmp_path / "in.jsonl").write_bytes(input_lines("run", 2))
    (tmp_path / "out.jsonl").write_text("precious")
    with CountingBackend(latency=0.0) as backend:
        assert slackwater_run(tmp_path, backend.url).returncode == 2
        assert (tmp_path / "out.jsonl").read_text() == "precious"
        assert slackwater_run(tmp_path, backend.url, "--overwrite").returncode == 0
    assert len(lines_of(tmp_path / "out.jsonl")) == 2


def test_ctrl_c_and_continue(tmp_path: Path) -> None:
    """Ctrl-C ends with 130 after the calls in flight; the same command continues, and nothing is asked twice."""
    (tmp_path / "in.jsonl").write_bytes(input_lines("run", 2_000))
    with CountingBackend(latency=0.05) as backend:
        command = [sys.executable, "-m", "slackwater", "run", "in.jsonl", "-o", "out.jsonl", "--backend", backend.url]
        first = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        while len(backend.answered) < 300:
            assert first.poll() is None
            signal.sigtimedwait([], 0.01)
        first.send_signal(signal.SIGINT)
        _, told = first.communicate(timeout=30)
        assert first.returncode == 130
        assert "run the same command to continue" in told
        second = slackwater_run(tmp_path, backend.url)
        assert (second.returncode, "continuing an interrupted run" in second.stderr) == (0, True)
        assert all(len(times) == 1 for times in backend.received.values())
    assert len(lines_of(tmp_path / "out.jsonl")) == 2_000


def test_a_silent_endpoint_does_not_hold_up_a_second_ctrl_c(tmp_path: Path) -> None:
    """The first one says at once what is waited for, for how long, and how to end that; the second one does. Nothing is lost."""
    (tmp_path / "in.jsonl").write_bytes(input_lines("run", 3))
    with CountingBackend(latency=3600) as backend:
        command = [
            sys.executable,
            "-m",
            "slackwater",
            "run",
            "in.jsonl",
            "-q",
            "-o",
            "out.jsonl",
            "--backend",
            backend.url,
        ]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as first:
            assert first.stderr is not None
            while backend.in_flight < 3:
                assert first.poll() is None
                signal.sigtimedwait([], 0.01)
            first.send_signal(signal.SIGTERM)
            told = next(line for line in first.stderr if line.startswith("stopping"))
            assert told == (
                "stopping: 3 calls are out, waiting for their answers for up to 20 s; press Ctrl-C (or signal) again to stop "
                "now; what is out then is sent again next time\n"
            )
            first.send_signal(signal.SIGTERM)
            assert "run the same command to continue" in first.stderr.read()
            assert first.wait(10) == 130
    with CountingBackend(latency=0) as backend:
        assert slackwater_run(tmp_path, backend.url).returncode == 0
    assert len(lines_of(tmp_path / "out.jsonl")) == 3


def test_a_changed_input_is_not_continued(tmp_path: Path) -> None:
    """An interrupted run over an input that has changed meanwhile is refused, with the way out."""
    (tmp_path / "in.jsonl").write_bytes(input_lines("run", 2_000))
    with CountingBackend(latency=0.05) as backend:
        command = [sys.executable, "-m", "slackwater", "run", "in.jsonl", "-o", "out.jsonl", "--backend", backend.url]
        first = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
        while not backend.answered:
            assert first.poll() is None
            signal.sigtimedwait([], 0.01)
        first.kill()
        first.wait()
        (tmp_path / "in.jsonl").write_bytes(input_lines("other", 2_000))
        second = slackwater_run(tmp_path, backend.url)
    assert (second.returncode, "has changed" in second.stderr) == (2, True), second.stderr


def test_half_bodies_and_wrong_lengths_are_tried_again(tmp_path: Path) -> None:
    """A connection that ends inside an answer costs an attempt, not the request."""
    (tmp_path / "in.jsonl").write_bytes(input_lines("run", 3))

    async def breaking(peer: Peer, number: int) -> None:
        # Not every second one: a request of ours comes between, and would come through each time, and the line never.
        if number % 3 == 0:
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + ANSWER)
            peer.close()
            raise ConnectionError
        await peer.answer(ANSWER)

    with served(answering(breaking)) as url:
        done = slackwater_run(tmp_path, url, "--concurrency", "1")
    assert done.returncode == 0, done.stderr
    assert len(lines_of(tmp_path / "out.jsonl")) == 3


def test_a_hang_ends_with_its_time(tmp_path: Path) -> None:
    """A call that never answers is ended by its time-out, and becomes a coded line when its attempts are used up.

    The engine answers others, which is known by a request of our own: this line is alone.
    """
    (tmp_path / "in.jsonl").write_bytes(input_lines("run", 1))

    with served(hanging_but_for(b"ping")) as url:
        done = slackwater_run(tmp_path, url, "--timeout", "0.3", "--attempts", "1")
    assert done.returncode == 1
    assert lines_of(tmp_path / "out.errors.jsonl")[0]["error"]["code"] == "backend_timeout"  # type: ignore[index]


def test_an_engine_that_answers_nobody_is_given_up(tmp_path: Path) -> None:
    """No line fails: the run ends with its own exit code and the reason, and the same command goes on."""
    (tmp_path / "in.jsonl").write_bytes(input_lines("run", 3))
    with served(hanging_but_for(b"nothing at all")) as url:
        done = slackwater_run(tmp_path, url, "--timeout", "0.3", "--give-up-after", "1")
    assert done.returncode == 4
    assert "nothing has succeeded for 1 s" in done.stderr
    assert not (tmp_path / "out.errors.jsonl").exists()
    assert (tmp_path / "out.jsonl.slackwater").exists()


def test_three_megabyte_lines(tmp_path: Path) -> None:
    """Large lines, as with images inside, go through whole, and answers are byte-faithful."""
    rows = []
    for number in range(12):
        body = {"model": "m", "messages": [{"role": "user", "content": f"{number} " + "x" * 3_000_000}]}
        rows.append(
            json.dumps({"custom_id": str(number), "method": "POST", "url": "/v1/chat/completions", "body": body})
        )
    (tmp_path / "in.jsonl").write_text("\n".join(rows))
    exact = b'{"choices": [ {"n":1.10, "big":123456789012345678901234567890} ] , "usage": null}'

    async def answer(peer: Peer, _: int) -> None:
        await peer.answer(exact)

    with served(answering(answer)) as url:
        done = slackwater_run(tmp_path, url)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "out.jsonl").read_bytes().splitlines()
    assert len(lines) == 12
    assert all(exact in line for line in lines)


def test_client_errors_are_not_tried_again(tmp_path: Path) -> None:
    """A 400 is the request's own fault: one call, and the real body in the error file."""
    (tmp_path / "in.jsonl").write_bytes(input_lines("run", 2))
    calls = 0

    async def refuse(peer: Peer, number: int) -> None:
        nonlocal calls
        calls = number + 1
        await peer.answer(b'{\n "error": {"message": "too long"}\n}', status="400 Bad Request")

    with served(answering(refuse)) as url:
        done = slackwater_run(tmp_path, url)
    assert (done.returncode, calls) == (1, 2)
    line = lines_of(tmp_path / "out.errors.jsonl")[0]
    assert line["response"]["body"] == {"error": {"message": "too long"}}  # type: ignore[index]
    assert lines_of(tmp_path / "out.jsonl") == []


def test_busy_answers_cost_no_attempt(tmp_path: Path) -> None:
    """429 with a short Retry-After, more often than there are attempts: every request is answered in the end."""
    (tmp_path / "in.jsonl").write_bytes(input_lines("run", 5))

    async def busy(peer: Peer, number: int) -> None:
        if number < 12:
            await peer.answer(b"{}", status="429 Too Many Requests", headers="retry-after-ms: 20\r\n")
        else:
            await peer.answer(ANSWER)

    with served(answering(busy)) as url:
        done = slackwater_run(tmp_path, url, "--attempts", "1")
    assert done.returncode == 0, done.stderr
