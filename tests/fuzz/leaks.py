"""After a storm: everything ends, everything that can be deleted is, and then nothing may be left on the disk.

Shared by the fuzzers. Only the public API and the data directory's own files are used.
"""

import http.client
import json
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

ENDED = ("completed", "failed", "cancelled", "expired")
PATIENCE_SECONDS = 60.0
# Rows of these belong to what was deleted or has ended; rows of batches and of ended uploads are kept on purpose.
TABLES = ("file", "shard", "segment", "upload_part", "import")


def tidy(address: str, uploads: Iterable[str] = ()) -> list[str]:
    """Waits until every batch has ended, gives the uploads up, deletes every file. Returns the ids of stuck batches."""
    connection = http.client.HTTPConnection(address, timeout=30)
    with closing(connection):
        stuck = _unless(lambda: _unended(connection))
        for upload_id in uploads:
            _call(connection, "POST", f"/v1/uploads/{upload_id}/cancel")
        while files := _call(connection, "GET", "/v1/files?limit=1000")["data"]:
            for file in files:
                _call(connection, "DELETE", f"/v1/files/{file['id']}")
    return stuck


def leaks(data: Path) -> list[str]:
    """What is left in a data directory whose files were all deleted; looked at until it is nothing, or patience ends."""
    return _unless(lambda: _left(data))


def _unless(look: Callable[[], list[str]]) -> list[str]:
    """What is seen once nothing is left to see, or when patience ends."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (seen := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return seen


def _left(data: Path) -> list[str]:
    left = [str(path.relative_to(data)) for path in (data / "blobs").rglob("*") if path.is_file()]
    with closing(sqlite3.connect(data / "ledger.sqlite", timeout=10)) as ledger:
        known = {name for (name,) in ledger.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table in TABLES:
            if table in known:
                (count,) = ledger.execute(f'SELECT COUNT(*) FROM "{table}"').fetchone()
                left += [f"{count} rows of {table}"] * bool(count)
    return left


def _unended(connection: http.client.HTTPConnection) -> list[str]:
    after, unended = "", []
    while True:
        page = _call(connection, "GET", f"/v1/batches?limit=100{after}")
        unended += [batch["id"] for batch in page["data"] if batch["status"] not in ENDED]
        if not page["has_more"]:
            return unended
        after = f"&after={page['last_id']}"


def _call(connection: http.client.HTTPConnection, method: str, path: str) -> Any:
    connection.request(method, path, headers={"Authorization": "Bearer any"})
    answer = connection.getresponse()
    data = answer.read()
    assert answer.status < 500, f"{method} {path}: {answer.status} {data[:300]!r}"
    return json.loads(data)
