"""Files that are fetched from a URL (spec 2.2). What can be refused by its order is refused here, before anything is fetched."""

from starlette.requests import Request
from starlette.responses import Response

from slackwater.api.bodies import read_body
from slackwater.api.context import context_of, dialect_of
from slackwater.api.file_rules import check_name, lifetime, read_filename, read_purpose
from slackwater.api.files import file_made
from slackwater.api.objects import NewImport
from slackwater.core.files.file import Purpose


async def create(request: Request) -> Response:
    """Takes the order for a file. It is `pending` until its bytes have come, and says so to whoever asks."""
    context, dialect = context_of(request), dialect_of(request)
    # Said first: where imports are off, no body can be right.
    context.importer.check()
    body = await read_body(request, NewImport)
    purpose, filename = read_purpose(body.purpose, dialect), read_filename(body.filename)
    check_name(filename, purpose, dialect)
    given = None if body.expires_after is None else body.expires_after.seconds
    file = await context.importer.begin(
        purpose=purpose,
        filename=filename,
        url=body.content_url,
        expires_seconds=lifetime(given, purpose, dialect),
        check_first_line=dialect.looks_into_files and purpose is Purpose.BATCH,
    )
    return file_made(request, file, status=201)
