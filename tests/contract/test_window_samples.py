"""The window of a batch, a day after its creation: the ledger's moments are moved back while the server is stopped."""

import sqlite3
from pathlib import Path

import pytest

from tests.contract.exchange import House, chat
from tests.contract.samples import MODEL, agree, replays, sample, sample_lines
from tests.server import Server

CONFIG = """
[worker]
grace_seconds = 0.1
[[deployments]]
name = "stuck"
[[deployments.backends]]
echo = { hang_rate = 1.0 }
concurrency = 2
"""
DAY_AND_AN_HOUR = 90_000


@replays("openai/batch_expired_error_file.json", "openai/error_line_expired.jsonl")
@pytest.mark.contract("A.9", "A.12", "O GET /batches/{batch_id}")
def test_a_batch_whose_window_is_over(tmp_path: Path) -> None:
    """OpenAI's family expires it: lines that never ran are in the error file, coded, and are not counted as failed.

    Azure's goes on (spec 3.3).
    """
    (tmp_path / "slackwater.toml").write_text(CONFIG)
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
    try:
        plain, azure = House(server, "O"), House(server, "A")
        batch = plain.begin(chat(2, model="stuck", url=plain.endpoint), metadata={"team": "tides"})
        other = azure.begin(chat(2, model="stuck"))
        plain.until(batch["id"], "in_progress")
        azure.until(other["id"], "in_progress")
        server.terminate()
        with sqlite3.connect(tmp_path / "data" / "ledger.sqlite") as ledger:
            moments = ", ".join(
                f"{name} = {name} - {DAY_AND_AN_HOUR}" for name in ("created_at", "in_progress_at", "expires_at")
            )
            ledger.execute(f"UPDATE batch SET {moments}")
        ledger.close()
        server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
        plain, azure = House(server, "O"), House(server, "A")
        expired = plain.until(batch["id"])
        agree(sample("openai/batch_expired_error_file.json"), expired, MODEL)
        assert expired["expires_at"] <= expired["finalizing_at"] <= expired["expired_at"]
        assert expired["request_counts"] == {"total": 2, "completed": 0, "failed": 0}
        recorded = sample_lines("openai/error_line_expired.jsonl")[0]
        lines = plain.lines(expired["error_file_id"])
        assert sorted(line["custom_id"] for line in lines) == ["task-0", "task-1"]
        for line in lines:
            agree(recorded, line)
            assert line["error"] == recorded["error"]
        assert azure.call("GET", f"/batches/{other['id']}").json["status"] == "in_progress"
    finally:
        server.kill()
