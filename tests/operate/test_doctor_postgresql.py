"""The doctor of a ledger on PostgreSQL: the files that it names, read as those of an embedded one are."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from zlib_ng.zlib_ng import crc32

from slackwater.wiring.doctor import Level, examine
from tests.postgresql import Databases

pytestmark = pytest.mark.postgresql


@pytest.fixture
def address(postgresql: Databases) -> Iterator[str]:
    """A ledger with nothing in it."""
    taken = postgresql.take()
    yield taken
    postgresql.give_back(taken)


class Place:
    """A directory with a file that the ledger names, and a log of a batch that runs."""

    def __init__(self, folder: Path, address: str) -> None:
        self.data, self.address = folder / "data", address
        self.config = folder / "slackwater.toml"
        self.config.write_text(f'[server]\ndatabase = "{address}"\ndata = "{self.data}"\n')
        self.file = self.data / "blobs" / "files" / "f"
        self.file.parent.mkdir(parents=True)
        self.file.write_bytes(bytes(33))
        with psycopg.connect(address, autocommit=True) as db:
            (name, generation) = db.execute("SELECT name, generation FROM identity").fetchone() or ("", 0)
            db.execute(
                "INSERT INTO file (id, filename, purpose, size, created_at, status, blob, checksum)"
                " VALUES ('f', 'f', 'batch', 33, 0, 'processed', 'files/f', %s)",
                (crc32(bytes(33)),),
            )
        (self.data / "slackwater.mark").write_text(f'{{"identity":"{name}","generation":{generation}}}\n')

    def found(self, *, deep: bool, level: Level = Level.FAULT) -> dict[str, str]:
        """What is said of the files and of their bytes."""
        findings = examine(self.config, None, now=lambda: 0.0, deep=deep)
        return {
            each.about: each.message for each in findings if each.level is level and each.about in ("files", "bytes")
        }


def test_every_byte_is_read(tmp_path: Path, address: str) -> None:
    """With --deep it names what has changed; without, only what is missing or cut off."""
    place = Place(tmp_path, address)
    assert (place.found(deep=True), place.found(deep=False)) == ({}, {})
    assert place.found(deep=True, level=Level.OK) == {
        "files": "every file that the ledger names is there, with its size",
        "bytes": "of 1 files, parts and segments, all are what was written",
    }
    place.file.write_bytes(bytes(32) + b"1")
    assert place.found(deep=True) == {"bytes": "1 of 1 are missing or are not what was written: files/f"}
    assert place.found(deep=False) == {}
    place.file.write_bytes(bytes(32))
    assert place.found(deep=False) == {"files": "1 are missing or cut off: files/f"}
    place.file.unlink()
    assert set(place.found(deep=True)) == {"files", "bytes"}


def test_what_is_not_read_is_said(tmp_path: Path, address: str) -> None:
    """Files in an object store are left out, with the reason."""
    place = Place(tmp_path, address)
    (place.data / "files.elsewhere").write_text("s3://bucket/prefix\n")
    assert place.found(deep=False, level=Level.NOTE) == {}
    assert "are not read" in place.found(deep=True, level=Level.NOTE)["files"]
