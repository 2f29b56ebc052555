"""Requests to an object store: each is watched, what goes wrong is an error of ours, and trouble is told once.

The client below sends a request again where its protocol says that it may, and this does where we know it: a put that nobody may
make twice is found to be made.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import BaseError

from slackwater.adapters.object_store.errors import translated
from slackwater.adapters.object_store.place import Place
from slackwater.core.errors import FilesUnavailable, StorageFull
from slackwater.telemetry import event

if TYPE_CHECKING:
    from obstore import GetResult, ListResult, ObjectMeta

T = TypeVar("T")

# A request that takes so long is told, while it goes on being tried.
SLOW_SECONDS = 10.0
# Seconds between two tries.
BACK_OFF_FIRST, BACK_OFF_MAX = 0.1, 3.0
# Objects that one page of a listing, or one removal, has.
PAGE = 1000


class Calls:
    """The requests that are made, by key."""

    # What is told when the store goes, and when it is back.
    UNAVAILABLE, AGAIN = "files_unavailable", "files_answer_again"

    def __init__(self, place: Place) -> None:
        self.place = place
        self.store = place.open()
        self.refuses_writes = False
        """Whether the last write failed, or takes very long."""
        self._told = False

    async def ask(self, key: str, call: Callable[[], Awaitable[T]], *, writes: bool = False, again: bool = True) -> T:
        """Makes a request, `again` and again where it fails for a reason that may pass and may be made twice.

        Raises FileNotFoundError, FileExistsError, StorageFull and FilesUnavailable.
        """
        begun, wait = time.monotonic(), BACK_OFF_FIRST
        while True:
            try:
                answer = await self._once(key, call, writes)
                break
            except FilesUnavailable as error:
                so_long = time.monotonic() - begun
                last = not (again and error.passes) or so_long + wait > self.place.retried_seconds
                if last or so_long > SLOW_SECONDS:
                    self._trouble(str(error), writes)
                if last:
                    raise
            except StorageFull as full:
                self._trouble(str(full), writes)
                raise
            await asyncio.sleep(wait)
            wait = min(2 * wait, BACK_OFF_MAX)
        if self._told:
            self._told = False
            event(self.AGAIN, store=self.place.shown)
        if writes:
            self.refuses_writes = False
        return answer

    async def _once(self, key: str, call: Callable[[], Awaitable[T]], writes: bool) -> T:
        request: asyncio.Future[T] = asyncio.ensure_future(call())
        try:
            done, _ = await asyncio.wait((request,), timeout=SLOW_SECONDS)
            if not done:
                self._trouble(f"{self.place.shown}: no answer for {SLOW_SECONDS:.0f} seconds; it is waited for", writes)
            return await request
        except asyncio.CancelledError:
            request.cancel()
            raise
        except (BaseError, OSError) as error:
            raise self.in_words(error, key) from None

    def in_words(self, error: Exception, key: str) -> Exception:
        """An error of ours for what a request has raised."""
        return translated(error, self.place.shown, key)

    def _trouble(self, why: str, writes: bool) -> None:
        self.refuses_writes = self.refuses_writes or writes
        if not self._told:
            self._told = True
            event(self.UNAVAILABLE, level=logging.WARNING, reason=why)

    async def put(self, key: str, data: bytes, *, create: bool = False) -> None:
        """Writes an object in one request. With `create`, raises FileExistsError where there is one already."""
        mode = "create" if create else "overwrite"
        await self.ask(
            key,
            lambda: obstore.put_async(self.store, key, data, mode=mode, use_multipart=False),  # type: ignore[arg-type]
            writes=True,
        )

    async def get(self, key: str, *, start: int = 0, end: int | None = None, tag: str | None = None) -> "GetResult":
        """Begins to read an object, or what it was when it had that `tag`.

        Raises FileNotFoundError, FilesUnavailable, and EOFError where it has no byte at `start`.
        """
        return await self.ask(key, lambda: self._get(key, start, end, tag))

    async def _get(self, key: str, start: int, end: int | None, tag: str | None) -> "GetResult":
        wanted: dict[str, object] = {"if_match": tag} if tag else {}
        if end is not None:
            wanted["range"] = (start, end)
        elif start:
            wanted["range"] = {"offset": start}
        try:
            return await obstore.get_async(self.store, key, options=wanted)  # type: ignore[arg-type]
        except BaseError as error:
            if start and _past_the_end(error):
                raise EOFError(key) from None
            raise

    async def bytes_of(self, key: str, *, start: int = 0, end: int | None = None) -> bytes:
        """The bytes of an object from `start` to before `end`; fewer only where it ends."""

        async def call() -> bytes:
            return (await (await self._get(key, start, end, None)).bytes_async()).to_bytes()

        try:
            return await self.ask(key, call)
        except EOFError:
            return b""

    async def head(self, key: str) -> "ObjectMeta":
        """What is known of an object. Raises FileNotFoundError, FilesUnavailable."""
        try:
            return await self.ask(key, lambda: obstore.head_async(self.store, key))
        except FileNotFoundError:
            # An answer without a body does not say whether the object is missing or its bucket.
            return (await self.get(key)).meta

    async def names(self, prefix: str) -> "ListResult[Sequence[ObjectMeta]]":
        """What lies directly below a prefix, and further prefixes."""
        return await self.ask(prefix, lambda: obstore.list_with_delimiter_async(self.store, prefix))

    async def below(self, prefix: str, *, after: str | None = None) -> list["ObjectMeta"]:
        """All objects below a prefix, in the order of their keys; with `after`, those behind that key."""

        async def call() -> list["ObjectMeta"]:
            found: list[ObjectMeta] = []
            async for page in obstore.list(self.store, prefix, offset=after, chunk_size=PAGE):
                found += page
            return found

        found = await self.ask(prefix, call)
        found.sort(key=lambda each: each["path"])
        return found

    async def sizes(self) -> dict[str, int]:
        """The size of every object there is, by its key."""

        async def call() -> dict[str, int]:
            found: dict[str, int] = {}
            async for page in obstore.list(self.store, chunk_size=PAGE):
                found.update((each["path"], each["size"]) for each in page)
            return found

        return await self.ask("", call)

    async def copy(self, source: str, target: str) -> None:
        """Copies an object inside the store."""
        await self.ask(target, lambda: obstore.copy_async(self.store, source, target), writes=True)

    async def delete(self, keys: Sequence[str]) -> None:
        """Removes objects. One that is missing may keep others from being removed, and raises FileNotFoundError."""
        for start in range(0, len(keys), PAGE):
            some = keys[start : start + PAGE]
            await self.ask(some[0], lambda some=some: obstore.delete_async(self.store, some))  # type: ignore[misc]


def _past_the_end(error: BaseError) -> bool:
    text = str(error)
    return any(each in text for each in ("416 Range", "InvalidRange", "Wanted range starting at", "StartTooLarge"))
