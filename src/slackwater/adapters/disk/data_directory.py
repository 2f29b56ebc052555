"""The directory that one Slackwater owns at a time: a lock, the ledger's file, the blobs, and the mark of their ledger.

Servers that share a ledger, which is a database, have it together. The lock is the kernel's, on an open file: a process that is
killed lets go of it, and nothing has to be cleaned up.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

import msgspec

from slackwater.adapters.disk.announcements import Announcements
from slackwater.adapters.disk.directory_lock import DirectoryLock, Held
from slackwater.adapters.disk.disk import Disk, write_all
from slackwater.adapters.disk.files_note import COMING, FILES, FilesNote, coming_in, note_in, text_of, text_of_coming
from slackwater.adapters.disk.place import LOST, PART
from slackwater.core.errors import DataDirectoryError, DataDirectoryInUse, LedgerMoved
from slackwater.core.files.belonging import Gone, Mark

# Its name in a directory says that a restore has begun there and not ended.
RESTORING = "restore.unfinished"
# The mark of the ledger that the blobs were last served with.
MARK = "slackwater.mark"
# Where the ledger has gone that is not here any more.
MOVED = "ledger.moved"
# What to do about somebody who has the directory: for whoever could work with another one, and for whoever is to change this one.
IN_USE = "stop it first, or give this one its own --data directory"
IN_USE_HERE = "stop it first"
# What a file system says that has no locks.
LOCKLESS = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL})
# For which ledger files are on their way into the folder.
ARRIVING = "files.arriving"
# Where the ledger is that has never been here.
LEDGER = "ledger.elsewhere"
# Blobs that are gone, by the word of an operator: a key in each line.
GIVEN_UP = "files.given-up"
# Word from whoever may write here that the clock is right, although it has jumped.
CONFIRMED = "clock.confirmed"


def _unusable(path: Path, error: OSError, *, locking: bool = False) -> DataDirectoryError:
    if locking and error.errno in LOCKLESS:
        return DataDirectoryError(
            f"data directory {path} is on a file system without locks (flock: {error.strerror}): use another one, or start the "
            "locks of its file server"
        )
    return DataDirectoryError(
        f"data directory {path} cannot be used: {error.strerror}; correct its permissions, or name another one"
    )


def mark_in(path: Path) -> Mark | None:
    """The mark of a data directory; None where it has none that can be told. Raises DataDirectoryError where it is not given."""
    try:
        return msgspec.json.decode((path / MARK).read_bytes(), type=Mark)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    except OSError as error:
        raise _unusable(path, error) from error


def gone_from(path: Path) -> Gone | None:
    """Where the ledger of a data directory has gone; None where it is here, or never was."""
    if DataDirectory.ledger_in(path).exists():
        return None
    try:
        return msgspec.json.decode((path / MOVED).read_bytes(), type=Gone)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    except OSError as error:
        raise _unusable(path, error) from error


def refuse_gone(path: Path) -> None:
    """Raises LedgerMoved where the ledger of a data directory is in a database now."""
    gone = gone_from(path)
    if gone is not None:
        raise LedgerMoved(
            f"the ledger of {path} moved to {gone.place} at {gone.at}: name that in [server] database and give the "
            "configuration with --config, or bring it back with 'slackwater migrate-data --to embedded'"
        )
    note = path / LEDGER
    if note.exists() and not DataDirectory.ledger_in(path).exists():
        try:
            place = note.read_text("utf-8").strip()
        except OSError as error:
            raise _unusable(path, error) from error
        raise LedgerMoved(
            f"the ledger of {path} is in a database, {place}: give the configuration that names it with --config. Where that is "
            f"lost for good, remove {note}, and ask again"
        )


def confirm_clock(path: Path) -> None:
    """Leaves word for the server that uses this directory. Raises OSError."""
    (path / CONFIRMED).touch(mode=0o600)


def keys_in(path: Path) -> Iterator[str]:
    """The blobs of a data directory, by their keys; what was never finished, or was put aside, is none."""
    root = path / "blobs"
    for directory, folders, names in os.walk(root):
        if Path(directory) == root and LOST in folders:
            folders.remove(LOST)
        for name in names:
            if not name.endswith(PART):
                yield Path(directory, name).relative_to(root).as_posix()


def size_in(path: Path, key: str) -> int:
    """The size of a blob of a data directory; -1 where it is not there. Raises DataDirectoryError where that is not said.

    It is opened for that: what a network file system remembers of a file it asks again then.
    """
    try:
        opened = os.open(path / "blobs" / key, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return -1
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        return os.fstat(opened).st_size
    finally:
        os.close(opened)


def given_up_in(path: Path) -> frozenset[str]:
    """Blobs that an operator knows to be gone, by their keys (`DataDirectory.give_up`). Raises DataDirectoryError."""
    try:
        return frozenset((path / GIVEN_UP).read_text("utf-8").splitlines())
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise _unusable(path, error) from error


def bytes_in(path: Path) -> bool:
    """Whether a data directory has blobs."""
    return next(keys_in(path), None) is not None


class DataDirectory:
    """An opened data directory; ours until it is closed or the process ends."""

    def __init__(self, path: Path, lock: DirectoryLock, *, shared: bool = False) -> None:
        self.path = path
        self._shared = shared
        self._lock = lock
        self.announcements = Announcements(path)
        """Words of the members of a ledger that is shared."""

    @classmethod
    def open(
        cls, path: Path, *, restoring: bool = False, shared: bool = False, in_use: str = IN_USE
    ) -> "DataDirectory":
        """Makes the directory if it is missing and takes the lock. Raises DataDirectoryError with the way out.

        What was made for that goes when it is closed, unless something else has come into the directory.
        `shared`: with others who say so, too, whose ledger is one for all. `in_use`: what to do where somebody has it.
        Half a restore is refused, except to the one who is `restoring`: what is missing would count as deleted.
        """
        try:
            lock = DirectoryLock(path, shared=shared)
        except (FileExistsError, NotADirectoryError) as error:
            raise DataDirectoryError(f"{path} is not a directory; name another one for the data") from error
        except Held as owner:
            raise DataDirectoryInUse(
                f"data directory {path} is in use by another slackwater (pid {owner}): {in_use}"
            ) from owner
        except OSError as error:
            raise _unusable(path, error, locking=True) from error
        if not os.access(path, os.W_OK | os.X_OK):
            lock.release()
            raise _unusable(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
        if not restoring and (path / RESTORING).exists():
            lock.release()
            raise DataDirectoryError(
                f"a restore into {path} has not ended: repeat it with 'slackwater restore BACKUP --data {path}'"
            )
        lock.sign()
        return cls(path, lock, shared=shared)

    @staticmethod
    def ledger_in(path: Path) -> Path:
        """Where the SQLite database of a data directory is."""
        return path / "ledger.sqlite"

    @property
    def ledger_path(self) -> Path:
        """The SQLite database."""
        return self.ledger_in(self.path)

    @property
    def blobs_path(self) -> Path:
        """The root of the blobs."""
        return self.path / "blobs"

    @staticmethod
    def files_note(path: Path) -> FilesNote:
        """Where the files of a data directory are, and where they were before. Raises DataDirectoryError."""
        try:
            return note_in(path)
        except OSError as error:
            raise _unusable(path, error) from error

    @classmethod
    def files_of(cls, path: Path) -> str:
        """Where the files of a data directory are; empty: in it, or nobody has said so yet. Raises DataDirectoryError."""
        return cls.files_note(path).place

    def note_files(self, address: str) -> None:
        """Says durably that the files are at this address. Raises OSError."""
        if self.files_of(self.path) != address:
            self._write(FILES, text_of(FilesNote(place=address)))

    def let_files_go(self, note: FilesNote, *, once: str = "") -> None:
        """Durably makes the files those that are where the note says. Raises OSError.

        With `once`, that is so as soon as the directory has something of that name, and not before.
        """
        if once:
            self._write(COMING, text_of_coming(note, once))
        else:
            self._write(FILES, text_of(note))

    def settle_files(self) -> None:
        """What an earlier move has left of a note to come: it takes its place where it counts, and goes where it does not."""
        try:
            note = coming_in(self.path)
        except OSError as error:
            raise _unusable(self.path, error) from error
        if note is not None:
            self._write(FILES, text_of(note))
        (self.path / COMING).unlink(missing_ok=True)

    def claim_folder(self, identity: str) -> None:
        """Says durably that what lies in the folder of the blobs is on its way there, for that ledger; empty: it is not."""
        if identity:
            self._write(ARRIVING, identity.encode())
        else:
            (self.path / ARRIVING).unlink(missing_ok=True)

    @property
    def arriving_for(self) -> str:
        """For which ledger files were on their way into the folder when somebody ended; empty: for none."""
        try:
            return (self.path / ARRIVING).read_text("utf-8").strip()
        except FileNotFoundError:
            return ""

    def put_blobs_aside(self, name: str) -> Path | None:
        """Gives the folder of the blobs another name, where there is one; returns which. Raises OSError."""
        if not self.blobs_path.exists():
            return None
        self._rename(self.blobs_path.name, name)
        return self.path / name

    def note_ledger(self, place: str) -> None:
        """Says durably in which database the ledger is; empty: it is here. Raises OSError."""
        note = self.path / LEDGER
        if not place:
            note.unlink(missing_ok=True)
        elif not note.exists() or note.read_text("utf-8").strip() != place:
            self._write(LEDGER, place.encode())

    def give_up(self, keys: Iterable[str]) -> None:
        """Says durably which blobs are known to be gone: no start is refused for these. Raises OSError."""
        text = "\n".join(keys)
        if text:
            self._write(GIVEN_UP, text.encode())
        else:
            (self.path / GIVEN_UP).unlink(missing_ok=True)

    @contextlib.contextmanager
    def marking(self) -> Iterator[bool]:
        """Whether the mark is this process's to change, for as long as it lasts; not while another one changes it."""
        if not self._shared:
            yield True
            return
        lock = os.open(self.path / "slackwater.marking", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(lock)

    def write_mark(self, mark: Mark) -> None:
        """Says durably which ledger the blobs belong to. Raises OSError; then the mark is what it was."""
        self._write(MARK, msgspec.json.encode(mark))

    def _write(self, name: str, text: bytes) -> None:
        disk, part = Disk(), self.path / (name + PART)
        written = self._open_alone(disk, part)
        try:
            disk.truncate(written, 0)
            write_all(disk, written, [text + b"\n"])
            disk.sync(written)
            self._rename(part.name, name)
        finally:
            os.close(written)

    def _open_alone(self, disk: Disk, part: Path) -> int:
        """A file that is on its way, for one at a time: of several that begin together, each writes what none has found."""
        while True:
            opened = disk.open(part, os.O_WRONLY | os.O_CREAT)
            try:
                # Who has it writes some bytes, and gives it its name.
                fcntl.flock(opened, fcntl.LOCK_EX)
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(opened), part.stat()):
                        return opened
            except BaseException:
                os.close(opened)
                raise
            os.close(opened)

    def _rename(self, name: str, to: str) -> None:
        disk = Disk()
        disk.rename(self.path / name, self.path / to)
        disk.sync_directory(self.path)

    @property
    def arriving_path(self) -> Path:
        """A SQLite database on its way. Nobody takes it for the ledger."""
        return self.ledger_path.with_name(self.ledger_path.name + ".arriving")

    def let_ledger_go(self, gone: Gone) -> None:
        """Durably makes the ledger one that is elsewhere; nothing may lie beside it any more. Raises OSError.

        Until the file has its other name it is the ledger: what says where it has gone is not looked at before that.
        """
        self._write(MOVED, msgspec.json.encode(gone))
        # One of an earlier version may be readable by others, and keeps nothing that they need.
        self.ledger_path.chmod(0o600)
        self._rename(self.ledger_path.name, gone.aside)

    def let_ledger_in(self) -> None:
        """Durably makes the database that was on its way the ledger. Raises OSError."""
        disk = Disk()
        arriving = disk.open(self.arriving_path, os.O_RDWR)
        try:
            disk.sync(arriving)
        finally:
            os.close(arriving)
        self._rename(self.arriving_path.name, self.ledger_path.name)
        (self.path / MOVED).unlink(missing_ok=True)

    def clock_confirmed(self) -> bool:
        """Whether somebody has left word that the clock is right (`confirm_clock`); it counts once."""
        try:
            (self.path / CONFIRMED).unlink()
        except OSError:
            return False
        return True

    def remove_mark(self) -> None:
        """Says nothing of a ledger any more, as a directory that is new."""
        disk = Disk()
        disk.remove(self.path / MARK)
        disk.sync_directory(self.path)

    def close(self) -> None:
        """Lets go of the lock."""
        self.announcements.close()
        self._lock.release()

    def __enter__(self) -> "DataDirectory":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
