"""Uploads and their janitor over a real ledger and a real disk, with a clock that is set by hand."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from slackwater.adapters.disk.blobs import Disk, DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.files.file import File, FileLimits, Purpose
from slackwater.core.files.upload import UploadPart
from slackwater.pipeline.ending.janitor import UploadJanitor
from slackwater.pipeline.files.intake import new_file_id
from slackwater.pipeline.files.uploads import Uploads

HOUR = 3_600


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 1_000_000.5
        self.wall_ahead = 0.0
        """By how much the clock on the wall has been set forward."""

    def now(self) -> float:
        return self.time + self.wall_ahead

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Died(BaseException):
    """The process ended here."""


class MortalLedger(SqlLedger):
    """Looks at the disk when something is about to become true, and dies before or after it where it is told to."""

    blobs: DiskBlobs
    dies = ""

    async def add_upload_part(self, part: UploadPart, **named: Any) -> bool:
        assert self.blobs.path(part.blob).stat().st_size == part.size, "bytes before the row"
        self._die("before part")
        return await super().add_upload_part(part, **named)

    async def complete_upload(self, upload_id: str, **named: Any) -> bool:
        assert self.blobs.path(named["file"].blob).stat().st_size == named["file"].size, "the file before its row"
        for part in await self.upload_parts(upload_id):
            assert self.blobs.path(part.blob).exists(), "parts stay until the upload has ended"
        self._die("before completed")
        done = await super().complete_upload(upload_id, **named)
        self._die("after completed")
        return done

    def _die(self, where: str) -> None:
        if self.dies == where:
            self.dies = ""
            raise Died(where)


class World:
    """Uploads and their janitor over a real ledger and a real disk."""

    def __init__(self, place: Path, *, disk: Disk | None = None, limits: FileLimits | None = None) -> None:
        self.watch = Watch()
        self.blobs = DiskBlobs(place / "blobs", disk=disk)
        self.ledger = MortalLedger.open(place / "ledger.sqlite")
        assert isinstance(self.ledger, MortalLedger)
        self.ledger.blobs = self.blobs
        self.woken = 0
        self.uploads = Uploads(
            self.ledger,
            self.blobs,
            self.watch,
            bytes_max=lambda purpose: 1_000 if purpose is Purpose.BATCH else 0,
            limits=limits or FileLimits(),
            new_file_id=new_file_id,
            wake=self.wake,
        )
        self.janitor = UploadJanitor(self.ledger, self.blobs, self.watch)

    def wake(self) -> None:
        self.woken += 1

    async def create(self, size: int, *, purpose: Purpose = Purpose.BATCH, **changes: Any) -> str:
        given: dict[str, Any] = {"filename": "in.jsonl", "mime_type": "text/jsonl", "lifetime_seconds": HOUR}
        given |= {"file_lifetime_seconds": None}
        return (await self.uploads.create(size=size, purpose=purpose, **(given | changes))).id

    async def part(self, upload_id: str, data: bytes, *, part_id: str) -> UploadPart:
        incoming = await self.uploads.begin_part(upload_id, part_id=part_id)
        try:
            await incoming.write(data)
            return await incoming.finish()
        finally:
            await incoming.discard()

    async def prepared(self, *datas: bytes, name: str = "part") -> tuple[str, list[str]]:
        """An upload of just these parts."""
        upload_id = await self.create(sum(map(len, datas)))
        parts = [await self.part(upload_id, data, part_id=f"{name}_{number}") for number, data in enumerate(datas)]
        return upload_id, [part.id for part in parts]

    async def complete(self, upload_id: str, part_ids: list[str], **more: Any) -> File:
        _, file = await self.uploads.complete(upload_id, part_ids=part_ids, **more)
        assert file is not None
        return file

    async def content(self, file: File) -> bytes:
        return b"".join([piece async for piece in self.blobs.stream(file.blob)])

    def bytes_of(self, kind: str) -> list[str]:
        """The names of all files below `kind`, unfinished ones included."""
        return sorted(path.name for path in (self.blobs.root / kind).rglob("*"))

    async def files(self) -> list[str]:
        now = int(self.watch.now())
        shown = await self.ledger.files(purpose=None, after=None, limit=99, descending=False, now=now)
        return [file.id for file in shown]


def play(place: Path, story: Callable[[World], Awaitable[None]], **given: Any) -> None:
    """Runs a story in a new world."""

    async def main() -> None:
        world = World(place, **given)
        try:
            await story(world)
        finally:
            await world.ledger.close()

    asyncio.run(main())
