"""A blob that grows, as a file: the journal's logs. One append is one write and one sync."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence

from slackwater.adapters.disk.disk import write_all
from slackwater.adapters.disk.place import Place
from slackwater.ports import BlobRange
from slackwater.telemetry import event


class DiskLog:
    """A growing file. Bytes after `_end` do not count: a failed append cuts them off before the next one."""

    def __init__(self, place: Place, key: str) -> None:
        self._place = place
        self._key = key
        self._path = place.path(key)
        self._fd: int | None = None
        self._end = 0
        self._ragged = False
        self._named = False
        self._one_at_a_time = asyncio.Lock()

    def start(self) -> None:
        """Makes the file. Runs where waiting is allowed."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = self._place.disk.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)

    async def append(self, data: Sequence[bytes], *, durable: bool = True) -> BlobRange:
        """Writes all parts with one call, and one sync where they are to be durable. A full disk gets back at once what did not
        fit whole."""
        async with self._one_at_a_time:
            written = await self._place.run(self._append, data, durable)
            self._place.refuses_writes = False
            return written

    def _append(self, data: Sequence[bytes], durable: bool) -> BlobRange:
        assert self._fd is not None, "append after close"
        disk = self._place.disk
        if not os.fstat(self._fd).st_nlink and self._path.parent.is_dir():
            self._begin_anew()
        # Cancelled or not, the thread that writes also moves the end: the two never disagree.
        if self._ragged:
            disk.truncate(self._fd, self._end)
        self._ragged = True
        try:
            write_all(disk, self._fd, data)
            if durable:
                disk.sync(self._fd)
            if durable and not self._named:
                self._place.sync_name(self._path)
                self._named = True
        except OSError:
            # What was written takes room that others may need now. Where even this fails, the next append tries again.
            with contextlib.suppress(OSError):
                disk.truncate(self._fd, self._end)
                self._ragged = False
            raise
        self._ragged = False
        written = BlobRange(key=self._key, offset=self._end, length=sum(map(len, data)))
        self._end += written.length
        return written

    def _begin_anew(self) -> None:
        """Somebody has removed the file. What comes now is not to be lost with it, and has the place that it would have had."""
        disk, fd = self._place.disk, self._fd
        assert fd is not None, "it was open"
        new = disk.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
        disk.truncate(new, self._end)
        self._fd, self._ragged, self._named = new, False, False
        os.close(fd)
        event("log_removed", level=logging.ERROR, log=self._key, bytes=self._end)

    async def close(self) -> None:
        """Closes the file, after an append that is under way. May be repeated."""
        async with self._one_at_a_time:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None
