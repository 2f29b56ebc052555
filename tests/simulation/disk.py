"""A disk that can be full and can lose power. Files are real; what a power cut may take is kept in mind."""

import errno
import os
import random
from collections.abc import Sequence
from pathlib import Path

from slackwater.adapters.disk.blobs import Disk


class SimulatedDisk(Disk):
    """Remembers how much of every file has been synced, and which names have."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.full = False
        self.refused = 0
        """How often there was no room."""
        self.honest = True
        self._paths: dict[int, Path] = {}
        self._synced: dict[Path, int] = {}
        self._unsynced_names: dict[Path, Path | None] = {}

    def open(self, path: Path, flags: int) -> int:
        new = not path.exists()
        fd = super().open(path, flags)
        self._paths[fd] = path
        if new:
            self._synced[path] = 0
            self._unsynced_names[path] = None
        return fd

    def write(self, fd: int, buffers: Sequence[bytes]) -> int:
        if self.full:
            self.refused += 1
            # Some bytes still fit before the error comes.
            super().write(fd, [buffers[0][: len(buffers[0]) // 2]])
            raise OSError(errno.ENOSPC, "No space left on device")
        if self._chance.random() < 0.2 and len(buffers) > 1:
            return super().write(fd, buffers[: len(buffers) // 2])
        return super().write(fd, buffers)

    def sync(self, fd: int) -> None:
        if self.full and self._chance.random() < 0.3:
            self.refused += 1
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.honest:
            self._synced[self._paths[fd]] = os.fstat(fd).st_size

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        if target.is_dir():
            # Of what was set aside nothing is expected any more.
            for kept in (self._synced, self._unsynced_names):
                for path in [path for path in kept if path.is_relative_to(source)]:
                    del kept[path]
            return
        # What the world has put there itself has been on the disk for long.
        self._synced[target] = self._synced.pop(source, target.stat().st_size)
        self._unsynced_names.pop(source, None)
        self._unsynced_names[target] = source

    def sync_directory(self, path: Path) -> None:
        for name in [name for name in self._unsynced_names if name.parent == path]:
            del self._unsynced_names[name]

    def power_cut(self) -> None:
        """Takes what was not synced: names, and a random part of the bytes after the last sync."""
        for path in list(self._unsynced_names):
            if self._chance.random() < 0.5:
                path.unlink(missing_ok=True)
        self._unsynced_names.clear()
        for path, synced in self._synced.items():
            if path.exists() and path.stat().st_size > synced:
                os.truncate(path, self._chance.randint(synced, path.stat().st_size))
