"""Hostile input files at two heights: `python -m tests.fuzz.input_files --count 5000`.

Pure: each file through the scan that validation runs, over a real store, under limits of its own. Whatever the bytes, the
scan answers, and its answer hangs together. Served: each file is uploaded to a real server, made a batch of, polled until it
has ended, and deleted with its results; the server must say the same as the scan, never 5xx, and have nothing left at the
end. A failure prints the command that repeats it.
"""

import argparse
import io
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.work.tiktoken_counter import TiktokenCounter
from slackwater.core.input.line_judge import Rules
from slackwater.core.input.validation import is_blank
from slackwater.core.sending.deployment import Capabilities
from slackwater.core.sending.lines import read_input_line, with_model
from slackwater.pipeline.input.input_scan import Scan, scan_input
from tests.api.calls import Caller
from tests.fuzz.hostile_files import HostileFile, hostile_file
from tests.fuzz.leaks import ENDED, leaks, tidy
from tests.server import Server

LINES_MAX, ERRORS_MAX, INPUTS_MAX = 200, 20, 60
CONFIG = f"""
[limits]
lasting_files = 0
expiring_files = 0
requests_per_file = {LINES_MAX}
validation_errors = {ERRORS_MAX}
embedding_inputs = {INPUTS_MAX}
[worker]
commit_seconds = 0.05
[[deployments]]
name = "sees"
[[deployments.backends]]
echo = {{}}
model = "upstream"
[[deployments]]
name = "blind"
images = false
[[deployments.backends]]
echo = {{}}
[[deployments]]
name = "embeds"
endpoints = ["embeddings"]
[[deployments.backends]]
echo = {{}}
"""
DEPLOYMENTS = {
    "sees": Capabilities(),
    "blind": Capabilities(images=False),
    "embeds": Capabilities(endpoints=("/embeddings",)),
}
# So many batches are under way at once.
WAVE = 40
ENDED_SECONDS = 60.0
# What lies deeper than this is a matter of how deep the stack is, which differs between here and the server.
SURE_DEPTH = 300


def requests_of(data: bytes) -> list[bytes]:
    """The lines of a file that are requests, as anybody would count them."""
    return [line for line in io.BytesIO(data) if not is_blank(line)]


def rules_of(file: HostileFile, **limits: int) -> Rules:
    """What a file is checked against."""
    return Rules(
        family="openai" if file.family == "openai" else "azure",
        endpoint=file.endpoint,
        deployments=DEPLOYMENTS,
        **limits,
    )


def pure(file: HostileFile, directory: Path, chance: random.Random) -> Scan:
    """One file through the scan. Raises AssertionError where its answer does not hang together."""
    (directory / "input").write_bytes(file.data)
    errors_max, lines_max = chance.choice((1, 3, 100)), chance.choice((0, 5, LINES_MAX))
    inputs_max, shard_lines, shard_bytes = chance.choice((0, 2, INPUTS_MAX)), chance.choice((1, 3, 1000)), 1 << 14
    rules = rules_of(file, errors_max=errors_max, lines_max=lines_max, embedding_inputs_max=inputs_max)
    counter = chance.choice((None, TiktokenCounter("o200k_base"), {"sees": TiktokenCounter("cl100k_base")}))
    scan = scan_input(
        DiskBlobs(directory), "input", rules, counter, shard_lines_max=shard_lines, shard_bytes_max=shard_bytes
    )
    requests = requests_of(file.data)
    assert scan.total == len(requests), "every request is counted, and no blank line"
    assert bool(scan.errors) == bool(scan.error_count) == (not scan.shards), "there are errors, or there are shards"
    numbers = [error.line for error in scan.errors if error.line is not None]
    assert numbers == sorted(set(numbers)), "errors are in the order of lines, one for each"
    assert len(scan.errors) <= errors_max + 1, "the list of errors is capped"
    rest = scan.error_count - errors_max
    assert (rest > 0) == ("more line" in scan.errors[-1].message if scan.errors else False), (
        "and says how many are not in it"
    )
    assert all(error.code and len(error.message) < 500 for error in scan.errors), "errors are short"
    json.dumps([error.message for error in scan.errors]).encode("utf-8", "strict")
    if scan.errors:
        return scan
    pieces = [file.data[shard.offset : shard.offset + shard.length] for shard in scan.shards]
    assert [line for piece in pieces for line in requests_of(piece)] == requests, "shards hold each request once"
    assert [len(requests_of(piece)) for piece in pieces] == [shard.lines for shard in scan.shards]
    assert sum(shard.tokens for shard in scan.shards) == scan.tokens > 0, "tokens add up"
    read = [read_input_line(line) for line in requests]
    assert len({line.custom_id for line in read}) == len(requests), "ids are unique"
    for line in read:
        with_model(bytes(line.body), b'"other"')
        line.custom_id.encode()
    for request in requests:
        _agrees(request, scan)
    return scan


def _agrees(request: bytes, scan: Scan) -> None:
    """Another parser reads an accepted line as JSON, and finds in it what the scan says of the file."""
    try:
        line = json.loads(request, parse_int=str, parse_float=str, parse_constant=_refuse)
    except RecursionError:
        return
    assert (line["method"], line["body"]["model"]) == ("POST", scan.deployment)
    assert line["url"].endswith(scan.endpoint) or line["url"].endswith(scan.endpoint + "/")
    assert line["body"].get("stream") in (None, False)


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


class Served:
    """Files on their way through a server, a wave at a time."""

    def __init__(self, server: Server, directory: Path) -> None:
        self._server = server
        self._directory = directory
        self.outcomes: Counter[str] = Counter()
        self.faults: dict[int, str] = {}
        """What went wrong, by the number of the file."""

    def run(self, files: list[HostileFile]) -> None:
        """One wave."""
        waiting = {file: batch_id for file in files if (batch_id := self._guarded(file, self._begin)) is not None}
        deadline = time.monotonic() + ENDED_SECONDS
        while waiting and time.monotonic() < deadline:
            for file, batch_id in list(waiting.items()):
                batch = self._caller(file)("GET", f"/batches/{batch_id}").json
                if batch["status"] in ENDED:
                    del waiting[file]
                    self._guarded(file, self._end, batch)
            time.sleep(0.02)
        self.faults |= {file.number: f"batch {batch_id} does not end" for file, batch_id in waiting.items()}

    def _caller(self, file: HostileFile) -> Caller:
        return Caller(self._server, file.family)

    def _guarded(self, file: HostileFile, step: Any, *more: Any) -> Any:
        try:
            return step(file, *more)
        except Exception as fault:
            self.faults[file.number] = repr(fault)[:2000]
            return None

    def _begin(self, file: HostileFile) -> str | None:
        call = self._caller(file)
        uploaded = call.upload(file.data)
        if file.family == "openai" and uploaded.status == 400:
            self.outcomes["refused at upload"] += 1
            return None
        assert uploaded.status in (200, 201), uploaded
        order = {"input_file_id": uploaded.json["id"], "endpoint": file.endpoint, "completion_window": "24h"}
        created = call("POST", "/batches", order)
        assert created.status == 200, created
        if file.number % 10 == 0:
            # The batch keeps the bytes of an input file that is deleted under it.
            assert call("DELETE", f"/files/{uploaded.json['id']}").json["deleted"]
        batch_id: str = created.json["id"]
        return batch_id

    def _end(self, file: HostileFile, batch: Any) -> None:
        call = self._caller(file)
        requests = requests_of(file.data)
        (self._directory / "input").write_bytes(file.data)
        limits = {"lines_max": LINES_MAX, "errors_max": ERRORS_MAX, "embedding_inputs_max": INPUTS_MAX}
        expected = scan_input(DiskBlobs(self._directory), "input", rules_of(file, **limits), None)
        found = [(error["code"], error["line"], error["param"]) for error in (batch["errors"] or {"data": []})["data"]]
        if not _deep(file.data):
            assert found == [(error.code, error.line, error.param) for error in expected.errors], "as the scan says"
        ids = (batch["output_file_id"], batch["error_file_id"])
        if batch["status"] == "failed":
            assert found, "a batch that failed says why"
            assert ids == (None, None), "and nothing of it has run"
        else:
            assert (batch["status"], found) == ("completed", []), batch
            counts = batch["request_counts"]
            assert counts["total"] == counts["completed"] + counts["failed"] == len(requests), counts
            answered = [line["custom_id"] for file_id in ids for line in call.lines(file_id)]
            assert sorted(answered) == sorted(read_input_line(line).custom_id for line in requests), (
                "each is answered once"
            )
        for file_id in (*ids, batch["input_file_id"]):
            if file_id is not None:
                assert call("DELETE", f"/files/{file_id}").status in (200, 404)
        self.outcomes[found[0][0] if found else "completed"] += 1


def _deep(data: bytes) -> bool:
    return any(line.count(b"[") + line.count(b"{") > SURE_DEPTH for line in data.split(b"\n"))


def run_pure(directory: Path, *, seed: int, numbers: range) -> tuple[Counter[str], dict[int, str]]:
    """Files through the scan; returns how many had which first error, and what went wrong."""
    outcomes: Counter[str] = Counter()
    faults: dict[int, str] = {}
    for number in numbers:
        try:
            scan = pure(hostile_file(seed, number), directory, random.Random(number))
            outcomes[scan.errors[0].code if scan.errors else "accepted"] += 1
        except Exception as fault:
            faults[number] = repr(fault)[:2000]
    return outcomes, faults


def run_served(directory: Path, *, seed: int, numbers: range) -> tuple[Counter[str], dict[int, str], list[str]]:
    """Files through a server; returns outcomes, what went wrong, and what is left of all files when they are deleted."""
    (directory / "slackwater.toml").write_text(CONFIG)
    server = Server(directory / "slackwater.toml", directory / "data", directory / "server.log")
    try:
        served = Served(server, directory)
        for start in range(numbers.start, numbers.stop, WAVE):
            served.run([hostile_file(seed, number) for number in range(start, min(start + WAVE, numbers.stop))])
        left = tidy(server.address) + leaks(server.data)
        return served.outcomes, served.faults, left
    finally:
        server.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    numbers = range(arguments.first, arguments.first + arguments.count)
    with tempfile.TemporaryDirectory(prefix="slackwater-fuzz-") as scratch:
        started = time.monotonic()
        outcomes, faults = run_pure(Path(scratch), seed=arguments.seed, numbers=numbers)
        print(
            f"pure: {sum(outcomes.values()):,} files in {time.monotonic() - started:.0f} s: {dict(outcomes.most_common())}"
        )
        started = time.monotonic()
        served, more, left = run_served(Path(scratch), seed=arguments.seed, numbers=numbers)
        print(
            f"served: {sum(served.values()):,} files in {time.monotonic() - started:.0f} s: {dict(served.most_common())}"
        )
        log = (Path(scratch) / "server.log").read_text()
    for height, found in (("pure", faults), ("served", more)):
        for number, fault in found.items():
            command = f"python -m tests.fuzz.input_files --seed {arguments.seed} --first {number} --count 1"
            print(f"{height}: {fault}\n    {command}", file=sys.stderr)
    complaints = [
        line for line in log.splitlines() if "stage_failed" in line or "scan_failed" in line or "Traceback" in line
    ]
    print(*left, *complaints[:20], sep="\n", file=sys.stderr)
    sys.exit(1 if faults or more or left or complaints else 0)


if __name__ == "__main__":
    main()
