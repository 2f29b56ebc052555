"""Storages of users in real stores: what is read is what was there, what is written is whole, and nobody hears of a key."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from zlib_ng.zlib_ng import crc32

from slackwater.adapters.object_store.place import CloudPlace
from slackwater.adapters.object_store.user_storages import Listed, ListedStorages
from slackwater.core.errors import UserBlobModified, UserStorageAway, UserStorageRefused
from slackwater.core.files.blob_url import read_root
from tests.api.calls import Caller, chat
from tests.server import Server
from tests.stores.bad_line import BadLine
from tests.stores.servers import Server as Store

pytestmark = [pytest.mark.stores, pytest.mark.timeout(120)]
SMALL, LARGE = b"a line\n" * 1000, hashlib.shake_128(b"large").digest(20 << 20)
WRONG_KEYS = {"s3": "tests:wr0ng-s3cr3t-key", "az": "d3JvbmctczNjcjN0LWtleQ=="}


class Place:
    """A place of its own in a store, by way of a line that may be bad."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.line = BadLine(store.port)
        self.address = store.address("box")
        self.endpoint = store.endpoint.replace(str(store.port), str(self.line.port))
        self.root = read_root(self.address, self.endpoint)

    def place(self, secret: str = "") -> CloudPlace:
        """It, to be opened."""
        assert self.root.address is not None
        return CloudPlace(
            self.root.address,
            endpoint=self.endpoint,
            secret=secret or self.store.secret,
            retried_seconds=1,
            silent_seconds=5,
        )

    def storages(self, secret: str = "") -> ListedStorages:
        """It as a configuration lists it, for the resource `r`."""
        return ListedStorages([Listed("r", self.root, self.place(secret))])

    def url(self, name: str) -> str:
        """The URL of a blob, in the words of the cloud."""
        return f"{self.address}/{name}"

    def put(self, name: str, data: bytes) -> None:
        """The user puts a blob there, past the line."""
        obstore.put(self._direct(), name, data)

    def get(self, name: str) -> bytes:
        """What there is."""
        return bytes(obstore.get(self._direct(), name).bytes())

    def names(self) -> list[str]:
        """Everything there is."""
        return sorted(each["path"] for page in obstore.list(self._direct()) for each in page)

    def _direct(self) -> Any:
        assert self.root.address is not None
        return CloudPlace(self.root.address, endpoint=self.store.endpoint, secret=self.store.secret).open()


@pytest.fixture
def place(store: Store) -> Iterator[Place]:
    """One in each of the two."""
    place = Place(store)
    yield place
    place.line.close()


def content(
    data: bytes, *, fails_at: int = -1, then: Callable[[], None] = lambda: None
) -> Callable[[], AsyncIterator[bytes]]:
    """Bytes to be put, a mebibyte at a time."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 1 << 20):
            if start == fails_at:
                then()
            yield data[start : start + (1 << 20)]

    return pieces


async def read(storages: ListedStorages, url: str, *, version: str = "") -> bytes:
    """All of a blob."""
    return b"".join([piece async for piece in storages.read("r", url, version=version)])


async def put(storages: ListedStorages, url: str, data: bytes, **odd: Any) -> None:
    """Puts bytes there."""
    await storages.put("r", url, content(data, **odd), size=len(data), checksum=crc32(data))


@pytest.mark.parametrize("data", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
def test_what_is_read_is_what_was_there(place: Place, data: bytes) -> None:
    """By each of its URLs, in pieces, and also where the answers break off."""

    async def story() -> None:
        storages = place.storages()
        place.put("in.jsonl", data)
        there = await storages.look("r", place.url("in.jsonl"))
        assert there.size == len(data)
        place.line.break_at = [3 << 20, 5 << 20] if data == LARGE else []
        assert await read(storages, place.url("in.jsonl"), version=there.version) == data
        by_endpoint = next(each for each in place.root.begins if each.startswith("http"))
        assert await read(storages, f"{by_endpoint}/in.jsonl") == data

    asyncio.run(story())


def test_what_has_changed_is_not_read(place: Place) -> None:
    """Before it is begun; in its middle, where an answer broke off; and behind its last byte."""

    async def story() -> None:
        storages, url = place.storages(), place.url("in.jsonl")
        place.put("in.jsonl", LARGE)
        version = (await storages.look("r", url)).version
        place.put("in.jsonl", LARGE[::-1])
        with pytest.raises(UserBlobModified):
            await read(storages, url, version=version)
        version = (await storages.look("r", url)).version
        place.line.break_at = [4 << 20]
        with pytest.raises(UserBlobModified):
            async for _ in storages.read("r", url, version=version):
                place.put("in.jsonl", LARGE)
        with pytest.raises(UserBlobModified):
            async for _ in storages.read("r", url, version=""):
                place.put("in.jsonl", LARGE + b"x")

    asyncio.run(story())


@pytest.mark.parametrize("data", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
def test_what_is_put_is_there_once(place: Place, data: bytes) -> None:
    """Put again, it is found; and where other bytes have the name, these stay."""

    async def story() -> None:
        storages, url = place.storages(), place.url("out/results.jsonl")
        for _ in range(2):
            await put(storages, url, data)
            assert place.get("out/results.jsonl") == data
        other = b"x" * len(data) or b"y"
        with pytest.raises(FileExistsError):
            await put(storages, url, other)
        assert place.get("out/results.jsonl") == data
        assert place.names() == ["out/results.jsonl"]

    asyncio.run(story())


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_no_half_blob(place: Place, data: bytes) -> None:
    """Where the line dies in the middle nothing is there, and where an answer was lost it is there once."""

    async def story() -> None:
        storages, url = place.storages(), place.url("out/results.jsonl")
        with pytest.raises(UserStorageAway):
            await put(storages, url, data, fails_at=min(9 << 20, len(data) - 1) >> 20 << 20, then=place.line.die)
        assert place.names() == []
        place.line.dead = False
        place.line.lose = (b"PUT", 1)
        await put(place.storages(), url, data)
        assert place.get("out/results.jsonl") == data

    asyncio.run(story())


def test_what_is_not_there(place: Place) -> None:
    """A blob, and a container: the one is missing, the other has somebody to make it."""

    async def story() -> None:
        with pytest.raises(FileNotFoundError):
            await place.storages().look("r", place.url("missing.jsonl"))
        with pytest.raises(FileNotFoundError):
            await read(place.storages(), place.url("missing.jsonl"))
        root = read_root(place.store.address("nowhere"), place.endpoint)
        assert root.address is not None
        nowhere = CloudPlace(root.address, endpoint=place.endpoint, secret=place.store.secret)
        storages = ListedStorages([Listed("r", root, nowhere)])
        for call in (
            storages.look("r", f"{root.address}/in.jsonl"),
            storages.put("r", f"{root.address}/out", content(SMALL), size=len(SMALL), checksum=crc32(SMALL)),
        ):
            with pytest.raises(UserStorageRefused, match="no such bucket"):
                await call

    asyncio.run(story())


def test_one_that_is_silent_rests(place: Place) -> None:
    """Whoever asks next does not wait for it again."""

    async def story() -> None:
        storages = place.storages()
        place.line.die()
        with pytest.raises(UserStorageAway):
            await storages.look("r", place.url("in.jsonl"))
        asked, begun = place.line.asked, time.monotonic()
        with pytest.raises(UserStorageAway, match="a moment ago"):
            await storages.look("r", place.url("in.jsonl"))
        assert place.line.asked == asked
        assert time.monotonic() - begun < 1

    asyncio.run(story())


class House:
    """A server whose users have blobs in that place."""

    def __init__(self, place: Place, scratch: Path, secret: str = "") -> None:
        self.place, self.scratch = place, scratch
        self.secret = secret or place.store.secret
        (scratch / "slackwater.toml").write_text(
            f'[[storage]]\nurl = "{place.address}"\nendpoint = "{place.endpoint}"\nkey_env = "USERS_KEY"\n'
            '[[deployments]]\nname = "demo-batch"\n[[deployments.backends]]\necho = { latency_seconds = 1.0 }\n'
        )
        self.start()

    def start(self) -> None:
        """Begins, or begins again."""
        self.server = Server(
            self.scratch / "slackwater.toml", self.scratch / "data", self.scratch / "log", {"USERS_KEY": self.secret}
        )
        self.call = Caller(self.server, "azure")

    def create(self) -> Any:
        """A batch of a blob."""
        self.place.put("in.jsonl", chat(3))
        folder = {"url": self.place.url("out")}
        order = {"endpoint": "/chat/completions", "completion_window": "24h", "output_folder": folder}
        return self.call("POST", "/batches", order | {"input_blob": self.place.url("in.jsonl")})

    def until(self, batch_id: str, status: str) -> Any:
        """Asks until it has this status, for two minutes."""
        limit = time.monotonic() + 120
        while (batch := self.call("GET", f"/batches/{batch_id}").json)["status"] != status:
            assert batch["status"] != "failed", batch
            assert time.monotonic() < limit, batch
            time.sleep(0.05)
        return batch

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.scratch / "log").read_text()


def test_away_for_twenty_seconds_and_killed(place: Place, tmp_path: Path) -> None:
    """It is waited for, and said; in the middle of that comes kill -9; and the results are there once."""
    house = House(place, tmp_path)
    try:
        made = house.create()
        assert made.status == 200, made.body
        house.until(made.json["id"], "in_progress")
        place.line.die()
        house.until(made.json["id"], "finalizing")
        time.sleep(10)
        refused = house.create()
        assert refused.status == 503, refused.body
        house.server.kill()
        house.start()
        time.sleep(10)
        assert house.call("GET", f"/batches/{made.json['id']}").json["status"] == "finalizing"
        assert "results_wait_for_storage" in house.log
        place.line.dead = False
        batch = house.until(made.json["id"], "completed")
        results = [
            json.loads(line) for line in place.get(batch["output_blob"].removeprefix(place.url(""))).splitlines()
        ]
        assert sorted(line["custom_id"] for line in results) == ["task-0", "task-1", "task-2"]
        assert len([name for name in place.names() if name.startswith("out/")]) == 1
    finally:
        house.server.kill()


def test_a_key_that_is_none(place: Place, tmp_path: Path) -> None:
    """The batch says that it could not be read; the log says why; and neither says the key."""
    if place.store.kind == "s3":
        pytest.skip("moto takes every key")
    house = House(place, tmp_path, WRONG_KEYS[place.store.kind])
    try:
        batch = house.call.ended(house.create().json["id"])
        assert [error["code"] for error in batch["errors"]["data"]] == ["input_no_permissions"]
        assert "correct the one in [[storage]] key_env" in house.log
        for secret in (house.secret, place.store.secret, "Signature"):
            assert secret not in house.log + json.dumps(batch)
    finally:
        house.server.kill()
