"""Blocking readers of objects, for work in another process."""

from collections.abc import Iterator
from io import BufferedReader, RawIOBase
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError

from slackwater.adapters.object_store.errors import translated
from slackwater.adapters.object_store.place import Place

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from obstore import GetResult

# As many bytes as one look brings.
BUFFER_BYTES = 1 << 18
# How often a body that broke off is asked for again from there.
TRIES = 5


class ObjectReader(RawIOBase):
    """The bytes of one object from its start. A body that breaks off is asked for again from there."""

    def __init__(self, place: Place, key: str) -> None:
        super().__init__()
        self._place = place
        self._key = key
        self._store = place.open()
        self._position = 0
        self._tag: str | None = None
        self._rest = b""
        self._pieces = self._begun()

    def _begun(self) -> Iterator[bytes]:
        wanted: dict[str, object] = {"if_match": self._tag} if self._tag else {}
        if self._position:
            wanted["range"] = {"offset": self._position}
        try:
            answer: GetResult = obstore.get(self._store, self._key, options=wanted)  # type: ignore[arg-type]
        except (BaseError, OSError) as error:
            raise translated(error, self._place.shown, self._key) from None
        self._tag = answer.meta["e_tag"]
        self._size = answer.meta["size"]
        return iter(answer.stream(min_chunk_size=BUFFER_BYTES))

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Some bytes; 0 at the end."""
        view = memoryview(buffer).cast("B")
        if not self._rest:
            self._rest = self._next()
        some, self._rest = self._rest[: len(view)], self._rest[len(view) :]
        view[: len(some)] = some
        return len(some)

    def _next(self) -> bytes:
        for left in reversed(range(TRIES)):
            if self._position >= self._size:
                return b""
            try:
                piece = bytes(next(self._pieces, b""))
            except (BaseError, OSError) as error:
                if not left:
                    raise translated(error, self._place.shown, self._key) from None
                self._pieces = self._begun()
                continue
            if piece:
                self._position += len(piece)
                return piece
            self._pieces = self._begun()
        raise OSError(f"{self._key} ends at byte {self._position} of {self._size}")


def reader_of(place: Place, key: str) -> BufferedReader:
    """A blocking reader. Raises FileNotFoundError, FilesUnavailable."""
    return BufferedReader(ObjectReader(place, key), BUFFER_BYTES)
