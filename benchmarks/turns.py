"""Whose turn it is: `python benchmarks/turns.py [CASE ...]`.

decision    what it costs to decide whose request goes next, at 10 and at 10,000 open batches, in microseconds
small       a batch of 3 lines beside one of 100,000 on 8 slots of 0.1 s: how long from its creation to its last answer
tenants     10 tenants on 5 engines of different speeds, 300 batches and one tenant that floods with 1,000 more: the share
            of each in every minute, and Jain's index over their tokens
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from harness import chat_line, free_port, mock_backend, table
from service import Service, service

from slackwater.core.sending.batch_order import BatchOrder, Place
from slackwater.core.sending.turns import Turns

TENANTS = 10
LATENCIES = (0.02, 0.04, 0.06, 0.08, 0.1)
SLOTS = 8


def decision() -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for batches in (10, 10_000):
        turns: Turns[BatchOrder[int]] = Turns()
        orders: list[BatchOrder[int]] = [BatchOrder() for _ in range(TENANTS)]
        for number, order in enumerate(orders):
            turns.ready(turns.seat(order, str(number)))
        for number in range(batches):
            orders[number % TENANTS].put(Place(number, number, left=1e6 + number, since=float(number)))
        best = float("inf")
        for _ in range(5):
            begun = time.perf_counter()
            for _ in range(100_000):
                seat = turns.next()
                place = seat.of.next()  # type: ignore[union-attr]
                seat.of.served(place, 100.0)  # type: ignore[union-attr, arg-type]
                turns.took(seat, 100.0)  # type: ignore[arg-type]
            best = min(best, (time.perf_counter() - begun) / 100_000)
        rows.append((f"decision, {batches} open batches of {TENANTS} tenants", f"{best * 1e6:.2f} us a request", ""))
    return rows


def lines(path: Path, count: int, model: str = "bench") -> Path:
    """So many short lines."""
    path.write_text("".join(chat_line(number, f"hello {number}", model) + "\n" for number in range(count)))
    return path


def small() -> list[tuple[object, ...]]:
    with tempfile.TemporaryDirectory() as folder, mock_backend(latency_ms=100, core=None) as url:
        scratch = Path(folder)
        with service(scratch, url, concurrency=8) as served:
            large = served.create(served.upload(lines(scratch / "large", 100_000)))
            while served.call("GET", f"/batches/{large}")["request_counts"]["completed"] < 100:
                time.sleep(0.1)
            took = []
            for _ in range(5):
                begun = time.monotonic()
                batch_id = served.create(served.upload(lines(scratch / "small", 3)))
                while served.call("GET", f"/batches/{batch_id}")["request_counts"]["completed"] < 3:
                    time.sleep(0.02)
                took.append(time.monotonic() - begun)
                time.sleep(1)
    shown = ", ".join(f"{each:.2f}" for each in took)
    return [("3 lines beside 100,000", f"{sorted(took)[2]:.2f} s to the last answer ({shown})", "")]


class Engines:
    """Engines of different speeds in a thread of this process, which count what they answer by model and second."""

    def __init__(self) -> None:
        self.ports = [free_port() for _ in LATENCIES]
        self.answered: Counter[tuple[int, str]] = Counter()
        self.tokens = 100
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()

    async def _serve(self) -> None:
        for port, latency in zip(self.ports, LATENCIES, strict=True):
            await asyncio.start_server(lambda r, w, latency=latency: self._talk(r, w, latency), "127.0.0.1", port)
        await asyncio.Event().wait()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, latency: float) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
                model = json.loads(await reader.readexactly(length))["model"]
                await asyncio.sleep(latency)
                usage = {"prompt_tokens": self.tokens // 2, "completion_tokens": self.tokens // 2}
                choice = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}
                body = json.dumps({"object": "chat.completion", "model": model, "choices": [choice], "usage": usage})
                self.answered[int(time.monotonic()), model] += 1
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                    % (len(body), body.encode())
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@contextmanager
def shared(scratch: Path, engines: Engines) -> Iterator[dict[str, Service]]:
    """A service in which every tenant has a deployment on every engine; what each of them calls, with a key of its own."""
    config = "".join(f'[[resources]]\nname = "t{tenant}"\n' for tenant in range(TENANTS))
    for tenant in range(TENANTS):
        for number, port in enumerate(engines.ports):
            config += (
                f'[[deployments]]\nname = "d{number}"\nresource = "t{tenant}"\n[[deployments.backends]]\n'
                f'url = "http://127.0.0.1:{port}/v1"\nmodel = "t{tenant}"\nconcurrency = {SLOTS}\n'
            )
    (scratch / "slackwater.toml").write_text(config)
    command, data = [sys.executable, "-m", "slackwater"], ["--data", str(scratch / "data")]
    keys = {}
    for tenant in range(TENANTS):
        made = subprocess.run(
            [*command, "keys", "create", *data, "--resource", f"t{tenant}", "--role", "user", "--json"],
            capture_output=True,
            check=True,
        )
        keys[f"t{tenant}"] = json.loads(made.stdout)["key1"]
    process = subprocess.Popen(
        [
            *command,
            "serve",
            "--config",
            str(scratch / "slackwater.toml"),
            *data,
            "--port",
            "0",
            "--log-level",
            "warning",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = next(word.rstrip(",") for word in process.stdout.readline().split() if word.startswith("http://"))
        yield {name: Service(process, urlsplit(url).netloc, key=key) for name, key in keys.items()}
    finally:
        process.terminate()
        process.wait()


def tenants(seconds: int = 180) -> list[tuple[object, ...]]:
    engines = Engines()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        with shared(scratch, engines) as services:
            for number, latency in enumerate(LATENCIES):
                # Two of them last longer than validating and measuring together.
                lines(scratch / f"long{number}", int(300 / latency), f"d{number}")
                lines(scratch / f"short{number}", 20, f"d{number}")
            files = {
                (name, kind, number): each.upload(scratch / f"{kind}{number}")
                for name, each in services.items()
                for kind in ("long", "short")
                for number in range(5)
            }
            # 27 batches each for nine tenants, so that all of them have something on every engine for the whole time, and
            # the tenth with its thousand.
            created = [
                (each, each.create(files[name, "long" if number < 10 else "short", number % 5]))
                for number in range(27)
                for name, each in services.items()
            ]
            # Who has not been validated has no turn yet.
            for each, batch_id in created:
                while each.call("GET", f"/batches/{batch_id}")["status"] == "validating":
                    time.sleep(0.2)
            flood = services["t9"]
            threading.Thread(
                target=lambda: [flood.create(files["t9", "short", number % 5]) for number in range(1_000)], daemon=True
            ).start()
            time.sleep(20)
            begun = int(time.monotonic())
            time.sleep(seconds)
            ended = int(time.monotonic())
    rows: list[tuple[object, ...]] = []
    names = [f"t{tenant}" for tenant in range(TENANTS)]
    worst = 1e9
    for first in range(begun, ended - 60 + 1, 10):
        got = {name: sum(engines.answered[second, name] for second in range(first, first + 60)) for name in names}
        worst = min(worst, min(got.values()) / (sum(got.values()) / TENANTS))
    total = {name: sum(engines.answered[second, name] for second in range(begun, ended)) for name in names}
    jain = sum(total.values()) ** 2 / (TENANTS * sum(each**2 for each in total.values()))
    rate = sum(total.values()) / (ended - begun)
    possible = sum(SLOTS / latency for latency in LATENCIES)
    rows.append(
        (
            "tenants, one of them floods",
            f"worst minute {worst:.3f} of the fair share, Jain {jain:.4f}",
            f"{rate:.0f} of {possible:.0f} requests/s",
        )
    )
    return rows


CASES = {"decision": decision, "small": small, "tenants": tenants}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    args = parser.parse_args()
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    print(table(("case", "found", ""), [row for case in args.cases for row in CASES[case]()]))


if __name__ == "__main__":
    main()
