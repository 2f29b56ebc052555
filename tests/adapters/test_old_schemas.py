"""Ledgers of every released schema, as that release left them, killed in the middle of its work: today's server takes them up."""

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest

from slackwater.adapters.backup.store import named_blobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.sqlite import SCHEMA_VERSION
from tests.adapters.schemas.blobs import ADMIN_KEY, ANSWERED, BLOBS, INPUT, OUTPUT
from tests.api.calls import Caller
from tests.api.conftest import CONFIG
from tests.chosen import one_in
from tests.server import Server

SCHEMAS = sorted((Path(__file__).parent / "schemas").glob("[0-9]*.sql"))


def laid_out(root: Path, schema: Path) -> None:
    """A data directory as that version left it."""
    (root / "data").mkdir()
    ledger = sqlite3.connect(root / "data" / "ledger.sqlite")
    ledger.executescript(schema.read_text("utf-8"))
    ledger.execute(f"PRAGMA user_version = {int(schema.stem)}")
    ledger.execute("PRAGMA journal_mode = WAL")
    ledger.close()
    for key, data in BLOBS.items():
        path = root / "data" / "blobs" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@pytest.mark.parametrize("schema", one_in(4, SCHEMAS), ids=lambda path: path.stem)
def test_everything_is_read_and_goes_on(tmp_path: Path, schema: Path) -> None:
    """What was there is there; a batch in work ends with what was recorded and each other line once; a new one runs."""
    laid_out(tmp_path, schema)
    # The entries of that time must not be too old today, whenever that is.
    (tmp_path / "slackwater.toml").write_text("[audit]\nkeep_days = 0\n" + CONFIG)
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
    caller, number = Caller(server, "azure-v1", key=ADMIN_KEY), int(schema.stem)
    try:
        done = caller("GET", "/batches/batch_done").json
        assert (done["status"], done["metadata"], done["request_counts"]["completed"]) == (
            "completed",
            {"team": "tides"},
            4,
        )
        assert caller("GET", f"/files/{done['output_file_id']}/content").body == OUTPUT
        refused = caller("GET", "/batches/batch_refused").json
        assert (refused["status"], refused["errors"]["data"][0]["line"]) == ("failed", 1)
        for batch_id in ("batch_open", "batch_new"):
            ended = caller.ended(batch_id)
            assert (ended["status"], ended["request_counts"]["completed"]) == ("completed", 4)
            lines = caller("GET", f"/files/{ended['output_file_id']}/content").body.splitlines(keepends=True)
            assert sorted(json.loads(line)["custom_id"] for line in lines) == [f"task-{each}" for each in range(4)]
            assert (ANSWERED in lines) == (batch_id == "batch_open")
        assert {each["id"] for each in caller("GET", "/batches").json["data"]} == {
            "batch_done",
            "batch_refused",
            "batch_open",
            "batch_new",
        }
        _look_at_what_came_later(caller, number)
        upgraded = f"ledger_upgraded from={number} to={SCHEMA_VERSION}"
        assert (upgraded in (tmp_path / "server.log").read_text()) == (number < SCHEMA_VERSION)
    finally:
        server.kill()


def test_results_go_to_whom_their_batch_belongs(tmp_path: Path) -> None:
    """Older versions gave every output and error file to the default resource."""
    laid_out(tmp_path, SCHEMAS[-1])
    path = tmp_path / "data" / "ledger.sqlite"
    ledger = sqlite3.connect(path)
    ledger.execute("UPDATE batch SET resource = 'tides' WHERE id = 'batch_done'")
    others = ledger.execute("SELECT count(*) FROM file WHERE resource != 'default'").fetchone()
    ledger.commit()
    ledger.close()
    asyncio.run(SqlLedger.open(path).close())
    ledger = sqlite3.connect(path)
    output, error = ledger.execute("SELECT output_file_id, error_file_id FROM batch WHERE id = 'batch_done'").fetchone()
    moved = ledger.execute("SELECT id FROM file WHERE resource = 'tides' ORDER BY id").fetchall()
    assert others == (0,)
    assert moved == [(each,) for each in sorted(filter(None, (output, error)))] != []
    ledger.close()


def _look_at_what_came_later(caller: Caller, schema: int) -> None:
    """Things that only later schemas had."""
    if schema >= 2:
        completed = caller("POST", "/uploads/upload_open/complete", {"part_ids": ["part_one"]})
        assert completed.status == 200
        assert caller("GET", f"/files/{completed.json['file']['id']}/content").body == INPUT
    if schema >= 3:
        assert caller("GET", "/files/file-url").json["filename"] == "url.jsonl"
    if schema >= 6:
        keys = caller("GET", "/keys").json
        assert [key["hint"] for key in keys["data"]] == ["..." + ADMIN_KEY[-4:]]
    if schema >= 7:
        assert [each["id"] for each in caller("GET", "/webhook_endpoints").json["data"]] == ["whe_one"]
        sent = caller("GET", "/webhook_endpoints/whe_one/deliveries").json["data"]
        assert [each["state"] for each in sent if each["id"] == "msg_one"] == ["delivered"]
    if schema >= 8:
        usage = caller("GET", "/usage", query="start=2025-10-01&end=2025-10-31").json
        assert sum(row["requests"] for row in usage["data"]) == 4
    if schema >= 9:
        assert "create_batch" in {each["action"] for each in caller("GET", "/audit", query="limit=100").json["data"]}
    if schema >= 10:
        names = {each["name"] for each in caller("GET", "/deployments").json["value"]}
        assert "made-over-the-api" in names
        assert caller("GET", "/batches/batch_done").headers["slackwater-regions"] == "swedencentral"


@pytest.mark.parametrize("schema", one_in(4, SCHEMAS), ids=lambda path: path.stem)
def test_a_back_up_finds_the_bytes_of_every_schema(tmp_path: Path, schema: Path) -> None:
    """A back-up before an upgrade takes all that the old ledger names, without bringing it up to date."""
    laid_out(tmp_path, schema)
    ledger = sqlite3.connect(tmp_path / "data" / "ledger.sqlite")
    named = {each.key: each.size for each in named_blobs(ledger)}
    ledger.close()
    sizes = {key: len(data) for key, data in BLOBS.items()} | {"logs/batch_open/dead-0-0.output": len(ANSWERED)}
    if int(schema.stem) < 2:
        del sizes["uploads/part_one"]
    assert named == sizes


def test_every_schema_so_far_is_kept() -> None:
    """From the first one on, without a gap."""
    assert [int(path.stem) for path in SCHEMAS] == list(range(1, len(SCHEMAS) + 1))
    assert len(SCHEMAS) >= 10
