"""The content of a file, whole or a range of it (spec 2.4). Reads go piece by piece, as fast as the client takes them.

The bytes of an id never change, and so the id is their etag: of the plain bytes, and with `-gzip` of those that are packed.
"""

import asyncio
import re
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from zlib_ng import zlib_ng

from slackwater.api import wire
from slackwater.api.conditions import precondition_of, quoted
from slackwater.api.context import context_of, entrance_of
from slackwater.api.files import find_file
from slackwater.core.accounts.preconditions import ANY
from slackwater.core.errors import InvalidRequest, PreconditionFailed
from slackwater.core.files.file import File, FileStatus
from slackwater.pipeline import stored_files

# Numbers of more digits than any file has bytes make no sense.
ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
GZIP = re.compile(r"(?:^|,)\s*(?:gzip|x-gzip)\s*(?:;\s*q=(?P<q>[0-9.]+)\s*)?(?=,|$)", re.IGNORECASE)
# As quick as the lowest level, and a quarter smaller. 16 more bits of a window ask for the frame of gzip.
LEVEL, WINDOW = 2, 16 + zlib_ng.MAX_WBITS
# Below this, what is saved is less than what the header lines cost.
PACKED_BYTES_MIN = 1 << 10
# Packing is what a processor does for one client alone: beyond so many at once, the bytes go out as they are.
PACKED_AT_ONCE = 2
# What file systems take.
FILENAME_LENGTH_MAX = 255
_packing = 0


async def content(request: Request) -> Response:
    """The bytes of a file; `Accept` is ignored, because clients send anything there (spec 1.5)."""
    context = context_of(request)
    file = await find_file(context, request.path_params["file_id"])
    if file.status is FileStatus.PENDING:
        raise InvalidRequest("The file is still being imported. Wait until it is 'processed'.", param="id")
    if file.status is FileStatus.ERROR:
        raise InvalidRequest(
            "The file could not be imported and has no content; its status_details say why.", param="id"
        )
    headers = {
        "Content-Disposition": wire.disposition(_saved_as(request) or file.filename),
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        # Whoever keeps a copy asks whether it still may be had, and nobody keeps one for others.
        "Cache-Control": "private, no-cache",
        "ETag": quoted(file.id),
    }
    if entrance_of(request).gzip_downloads:
        headers["Vary"] = "Accept-Encoding"
    if _has_it(request, file):
        return Response(None, 304, headers)
    wanted = _range(request.headers.get("range"), file.size) if _range_fits(request, headers["ETag"]) else None
    if wanted is None:
        # Before the first byte: a body that breaks looks like a network to whoever waits for it.
        pieces = await stored_files.check(context.blobs, file)
        if _is_packed(request, file):
            headers |= {"Content-Encoding": "gzip", "Accept-Ranges": "none", "ETag": quoted(f"{file.id}-gzip")}
            return StreamingResponse(_packed(pieces), 200, headers, "application/octet-stream")
        return _answer(request, pieces, 200, file.size, headers)
    start, end = wanted
    if start >= file.size or start > end:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{file.size}"})
    await stored_files.find(context.blobs, file)
    headers["Content-Range"] = f"bytes {start}-{end}/{file.size}"
    pieces = context.blobs.stream(file.blob, offset=start, length=end - start + 1)
    return _answer(request, pieces, 206, end - start + 1, headers)


def _saved_as(request: Request) -> str:
    """The name that the caller wants it to be saved under, an extension; empty where there is none."""
    name = request.query_params.get("filename", "")
    if len(name) > FILENAME_LENGTH_MAX:
        raise InvalidRequest(
            f"Invalid 'filename': expected at most {FILENAME_LENGTH_MAX} characters, but got {len(name)}.",
            param="filename",
        )
    return name


def _has_it(request: Request, file: File) -> bool:
    """Whether the caller has the bytes already (`If-None-Match`). Raises PreconditionFailed where `If-Match` names others."""
    given = precondition_of(request)
    # Plain or packed: who has one of them has the content.
    tags = {ANY, file.id, f"{file.id}-gzip"}
    if given.match is not None and not given.match & tags:
        raise PreconditionFailed(
            f'The content of the file has the etag "{file.id}" for ever, and If-Match names another one. Leave If-Match out.'
        )
    return given.none_match is not None and bool(given.none_match & tags)


def _range_fits(request: Request, etag: str) -> bool:
    """Whether a part is wanted of the bytes that are here (RFC 9110, section 13.1.5). A moment never says so for sure."""
    given = request.headers.get("if-range")
    return given is None or given.strip() == etag


def _is_packed(request: Request, file: File) -> bool:
    """Whether the whole file goes out packed: who asks for its size by HEAD, or for a range of it, wants the plain bytes."""
    if not entrance_of(request).gzip_downloads or file.size < PACKED_BYTES_MIN or request.method == "HEAD":
        return False
    accepted = GZIP.search(",".join(request.headers.getlist("accept-encoding")))
    return accepted is not None and (accepted["q"] or "1").strip("0.") != "" and _packing < PACKED_AT_ONCE


async def _packed(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same in gzip, on a thread: the event loop has others to serve."""
    global _packing
    _packing += 1
    try:
        packer = zlib_ng.compressobj(LEVEL, zlib_ng.DEFLATED, WINDOW)
        async for piece in pieces:
            packed = await asyncio.to_thread(packer.compress, piece)
            if packed:
                yield packed
        yield packer.flush()
    finally:
        _packing -= 1


def _answer(
    request: Request, pieces: AsyncIterator[bytes], status: int, length: int, headers: dict[str, str]
) -> Response:
    headers["Content-Length"] = str(length)
    if request.method == "HEAD":
        # Nobody reads the pieces then: a stream that was not asked for its first one has not opened the file.
        return Response(None, status, headers, "application/octet-stream")
    return StreamingResponse(pieces, status, headers, "application/octet-stream")


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte of a single range; None for the whole file, also where the header makes no sense."""
    match = ONE_RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.group(1) == match.group(2) == "":
        return None
    if not match.group(1):
        return max(0, size - int(match.group(2))), size - 1
    return int(match.group(1)), min(int(match.group(2) or size - 1), size - 1)
