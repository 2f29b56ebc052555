"""The lines of another try are those that validation has seen, whenever it is that the bytes change."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.system_clock import SystemClock
from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.core.batch import RequestCounts, Status
from slackwater.core.errors import Conflict, FileUnreadable
from slackwater.core.files.file import FileLimits
from slackwater.pipeline.ending.batch_retries import BatchRetries
from tests.adapters.ledger_contract import batch, file
from tests.api.calls import chat

INPUT = chat(5)
ERRORS = b"".join(b'{"custom_id":"task-%d","error":{"code":"input_unreadable"}}\n' % number for number in (1, 3))
ENDED = batch(
    1,
    status=Status.COMPLETED,
    error_file_id="file-2",
    counts=RequestCounts(total=5, completed=3, failed=2),
)


class After(InlineOffload):
    """Something happens once the lines are picked, before they are copied."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self._happens = happens

    async def run(self, function: Callable[..., Any], *args: object) -> Any:
        found = await super().run(function, *args)
        self._happens()
        return found


def tried_again(place: Path, happens: Callable[[Path], object], *, sound: bool = True) -> bytes:
    """The input of another try of a batch whose second and fourth line have failed."""

    async def story() -> bytes:
        ledger, blobs = SqlLedger.open(place / "ledger.sqlite"), DiskBlobs(place / "blobs")
        for number, data in ((1, INPUT), (2, ERRORS)):
            writer = await blobs.create(f"files/{number}")
            await writer.write(data)
            await writer.publish()
            checksum = writer.checksum if sound or number == 2 else None
            await ledger.add_file(file(number, size=len(data), checksum=checksum), limits=FileLimits())
        offload = After(lambda: happens(blobs.path("files/1")))
        retries = BatchRetries(ledger, blobs, SystemClock(), offload, new_file_id=lambda: "again")
        try:
            made = await retries.input_of(ENDED, expires_seconds=None, limits=FileLimits())
            assert made == "again"
            return b"".join([piece async for piece in blobs.stream("files/again")])
        finally:
            assert await ledger.file("again") is None or blobs.path("files/again").exists()
            await ledger.close()

    return asyncio.run(story())


def test_what_was_damaged_and_is_put_back(tmp_path: Path) -> None:
    """Lines that were not sent because their bytes had changed are tried again, since the whole is what was uploaded."""
    lines = INPUT.splitlines(keepends=True)
    assert tried_again(tmp_path, lambda path: None) == lines[1] + lines[3]


def test_an_input_of_an_older_version(tmp_path: Path) -> None:
    """It has no checksum, so what was found to be damaged stays left out."""
    with pytest.raises(Conflict):
        tried_again(tmp_path, lambda path: None, sound=False)


def change(path: Path) -> None:
    path.write_bytes(INPUT.replace(b"task-3", b"task-X"))


@pytest.mark.parametrize("happens", [change, os.unlink, lambda path: os.truncate(path, 9)])
def test_a_change_between_reading_and_copying(tmp_path: Path, happens: Callable[[Path], object]) -> None:
    """What is copied is compared, too."""
    with pytest.raises(FileUnreadable):
        tried_again(tmp_path, happens)
