"""Files whose bytes are gone, cut off or others: a code before the first byte, for that file alone, and no word of a path.

One server with a batch and its neighbour; each test spoils a copy of a file that is its own.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from slackwater.wiring.doctor import Level, examine
from tests.api.calls import Answer, Caller, chat, order
from tests.api.conftest import CONFIG
from tests.server import Server

REFUSING = """
[[deployments]]
name = "refusing-batch"
[[deployments.backends]]
echo = { refusal_rate = 1.0 }
"""
DELETED, CUT, CHANGED = "gone", "cut off", "changed"
KINDS = [DELETED, CUT, CHANGED]
# The first line is whole, and all that there is.
SHORT = "cut off behind a line"


def spoil(path: Path, kind: str) -> None:
    """Does to a file what disks and people do."""
    data = path.read_bytes()
    path.unlink()
    if kind == SHORT:
        path.write_bytes(data.splitlines(keepends=True)[0])
    elif kind != DELETED:
        path.write_bytes(data[:-3] if kind == CUT else data[:20] + b"?" + data[21:])


class House:
    """A server, and files on it that may be spoiled."""

    def __init__(self, root: Path) -> None:
        (root / "slackwater.toml").write_text(CONFIG + REFUSING)
        self.server = Server(root / "slackwater.toml", root / "data", root / "server.log")
        self.log = root / "server.log"
        self.call = Caller(self.server, "openai")
        self.neighbour = self.batch()

    def batch(self, model: str = "demo-batch") -> Any:
        """One that has ended."""
        return self.call.ended(self.call.create(chat(3, model=model)).json["id"])

    def path(self, file_id: str) -> Path:
        """Where the bytes of a file lie."""
        with sqlite3.connect(self.server.data / "ledger.sqlite") as ledger:
            (key,) = ledger.execute("SELECT blob FROM file WHERE id = ?", (file_id,)).fetchone()
        ledger.close()
        return self.server.data / "blobs" / str(key)

    def content(self, file_id: str, **more: Any) -> Answer:
        return self.call("GET", f"/files/{file_id}/content", **more)

    def well(self) -> None:
        """Nobody else has noticed."""
        assert self.content(self.neighbour["output_file_id"]).status == 200
        assert self.call("GET", f"/batches/{self.neighbour['id']}").json == self.neighbour


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"))
    yield house
    house.server.kill()


def refused(answer: Answer, house: House) -> None:
    """Nothing of the file, a code, and no word of where it lies."""
    assert (answer.status, answer.error["code"]) == (500, "file_unreadable"), answer.body
    assert str(house.server.data).encode() not in answer.body
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["output_file_id", "input_file_id"])
def test_a_download(house: House, which: str, kind: str, tmp_path: Path) -> None:
    """500 with a code, for HEAD and ranges too where that can be known at once; put back, it is there again."""
    file_id = house.batch()[which]
    path = house.path(file_id)
    kept = shutil.copy2(path, tmp_path / "kept")
    whole = house.content(file_id)
    assert whole.status == 200
    spoil(path, kind)
    for _ in range(2):
        refused(house.content(file_id), house)
    refused(house.content(file_id, headers={"Range": "bytes=0-9"}), house)
    assert house.call("HEAD", f"/files/{file_id}/content").status == 500
    house.well()
    shutil.copy2(kept, path)
    assert house.content(file_id).body == whole.body
    assert "file_unreadable file=" in house.log.read_text()


def test_a_file_of_an_older_version(house: House) -> None:
    """It has no checksum, and is what it is as long as it has its size."""
    file_id = house.batch()["output_file_id"]
    with sqlite3.connect(house.server.data / "ledger.sqlite") as ledger:
        ledger.execute("UPDATE file SET checksum = NULL WHERE id = ?", (file_id,))
    ledger.close()
    path = house.path(file_id)
    spoil(path, CHANGED)
    assert house.content(file_id).body == path.read_bytes()
    spoil(path, CUT)
    refused(house.content(file_id), house)


@pytest.mark.parametrize("kind", KINDS)
def test_results_that_are_read(house: House, kind: str) -> None:
    """By Studio, and by a retry, which makes a file of what failed: each finds it out by itself."""
    for method, what in (("POST", "retry"), ("GET", "lines"), ("GET", "error_groups"), ("GET", "result_table")):
        batch = house.batch("refusing-batch")
        spoil(house.path(batch["error_file_id"]), kind)
        refused(house.call(method, f"/batches/{batch['id']}/{what}"), house)
    house.well()


@pytest.mark.parametrize("kind", KINDS)
def test_an_input(house: House, kind: str) -> None:
    """No batch is made of it where that can be known at once, no check calls it good, and the neighbour goes on."""
    file_id = house.call.upload(chat(3)).json["id"]
    spoil(house.path(file_id), kind)
    refused(house.call("POST", f"/files/{file_id}/validate", {}), house)
    if kind != CHANGED:
        refused(house.call("POST", "/batches", order(file_id)), house)
    assert house.call("GET", f"/files/{file_id}").status == 200
    assert house.call("DELETE", f"/files/{file_id}").status == 200
    house.well()


@pytest.mark.parametrize("kind", [*KINDS, SHORT])
def test_the_input_of_a_retry(house: House, kind: str, tmp_path: Path) -> None:
    """Not one of its lines is sent again as what it has become, and none is left out. Put back, all are tried again."""
    batch = house.batch("refusing-batch")
    path = house.path(batch["input_file_id"])
    kept = shutil.copy2(path, tmp_path / "kept")
    spoil(path, kind)
    for _ in range(2):
        refused(house.call("POST", f"/batches/{batch['id']}/retry", {}), house)
    house.well()
    shutil.copy2(kept, path)
    again = house.call("POST", f"/batches/{batch['id']}/retry", {})
    assert again.status == 200
    assert house.content(again.json["input_file_id"]).body == kept.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_part(house: House, kind: str) -> None:
    """The upload stays open, so that the part can be sent again."""
    new = {"filename": "a.jsonl", "purpose": "batch", "bytes": len(chat(1)), "mime_type": "application/jsonl"}
    upload = house.call("POST", "/uploads", new).json["id"]

    def part() -> str:
        body = b'--mark\r\nContent-Disposition: form-data; name="data"; filename="d"\r\n\r\n' + chat(1)
        form = {"Content-Type": "multipart/form-data; boundary=mark"}
        made = house.call("POST", f"/uploads/{upload}/parts", body + b"\r\n--mark--\r\n", headers=form)
        return str(made.json["id"])

    first = part()
    spoil(house.server.data / "blobs" / "uploads" / first, kind)
    refused(house.call("POST", f"/uploads/{upload}/complete", {"part_ids": [first]}), house)
    done = house.call("POST", f"/uploads/{upload}/complete", {"part_ids": [part()]})
    assert house.content(done.json["file"]["id"]).body == chat(1)
    house.well()


@pytest.mark.parametrize("kind", KINDS)
def test_the_doctor_reads_every_byte(house: House, kind: str, tmp_path: Path) -> None:
    """With --deep it names what has changed; without, only what is missing or cut off."""
    data = tmp_path / "data"
    shutil.copytree(house.server.data, data)
    for each in (data / "blobs").rglob("*"):
        if each.is_file():
            each.unlink()

    def found(*, deep: bool) -> list[str]:
        faults = examine(None, data, now=lambda: 0.0, deep=deep)
        return [each.about for each in faults if each.level is Level.FAULT and each.about in ("files", "bytes")]

    with sqlite3.connect(data / "ledger.sqlite") as ledger:
        ledger.executescript("DELETE FROM file; DELETE FROM batch; DELETE FROM upload_part; DELETE FROM upload;")
        row = "INSERT INTO file (id, filename, purpose, size, created_at, status, blob, checksum)"
        ledger.execute(f"{row} VALUES ('f', 'f', 'batch', 33, 0, 'processed', 'files/f', ?)", (crc32(bytes(33)),))
    ledger.close()
    path = data / "blobs" / "files" / "f"
    path.write_bytes(bytes(33))
    assert found(deep=True) == []
    spoil(path, kind)
    assert found(deep=True) == (["bytes"] if kind == CHANGED else ["files", "bytes"])
    assert found(deep=False) == ([] if kind == CHANGED else ["files"])
