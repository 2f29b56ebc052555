"""Files on their way to a server: in one piece where it takes that, in parts where it does not. Never a whole file in memory."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from slackwater.client.connection import Connection
from slackwater.core.errors import CallFailed

# What a part may have everywhere (spec 2.5).
PART_BYTES = 64 << 20

Show = Callable[[int, int], None]
"""Called with the bytes that are done, and those that there are."""


class _Piece:
    """A run of a file, as a form field reads it; knows how far it has been read."""

    def __init__(self, file: BinaryIO, start: int, length: int, show: Callable[[int], None]) -> None:
        self._file = file
        self._start = start
        self._length = length
        self._show = show
        self._done = 0

    def read(self, size: int = -1) -> bytes:
        left = self._length - self._done
        self._file.seek(self._start + self._done)
        data = self._file.read(left if size < 0 else min(size, left))
        self._done += len(data)
        self._show(self._done)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._done = {os.SEEK_SET: 0, os.SEEK_CUR: self._done, os.SEEK_END: self._length}[whence] + offset
        return self._done

    def tell(self) -> int:
        return self._done

    @property
    def all_read(self) -> bool:
        """Whether the server may have everything."""
        return self._done >= self._length


def upload(
    connection: Connection,
    path: Path,
    *,
    name: str | None = None,
    purpose: str = "batch",
    expires_seconds: int | None = None,
    in_parts: bool = False,
    show: Show = lambda done, total: None,
) -> Any:
    """Uploads a file and returns its object. Raises CallFailed, OSError."""
    size = path.stat().st_size
    name = name or path.name
    # For batches one piece is as large as a file may be at all, and whoever lifted that limit lifted it for both ways.
    if in_parts or (purpose != "batch" and size > connection.target.dialect.piece_max):
        return _in_parts(connection, path, size, name, purpose, expires_seconds, show)
    fields = {"purpose": purpose}
    if expires_seconds is not None:
        fields |= {"expires_after[anchor]": "created_at", "expires_after[seconds]": str(expires_seconds)}
    with path.open("rb") as file:
        return _post(connection, "/files", "file", name, _Piece(file, 0, size, lambda done: show(done, size)), fields)


def _post(
    connection: Connection, path: str, field: str, name: str, piece: _Piece, fields: dict[str, str] | None = None
) -> Any:
    """Sends a form with one piece of a file.

    A connection that is lost inside of it is no harm: half a form is nothing. One that is lost behind it may have left a
    file that nobody knows of, so that is told instead of repeated.
    """

    def once() -> Any:
        piece.seek(0)
        form = {field: (name, piece, "application/octet-stream")}
        with connection.opened("POST", path, data=fields, files=form, sent=lambda: piece.all_read) as answer:
            answer.read()
            return answer.json()

    return connection.again(once, repeatable=False)


def _in_parts(
    connection: Connection,
    path: Path,
    size: int,
    name: str,
    purpose: str,
    expires_seconds: int | None,
    show: Show,
) -> Any:
    order: dict[str, Any] = {"purpose": purpose, "filename": name, "bytes": size, "mime_type": "application/jsonl"}
    if expires_seconds is not None:
        order["expires_after"] = {"anchor": "created_at", "seconds": expires_seconds}
    made = connection.call("POST", "/uploads", body=order)
    try:
        parts = []
        with path.open("rb") as file:
            for start in range(0, size, PART_BYTES):
                length = min(PART_BYTES, size - start)
                piece = _Piece(file, start, length, partial(_show_part, show, start, size))
                # A part that came twice is dropped by whoever names the other one, so its loss costs nothing.
                parts.append(_post(connection, f"/uploads/{made['id']}/parts", "data", name, piece)["id"])
        done = connection.call("POST", f"/uploads/{made['id']}/complete", body={"part_ids": parts}, repeatable=True)
    except BaseException:
        _abandon(connection, made["id"])
        raise
    return done["file"]


def _show_part(show: Show, start: int, size: int, done: int) -> None:
    show(start + done, size)


def _abandon(connection: Connection, upload_id: str) -> None:
    """Frees the bytes of an upload that will not be completed. It would expire by itself: failing here is no fault."""
    try:
        connection.call("POST", f"/uploads/{upload_id}/cancel")
    except CallFailed:
        pass
