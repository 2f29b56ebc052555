"""Blobs in storages that users have of their own, within what the operator allows."""

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from msgspec import Struct


class BlobVersion(Struct, frozen=True):
    """A blob as it is now."""

    version: str
    """What the store calls these bytes, such as an ETag: others have another one."""
    size: int


class UserStorages(Protocol):
    """Reads and writes what a resource may name. Nothing of a URL is ever in an error: somebody may have put a key into it.

    What a store does not do is a UserStorageAway, where it may pass and is waited for, or a UserStorageRefused.
    """

    def check(self, resource: str, url: str, *, param: str, folder: bool = False) -> None:
        """Raises InvalidRequest for what is no URL of a blob, or of a `folder`; and Forbidden where it leads elsewhere than a
        resource may. Asks nobody.
        """
        ...

    async def look(self, resource: str, url: str) -> BlobVersion:
        """What a blob is now. Raises FileNotFoundError."""
        ...

    def read(self, resource: str, url: str, *, version: str) -> AsyncIterator[bytes]:
        """All bytes of a blob in pieces of at most a mebibyte, as it was when it had that `version`; empty: as it is now.

        Raises FileNotFoundError, and UserBlobModified where it has changed, or does before the last piece has been read.
        """
        ...

    async def put(
        self, resource: str, url: str, content: Callable[[], AsyncIterator[bytes]], *, size: int, checksum: int
    ) -> None:
        """Makes a blob whole, or not at all; once it is there with these bytes, there is nothing left to do.

        Raises FileExistsError where other bytes have that name already: they stay.
        """
        ...
