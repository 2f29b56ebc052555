"""What trouble costs those who are not the cause of it: `python benchmarks/trouble.py [CASE ...]`.

A real server, an engine of 50 ms in a process of its own (`contenders/troubled_engine.py`), 64 slots. Cases:

    neighbour   20,000 healthy lines beside 12, 100, 1,000 lines that always get 500, a hang-up, or 429; against a control
                with as many good lines
    alone       1,000 lines that always get 500, alone and beside a healthy batch
    door        one of three backends answers 401, 403, 404, 500, 502, HTML, hangs up, or is silent; against two good ones
    outage      every backend refuses, or answers 500, for 60 s (with /v1/models alive), then answers
    killer      an engine that dies of one line in 400, and is back after 2 s
    bucket      50 calls a second and no more, with Retry-After
"""

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness import HERE, chat_line, free_port, table
from service import Service

LATENCY_MS = 50
SLOTS = 64
HEALTHY = 20_000


@contextmanager
def engine(latency_ms: int = LATENCY_MS) -> Iterator[str]:
    """A troubled engine; yields its address without a path."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(HERE / "contenders" / "troubled_engine.py"), str(port), str(latency_ms)]
    )
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                stats(f"http://127.0.0.1:{port}")
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def stats(address: str) -> Any:
    """What came to the engine."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    try:
        connection.request("GET", "/_stats")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


@contextmanager
def server(scratch: Path, urls: Sequence[str], *, first_byte: float = 600.0, slots: int = SLOTS) -> Iterator[Service]:
    """Serves one deployment on these backends, which share the slots."""
    config = scratch / "slackwater.toml"
    backends = "".join(
        f'[[deployments.backends]]\nurl = "{url}"\nconcurrency = {slots}\nfirst_byte_seconds = {first_byte}\n'
        for url in urls
    )
    config.write_text(f'[[deployments]]\nname = "bench"\n{backends}')
    command = [sys.executable, "-m", "slackwater", "serve", "--config", str(config)]
    log = (scratch / "log").open("w")
    process = subprocess.Popen(
        [*command, "--data", str(scratch / "data"), "--port", "0", "--log-level", "warning"],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = next(word.rstrip(",") for word in process.stdout.readline().split() if word.startswith("http://"))
        yield Service(process, urlsplit(url).netloc)
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def lines(path: Path, count: int, text: str) -> Path:
    """So many lines with this text."""
    path.write_text("".join(chat_line(number, f"{text} {number}", "bench") + "\n" for number in range(count)))
    return path


def begin(service: Service, path: Path) -> str:
    return service.create(service.upload(path))


def ended(service: Service, batch_id: str, *, seconds: float) -> tuple[float, Any]:
    """When a batch ended (monotonic), and the batch."""
    batch = service.wait(batch_id, seconds=seconds)
    return time.monotonic(), batch


def counts(batch: Any) -> str:
    found = batch["request_counts"]
    return f"{found['completed']} ok, {found['failed']} failed"


def healthy_beside(bad: int, word: str) -> tuple[float, Any, Any]:
    """Seconds of 20,000 healthy lines beside so many others; their batch, and what came to the engine."""
    with tempfile.TemporaryDirectory() as folder, engine() as address:
        scratch = Path(folder)
        with server(scratch, [f"{address}/ok/v1"]) as service:
            good, other = lines(scratch / "good", HEALTHY, "hello"), lines(scratch / "bad", bad, word)
            good_file, other_file = service.upload(good), service.upload(other)
            service.create(other_file)
            started = time.monotonic()
            batch_id = service.create(good_file)
            moment, batch = ended(service, batch_id, seconds=900)
            return moment - started, batch, stats(address)


def neighbour(rounds: int) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for word in ("ALWAYS500", "HANGUP", "ALWAYS429", "ALWAYS429WAIT"):
        for bad in (12, 100, 1_000):
            ratios, failed, calls = [], 0, 0
            for _ in range(rounds):
                control, _, _ = healthy_beside(bad, "hello")
                seconds, batch, found = healthy_beside(bad, word)
                ratios.append(control / seconds)
                failed += batch["request_counts"]["failed"]
                calls = max(calls, found["words"].get(word, 0))
            shown = ", ".join(f"{each:.2f}" for each in ratios)
            middle = sorted(ratios)[len(ratios) // 2]
            rows.append(
                (
                    f"neighbour {bad} x {word}",
                    f"{middle:.3f} of the control ({shown})",
                    f"{failed} failed, {calls} calls",
                )
            )
            print(*rows[-1], file=sys.stderr)
    return rows


def alone(rounds: int) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for beside in (0, HEALTHY):
        with tempfile.TemporaryDirectory() as folder, engine() as address:
            scratch = Path(folder)
            with server(scratch, [f"{address}/ok/v1"]) as service:
                bad = lines(scratch / "bad", 1_000, "ALWAYS500")
                good = lines(scratch / "good", beside or 1, "hello")
                files = service.upload(bad), service.upload(good)
                started = time.monotonic()
                batch_id = service.create(files[0])
                if beside:
                    service.create(files[1])
                moment, batch = ended(service, batch_id, seconds=600)
                calls = stats(address)
                rows.append(
                    (
                        f"1,000 x 500 {'beside 20,000' if beside else 'alone'}",
                        f"{moment - started:.1f} s",
                        f"{counts(batch)}, {calls['words']['ALWAYS500']} calls, {calls['doors']['ok']['calls']} in all",
                    )
                )
                print(*rows[-1], file=sys.stderr)
    return rows


def three_doors(moods: Sequence[str], *, lines_of: int = 5_000) -> tuple[float, Any, Any]:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        with engine() as one, engine() as two, engine() as three:
            urls = [f"{address}/{mood}/v1" for address, mood in zip((one, two, three), moods, strict=False)]
            with server(scratch, urls, first_byte=10.0, slots=SLOTS // 2) as service:
                file_id = service.upload(lines(scratch / "good", lines_of, "hello"))
                started = time.monotonic()
                moment, batch = ended(service, service.create(file_id), seconds=900)
                return moment - started, batch, stats(three)


def door(rounds: int) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for mood in ("401", "403", "404", "500", "502", "html", "hangup", "silent"):
        for _ in range(rounds):
            control, _, _ = three_doors(("ok", "ok"))
            seconds, batch, found = three_doors(("ok", "ok", mood))
            calls = found["doors"].get(mood, {}).get("calls", 0)
            rows.append(
                (
                    f"one door of three: {mood}",
                    f"{seconds / control:.2f}x of two good ones ({seconds:.1f} s)",
                    f"{counts(batch)}, {calls} calls to it",
                )
            )
            print(*rows[-1], file=sys.stderr)
    return rows


def outage(rounds: int) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for status in ("401", "500"):
        with tempfile.TemporaryDirectory() as folder, engine() as one, engine() as two:
            scratch = Path(folder)
            urls = [f"{address}/outage{status}-60/v1" for address in (one, two)]
            with server(scratch, urls, slots=SLOTS // 2) as service:
                file_id = service.upload(lines(scratch / "good", 10_000, "hello"))
                _, batch = ended(service, service.create(file_id), seconds=900)
                for address in (one, two):
                    found = stats(address)["doors"][f"outage{status}-60"]
                    late = found["first_success"] - found["first"] - 60
                    rows.append(
                        (
                            f"outage of 60 s, {status}",
                            f"first success {late:.1f} s after it; successes a second {found['per_second'][:6]}",
                            f"{counts(batch)}, {found['calls']} calls",
                        )
                    )
                    print(*rows[-1], file=sys.stderr)
    return rows


def killer(rounds: int) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder, engine(200) as address:
            scratch = Path(folder)
            path = lines(scratch / "good", 400, "hello")
            rewritten = path.read_text().splitlines()
            rewritten[123] = rewritten[123].replace("hello", "KILLS")
            path.write_text("\n".join(rewritten) + "\n")
            with server(scratch, [f"{address}/ok/v1"]) as service:
                started = time.monotonic()
                moment, batch = ended(service, begin(service, path), seconds=600)
                found = stats(address)
                culprit = service.call("GET", f"/batches/{batch['id']}")["error_file_id"]
                rows.append(
                    (
                        "killer line of 400",
                        f"{found['deaths']} deaths, {moment - started:.1f} s",
                        f"{counts(batch)}, {found['doors']['ok']['calls']} calls, error file {culprit}",
                    )
                )
                print(*rows[-1], file=sys.stderr)
    return rows


def bucket(rounds: int) -> list[tuple[object, ...]]:
    with tempfile.TemporaryDirectory() as folder, engine() as address:
        scratch = Path(folder)
        with server(scratch, [f"{address}/bucket-50/v1"]) as service:
            file_id = service.upload(lines(scratch / "good", 1_500, "hello"))
            started = time.monotonic()
            moment, batch = ended(service, service.create(file_id), seconds=600)
            found = stats(address)["doors"]["bucket-50"]
            possible = 50 * (moment - started) + 50
            return [
                (
                    "token bucket of 50/s",
                    f"{1500 / possible:.2f} of the bucket used, {moment - started:.1f} s",
                    f"{counts(batch)}, {found['calls']} calls, {found['inside_pause']} inside a pause",
                )
            ]


CASES = {"neighbour": neighbour, "alone": alone, "door": door, "outage": outage, "killer": killer, "bucket": bucket}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    rows = [row for case in args.cases for row in CASES[case](args.rounds)]
    print(table(("case", "found", "lines and calls"), rows))


if __name__ == "__main__":
    main()
