"""Bytes of a running batch change under a real server, and back-ups of what it needs are nowhere: the batch ends all the same."""

import json
import os
import time
from pathlib import Path

import pytest

from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.server import Server

LINES = 4_000
SECONDS_MAX = 150.0


def change(path: Path, old: bytes, new: bytes) -> None:
    """Changes some bytes where they are, as a disk would."""
    at = path.read_bytes().index(old)
    path.chmod(0o600)
    with path.open("r+b") as file:
        os.pwrite(file.fileno(), new, at)


@pytest.mark.crash
def test_a_damaged_batch_ends_beside_a_healthy_one(tmp_path: Path) -> None:
    """One line of its input changes before it is sent and one result before it is a file: these two fail, and nothing else."""
    with CountingBackend(latency=0.02) as backend:
        config = tmp_path / "slackwater.toml"
        config.write_text(
            '[[deployments]]\nname = "crash"\nenqueued_token_limit = 1_000_000\n'
            f'[[deployments.backends]]\nurl = "{backend.url}"\nconcurrency = 16\n'
        )
        server = Server(config, tmp_path / "data", tmp_path / "server.log")
        try:
            file_id = server.upload("damaged.jsonl", input_lines("damaged", LINES))
            damaged = server.create_batch(file_id)
            deadline = time.monotonic() + SECONDS_MAX
            while server.batch(damaged)["request_counts"]["completed"] < 10:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            # The last shards are not in anybody's hands yet.
            (path,) = (tmp_path / "data" / "blobs" / "files").iterdir()
            change(path, b'"damaged 3900"', b'"changed 3900"')
            (log,) = (tmp_path / "data" / "blobs" / "logs" / damaged).glob("*.output")
            change(log, b"answer to damaged", b"answer to changed")
            healthy = server.create_batch(server.upload("healthy.jsonl", input_lines("healthy", LINES)))
            while (batch := server.batch(healthy))["status"] != "completed":
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert batch["request_counts"] == {"total": LINES, "completed": LINES, "failed": 0}
            while (batch := server.batch(damaged))["status"] != "completed":
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert batch["request_counts"] == {"total": LINES, "completed": LINES - 2, "failed": 2}
            output = server.raw("GET", f"/files/{batch['output_file_id']}/content").splitlines()
            errors = server.raw("GET", f"/files/{batch['error_file_id']}/content").splitlines()
            codes = {line["error"]["code"]: line["custom_id"] for line in map(json.loads, errors)}
            assert codes.keys() == {"input_unreadable", "result_unreadable"}
            assert codes["input_unreadable"] == "damaged-3900"
            names = [json.loads(line)["custom_id"] for line in output] + list(codes.values())
            assert sorted(names) == sorted(f"damaged-{number}" for number in range(LINES))
            assert "changed 3900" not in backend.received
            assert {len(times) for times in backend.received.values()} == {1}
            usages = {each["name"]["value"]: each["currentValue"] for each in server.call("GET", "/usages")["value"]}
            assert not any(held for name, held in usages.items() if not name.startswith("OpenAI.Files."))
            # The answer that was lost had been paid for.
            assert batch["usage"]["input_tokens"] == 10 * (LINES - 1)
            # Of an input that has changed nothing is tried again, and of one that is put back, all that failed.
            with pytest.raises(AssertionError, match="file_unreadable"):
                server.call("POST", f"/batches/{damaged}/retry")
            change(path, b'"changed 3900"', b'"damaged 3900"')
            again = server.call("POST", f"/batches/{damaged}/retry")
            while (batch := server.batch(again["id"]))["status"] != "completed":
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert batch["request_counts"] == {"total": 2, "completed": 2, "failed": 0}
        finally:
            server.kill()
