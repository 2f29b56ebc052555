"""Where the files of a data directory are, if they are not in it: a note, and to replace it is how a move of files ends.

Where the ledger moves with them, one step has to decide for both. Then the note that is to come is laid down before that step,
with the name of what the step makes: as soon as that is there, it counts.
"""

from pathlib import Path

import msgspec
from msgspec import Struct

FILES = "files.elsewhere"
COMING = "files.moving"
_FROM, _AT = "moved from ", " at "


class FilesNote(Struct, frozen=True, kw_only=True):
    """Where files are. `place` is the address of a store; empty: in the data directory."""

    place: str = ""
    left: str = ""
    """Where they were before somebody moved them: an address, or the path of the data directory; empty: nobody has."""
    at: str = ""
    """When that was, in UTC, for people."""


class _Coming(Struct, frozen=True):
    once: str
    note: FilesNote


def text_of(note: FilesNote) -> bytes:
    """What the note has in it: the place, and where the files came from."""
    return "\n".join([note.place, *([f"{_FROM}{note.left}{_AT}{note.at}"] if note.left else [])]).encode()


def text_of_coming(note: FilesNote, once: str) -> bytes:
    """The same for a note that counts once the data directory has something of that name."""
    return msgspec.json.encode(_Coming(once, note))


def note_in(path: Path) -> FilesNote:
    """The note that counts in a data directory. Raises OSError."""
    coming = coming_in(path)
    if coming is not None:
        return coming
    try:
        place, _, rest = (path / FILES).read_text("utf-8").strip(" \r\t").partition("\n")
    except FileNotFoundError:
        return FilesNote()
    left, _, at = rest.strip().removeprefix(_FROM).rpartition(_AT)
    return FilesNote(place=place.strip(), left=left, at=at)


def coming_in(path: Path) -> FilesNote | None:
    """The note that was to come with a step, where that has been done; else None. Raises OSError."""
    try:
        coming = msgspec.json.decode((path / COMING).read_bytes(), type=_Coming)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return coming.note if (path / coming.once).exists() else None
