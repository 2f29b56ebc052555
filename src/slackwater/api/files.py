"""Files: upload, list, get, delete (spec section 2); download.py has their content."""

import re

from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import objects, wire
from slackwater.api.context import Context, context_of, dialect_of, query_after, query_integer
from slackwater.api.expiry import expiry_of_form
from slackwater.api.file_rules import check_head, check_name, lifetime, read_filename, read_purpose
from slackwater.api.multipart import Form, read_form
from slackwater.core.errors import InvalidRequest, NotFound
from slackwater.core.files.file import File, Purpose

LIST_MAX = 10_000
FILE_ID = re.compile(r"(file|assistant)-[A-Za-z0-9-]{1,64}")


async def upload(request: Request) -> Response:
    """Takes a file. Parts may come in any order; nothing stays of an upload that does not end well."""
    context, dialect = context_of(request), dialect_of(request)
    incoming = await context.intake.begin()
    try:
        form = await read_form(request, file_field="file", check=incoming.check, write=incoming.write)
        purpose, filename = read_purpose(form.fields.get("purpose"), dialect), _filename(form)
        check_name(filename, purpose, dialect)
        check_head(incoming.head, incoming.size, purpose, dialect)
        seconds = lifetime(expiry_of_form(form.fields), purpose, dialect)
        file = await incoming.finish(purpose=purpose, filename=filename, expires_seconds=seconds)
    finally:
        await incoming.discard()
    return file_made(request, file)


def file_made(request: Request, file: File, *, status: int | None = None) -> Response:
    """The answer for a new file; by default with the status that the family gives to uploads."""
    dialect = dialect_of(request)
    headers = {}
    if dialect.shows_location:
        query = f"?{request.url.query}" if request.url.query else ""
        headers["Location"] = f"{request.url.scheme}://{request.url.netloc}{dialect.prefix}/files/{file.id}{query}"
    shown = wire.file_object(file, dialect, context_of(request).retention)
    return wire.json_response(shown, status or dialect.upload_status, headers)


def _filename(form: Form) -> str:
    if form.filename is None:
        raise InvalidRequest("Missing required parameter: 'file'.", code="missing_required_parameter", param="file")
    return read_filename(form.filename)


async def list_files(request: Request) -> Response:
    """A page of files, newest first unless `order=asc`."""
    context, dialect, query = context_of(request), dialect_of(request), request.query_params
    limit = query_integer(request, "limit", default=LIST_MAX, least=1, most=LIST_MAX)
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequest(f"Invalid value for 'order': expected 'asc' or 'desc', got '{order[:40]}'.", param="order")
    purpose = None
    if "purpose" in query:
        try:
            purpose = Purpose(query["purpose"])
        except ValueError as error:
            names = ", ".join(f"'{known.value}'" for known in Purpose)
            raise InvalidRequest(f"Invalid value for purpose. Use one of {names}.", param="purpose") from error
    files = await context.ledger.files(
        purpose=purpose,
        after=query_after(request),
        limit=limit + 1,
        descending=order == "desc",
        now=int(context.expiry_now()),
    )
    return wire.json_response(wire.file_list(files[:limit], dialect, context.retention, has_more=len(files) > limit))


async def find_file(context: Context, file_id: str) -> File:
    """A file that the caller may see. Raises NotFound."""
    file = await context.ledger.file(file_id)
    if file is None or (file.expires_at is not None and file.expires_at <= context.expiry_now()):
        raise NotFound(f"No such File object: {file_id[:80]}", param="id")
    return file


async def get_file(request: Request) -> Response:
    """One file."""
    file = await find_file(context_of(request), request.path_params["file_id"])
    return wire.json_response(wire.file_object(file, dialect_of(request), context_of(request).retention))


async def delete_file(request: Request) -> Response:
    """Deletes a file. A batch that is using its bytes keeps them until it has ended."""
    file_id = request.path_params["file_id"]
    deleted = await context_of(request).intake.forget(file_id)
    forgiving = dialect_of(request).forgiving_delete and FILE_ID.fullmatch(file_id) is not None
    if not deleted and not forgiving:
        raise NotFound(f"No such File object: {file_id[:80]}", param="id")
    return wire.json_response(objects.FileDeleted(deleted=deleted, id=file_id))
