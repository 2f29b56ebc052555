"""Moves the files of a ledger between the folder of its data directory and an object store, or from one store to another.

The note in the data directory that says where they are decides (`adapters/disk/files_note`). Before it is replaced, all that the
ledger names is in the new place and was read back, and nobody starts there; after it, nobody starts on the old one. Where the
ledger moves, too, its own step decides for both. What is marked after that is for others; the same command does it again.
"""

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct

from slackwater.adapters.backup.store import named_in
from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.disk.data_directory import DataDirectory, bytes_in, given_up_in
from slackwater.adapters.disk.files_note import FilesNote
from slackwater.adapters.sql.db import Db
from slackwater.adapters.sql.identity import Found
from slackwater.adapters.sql.sqlite import SCHEMA_VERSION
from slackwater.core.errors import DataDirectoryError, StorageTrouble
from slackwater.core.files.belonging import (
    Gone,
    Mark,
    gone_of_name,
    identity_of_arriving,
    name_of_arriving,
    name_of_gone,
)
from slackwater.pipeline.files.moving import Arrived, Movable, Show, Wanted, move_blobs
from slackwater.wiring.files import fault_in_store, mark_in_store

if TYPE_CHECKING:
    from slackwater.adapters.object_store.blobs import ObjectBlobs

# What a disk should have left beside the files that arrive.
SPARE_BYTES = 64 << 20
KEPT = "SELECT seq, key, offset_ FROM kept_text ORDER BY key, offset_"
KEPT_TEXT = "SELECT text FROM kept_text WHERE seq = ?"
EMPTY_IT = "name a prefix with nothing below it, or remove what is there"


class Source(Protocol):
    """The ledger whose files they are, read in one state while nobody works with it."""

    @property
    def db(self) -> Db:
        """The connection."""
        ...


class FilesArrived(Struct, frozen=True, kw_only=True):
    """How a move of files went that has ended well."""

    place: str
    """The address of the store that they are in; empty: the folder."""
    left: str
    """The address of the store that they were in, or the path of the data directory."""
    arrived: Arrived | None = None
    """What is there; None where it had been there before."""
    aside: Path | None = None
    """What the folder is called now that they were in."""
    unmarked: str = ""
    """Why the store in which they are now did not take its mark; with this data directory the next start writes it."""
    untold: str = ""
    """Why the store in which they were could not be told; with this data directory they are refused there all the same."""


class FilesMove:
    """One move of files, whose steps are called at the moments of the move of the ledger."""

    def __init__(
        self,
        data: DataDirectory,
        source: "ObjectBlobs | None",
        target: "ObjectBlobs | None",
        *,
        database: str,
        show: Show,
        at: str,
        stamp: str,
    ) -> None:
        """No `source`, no `target`: the folder. `database`: where the ledger is before the move. `stamp`: a moment in a name."""
        self._data = data
        self._source = source
        self._target = target
        self._database = database
        self._show = show
        self._stamp = stamp
        left = str(data.path.resolve()) if source is None else source.shown
        self._note = FilesNote(place="" if target is None else target.shown, left=left, at=at)
        self._arrived: Arrived | None = None

    @property
    def origin(self) -> str:
        """The address of the store that they are to leave; empty: the folder."""
        return "" if self._source is None else self._source.shown

    @property
    def decided(self) -> bool:
        """Whether they are in the new place already, by the word of the data directory."""
        note = DataDirectory.files_note(self._data.path)
        return note.place == self._note.place and bool(note.place or note.left)

    async def _refuse(self, found: Found) -> None:
        if self._source is not None:
            words = await fault_in_store(self._source, found, self._data.path, self._database)
            if words is not None:
                raise DataDirectoryError(words)
        elif noted := DataDirectory.files_of(self._data.path):
            raise DataDirectoryError(
                f"the files of {self._data.path} are in {noted}, and not in the folder: give the configuration that names that "
                "with --files-from"
            )
        assert found.mark is not None, "a ledger of this version has a mark"
        if self._target is None:
            self._refuse_folder(found.mark)
        else:
            await self._refuse_store(self._target, found.mark)

    def _refuse_folder(self, mine: Mark) -> None:
        if bytes_in(self._data.path) and self._data.arriving_for != mine.identity:
            raise DataDirectoryError(
                f"{self._data.blobs_path} has files in it that no move has brought there: move it away, and repeat this"
            )

    async def _refuse_store(self, target: "ObjectBlobs", mine: Mark) -> None:
        mark, contents = await mark_in_store(target), await target.contents()
        if mark is None:
            if contents or await target.mark() is not None:
                some = next(iter(contents), "slackwater.mark")
                raise DataDirectoryError(f"{target.shown} has something in it already, such as {some}: {EMPTY_IT}")
        elif (gone := gone_of_name(mark.identity)) is not None:
            raise DataDirectoryError(
                f"{target.shown} has what was left of files that moved to {gone.place} at {gone.at}: {EMPTY_IT}"
            )
        elif identity_of_arriving(mark.identity) != mine.identity:
            whose = "this ledger" if mark.identity == mine.identity else "another ledger"
            raise DataDirectoryError(f"{target.shown} has the files of {whose} already: {EMPTY_IT}")
        try:
            await target.try_out(f"move-{secrets.token_hex(6)}")
        except OSError as error:
            raise DataDirectoryError(f"{target.shown} cannot take the files: {error}") from error

    def copy(self, source: Source, found: Found) -> None:
        """Brings all that the ledger names to the new place, and reads it back.

        Raises DataDirectoryError where that is refused, MoveError, StorageTrouble, OSError.
        """
        asyncio.run(self._copy(source.db, found))

    async def _copy(self, db: Db, found: Found) -> None:
        await self._refuse(found)
        assert found.mark is not None, "it was looked at"
        named = named_in(db, SCHEMA_VERSION)
        self._refuse_without_room(sum(each.size or 0 for each in named))
        await self._claim(found.mark)
        texts: dict[str, list[tuple[int, int]]] = {}
        for seq, key, offset in db.execute(KEPT).fetchall():
            texts.setdefault(key, []).append((offset, seq))

        def kept(key: str) -> Sequence[tuple[int, bytes]]:
            return [
                (offset, bytes(db.execute(KEPT_TEXT, (seq,)).fetchall()[0][0])) for offset, seq in texts.get(key, ())
            ]

        given_up = given_up_in(self._data.path)
        wanted = [Wanted(each.key, each.size, each.checksum, each.grows, each.key in given_up) for each in named]
        folder = DiskBlobs(self._data.blobs_path) if self._source is None or self._target is None else None
        target: Movable = self._target or folder  # type: ignore[assignment]
        if target is folder is not None:
            await folder.sweep_parts()
        self._arrived = await move_blobs(
            self._source or folder,  # type: ignore[arg-type]
            target,
            wanted,
            kept=kept,
            show=self._show,
        )
        if target is folder is not None:
            await folder.sync_folders()

    def _refuse_without_room(self, size: int) -> None:
        if self._target is not None:
            return
        free = shutil.disk_usage(self._data.path).free
        if free < size + SPARE_BYTES and not self._data.arriving_for:
            raise DataDirectoryError(
                f"{self._data.path} has room for {free:,} bytes, and the files are {size:,}: free some space, or name a larger "
                "disk"
            )

    async def _claim(self, mine: Mark) -> None:
        """From here on the new place says what is on its way to it, and the data directory where the files are until then."""
        if self._source is not None:
            self._data.note_files(self._source.shown)
        else:
            # It was finished, and died before it could say so.
            self._data.claim_folder("")
        if self._target is None:
            self._data.claim_folder(mine.identity)
        else:
            await self._target.write_mark(msgspec.json.encode(Mark(name_of_arriving(mine.identity), mine.generation)))

    def decide(self, *, once: str = "") -> None:
        """From here on they are in the new place; with `once`, as soon as the data directory has something of that name."""
        self._data.let_files_go(self._note, once=once)

    def finish(self, mark: Mark | None) -> FilesArrived:
        """Marks both places for whoever does not have this data directory. May be repeated. Raises OSError, StorageTrouble.

        `mark` is that of the ledger, where it is.
        """
        self._data.settle_files()
        aside = None
        if self._target is None:
            self._data.claim_folder("")
        elif Path(DataDirectory.files_note(self._data.path).left).is_absolute():
            # A disk that is mounted there keeps its name, and nobody looks at it.
            with contextlib.suppress(OSError):
                aside = self._data.put_blobs_aside(self._free_name())
        unmarked, untold = asyncio.run(self._mark(mark))
        left = DataDirectory.files_note(self._data.path).left
        return FilesArrived(
            place=self._note.place, left=left, arrived=self._arrived, aside=aside, unmarked=unmarked, untold=untold
        )

    def _free_name(self) -> str:
        name = taken = f"blobs-moved-{self._stamp}"
        number = 1
        while (self._data.path / name).exists():
            name = f"{taken}-{(number := number + 1)}"
        return name

    async def _mark(self, mark: Mark | None) -> tuple[str, str]:
        """Why the new place did not take its mark, and why the old one was not told; empty where they were."""
        if mark is None:
            return "", ""
        return await _trouble_of(self._mark_target(mark)), await _trouble_of(self._tell_source(mark))

    async def _mark_target(self, mark: Mark) -> None:
        if self._target is not None:
            there = await mark_in_store(self._target)
            if there is not None and identity_of_arriving(there.identity) == mark.identity:
                await self._target.write_mark(msgspec.json.encode(mark))

    async def _tell_source(self, mark: Mark) -> None:
        if self._source is not None:
            there = await mark_in_store(self._source)
            if there is not None and there.identity == mark.identity:
                place = self._note.place or f"the data directory {self._data.path.resolve()}"
                name = name_of_gone(Gone(place=place, at=self._note.at))
                await self._source.write_mark(msgspec.json.encode(Mark(name, there.generation)))


async def _trouble_of(marking: Awaitable[None]) -> str:
    try:
        await marking
    except StorageTrouble as error:
        return str(error)
    return ""
