"""The content of a file, whole or a range of it (spec 2.4). Reads go piece by piece, as fast as the client takes them."""

import re
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from slackwater.api import wire
from slackwater.api.context import context_of
from slackwater.api.files import find_file
from slackwater.core.errors import InvalidRequest
from slackwater.core.files.file import FileStatus
from slackwater.pipeline import stored_files

# Numbers of more digits than any file has bytes make no sense.
ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


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
        "Content-Disposition": wire.disposition(file.filename),
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
    }
    # A part is wanted of what the caller has seen before (`If-Range`), and there is no version here that they could have seen
    # it in: the whole is what never is wrong (RFC 9110, section 13.1.5).
    wanted = None if "if-range" in request.headers else _range(request.headers.get("range"), file.size)
    if wanted is None:
        # Before the first byte: a body that breaks looks like a network to whoever waits for it.
        pieces = await stored_files.check(context.blobs, file)
        return _answer(request, pieces, 200, file.size, headers)
    start, end = wanted
    if start >= file.size or start > end:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{file.size}"})
    await stored_files.find(context.blobs, file)
    headers["Content-Range"] = f"bytes {start}-{end}/{file.size}"
    pieces = context.blobs.stream(file.blob, offset=start, length=end - start + 1)
    return _answer(request, pieces, 206, end - start + 1, headers)


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
