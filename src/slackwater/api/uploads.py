"""Files in parts: create, add a part, complete, cancel (spec 2.5)."""

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import objects, wire
from slackwater.api.bodies import read_body
from slackwater.api.context import context_of, dialect_of
from slackwater.api.file_rules import check_head, check_name, lifetime, read_filename, read_purpose
from slackwater.api.multipart import read_form
from slackwater.core.errors import InvalidRequest
from slackwater.core.files.file import File
from slackwater.core.files.upload import Upload


async def create(request: Request) -> Response:
    """Announces a file. What can be refused by its announcement is refused here, before anything is sent."""
    context, dialect = context_of(request), dialect_of(request)
    body = await read_body(request, objects.NewUpload)
    purpose, filename = read_purpose(body.purpose, dialect), read_filename(body.filename)
    check_name(filename, purpose, dialect)
    given = None if body.expires_after is None else body.expires_after.seconds
    upload = await context.uploads.create(
        filename=filename,
        purpose=purpose,
        size=body.bytes,
        mime_type=body.mime_type,
        lifetime_seconds=dialect.upload_lifetime,
        file_lifetime_seconds=lifetime(given, purpose, dialect),
    )
    return wire.json_response(_upload_object(request, upload))


async def add_part(request: Request) -> Response:
    """Takes some bytes of the file, in any order and several at once."""
    context, dialect = context_of(request), dialect_of(request)
    incoming = await context.uploads.begin_part(request.path_params["upload_id"], part_id=dialect.new_part_id())
    try:
        form = await read_form(request, file_field="data", check=incoming.check, write=incoming.write)
        if form.filename is None:
            raise InvalidRequest("Missing required parameter: 'data'.", code="missing_required_parameter", param="data")
        part = await incoming.finish()
    finally:
        await incoming.discard()
    shown = objects.UploadPartObject(
        id=part.id,
        created_at=part.created_at,
        upload_id=part.upload_id,
        azure_block_id=part.block_id if dialect.shows_block_ids else UNSET,
    )
    return wire.json_response(shown)


async def complete(request: Request) -> Response:
    """Makes the file of the parts that are named, in their order."""
    context, dialect = context_of(request), dialect_of(request)
    body = await read_body(request, objects.CompleteUpload)

    def look(upload: Upload, head: bytes) -> None:
        check_head(head, upload.size, upload.purpose, dialect)

    upload, file = await context.uploads.complete(
        request.path_params["upload_id"], part_ids=body.part_ids, md5=body.md5, look=look
    )
    return wire.json_response(_upload_object(request, upload, file))


async def cancel(request: Request) -> Response:
    """Ends an upload; its parts go. The body is not read: clients send none, or an empty object."""
    upload = await context_of(request).uploads.cancel(request.path_params["upload_id"])
    return wire.json_response(_upload_object(request, upload))


def _upload_object(request: Request, upload: Upload, file: File | None = None) -> objects.UploadObject:
    dialect, retention = dialect_of(request), context_of(request).retention
    return objects.UploadObject(
        id=upload.id,
        bytes=upload.size,
        created_at=upload.created_at,
        filename=upload.filename,
        purpose=upload.purpose.value,
        status=upload.status.value,
        expires_at=upload.expires_at,
        file=UNSET if file is None else wire.file_object(file, dialect, retention),
    )
