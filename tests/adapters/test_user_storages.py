"""Storages of users that do odd things: one that sends us elsewhere, one that repeats the key, and folders that refuse."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("obstore")

from slackwater.adapters.object_store.place import CloudPlace, FolderPlace
from slackwater.adapters.object_store.user_storages import Listed, ListedStorages
from slackwater.adapters.object_store.writer import PART_BYTES
from slackwater.config import Config, StorageConfig
from slackwater.core.errors import Forbidden, InvalidRequest, UserStorageRefused
from slackwater.core.files.blob_url import read_root
from slackwater.wiring.doctor.storages import storage_findings

KEY = "key-id:s3cr3t-s3cr3t"


class Odd(ThreadingHTTPServer):
    """Answers with what it is told to, and remembers what it was asked."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), Handler)
        self.status, self.headers, self.body = (
            200,
            {"ETag": '"1"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"},
            b"",
        )
        self.asked: list[tuple[str, str | None]] = []
        self.methods: list[str] = []

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.server_address[0]}:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """One answer for everything."""

    server: Odd

    def do_GET(self) -> None:
        self.server.methods.append(self.command)
        self.server.asked.append((self.path, self.headers.get("authorization")))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.server.body)

    do_HEAD = do_PUT = do_GET

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def odd() -> Iterator[tuple[Odd, Odd]]:
    """A store, and another server."""
    # On another address of this machine: a host is known by it.
    with Odd() as store, Odd("127.0.0.2") as other:
        for each in (store, other):
            threading.Thread(target=each.serve_forever, daemon=True).start()
        yield store, other
        for each in (store, other):
            each.shutdown()


def storages(store: Odd) -> ListedStorages:
    """The store as a configuration lists it, for the resource `r`."""
    root = read_root("s3://box", store.url)
    assert root.address is not None
    place = CloudPlace(root.address, endpoint=store.url, secret=KEY, retried_seconds=0, stays=True)
    return ListedStorages([Listed("r", root, place)])


def ways(listed: ListedStorages, url: str) -> list[Any]:
    """Each way to use a store."""

    async def read() -> None:
        async for _ in listed.read("r", url, version=""):
            pass

    return [
        lambda: listed.look("r", url),
        read,
        lambda: listed.put("r", url, nothing, size=0, checksum=0),
        lambda: listed.put("r", url, nothing, size=PART_BYTES + 1, checksum=0),
    ]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nobody_follows_a_store_elsewhere(odd: tuple[Odd, Odd], status: int) -> None:
    """However it is asked: the host that it names hears nothing, and a batch is told that the store is refused."""
    store, other = odd
    other.body = b"from inside"
    store.status, store.headers = status, {"Location": f"{other.url}/inside"}
    for way in ways(storages(store), "s3://box/in.jsonl"):
        with pytest.raises(UserStorageRefused):
            asyncio.run(way())
    assert store.asked
    assert other.asked == []


def test_a_redirect_is_named(odd: tuple[Odd, Odd]) -> None:
    """In the words for whoever has listed it."""
    store, other = odd
    store.status, store.headers = 302, {"Location": f"{other.url}/inside"}
    with pytest.raises(UserStorageRefused, match="to another host"):
        asyncio.run(storages(store).look("r", "s3://box/in.jsonl"))


def test_a_redirect_takes_no_key_along(odd: tuple[Odd, Odd], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is followed: a proxy of the operator's stands between us and all hosts, and says which there are."""
    store, other = odd
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    store.status, store.headers = 307, {"Location": f"{other.url}/inside"}
    asyncio.run(storages(store).look("r", "s3://box/in.jsonl"))
    assert [path for path, _ in other.asked] == ["/inside"]
    assert [authorization for _, authorization in other.asked] == [None]
    assert any(authorization for _, authorization in store.asked)


def test_what_a_store_says_is_not_repeated(odd: tuple[Odd, Odd], caplog: pytest.LogCaptureFixture) -> None:
    """It may say the key, or the name that a user has chosen."""
    store, _ = odd
    store.status = 403
    store.body = f"<Error><Code>AccessDenied</Code><Message>{KEY} for name-of-a-user</Message></Error>".encode()

    async def story() -> str:
        with pytest.raises(UserStorageRefused) as said:
            await storages(store).put("r", "s3://box/name-of-a-user", lambda: nothing(), size=0, checksum=0)
        return str(said.value)

    said = asyncio.run(story())
    assert "the credential may not do that" in said
    for secret in (*KEY.split(":"), "name-of-a-user"):
        assert secret not in said + caplog.text


async def nothing() -> Any:
    """No bytes."""
    for piece in ():
        yield piece


@pytest.mark.parametrize(
    ("resource", "url", "refused"),
    [
        ("other", "s3://box/in.jsonl", Forbidden),
        ("r", "s3://box2/in.jsonl", Forbidden),
        ("r", "s3://box/../in.jsonl", InvalidRequest),
        ("r", "s3://box/in.jsonl?X-Amz-Signature=s3cr3t", InvalidRequest),
    ],
)
def test_nobody_is_asked_about_what_is_not_listed(
    odd: tuple[Odd, Odd], resource: str, url: str, refused: type[Exception]
) -> None:
    """Neither at the check, nor by whoever forgets it."""
    store, _ = odd

    async def story() -> None:
        listed = storages(store)
        with pytest.raises(refused) as said:
            listed.check(resource, url, param="input_blob")
        assert "s3cr3t" not in str(said.value)
        with pytest.raises(UserStorageRefused):
            await listed.look(resource, url)
        with pytest.raises(UserStorageRefused):
            await listed.put(resource, url, lambda: nothing(), size=0, checksum=0)
        with pytest.raises(UserStorageRefused):
            async for _ in listed.read(resource, url, version=""):
                pass

    asyncio.run(story())
    assert store.asked == []


@pytest.mark.parametrize(
    ("status", "words"), [(404, "answers"), (403, "the credential may not do that"), (200, "made up")]
)
def test_what_doctor_says(odd: tuple[Odd, Odd], status: int, words: str) -> None:
    """Whether the storage lets us look for a blob that is not there."""
    store, _ = odd
    store.status = status
    config = Config(
        storage=(StorageConfig(url="s3://box", endpoint=store.url, key_env="KEY"),), storage_secrets={"KEY": KEY}
    )
    (found,) = asyncio.run(storage_findings(config))
    assert words in found.message
    assert KEY.partition(":")[2] not in repr(found)
    assert not any(method in ("PUT", "POST") for method in store.methods)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("/srv/x", True),
        ("file://tmp/x", True),
        ("file://localhost/tmp/x", True),
        ("file:///tmp/../x", True),
        ("https://ACCOUNT.blob.core.windows.net/box", True),
        ("file:///etc/hosts", False),
    ],
)
def test_doctor_leaves_what_is_no_place_to_the_configuration(url: str, fault: bool) -> None:
    """It is a fault there; a file is a place that refuses."""
    found = asyncio.run(storage_findings(Config(storage=(StorageConfig(url=url),))))
    assert [each.message for each in found] == (
        [] if fault else ["file:///etc/hosts is no folder; correct it, see docs/user-storage.md"]
    )


# Asks for everything that is done with a folder, and says what came of it; root is let in everywhere, so not as root.
DENIED = """
import asyncio, os, sys
from pathlib import Path
from slackwater.adapters.object_store.place import FolderPlace
from slackwater.adapters.object_store.user_storages import Listed, ListedStorages
from slackwater.core.files.blob_url import read_root

folder = sys.argv[1]
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
listed = ListedStorages([Listed("r", read_root(f"file://{folder}"), FolderPlace(folder))])

async def content():
    yield b"x"

async def read(url):
    async for piece in listed.read("r", url, version=""):
        pass

async def story():
    for name in ("shut/in.jsonl", "secret.jsonl", "file/in.jsonl"):
        for call in (listed.look("r", f"file://{folder}/{name}"), read(f"file://{folder}/{name}")):
            try:
                await call
            except Exception as error:
                print(type(error).__name__, error)
    for name in ("shut/g/out", "kept/g/out", "file/g/out"):
        for size in (1, 9 << 20):
            try:
                await listed.put("r", f"file://{folder}/{name}", content, size=size, checksum=0)
            except Exception as error:
                print(type(error).__name__, error)

asyncio.run(story())
"""


def test_a_folder_that_refuses_is_no_folder_that_is_away(tmp_path: Path) -> None:
    """No rights, a folder that is only read, a file in a folder's place: nobody is told to look at the network."""
    folder = tmp_path / "place"
    for name, mode in (("shut", 0), ("kept", 0o555)):
        (folder / name).mkdir(parents=True)
        (folder / name).chmod(mode)
    (folder / "file").write_bytes(b"x")
    (folder / "secret.jsonl").write_bytes(b"x")
    (folder / "secret.jsonl").chmod(0)
    # Whoever is nobody has to come this far.
    for each in (folder, *(each for each in folder.parents if str(each).startswith("/tmp/"))):
        each.chmod(each.stat().st_mode | 0o055)
    done = subprocess.run(
        [sys.executable, "-c", DENIED, str(folder)], capture_output=True, text=True, timeout=60, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 12
    for line in said:
        assert line.startswith(f"UserStorageRefused file://{folder}: "), line
        assert "(Permission denied)" in line or "(Not a directory)" in line
    (folder / "shut").chmod(0o700)


def test_links_in_a_circle(tmp_path: Path) -> None:
    """They lead nowhere, which is said like a link that leads out."""
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    listed = ListedStorages([Listed("r", read_root(f"file://{tmp_path}"), FolderPlace(str(tmp_path)))])
    with pytest.raises(UserStorageRefused, match="in a circle"):
        asyncio.run(listed.look("r", f"file://{tmp_path}/a/in.jsonl"))
