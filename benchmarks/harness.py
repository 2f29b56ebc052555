"""What the benchmarks share: inputs, the mock backend, and the cost of a whole process tree."""

import itertools
import json
import os
import random
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
RESULTS = HERE / "results"
WORDS = ("tide", "water", "harbour", "the", "of", "calm", "between", "current", "a", "moon", "slack", "and", "rises")


def chat_line(number: int, text: str, model: str = "mock") -> str:
    """One request of the batch API."""
    messages = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": text}]
    body = {"model": model, "messages": messages, "max_tokens": 64}
    line = {"custom_id": f"r-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
    # As clients of either habit write it: letters beyond ASCII as they are, and line breaks escaped in any case.
    return json.dumps(line, ensure_ascii=False)


def chat_input(path: Path, requests: int, *, size: int = 500, model: str = "mock") -> Path:
    """`requests` lines of about `size` bytes each; always the same."""
    chance = random.Random(1)
    with path.open("w") as file:
        for number in range(requests):
            words = [chance.choice(WORDS) for _ in range(max(1, (size - 230) // 6))]
            file.write(chat_line(number, " ".join(words), model) + "\n")
    return path


def corpus() -> str:
    """Some megabytes of prose and code that every Python has: the sources of its standard library."""
    folder = Path(json.__file__).parent.parent
    texts = [path.read_text("utf-8", "replace") for path in sorted(folder.glob("*.py"))]
    return "\n".join(texts)


def multilingual() -> str:
    """As long as `corpus`, of words of sixteen languages in ten scripts, in an order that nobody has seen before."""
    chance = random.Random(3)
    tongues = [
        line.split() for line in (HERE / "multilingual.txt").read_text("utf-8").splitlines() if line[:1] not in "#"
    ]
    sentences = (" ".join(chance.choices(words, k=chance.randint(4, 30))) for words in itertools.cycle(tongues))
    return "\n".join(itertools.islice(sentences, 20_000))


def big_input(requests: int = 100_000, size: int = 200_000_000, model: str = "bench", text: str = "") -> Path:
    """A file of log-normal line sizes, about `size` bytes in all; made once and kept in benchmarks/results.

    `text` is "multilingual", or nothing for the usual one.
    """
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"big-{requests}-{size}-{model}{text and '-' + text}.jsonl"
    if path.exists():
        return path
    chance = random.Random(2)
    # A letter of these scripts is three bytes, give or take.
    size, text = (int(size * 0.61), multilingual()) if text else (size, corpus())
    # Line breaks and quotes are escaped in JSON, so a text grows a little on its way into a line.
    mean = (size / requests - 240) / 1.06
    part = path.with_suffix(".part")
    with part.open("w") as file:
        for number in range(requests):
            length = int(min(60_000, max(20, chance.lognormvariate(0, 0.8) * mean / 1.377)))
            start = chance.randrange(len(text) - length)
            file.write(chat_line(number, text[start : start + length], model) + "\n")
    part.rename(path)
    return path


def free_port() -> int:
    """A TCP port of loopback that nobody has right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def mock_binary() -> Path:
    """The mock backend, compiled when it is missing or old."""
    source, binary = HERE / "mock.c", HERE / "bin" / "mock"
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        binary.parent.mkdir(exist_ok=True)
        subprocess.run(["gcc", "-O2", "-o", str(binary), str(source)], check=True)
    return binary


@contextmanager
def mock_backend(*, latency_ms: int = 0, core: int | None = 0) -> Iterator[str]:
    """Runs the mock on a core of its own and yields its base URL."""
    port = free_port()
    process = subprocess.Popen([str(mock_binary()), str(port), str(latency_ms)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


class Cost(NamedTuple):
    """What a command cost, with every process that it waited for. Seconds, and bytes of the largest process."""

    wall: float
    cpu: float
    rss: int


def measure(command: Sequence[str], *, core: int | None = 1, cwd: Path | None = None) -> Cost:
    """Runs a command to its end, pinned to a core, and returns what it cost. Fails if the command does."""

    def pin() -> None:
        if core is not None:
            os.sched_setaffinity(0, {core})

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    process = subprocess.Popen(command, preexec_fn=pin, cwd=cwd)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, cpu, usage.ru_maxrss * 1024)


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return sorted(values)[len(values) // 2]


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns of text."""
    cells = [list(map(str, header)), *[list(map(str, row)) for row in rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(header))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
