"""Blobs as files below one directory. A new blob has a temporary name until its bytes are on disk; a log only grows.

Waiting for the disk happens on threads. What `publish` and `append` returned survives a power cut: data is synced before
the rename, and the directory after it.
"""

import asyncio
import errno
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from io import FileIO
from pathlib import Path
from typing import BinaryIO, TypeVar

from slackwater.core.errors import StorageFull
from slackwater.ports import BlobRange

T = TypeVar("T")
Run = Callable[..., Awaitable[T]]

# Bytes that a writer collects before it goes to a thread, and the size of the pieces of a stream.
PIECE = 1 << 20
# Most buffers of one writev; Linux allows 1024.
BUFFERS_MAX = 1024
PART = ".part"


class Disk:
    """The system calls that matter for durability. A simulation overrides them to lose power or to run out of room."""

    def open(self, path: Path, flags: int) -> int:
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def write(self, fd: int, buffers: Sequence[bytes]) -> int:
        return os.writev(fd, buffers)

    def copy(self, source: int, offset: int, target: int, length: int) -> int:
        try:
            return os.copy_file_range(source, target, length, offset)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            return os.write(target, os.pread(source, min(length, PIECE), offset))

    def sync(self, fd: int) -> None:
        os.fdatasync(fd)

    def truncate(self, fd: int, length: int) -> None:
        os.ftruncate(fd, length)

    def rename(self, source: Path, target: Path) -> None:
        os.replace(source, target)

    def sync_directory(self, path: Path) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def remove(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _full(error: OSError, root: Path) -> StorageFull:
    return StorageFull(f"no room for {root}: {error.strerror}; free some disk space")


def _no_room(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _write_all(disk: Disk, fd: int, buffers: Sequence[bytes]) -> None:
    """Writes every byte, however little each call takes."""
    for start in range(0, len(buffers), BUFFERS_MAX):
        left = list(buffers[start : start + BUFFERS_MAX])
        expected = sum(map(len, left))
        while expected:
            written = disk.write(fd, left)
            expected -= written
            while left and written >= len(left[0]):
                written -= len(left.pop(0))
            if written:
                left[0] = left[0][written:]


class DiskBlobs:
    """The BlobStore of one machine."""

    def __init__(self, root: Path, *, run: Run[object] | None = None, disk: Disk | None = None) -> None:
        """`run(function, *arguments)` runs what waits for the disk; the default is a thread."""
        self.root = root
        self._run: Callable[..., Awaitable[object]] = run or asyncio.to_thread
        self.disk = disk or Disk()
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def __reduce__(self) -> tuple[type["DiskBlobs"], tuple[Path]]:
        # Another process gets its own threads and the real disk.
        return DiskBlobs, (self.root,)

    def path(self, key: str) -> Path:
        """Where a key lies. Keys are made by us; this is the second lock on the door."""
        parts = key.rstrip("/").split("/")
        assert all(part not in ("", ".", "..") and "\0" not in part for part in parts), f"not a key: {key!r}"
        return self.root.joinpath(*parts)

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Runs what waits for the disk; a full disk becomes StorageFull."""
        try:
            return await self._run(function, *arguments)  # type: ignore[return-value]
        except OSError as error:
            if _no_room(error):
                raise _full(error, self.root) from error
            raise

    async def create(self, key: str) -> "DiskWriter":
        path = self.path(key)
        # A name of its own: two who make the same blob at once must not write into one file.
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PART}")
        return DiskWriter(self, path, part, await self.run(self._start, part))

    def _start(self, part: Path) -> int:
        part.parent.mkdir(parents=True, exist_ok=True)
        return self.disk.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL)

    async def open_log(self, key: str) -> "DiskLog":
        path = self.path(key)

        def start() -> int:
            path.parent.mkdir(parents=True, exist_ok=True)
            return self.disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)

        return DiskLog(self, key, path, await self.run(start))

    async def read(self, source: BlobRange) -> bytes:
        def work() -> bytes:
            with open(self.path(source.key), "rb", buffering=0) as file:
                file.seek(source.offset)
                return file.read(source.length)

        return await self.run(work)

    async def stream(self, key: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        file = await self.run(self._open, self.path(key))
        try:
            await self.run(file.seek, offset)
            left = length
            while left is None or left > 0:
                piece = await self.run(file.read, PIECE if left is None else min(PIECE, left))
                if not piece:
                    return
                left = None if left is None else left - len(piece)
                yield piece
        finally:
            file.close()

    def _open(self, path: Path) -> FileIO:
        return FileIO(path)

    def reader(self, key: str) -> BinaryIO:
        return open(self.path(key), "rb", buffering=1 << 18)

    async def size(self, key: str) -> int:
        """How many bytes a blob has."""
        return (await self.run(os.stat, self.path(key))).st_size

    async def names(self, prefix: str) -> list[str]:
        path = self.path(prefix)
        return await self.run(lambda: sorted(os.listdir(path)) if path.is_dir() else [])

    async def delete(self, key: str) -> None:
        await self.run(self.disk.remove, self.path(key))

    async def sweep_parts(self) -> int:
        """Removes what a crash left half written; returns how many. Only for a store that nobody writes to yet."""

        def work() -> int:
            parts = list(self.root.rglob("*" + PART))
            for part in parts:
                self.disk.remove(part)
            return len(parts)

        return await self.run(work)


class DiskWriter:
    """A new blob under its temporary name. Small writes are collected, so that a thread is asked once a mebibyte."""

    def __init__(self, blobs: DiskBlobs, path: Path, part: Path, fd: int) -> None:
        self._blobs = blobs
        self._path = path
        self._part = part
        self._fd: int | None = fd
        self._collected: list[bytes] = []
        self._collected_bytes = 0
        self.size = 0

    async def write(self, data: bytes) -> None:
        self._collected.append(bytes(data))
        self._collected_bytes += len(data)
        self.size += len(data)
        if self._collected_bytes >= PIECE:
            await self._flush()

    async def _flush(self) -> None:
        collected, self._collected, self._collected_bytes = self._collected, [], 0
        if collected:
            assert self._fd is not None, "write after the end"
            await self._blobs.run(_write_all, self._blobs.disk, self._fd, collected)

    async def copy(self, source: BlobRange) -> None:
        await self._flush()
        target, disk = self._fd, self._blobs.disk
        assert target is not None, "copy after the end"

        def work() -> None:
            with open(self._blobs.path(source.key), "rb", buffering=0) as file:
                offset, left = source.offset, source.length
                while left:
                    copied = disk.copy(file.fileno(), offset, target, left)
                    if not copied:
                        raise OSError(f"{source.key} ends before byte {offset + left}")
                    offset += copied
                    left -= copied

        await self._blobs.run(work)
        self.size += source.length

    async def publish(self) -> None:
        await self._flush()
        fd, disk = self._fd, self._blobs.disk
        assert fd is not None, "published twice"

        def work() -> None:
            disk.sync(fd)
            os.close(fd)
            self._fd = None
            disk.rename(self._part, self._path)
            disk.sync_directory(self._path.parent)

        await self._blobs.run(work)

    async def discard(self) -> None:
        self._collected.clear()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
            await self._blobs.run(self._blobs.disk.remove, self._part)


class DiskLog:
    """A growing file. Bytes after `_durable` do not count: a failed append cuts them off before the next one."""

    def __init__(self, blobs: DiskBlobs, key: str, path: Path, fd: int) -> None:
        self._blobs = blobs
        self._key = key
        self._path = path
        self._fd = fd
        self._durable = 0
        self._dirty = False
        self._named = False
        self._one_at_a_time = asyncio.Lock()

    async def append(self, data: Sequence[bytes]) -> BlobRange:
        async with self._one_at_a_time:
            length = sum(map(len, data))
            await self._blobs.run(self._append, data, length)
            offset, self._durable = self._durable, self._durable + length
            return BlobRange(key=self._key, offset=offset, length=length)

    def _append(self, data: Sequence[bytes], length: int) -> None:
        disk = self._blobs.disk
        if self._dirty:
            disk.truncate(self._fd, self._durable)
        self._dirty = True
        _write_all(disk, self._fd, data)
        disk.sync(self._fd)
        if not self._named:
            disk.sync_directory(self._path.parent)
            disk.sync_directory(self._path.parent.parent)
            self._named = True
        self._dirty = False

    async def close(self) -> None:
        os.close(self._fd)
