"""`slackwater migrate-data --files`, as an operator uses it: real servers, batches under way, a folder, stores."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from slackwater.adapters.object_store.blobs import ObjectBlobs
from slackwater.ports import BlobRange
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.system.moving_files.desk import LINES, A, B, Desk, bytes_of, named
from tests.system.test_postgresql import completed, ended, until, whole

pytestmark = pytest.mark.timeout(600)


def test_a_batch_goes_on_in_a_store_in_another_one_and_back(tmp_path: Path) -> None:
    """Past four killed servers. Each line is there once, and what is in each place is what the ledger names."""
    with CountingBackend(latency=0.05) as backend:
        desk = Desk(tmp_path, backend.url)
        server = desk.serve()
        batch_id = server.create_batch(server.upload("in.jsonl", input_lines("line", LINES)))
        done = 0

        def on(place: str, share: int) -> None:
            nonlocal server, done
            server.kill()
            moved = desk.migrate(*place_words(desk, place))
            assert moved.returncode == 0, moved.stderr
            assert "what has arrived is what was sent" in moved.stdout
            server = desk.serve(place)
            assert server.batch(batch_id)["request_counts"]["completed"] >= done
            completed(server, batch_id, share)
            done = share

        completed(server, batch_id, 100)
        on(A, 350)
        on(B, 600)
        on("", 850)
        server.kill()
        server = desk.serve()
        try:
            until(ended(server, batch_id))
            whole(server, batch_id, LINES)
        finally:
            server.terminate()
        # Only what was out, and what was not committed yet, when a server was killed was asked for again.
        assert sum(len(times) - 1 for times in backend.answered.values()) < 600
    assert "Traceback" not in desk.log.read_text()


def place_words(desk: Desk, place: str) -> list:  # type: ignore[type-arg]
    """What the command is given to move to a place: from the folder to A, from A to B, and from B to the folder."""
    if place == B:
        return [desk.config(B), "--files", "store", "--files-from", str(desk.config(A))]
    return [desk.config(A), "--files", "store"] if place else [desk.config(B), "--files", "folder"]


def test_what_lies_where(desk: Desk) -> None:
    """Every byte that the ledger names, and no other; the old side keeps all of its own, under another name."""
    before, wanted = bytes_of(desk.data), named(desk.data)
    assert {key.partition("/")[0] for key, _ in wanted} == {"files", "outputs", "uploads", "logs"}
    (desk.data / "blobs" / "files" / "file-nobodys").write_bytes(b"x")
    moved = desk.migrate(desk.config(A), "--files", "store")
    assert moved.returncode == 0, moved.stderr
    (aside,) = desk.data.glob("blobs-moved-*")
    assert f"the files are in {A}; the old ones are kept in {aside}" in moved.stdout
    # Nothing is changed there.
    assert bytes_of(aside) == {
        key.removeprefix("blobs/"): data for key, data in before.items() if key.startswith("blobs/")
    } | {"files/file-nobodys": b"x"}
    store = desk.store(A)
    contents = asyncio.run(store.contents())
    assert contents == dict(wanted)
    for key, size in wanted:
        assert asyncio.run(_content(store, key)) == before[f"blobs/{key}"][:size], key
    with contextlib.closing(sqlite3.connect(desk.data / "ledger.sqlite")) as db:
        ranges = db.execute("SELECT output_key, output_offset, output_length FROM segment").fetchall()
    assert ranges
    for key, offset, length in ranges:
        found = asyncio.run(store.read(BlobRange(key=key, offset=offset, length=length)))
        assert found == before[f"blobs/{key}"][offset : offset + length]
    # What was done is said, and changes nothing.
    again = desk.migrate(desk.config(A), "--files", "store")
    assert (again.returncode, again.stdout) == (0, f"the files are in {A} already\n")
    # And back, into a folder that is new.
    moved = desk.migrate(desk.config(A), "--files", "folder", "--quiet")
    assert (moved.returncode, moved.stdout, moved.stderr) == (0, "", "")
    assert {key: len(data) for key, data in bytes_of(desk.data / "blobs").items()} == dict(wanted)
    assert all(data == before[f"blobs/{key}"][: len(data)] for key, data in bytes_of(desk.data / "blobs").items())
    assert {path.stat().st_mode & 0o777 for path in (desk.data / "blobs").rglob("*") if path.is_file()} == {0o600}
    assert asyncio.run(store.contents()) == contents


async def _content(store: ObjectBlobs, key: str) -> bytes:
    return b"".join([piece async for piece in store.stream(key)])
