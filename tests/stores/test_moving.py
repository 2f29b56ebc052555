"""`slackwater migrate-data --files` on real stores: a batch under way goes there and back; a busy store, a wrong key."""

import asyncio
import secrets
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.disk.data_directory import DataDirectory
from slackwater.adapters.object_store.blobs import ObjectBlobs
from slackwater.core.errors import FilesUnavailable
from slackwater.pipeline.files.moving import Wanted, move_blobs
from slackwater.wiring.files import fault_without_store
from tests.adapters.blob_contract import content, put
from tests.postgresql import Databases
from tests.server import NotStarted
from tests.stores.busy_store import BusyStore
from tests.stores.servers import Server as Store
from tests.stores.test_serving import LINES, Place, begin, check, client_of, done, ended, until

pytestmark = [pytest.mark.stores, pytest.mark.timeout(300)]
WRONG_KEYS = {"s3": "tests:wr0ng-s3cr3t-key", "az": "d3JvbmctczNjcjN0LWtleQ=="}


@pytest.fixture
def place(store: Store, tmp_path: Path) -> Place:
    """A place of its own in each of the two stores, which nothing is in yet."""
    return Place(store, tmp_path)


def migrated(place: Place, *words: str) -> "subprocess.CompletedProcess[str]":
    """The command."""
    return place.command("migrate-data", "--config", str(place.config), "--data", str(place.data), *words)


def test_a_batch_goes_on_in_the_store_in_another_place_and_back(place: Place, tmp_path: Path) -> None:
    """Past three killed servers; each line is in the output once, and the store says who may begin with it."""
    place.write(files=False)
    server = place.serve()
    batch_id = begin(client_of(server), "moved")
    first = place.address

    def went_on(lines: int, *words: str, files: bool) -> None:
        nonlocal server
        until(lambda: done(client_of(server), batch_id) >= lines)
        server.kill()
        place.write()
        moved = migrated(place, *words)
        assert moved.returncode == 0, moved.stderr
        assert "what has arrived is what was sent" in moved.stdout
        place.write(files=files)
        server = place.serve()
        assert done(client_of(server), batch_id) >= lines

    went_on(100, "--files", "store", files=True)
    old = tmp_path / "old.toml"
    shutil.copy(place.config, old)
    place.address = place.store.address("box")
    went_on(900, "--files", "store", "--files-from", str(old), files=True)
    went_on(1800, "--files", "folder", files=False)
    client = client_of(server)
    until(lambda: ended(client, batch_id))
    check(client, batch_id, "moved")
    assert server.terminate() == 0
    # Neither of the two is to be begun with any more, and both have kept what they had.
    for address in (first, place.address):
        place.write(address=address)
        with pytest.raises(NotStarted):
            place.serve().terminate()
    assert f"moved from {place.address} to that folder" in place.log
    assert place.environment["FILES_KEY"] not in place.log


def test_a_batch_goes_to_a_cloud(place: Place, postgresql: Databases) -> None:
    """The ledger to PostgreSQL and the files to the store, at one moment, with a batch under way."""
    place.write(files=False)
    server = place.serve()
    batch_id = begin(client_of(server), "cloud")
    until(lambda: done(client_of(server), batch_id) >= 100)
    server.kill()
    place.write()
    address = postgresql.new(template="template1")
    place.config.write_text(place.config.read_text().replace("[server]\n", f'[server]\ndatabase = "{address}"\n'))
    moved = migrated(place, "--to", "postgresql", "--files", "store")
    assert moved.returncode == 0, moved.stderr
    server = place.serve()
    client = client_of(server)
    until(lambda: ended(client, batch_id))
    check(client, batch_id, "cloud", LINES)
    assert server.terminate() == 0


def test_a_store_that_is_busy_for_twenty_seconds(store: Store, tmp_path: Path) -> None:
    """503 to everything in the middle of the move: it waits, and everything arrives."""
    busy = BusyStore(store.port)
    blobs = {f"files/file-{number}": secrets.token_bytes(1_000 + number) for number in range(150)}
    blobs["files/large"] = secrets.token_bytes(40 << 20)

    async def test() -> None:
        source = DiskBlobs(tmp_path / "blobs")
        for key, data in blobs.items():
            await put(source, key, data)
        target = ObjectBlobs(store.place("box", port=busy.port))
        wanted = [Wanted(key, len(data), None, False) for key, data in blobs.items()]
        timers: list[threading.Timer] = []

        def show(count: int, total: int) -> None:
            if not timers and count > total // 2:
                busy.busy = True
                timers.append(threading.Timer(20.0, lambda: setattr(busy, "busy", False)))
                timers[0].start()

        begun = time.monotonic()
        await move_blobs(source, target, wanted, kept=lambda key: (), show=show)
        assert time.monotonic() - begun > 20
        assert busy.refused
        for key, data in blobs.items():
            assert await content(target, key) == data

    try:
        asyncio.run(test())
    finally:
        busy.close()


def test_a_key_without_rights(place: Place) -> None:
    """One line, before anything is sent; the server goes on where the files are."""
    place.write(files=False)
    server = place.serve()
    batch_id = begin(client_of(server), "stays", 5)
    until(lambda: ended(client_of(server), batch_id))
    assert server.terminate() == 0
    if place.store.kind == "s3":
        # Moto lets every key in: what it does not have is another container.
        place.address = place.address.replace("://box/", "://no-such-box/")
    else:
        place.environment["FILES_KEY"] = WRONG_KEYS["az"]
    place.write()
    moved = migrated(place, "--files", "store")
    assert moved.returncode == 1
    (said,) = moved.stderr.splitlines()
    assert "there is no such bucket" in said or "does not take the key" in said
    assert place.environment["FILES_KEY"] not in moved.stderr
    place.write(files=False)
    server = place.serve()
    check(client_of(server), batch_id, "stays", 5)
    assert server.terminate() == 0


def test_a_store_that_stays_away(store: Store, tmp_path: Path) -> None:
    """It ends with the words of the store, and nothing has changed."""

    async def test() -> None:
        source = DiskBlobs(tmp_path / "data" / "blobs")
        await put(source, "files/a", b"a")
        busy = BusyStore(store.port)
        busy.busy = True
        target = ObjectBlobs(store.place("box", port=busy.port, retried_seconds=0.3))
        with pytest.raises(FilesUnavailable, match="too busy"):
            await move_blobs(
                source, target, [Wanted("files/a", 1, None, False)], kept=lambda key: (), show=lambda done, total: None
            )
        busy.close()
        assert fault_without_store(tmp_path / "data") is None
        assert DataDirectory.files_of(tmp_path / "data") == ""

    asyncio.run(test())
