"""A data directory that moves its files, as its operator sees it."""

import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slackwater.adapters.disk.data_directory import DataDirectory
from slackwater.adapters.object_store.blobs import ObjectBlobs
from slackwater.core.errors import SlackwaterError
from slackwater.core.files.belonging import Fit, Mark
from slackwater.wiring.belonging import look
from slackwater.wiring.files import fault_in_store, fault_without_store
from slackwater.wiring.moving import files_move, move_files
from slackwater.wiring.moving_files import FilesArrived
from tests.adapters.test_object_blobs import LocalPlace
from tests.server import NotStarted, Server

LINES = 1200
A, B = "s3://box/a", "s3://box/b"
# Whose steps a process dies after.
MOVE = "slackwater.wiring.moving_files FilesMove"
DATA = "slackwater.adapters.disk.data_directory DataDirectory"
STORE = "slackwater.adapters.object_store.blobs ObjectBlobs"
CONTENT = "slackwater.pipeline.files.moving _Move"
SERVE = ("tests.system.local_stores", "serve")


class Desk:
    """A data directory and its configurations, on a machine whose stores are folders."""

    def __init__(self, scratch: Path, url: str = "http://127.0.0.1:9/v1", *, database: str = "") -> None:
        self.scratch = scratch
        self.data = scratch / "data"
        self.log = scratch / "server.log"
        self.database = database
        self.environment = {"LOCAL_STORES": str(scratch / "stores")}
        self._url = url

    def config(self, files: str = "", *, database: bool = False) -> Path:
        """The configuration that names that place for files; and the database, where it is to."""
        path = self.scratch / f"{files.rpartition('/')[2] or 'folder'}{'-postgresql' if database else ''}.toml"
        named = f'files = "{files}"\n' if files else ""
        named += f'database = "{self.database}"\n' if database else ""
        path.write_text(
            f'[server]\ndata = "{self.data}"\n{named}[[deployments]]\nname = "crash"\n'
            f'[[deployments.backends]]\nurl = "{self._url}"\nconcurrency = 32\n'
        )
        return path

    def serve(self, files: str = "", *, database: bool = False) -> Server:
        """A server that serves it."""
        return Server(self.config(files, database=database), self.data, self.log, self.environment, module=SERVE)

    def refused(self, files: str = "", *, database: bool = False) -> str:
        """What a server says that does not start."""
        with pytest.raises(NotStarted):
            self.serve(files, database=database).terminate()
        said = self.log.read_text().splitlines()[-1]
        assert said.startswith("error: ")
        return said

    def migrate(
        self, config: Path, *options: str, die: str = "", data: Path | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """The command; `die` is after what it dies."""
        words = ["migrate-data", "--config", str(config), *options]
        if data is not None:
            words += ["--data", str(data)]
        environment = os.environ | self.environment | ({"LOCAL_STORES_DIE": die} if die else {})
        asked = [sys.executable, "-m", "tests.system.local_stores", *words]
        return subprocess.run(asked, capture_output=True, text=True, timeout=120, env=environment)

    def store(self, address: str) -> ObjectBlobs:
        """A store, looked at from here."""
        return ObjectBlobs(LocalPlace(self.objects(address)))

    def objects(self, address: str) -> Path:
        """Where its objects lie."""
        return self.scratch / "stores" / address.partition("://")[2]

    def move(self, old: str, new: str) -> FilesArrived:
        """What the command does, here; no address is the folder."""
        with DataDirectory.open(self.data) as directory:
            source, target = (ObjectBlobs(Named(self.objects(each), each)) if each else None for each in (old, new))
            files = files_move(directory, source, target, database="", show=lambda done, total: None, now=time.time())
            return move_files(directory, "", files)

    def usable(self, *places: str) -> set[str]:
        """With which of these places for files a server would start; empty: the folder."""
        return {place for place in places if self._fits(place)}

    def _fits(self, files: str) -> bool:
        try:
            fit, found, _ = look(self.data, files=files)
        except SlackwaterError:
            return False
        if fit is not Fit.FITS or found.empty:
            return False
        if not files:
            return fault_without_store(self.data) is None
        self.objects(files).mkdir(parents=True, exist_ok=True)
        store = ObjectBlobs(Named(self.objects(files), files))
        return asyncio.run(fault_in_store(store, found, self.data, "")) is None


class Named(LocalPlace):
    """A folder that goes by the address of a store."""

    def __init__(self, path: Path, shown: str) -> None:
        super().__init__(path)
        self.shown = shown


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but locks, what SQLite notes of its readers, and what trials leave."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("slackwater.lock", "probe", "ledger.sqlite-shm")
    }


def named(data: Path) -> list[tuple[str, int]]:
    """What the ledger names: keys and bytes."""
    with contextlib.closing(sqlite3.connect(data / "ledger.sqlite")) as db:
        return db.execute(
            "SELECT blob, size FROM file WHERE status = 'processed' UNION SELECT blob, size FROM upload_part UNION "
            "SELECT output_key, max(output_offset + output_length) FROM segment WHERE output_key IS NOT NULL GROUP BY 1"
        ).fetchall()


def mark(desk: Desk, place: str, mark: Mark) -> None:
    """Puts a mark into a store."""
    asyncio.run(
        desk.store(place).write_mark(json.dumps({"identity": mark.identity, "generation": mark.generation}).encode())
    )
