"""Whether the bytes of a file are those that were written, before anybody is given some of them.

That they are there and how many they are is looked at each time. What they are is known by a checksum of the whole, which the
store remembers as long as nobody touches the file; otherwise it is read first, up to a size. What was not written or read whole
within the hour is also compared on its way: the last bytes are kept back where it is not what was written, and the next call
hears so at once.
"""

import contextlib
import logging
from collections.abc import AsyncIterator

from slackwater.core.errors import FileUnreadable
from slackwater.core.files.file import File
from slackwater.ports import BlobStat, BlobStore
from slackwater.telemetry import event, meters

# So much is read before the first byte goes out: a tenth of a second where it is in memory, and more than an input file may have.
CHECKED_BYTES = 256 << 20
UNREADABLE = (
    "The bytes of the file are missing or damaged on the server, and asking again will not bring them back. Whoever runs the "
    "service finds it in the log, and may have a back-up."
)


async def find(blobs: BlobStore, file: File) -> BlobStat:
    """Raises FileUnreadable where bytes are gone or cut off, or known to be others. Returns what is known of them."""
    try:
        stat = await blobs.stat(file.blob)
    except FileNotFoundError as error:
        raise unreadable(file, "gone") from error
    except OSError as error:
        raise unreadable(file, repr(error)) from error
    if stat.size != file.size:
        raise unreadable(file, f"{stat.size} bytes of {file.size}")
    if stat.checksum is not None and file.checksum not in (None, stat.checksum):
        raise unreadable(file, "changed")
    return stat


async def learn(blobs: BlobStore, file: File) -> BlobStat:
    """The same, and reads the file where that is what it takes to know, up to CHECKED_BYTES. That is remembered."""
    stat = await find(blobs, file)
    if file.checksum is None or stat.checksum is not None or file.size > CHECKED_BYTES:
        return stat
    try:
        checksum = await blobs.checksum(file.blob)
    except OSError as error:
        raise unreadable(file, repr(error)) from error
    if checksum != file.checksum:
        raise unreadable(file, "changed")
    return BlobStat(stat.size, checksum, fresh=True)


async def check(blobs: BlobStore, file: File) -> AsyncIterator[bytes]:
    """The same, and returns all its bytes, in pieces.

    These raise FileUnreadable before the last piece where they are not those that were written.
    """
    stat = await learn(blobs, file)
    if file.checksum is None or stat.fresh:
        return blobs.stream(file.blob)
    return _compared(blobs, file, file.checksum)


async def _compared(blobs: BlobStore, file: File, checksum: int) -> AsyncIterator[bytes]:
    try:
        async for piece in blobs.stream_whole(file.blob, size=file.size, checksum=checksum):
            yield piece
    except OSError as error:
        # Read once more, to be remembered: what has changed says so before its first byte from now on, and what only the
        # disk got wrong does not.
        with contextlib.suppress(OSError):
            await blobs.checksum(file.blob)
        raise unreadable(file, f"while it was read: {error!r}") from error


def unreadable(file: File, why: str) -> FileUnreadable:
    """The error, told in the log and counted."""
    meters.damage_seen["files"] += 1
    event("file_unreadable", level=logging.ERROR, file=file.id, blob=file.blob, why=why)
    return FileUnreadable(UNREADABLE)
