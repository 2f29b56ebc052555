"""Storages that users have of their own: what they name is looked up in what the operator has listed, and nowhere else."""

import contextlib
import errno
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import obstore
from msgspec import Struct
from obstore.exceptions import BaseError, PreconditionError
from zlib_ng.zlib_ng import crc32

from slackwater.adapters.object_store.calls import Calls
from slackwater.adapters.object_store.errors import SILENT, fault_of_folder, translated
from slackwater.adapters.object_store.place import CloudPlace, FolderPlace
from slackwater.adapters.object_store.writer import PART_BYTES, ObjectWriter
from slackwater.core.errors import (
    FilesUnavailable,
    Forbidden,
    InvalidRequest,
    StorageFull,
    UserBlobModified,
    UserStorageAway,
    UserStorageRefused,
)
from slackwater.core.files.blob_url import BlobRoot, fault_of_url
from slackwater.ports import BlobVersion

if TYPE_CHECKING:
    from obstore import GetResult

T = TypeVar("T")
# Largest piece that is read at a time.
PIECE = 1 << 20
# How often a body that broke off is asked for again from there, without a byte in between.
TRIES = 5
# So long a store that has not answered is not asked again, whoever's batch it is for: doubled each time, up to the second.
REST_FIRST, REST_MAX = 1.0, 30.0
NOT_ALLOWED = (
    "This service does not use that storage for you. What may be named is listed by the operator, as [[storage]] in the "
    "configuration."
)
CHANGED = "the blob is not what it was when its batch was created"


class Listed(Struct, frozen=True):
    """A place that a resource may name, and how it is reached."""

    resource: str
    root: BlobRoot
    place: CloudPlace | FolderPlace


class ListedStorages:
    """The UserStorages of a configuration. Nothing is opened before it is named."""

    def __init__(self, listed: Sequence[Listed]) -> None:
        self._listed = listed
        self._stores: dict[int, _Store] = {}

    def check(self, resource: str, url: str, *, param: str, folder: bool = False) -> None:
        fault = fault_of_url(url)
        if fault is None:
            try:
                if self._place_of(resource, url, folder=folder) is None:
                    raise Forbidden(NOT_ALLOWED, param=param)
            except ValueError:
                fault = "must be the plain URL of a blob: no '.', '..', empty name, hidden slash or odd character in its path"
        if fault is not None:
            raise InvalidRequest(f"Invalid '{param}': it {fault}.", param=param)

    def _place_of(self, resource: str, url: str, *, folder: bool = False) -> tuple[int, str] | None:
        for number, listed in enumerate(self._listed):
            if listed.resource == resource and (key := listed.root.key_of(url, folder=folder)) is not None:
                return number, key
        return None

    def _store(self, resource: str, url: str) -> "tuple[_Store, str]":
        """Raises UserStorageRefused where it is not allowed any more."""
        try:
            found = self._place_of(resource, url)
        except ValueError:
            found = None
        if found is None:
            raise UserStorageRefused("the configuration has no [[storage]] for it any more")
        number, key = found
        if number not in self._stores:
            self._stores[number] = _Store(self._listed[number].place)
        return self._stores[number], key

    async def look(self, resource: str, url: str) -> BlobVersion:
        store, key = self._store(resource, url)
        return await store.look(key)

    async def read(self, resource: str, url: str, *, version: str) -> AsyncIterator[bytes]:
        store, key = self._store(resource, url)
        position = failures = 0
        while True:
            answer = await store.get(key, position, version)
            version = version or answer.meta["e_tag"] or ""
            try:
                async for body in answer.stream(min_chunk_size=PIECE // 2):
                    view = memoryview(body)
                    for at in range(0, len(view), PIECE):
                        piece = bytes(view[at : at + PIECE])
                        position, failures = position + len(piece), 0
                        yield piece
            except (BaseError, OSError) as error:
                failures += 1
                if failures == TRIES:
                    with store.in_our_words(key):
                        raise store.calls.in_words(error, key) from None
            else:
                if position >= answer.meta["size"]:
                    break
                failures += 1
                if failures == TRIES:
                    raise UserStorageAway(f"{store.shown}: the blob ends before its end")
        # What is read from one answer may be half of the one blob and half of the other.
        now = await store.look(key)
        if (now.version, now.size) != (version or now.version, position):
            raise UserBlobModified(CHANGED)

    async def put(
        self, resource: str, url: str, content: Callable[[], AsyncIterator[bytes]], *, size: int, checksum: int
    ) -> None:
        store, key = self._store(resource, url)
        if size <= PART_BYTES:
            body = b"".join([piece async for piece in content()])
            with contextlib.suppress(FileExistsError):
                await store.make(key, body)
                return
        elif not await store.has_any(key):
            await store.make_large(key, content)
            return
        if not await store.has(key, size, checksum):
            raise FileExistsError(f"{store.shown}: other bytes have the name already")


class _StorageCalls(Calls):
    """Requests to a store that is not ours: trouble with it is no trouble of ours."""

    UNAVAILABLE, AGAIN = "storage_unavailable", "storage_answers_again"

    def in_words(self, error: Exception, key: str) -> Exception:
        del key
        if isinstance(error, PreconditionError):
            return UserBlobModified(CHANGED)
        # The name of a blob is a user's text, and what is to be corrected stands elsewhere.
        said = translated(error, self.place.shown, "the blob")
        if isinstance(said, FilesUnavailable):
            text = str(said).replace("[server] files_", "[[storage]] ").replace("[server] files", "[[storage]] url")
            return FilesUnavailable(text.replace("object-stores.md", "user-storage.md"), passes=said.passes)
        return said


class _Store:
    """One of the places, open."""

    def __init__(self, place: CloudPlace | FolderPlace) -> None:
        self.shown = place.shown
        self._place = place
        self.calls = _opened(place)
        self._rests_until = 0.0
        self._rest = REST_FIRST

    @contextlib.contextmanager
    def in_our_words(self, key: str) -> Iterator[None]:
        """Around each request: not while the store rests, and what goes wrong is one of two."""
        if isinstance(self._place, FolderPlace) and not self._place.holds(key):
            raise UserStorageRefused(f"{self.shown}: a link leads out of the folder, or in a circle")
        if time.monotonic() < self._rests_until:
            raise UserStorageAway(f"{self.shown}: it did not answer a moment ago")
        try:
            yield
        except StorageFull as full:
            raise UserStorageAway(str(full)) from None
        except FilesUnavailable as error:
            if not error.passes:
                raise UserStorageRefused(str(error)) from None
            if self._is_silent(error):
                self._rests_until = time.monotonic() + self._rest
                self._rest = min(2 * self._rest, REST_MAX)
            raise UserStorageAway(str(error)) from None
        except (FileNotFoundError, FileExistsError):
            raise
        except ValueError:
            raise UserStorageRefused(f"{self.shown}: the library takes no such name") from None
        except OSError as error:
            # Of a folder.
            said = fault_of_folder(error.errno or errno.EIO, self.shown)
            passes = isinstance(said, StorageFull) or said.passes
            raise (UserStorageAway if passes else UserStorageRefused)(str(said)) from None
        self._rest = REST_FIRST

    def _is_silent(self, error: FilesUnavailable) -> bool:
        """Whether nobody was there, and not only somebody who is too busy for this blob."""
        return isinstance(self._place, CloudPlace) and SILENT.partition(":")[0] in str(error)

    async def _ask(self, key: str, call: Callable[[], Awaitable[T]]) -> T:
        with self.in_our_words(key):
            return await call()

    async def look(self, key: str) -> BlobVersion:
        meta = await self._ask(key, lambda: self.calls.head(key))
        return BlobVersion(meta["e_tag"] or "", meta["size"])

    async def get(self, key: str, start: int, version: str) -> "GetResult":
        """Begins to read, from a byte that is there."""
        wanted: dict[str, object] = {"if_match": version} if version else {}
        if start:
            wanted["range"] = {"offset": start}

        async def call() -> "GetResult":
            return await obstore.get_async(self.calls.store, key, options=wanted)  # type: ignore[arg-type]

        return await self._ask(key, lambda: self.calls.ask(key, call))

    async def make(self, key: str, body: bytes) -> None:
        """A small blob, in one request. Raises FileExistsError."""
        await self._ask(key, lambda: self.calls.put(key, body, create=True))

    async def make_large(self, key: str, content: Callable[[], AsyncIterator[bytes]]) -> None:
        """A large one, in parts: it comes into being with the last request."""
        writer = ObjectWriter(self.calls, _Target(self), key)
        try:
            async for piece in content():
                await self._ask(key, lambda piece=piece: writer.write(piece))  # type: ignore[misc]
            await self._ask(key, writer.publish)
        finally:
            await writer.discard()

    async def has_any(self, key: str) -> bool:
        """Whether there is one of this name."""
        try:
            await self.look(key)
        except FileNotFoundError:
            return False
        return True

    async def has(self, key: str, size: int, checksum: int) -> bool:
        """Whether there is one with these bytes."""
        found = 0
        if (await self.look(key)).size != size:
            return False
        async for piece in _Target(self).stream(key):
            found = crc32(piece, found)
        return found == checksum


class _Target:
    """What has been written, as a writer looks at it again."""

    def __init__(self, store: _Store) -> None:
        self._store = store

    async def stream(self, key: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes of a blob from there."""
        del length
        answer = await self._store.get(key, offset, "")
        try:
            async for body in answer.stream(min_chunk_size=PIECE // 2):
                yield bytes(body)
        except (BaseError, OSError) as error:
            with self._store.in_our_words(key):
                raise self._store.calls.in_words(error, key) from None

    def wrote(self, key: str, size: int, checksum: int) -> None:
        """Nothing is remembered of it."""


def _opened(place: CloudPlace | FolderPlace) -> _StorageCalls:
    try:
        return _StorageCalls(place)
    except Exception as error:
        # What it says may have the key in it.
        raise UserStorageRefused(f"{place.why_closed(error)}; correct it, see docs/user-storage.md") from None
