"""Where files lie: in the data directory, or in an object store that the configuration names."""

import asyncio
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from slackwater.adapters.disk.data_directory import DataDirectory, bytes_in
from slackwater.adapters.sql.identity import Found
from slackwater.config import Config, ServerConfig
from slackwater.core.errors import DataDirectoryError
from slackwater.core.files.belonging import Fit, Mark, fit_of, gone_of_name, identity_of_arriving
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
    "{data} has files in it, and [server] files names {store}: move them there with 'slackwater migrate-data --files store', "
    "take that out of the configuration, or begin with a new data directory"
)
TO_STORE = (
    "the files of {data} moved to {place} at {at}: name that in [server] files and give the configuration with --config, or "
    "bring them back with 'slackwater migrate-data --files folder'"
)
FROM_STORE = "the files of {data} moved from {store} to {place} at {at}: {remedy}"
NOT_THERE = (
    "the files that were in {store} moved to {place} at {at}: name the configuration that is served with them there"
)
ON_THEIR_WAY = (
    "files are on their way to {store}, and that has not ended: repeat 'slackwater migrate-data --files store', or go on with "
    "the configuration from before"
)
ABSENT = (
    "nothing was changed: name the place that has its files; docs/object-stores.md says what to do where they are gone"
)
REMEDY = "nothing was changed: name the place that belongs to this ledger, or one in which nothing is; see docs/object-stores.md"


def is_installed() -> bool:
    """Whether an object store can be used."""
    return importlib.util.find_spec("obstore") is not None


def place_of(server: ServerConfig, secret: str) -> "CloudPlace":
    """The store that a configuration names. Asks nobody. Raises DataDirectoryError, and ValueError for a key of another form."""
    if not is_installed():
        raise DataDirectoryError(f"[server] files: {MISSING}")
    # What needs obstore is imported where it is there.
    from slackwater.adapters.object_store.place import CloudPlace

    return CloudPlace(
        read_address(server.files), endpoint=server.files_endpoint, region=server.files_region, secret=secret
    )


def store_of(config: Config) -> "ObjectBlobs | None":
    """The same, opened; None where files lie in the data directory. Raises DataDirectoryError."""
    return store_at(config.server, config.files_secret)


def store_at(server: ServerConfig, secret: str) -> "ObjectBlobs | None":
    """The same by what is said of it alone."""
    if not server.files:
        return None
    try:
        place = place_of(server, secret)
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


async def fit_in_store(store: "ObjectBlobs", found: Found, noted: str = "") -> tuple[Fit, Mark | None]:
    """How the ledger of a data directory belongs to the blobs in a store, and their mark. Raises FilesUnavailable.

    `noted` is where the directory says that they are: where that is this store, those that were on their way to it have arrived.
    """
    mark, bytes_there = await mark_in_store(store), await store.has_blobs()
    if mark is not None and noted == store.shown and (arrived := identity_of_arriving(mark.identity)) is not None:
        mark = Mark(arrived, mark.generation)
    fit = fit_of(found.mark, mark, empty=found.empty, bytes_there=bytes_there, named=found.named)
    # A ledger that has no files yet may begin with a store, however often it has been served.
    return (Fit.FITS if fit is Fit.ABSENT and not found.named else fit), mark


async def fault_in_store(store: "ObjectBlobs", found: Found, path: Path, database: str) -> str | None:
    """Why a ledger may not be served with the files in a store; None where it may. Changes nothing. Raises FilesUnavailable."""
    note = await asyncio.to_thread(DataDirectory.files_note, path)
    if note.left == store.shown != note.place:
        remedy = "name that in [server] files" if note.place else "take files out of [server] in the configuration"
        return FROM_STORE.format(
            data=path, store=store.shown, place=note.place or "that folder", at=note.at, remedy=remedy
        )
    # What lies in a folder whose files have moved is what they were, or what a move has not finished there.
    if note.place != store.shown and await asyncio.to_thread(bytes_in, path):
        return IN_FOLDER.format(data=path, store=store.shown)
    fit, mark = await fit_in_store(store, found, note.place)
    if mark is not None and (gone := gone_of_name(mark.identity)) is not None:
        return NOT_THERE.format(store=store.shown, place=gone.place, at=gone.at)
    if mark is not None and identity_of_arriving(mark.identity) is not None:
        return ON_THEIR_WAY.format(store=store.shown)
    if note.place not in ("", store.shown) and mark is None:
        return OTHER_PLACE.format(data=path, noted=note.place, names=f"names {store.shown}")
    words = fault_of(fit, path, database, files=store.shown)
    return None if words is None else f"{words}; {ABSENT if fit is Fit.ABSENT else REMEDY}"


def fault_without_store(path: Path) -> str | None:
    """Why a data directory may not be served by a configuration that names no store; None where it may."""
    note = DataDirectory.files_note(path)
    if not note.place:
        return None
    if note.left:
        return TO_STORE.format(data=path, place=note.place, at=note.at)
    return OTHER_PLACE.format(data=path, noted=note.place, names="is empty")


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
