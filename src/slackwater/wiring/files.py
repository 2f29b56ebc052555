"""Where files lie: in the data directory, or in an object store that the configuration names."""

import asyncio
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from slackwater.adapters.disk.data_directory import DataDirectory, bytes_in
from slackwater.adapters.sql.identity import Found
from slackwater.config import Config
from slackwater.core.errors import DataDirectoryError
from slackwater.core.files.belonging import Fit, Mark, fit_of
from slackwater.core.files.object_address import read_address
from slackwater.wiring.belonging import fault_of

if TYPE_CHECKING:
    from slackwater.adapters.object_store.blobs import ObjectBlobs
    from slackwater.adapters.object_store.place import CloudPlace

MISSING = "obstore is not installed; in a checkout: pip install '.[stores]'"
# An append is a request there, which takes its time and is paid for: so long results are collected at least.
COMMIT_SECONDS = 1.5
# What a question for the time has left, if it ended in it.
PARTS_SWEPT_SECONDS = 86_400.0

OTHER_PLACE = (
    "the files of {data} are in {noted}, and [server] files {names}: correct it. Where they were copied to another place with "
    "everything below their prefix, that one has a mark of this ledger, and is taken"
)
IN_FOLDER = (
    "{data} has files in it, and [server] files names {store}: take that out of the configuration, or begin with a new data "
    "directory; nothing moves files from one to the other yet"
)
ABSENT = (
    "nothing was changed: name the place that has its files; docs/object-stores.md says what to do where they are gone"
)
REMEDY = "nothing was changed: name the place that belongs to this ledger, or one in which nothing is; see docs/object-stores.md"


def is_installed() -> bool:
    """Whether an object store can be used."""
    return importlib.util.find_spec("obstore") is not None


def place_of(config: Config) -> "CloudPlace":
    """The store that a configuration names. Asks nobody. Raises DataDirectoryError, and ValueError for a key of another form."""
    if not is_installed():
        raise DataDirectoryError(f"[server] files: {MISSING}")
    # What needs obstore is imported where it is there.
    from slackwater.adapters.object_store.place import CloudPlace

    server = config.server
    return CloudPlace(
        read_address(server.files),
        endpoint=server.files_endpoint,
        region=server.files_region,
        secret=config.files_secret,
    )


def store_of(config: Config) -> "ObjectBlobs | None":
    """The same, opened; None where files lie in the data directory. Raises DataDirectoryError."""
    if not config.server.files:
        return None
    try:
        place = place_of(config)
    except ValueError as error:
        raise DataDirectoryError(f"[server] files: {error}") from None
    from slackwater.adapters.object_store.blobs import ObjectBlobs

    try:
        return ObjectBlobs(place)
    except Exception as error:
        # What it says may have the key in it.
        raise DataDirectoryError(
            f"{place.why_closed(error)}; correct [server] files_key_env or files_endpoint, see docs/object-stores.md"
        ) from error


async def mark_in_store(store: "ObjectBlobs") -> Mark | None:
    """The mark of the blobs in a store; None where it has none that can be told. Raises FilesUnavailable."""
    data = await store.mark()
    try:
        return None if data is None else msgspec.json.decode(data, type=Mark)
    except msgspec.DecodeError:
        return None


async def fit_in_store(store: "ObjectBlobs", found: Found) -> tuple[Fit, Mark | None]:
    """How the ledger of a data directory belongs to the blobs in a store, and their mark. Raises FilesUnavailable."""
    mark, bytes_there = await mark_in_store(store), await store.has_blobs()
    fit = fit_of(found.mark, mark, empty=found.empty, bytes_there=bytes_there, named=found.named)
    # A ledger that has no files yet may begin with a store, however often it has been served.
    return (Fit.FITS if fit is Fit.ABSENT and not found.named else fit), mark


async def fault_in_store(store: "ObjectBlobs", found: Found, path: Path, database: str) -> str | None:
    """Why a ledger may not be served with the files in a store; None where it may. Changes nothing. Raises FilesUnavailable."""
    if await asyncio.to_thread(bytes_in, path):
        return IN_FOLDER.format(data=path, store=store.shown)
    noted = await asyncio.to_thread(DataDirectory.files_of, path)
    fit, mark = await fit_in_store(store, found)
    if noted not in ("", store.shown) and mark is None:
        return OTHER_PLACE.format(data=path, noted=noted, names=f"names {store.shown}")
    words = fault_of(fit, path, database, files=store.shown)
    return None if words is None else f"{words}; {ABSENT if fit is Fit.ABSENT else REMEDY}"


def fault_without_store(path: Path) -> str | None:
    """Why a data directory may not be served by a configuration that names no store; None where it may."""
    noted = DataDirectory.files_of(path)
    return OTHER_PLACE.format(data=path, noted=noted, names="is empty") if noted else None


async def refuse_apart_from_files(store: "ObjectBlobs | None", found: Found, path: Path, database: str) -> None:
    """Raises DataDirectoryError where the files of a ledger are somewhere else, before anything is written."""
    words = fault_without_store(path) if store is None else await fault_in_store(store, found, path, database)
    if words is not None:
        raise DataDirectoryError(words)


class DiskRoom:
    """The disk of the data directory, where the blobs are elsewhere."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def free_bytes(self) -> int:
        """How many bytes this process may still write to it."""
        disk = await asyncio.to_thread(os.statvfs, self._path)
        return disk.f_bavail * disk.f_frsize
