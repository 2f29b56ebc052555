"""Files on their way from a server: to a temporary name, then to their own, so that nobody ever sees half a file.

What a lost connection or an interrupted download has left is continued where the server can send the rest. The content of
an id never changes, so what is there fits for ever.
"""

import os
import re
from pathlib import Path
from typing import BinaryIO

import httpx2

from slackwater.client.connection import Connection
from slackwater.client.retrying import ATTEMPTS
from slackwater.client.uploading import Show
from slackwater.core.errors import CallFailed, ServerUnreachable

NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


def download(connection: Connection, file_id: str, target: Path, *, show: Show = lambda done, total: None) -> int:
    """Downloads the content of a file and returns its bytes. Raises CallFailed, OSError."""
    part = target.with_name(f"{target.name}.{NOT_IN_A_NAME.sub('_', file_id)[-40:]}.part")
    with part.open("ab") as out:
        _fetch(connection, file_id, _Sink(out, out.tell(), may_restart=True), show)
        out.flush()
        os.fsync(out.fileno())
        size = out.tell()
    os.replace(part, target)
    return size


def pour(connection: Connection, file_id: str, out: BinaryIO) -> None:
    """Sends the content of a file down a pipe. Raises CallFailed, OSError."""
    _fetch(connection, file_id, _Sink(out, 0, may_restart=False), lambda done, total: None)
    out.flush()


class _Sink:
    """Where the bytes go, and how many are there already. What went down a pipe cannot be taken back."""

    def __init__(self, out: BinaryIO, position: int, *, may_restart: bool) -> None:
        self._out = out
        self._may_restart = may_restart
        self.position = position

    def begin(self, first: int) -> None:
        """Says with which byte of the file the next bytes begin. Raises CallFailed where that is too late."""
        if first == self.position:
            return
        if not self._may_restart:
            raise CallFailed("the connection was lost, and the server cannot send the rest; try again")
        self._out.truncate(0)
        self.position = 0

    def write(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._out.write(data)
        self.position += len(data)


def _fetch(connection: Connection, file_id: str, sink: _Sink, show: Show) -> None:
    """Goes on from where it is until everything is there. Attempts count from the last byte that came."""
    stalls = 0
    while True:
        before = sink.position
        try:
            if connection.again(lambda: _attempt(connection, file_id, sink, show), repeatable=True):
                return
        except ServerUnreachable:
            stalls = 0 if sink.position > before else stalls + 1
            if stalls >= ATTEMPTS:
                raise


def _attempt(connection: Connection, file_id: str, sink: _Sink, show: Show) -> bool:
    """Whether everything is there now; otherwise what was there is gone, and there is to be another attempt."""
    # Compressed bytes could not be continued.
    headers = {"Accept": "application/octet-stream", "Accept-Encoding": "identity"}
    if sink.position:
        headers["Range"] = f"bytes={sink.position}-"
    with connection.opened("GET", f"/files/{file_id}/content", headers=headers, fine=(416,)) as answer:
        first, total = _span(answer)
        if answer.status_code == 416:
            if total != sink.position:
                sink.begin(0)
            return total == sink.position
        sink.begin(first)
        for data in answer.iter_raw():
            sink.write(data)
            show(sink.position, max(total, sink.position))
    return True


def _span(answer: httpx2.Response) -> tuple[int, int]:
    """The first byte of an answer within its file, and the bytes of the whole; 0 where nobody says."""
    match = CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
    if match is not None:
        return int(match[1] or 0), 0 if match[2] == "*" else int(match[2])
    length = answer.headers.get("content-length", "")
    return 0, int(length) if length.isdecimal() else 0
