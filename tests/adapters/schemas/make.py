"""Writes the ledger of a schema as SQL text, with a row of everything it has: `python -m tests.adapters.schemas.make 10`.

Do this once, when a schema is released. From then on the file is that release: today's code must open it, whatever becomes of
the scripts of the migrations. The bytes that the rows name are in `blobs.py`.
"""

import hashlib
import json
import sqlite3
import sys
from pathlib import Path

from slackwater.adapters.sql.sqlite import MIGRATIONS
from tests.adapters.schemas.blobs import ADMIN_KEY, ANSWERED, BLOBS, INPUT

HERE = Path(__file__).parent
POLICIES = json.dumps(
    {
        "empty_files": "create",
        "window_elapsed": "continue",
        "validation": "azure",
        "output_expires_seconds": None,
        "output_filename": "{id}_results.jsonl",
        "error_filename": "{id}_errors.jsonl",
    }
)
ERRORS = (
    '[{"code":"invalid_request","message":"Missing required parameter: \'custom_id\'.","param":"custom_id","line":1}]'
)
HALF = len(INPUT) // 2
FAR = 4_000_000_000

Rows = list[tuple[str, dict[str, object]]]


def batch(seq: int, name: str, status: str, stage: str, **more: object) -> tuple[str, dict[str, object]]:
    """A batch as it was created; everything else by name."""
    common = {"input_file_id": "file-in", "input_blob": "files/file-in", "endpoint": "/chat/completions"}
    moments = {"completion_window": "24h", "created_at": 1_760_000_000 + seq, "expires_at": 1_760_086_400 + seq}
    row = {"seq": seq, "id": f"batch_{name}", "status": status, "stage": stage, "expires": 0, "policies": POLICIES}
    return "batch", row | common | moments | more


def file(seq: int, file_id: str, purpose: str, blob: str) -> tuple[str, dict[str, object]]:
    """A file whose bytes are there."""
    row = {"seq": seq, "id": file_id, "filename": f"{file_id}.jsonl", "purpose": purpose, "blob": blob}
    return "file", row | {"size": len(BLOBS[blob]), "created_at": 1_760_000_000, "status": "processed"}


RUN = {"deployment": "demo-batch", "model": "echo", "dispatch_endpoint": "/chat/completions", "total": 4}
SHARD = {"batch_seq": 3, "deployment": "demo-batch", "length": HALF, "lines": 2, "tokens": 12}
ROWS: dict[int, Rows] = {
    1: [
        file(1, "file-in", "batch", "files/file-in"),
        file(2, "file-out", "batch_output", "results/batch_done/file-out"),
        file(3, "file-err", "batch_output", "results/batch_done/file-err"),
        batch(
            1,
            "done",
            "completed",
            "ended",
            **RUN,
            metadata='{"team":"tides"}',
            enqueued_tokens=24,
            completed=4,
            input_tokens=4,
            output_tokens=56,
            output_file_id="file-out",
            error_file_id="file-err",
            in_progress_at=1_760_000_010,
            finalizing_at=1_760_000_020,
            completed_at=1_760_000_021,
        ),
        batch(2, "refused", "failed", "ended", errors=ERRORS, failed_at=1_760_000_005),
        # Killed in work: of the first shard one line is recorded, and the log goes on behind it.
        batch(
            3, "open", "in_progress", "running", **RUN, enqueued_tokens=24, completed=1, in_progress_at=1_760_000_010
        ),
        (
            "shard",
            SHARD
            | {"idx": 0, "offset_": 0, "state": "running", "rank": 1.0, "epoch": 1, "owner": "dead-0"}
            | {"lease_until": 1_760_000_040.5, "done": b"\x01"},
        ),
        ("shard", SHARD | {"idx": 1, "offset_": HALF, "state": "queued", "rank": 2.0}),
        (
            "segment",
            {"seq": 1, "batch_seq": 3, "idx": 0, "epoch": 1, "output_key": "logs/batch_open/dead-0-0.output"}
            | {"output_offset": 0, "output_length": len(ANSWERED)},
        ),
        batch(4, "new", "validating", "new"),
    ],
    2: [
        (
            "upload",
            {
                "id": "upload_open",
                "filename": "parts.jsonl",
                "purpose": "batch",
                "size": len(INPUT),
                "status": "pending",
            }
            | {"mime_type": "application/jsonl", "created_at": 1_760_000_000, "expires_at": FAR}
            | {"parts": 1, "part_bytes": len(INPUT)},
        ),
        (
            "upload_part",
            {"id": "part_one", "upload_id": "upload_open", "block_id": "", "size": len(INPUT)}
            | {"created_at": 1_760_000_000, "blob": "uploads/part_one"},
        ),
    ],
    3: [
        (
            "file",
            {"seq": 4, "id": "file-url", "filename": "url.jsonl", "purpose": "batch", "size": 0}
            | {"created_at": 1_760_000_000, "status": "pending", "blob": "files/file-url"},
        ),
        (
            "import",
            {"file_id": "file-url", "url": "https://store.example/url.jsonl", "tries": 1, "not_before": FAR}
            | {"check_line": 1},
        ),
    ],
    4: [],
    5: [("deleted_file", {"number": 1, "id": "file-gone", "seq": 5})],
    6: [
        (
            "api_key",
            {
                "resource": "default",
                "role": "admin",
                "slot": "key1",
                "hint": ADMIN_KEY[-4:],
                "created_at": 1_760_000_000,
            }
            | {"digest": hashlib.sha256(ADMIN_KEY.encode()).hexdigest()},
        ),
    ],
    7: [
        (
            "webhook_endpoint",
            {"seq": 1, "id": "whe_one", "resource": "default", "name": "ours", "url": "https://hooks.example/batch"}
            | {"event_types": '["batch.completed"]', "created_at": 1_760_000_000, "updated_at": 1_760_000_000}
            | {"secrets": '[{"text":"whsec_c2xhY2t3YXRlci1zbGFja3dhdGVyLTEyMzQ=","until":null}]'},
        ),
        (
            "webhook_delivery",
            {"seq": 1, "id": "msg_one", "endpoint_id": "whe_one", "event_id": "evt_one", "type": "batch.completed"}
            | {"batch_id": "batch_done", "created_at": FAR, "state": "delivered", "tries": 1, "due_at": 1_760_000_021.0}
            | {"last_status": 200, "ended_at": FAR},
        ),
    ],
    8: [
        (
            "usage_day",
            {"resource": "default", "day": 20_370, "deployment": "demo-batch", "model": "echo", "price": ""}
            | {"requests": 4, "input_tokens": 4, "cached_tokens": 0, "output_tokens": 56, "reasoning_tokens": 0},
        ),
    ],
    9: [
        (
            "audit",
            {"at": 1_760_000_000, "resource": "default", "who": "admin/key1", "action": "create_batch"}
            | {"object": "batch_done", "detail": "{}", "request_id": "00000000-0000-0000-0000-000000000001"},
        ),
    ],
    10: [
        (
            "deployment",
            {"resource": "default", "name": "made-over-the-api", "etag": '"1"'}
            | {"body": '{"sku":{"name":"GlobalBatch","capacity":10},"properties":{"model":{"name":"demo-batch"}}}'}
            | {"created_at": 1_760_000_000, "updated_at": 1_760_000_000},
        ),
        ("batch_region", {"batch_seq": 1, "region": "swedencentral"}),
    ],
}


def dump(schema: int) -> str:
    """The whole ledger of a schema, as text."""
    ledger = sqlite3.connect(":memory:")
    for number in range(1, schema + 1):
        ledger.executescript(MIGRATIONS[number - 1].read_text("utf-8"))
    for number in range(1, schema + 1):
        for table, row in ROWS.get(number, []):
            marks = ", ".join("?" * len(row))
            ledger.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))
    ledger.commit()
    text = "\n".join(ledger.iterdump())
    ledger.close()
    return f"-- Made by tests/adapters/schemas/make.py when schema {schema} was released. Not to be changed.\n{text}\n"


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        (HERE / f"{int(argument):04}.sql").write_text(dump(int(argument)), "utf-8")
