"""The system calls below the blobs, and the threads that wait for them.

`Disk` is the seam where a simulation loses power or runs out of room; everything above it is production code there too.
"""

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from slackwater.core.errors import StorageFull

T = TypeVar("T")

# Most buffers of one writev; Linux allows 1024.
BUFFERS_MAX = 1024
# Bytes of the fallback of `copy`, which carries them through memory.
COPY_BUFFER = 1 << 20
# Disk operations at once. More only queue up in the kernel; fewer let one slow fsync hold up a download.
THREADS = 8
# From linux/fs.h: start writing, wait for nothing.
SYNC_FILE_RANGE_WRITE = 2

REMEDIES = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some space there, or raise the quota",
    errno.EFBIG: "raise the limit on the size of a file (ulimit -f), or use another file system",
}


class Disk:
    """The system calls that matter for durability. A simulation overrides them to lose power or to run out of room."""

    def open(self, path: Path, flags: int) -> int:
        """A descriptor that no child process inherits."""
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def write(self, fd: int, buffers: Sequence[bytes | memoryview]) -> int:
        """Writes at most BUFFERS_MAX buffers; returns how many bytes were taken."""
        return os.writev(fd, buffers)

    def copy(self, source: int, offset: int, target: int, length: int) -> int:
        """Copies within the kernel where it can; returns how many bytes were copied, 0 at the end of `source`."""
        if hasattr(os, "copy_file_range"):
            try:
                return os.copy_file_range(source, target, length, offset)
            except OSError as error:
                # Two file systems, or one that cannot: through memory then.
                if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                    raise
        return os.write(target, os.pread(source, min(length, COPY_BUFFER), offset))

    def begin_sync(self, fd: int, offset: int, length: int) -> None:
        """Asks the kernel to start bringing bytes to the disk, so that less is left for `sync`. It promises nothing.

        What goes wrong is not heard here: the kernel keeps a failed write for the next sync of the same descriptor.
        """
        begin = _sync_file_range()
        if begin is not None:
            begin(fd, offset, length, SYNC_FILE_RANGE_WRITE)

    def sync(self, fd: int) -> None:
        """Returns once the bytes of a file, and its length, are on the disk."""
        getattr(os, "fdatasync", os.fsync)(fd)

    def lock(self, fd: int, *, shared: bool = False) -> bool:
        """Takes the lock of an open file, until it is closed; False where somebody has it. Waits for nobody. Raises OSError."""
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def truncate(self, fd: int, length: int) -> None:
        """Cuts a file to `length` bytes."""
        os.ftruncate(fd, length)

    def rename(self, source: Path, target: Path) -> None:
        """Gives a file another name, atomically, in place of one that has it."""
        os.replace(source, target)

    def sync_directory(self, path: Path) -> None:
        """Returns once the names in a directory are on the disk."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def remove(self, path: Path) -> None:
        """Removes a file. A missing one is fine."""
        path.unlink(missing_ok=True)

    def remove_tree(self, path: Path) -> None:
        """Removes a directory and what is below it; what others remove or add meanwhile is fine."""
        for directory, _, names in os.walk(path, topdown=False):
            for name in names:
                self.remove(Path(directory, name))
            try:
                os.rmdir(directory)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                    raise


@functools.cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    """The C library's function of that name; None where there is none, which only costs time."""
    function = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return function


def write_all(disk: Disk, fd: int, buffers: Sequence[bytes]) -> None:
    """Writes every byte, however little each call takes."""
    for start in range(0, len(buffers), BUFFERS_MAX):
        left: list[bytes | memoryview] = list(buffers[start : start + BUFFERS_MAX])
        expected = sum(map(len, left))
        while expected:
            written = disk.write(fd, left)
            expected -= written
            if not expected:
                break
            # A short write: rare, so clarity goes before speed here. What is left of a large buffer is not copied.
            while written >= len(left[0]):
                written -= len(left.pop(0))
            left[0] = memoryview(left[0])[written:]


def storage_full(error: OSError, root: Path) -> StorageFull | None:
    """The error of ours for one that says that there is no room, with the way out; None for any other."""
    remedy = REMEDIES.get(error.errno or 0)
    return StorageFull(f"no room in {root}: {error.strerror}; {remedy}") if remedy else None


class Threads:
    """Runs work that waits for the disk on a few threads."""

    def __init__(self) -> None:
        # Threads of our own: the loop's default ones may all be busy with something else. They start when needed.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="disk")

    async def __call__(self, function: Callable[..., T], *arguments: object) -> T:
        """Calls `function(*arguments)`. Returns or raises, cancelled or not, only when no thread is in it any more.

        Were a cancelled caller to go on at once, it would close a descriptor that a thread still writes to, and the
        kernel would give its number to somebody else's file.
        """
        future = asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait((future,))
            # Nobody is left to hear of a failure.
            future.exception()
            raise
