"""Files: upload, list, get, content, delete (spec section 2)."""

import re
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from slackwater.api import wire
from slackwater.api.context import Context, context_of, dialect_of, query_integer
from slackwater.api.dialects import API_VERSIONS, Dialect
from slackwater.api.expiry import expiry_of_form
from slackwater.api.multipart import Form, read_form
from slackwater.core.errors import InvalidRequest, NotFound
from slackwater.core.file import File, Purpose

UPLOADABLE = tuple(purpose for purpose in Purpose if purpose is not Purpose.BATCH_OUTPUT)
LIST_MAX = 10_000
ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


async def upload(request: Request) -> Response:
    """Takes a file. Parts may come in any order; nothing stays of an upload that does not end well."""
    context, dialect = context_of(request), dialect_of(request)
    incoming = await context.intake.begin()
    try:
        form = await read_form(request, file_field="file", write=incoming.write)
        purpose, filename = _purpose(form, dialect), _filename(form)
        if purpose is Purpose.BATCH:
            _check_name(filename, dialect)
        lifetime = expiry_of_form(form.fields)
        if lifetime is None and purpose is Purpose.BATCH:
            lifetime = dialect.batch_file_lifetime
        file = await incoming.finish(purpose=purpose, filename=filename, expires_seconds=lifetime)
    finally:
        await incoming.discard()
    headers = {"api-supported-versions": ", ".join(API_VERSIONS)} if dialect.dated else {}
    if dialect.shows_location:
        query = f"?{request.url.query}" if request.url.query else ""
        headers["Location"] = f"{request.url.scheme}://{request.url.netloc}{dialect.prefix}/files/{file.id}{query}"
    return wire.json_response(wire.file_object(file), dialect.upload_status, headers)


def _purpose(form: Form, dialect: Dialect) -> Purpose:
    given = form.fields.get("purpose")
    if given is None:
        raise InvalidRequest(
            "Missing required parameter: 'purpose'.", code="missing_required_parameter", param="purpose"
        )
    try:
        purpose = Purpose(given)
    except ValueError:
        purpose = Purpose.BATCH_OUTPUT
    if purpose not in UPLOADABLE:
        names = ", ".join(f"'{name.value}'" for name in UPLOADABLE)
        raise InvalidRequest(
            f"Invalid value for purpose. '{given[:60]}' is not one of [{names}] - 'purpose'", param="purpose"
        )
    return purpose


def _filename(form: Form) -> str:
    if form.filename is None:
        raise InvalidRequest("Missing required parameter: 'file'.", code="missing_required_parameter", param="file")
    # Some clients send a whole path; the name is what people recognise.
    return re.split(r"[\\/]", form.filename)[-1] or "file"


def _check_name(filename: str, dialect: Dialect) -> None:
    if dialect.strict_names and "." in filename and not filename.endswith(".jsonl"):
        raise InvalidRequest("Invalid file format for Batch API. Must be .jsonl", param="file")


async def list_files(request: Request) -> Response:
    """A page of files, newest first unless `order=asc`."""
    context, query = context_of(request), request.query_params
    limit = query_integer(request, "limit", default=LIST_MAX, least=1, most=LIST_MAX)
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequest(f"Invalid value for 'order': expected 'asc' or 'desc', got '{order[:40]}'.", param="order")
    purpose = None
    if "purpose" in query:
        try:
            purpose = Purpose(query["purpose"])
        except ValueError as error:
            raise InvalidRequest(f"Invalid value for purpose: '{query['purpose'][:60]}'.", param="purpose") from error
    files = await context.ledger.files(
        purpose=purpose, after=query.get("after"), limit=limit + 1, descending=order == "desc"
    )
    now = context.clock.now()
    shown = [wire.file_object(file) for file in files[:limit] if not _expired(file, now)]
    return wire.json_response(wire.list_object(shown, has_more=len(files) > limit))


def _expired(file: File, now: float) -> bool:
    return file.expires_at is not None and file.expires_at <= now


async def _find(context: Context, file_id: str) -> File:
    file = await context.ledger.file(file_id)
    if file is None or _expired(file, context.clock.now()):
        raise NotFound(f"No such File object: {file_id[:80]}", param="id")
    return file


async def get_file(request: Request) -> Response:
    """One file."""
    return wire.json_response(wire.file_object(await _find(context_of(request), request.path_params["file_id"])))


async def delete_file(request: Request) -> Response:
    """Deletes a file. A batch that is using its bytes keeps them until it has ended."""
    file_id = request.path_params["file_id"]
    deleted = await context_of(request).intake.forget(file_id)
    if not deleted and not dialect_of(request).forgiving_delete:
        raise NotFound(f"No such File object: {file_id[:80]}", param="id")
    return wire.json_response({"object": "file", "deleted": deleted, "id": file_id})


async def content(request: Request) -> Response:
    """The bytes of a file; `Accept` is ignored, because clients send anything there (spec 1.5)."""
    context = context_of(request)
    file = await _find(context, request.path_params["file_id"])
    headers = {
        "Content-Disposition": wire.disposition(file.filename),
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
    }
    wanted = _range(request.headers.get("range"), file.size)
    if wanted is None:
        return _stream(context.blobs.stream(file.blob), 200, file.size, headers)
    start, end = wanted
    if start >= file.size or start > end:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{file.size}"})
    headers["Content-Range"] = f"bytes {start}-{end}/{file.size}"
    pieces = context.blobs.stream(file.blob, offset=start, length=end - start + 1)
    return _stream(pieces, 206, end - start + 1, headers)


def _stream(pieces: AsyncIterator[bytes], status: int, length: int, headers: dict[str, str]) -> Response:
    headers["Content-Length"] = str(length)
    return StreamingResponse(pieces, status, headers, "application/octet-stream")


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte of a single range; None for the whole file, also where the header makes no sense."""
    match = ONE_RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.group(1) == match.group(2) == "":
        return None
    if not match.group(1):
        return max(0, size - int(match.group(2))), size - 1
    return int(match.group(1)), min(int(match.group(2) or size - 1), size - 1)
