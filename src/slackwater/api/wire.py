"""Records and errors as our users see them: JSON bodies, HTTP statuses, envelopes. The only place that maps errors to HTTP."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import UNSET
from starlette.responses import Response

from slackwater.api import objects
from slackwater.api.dialects import Dialect
from slackwater.core.batch import Batch
from slackwater.core.errors import (
    Conflict,
    EncodingRefused,
    FileRefused,
    FilesUnavailable,
    FileTooLarge,
    FileUnreadable,
    Forbidden,
    InputFileMissing,
    InvalidRequest,
    IssuerUnavailable,
    LedgerSlow,
    LedgerUnavailable,
    NotFound,
    PayloadTooLarge,
    PreconditionFailed,
    QuotaExceeded,
    StorageFull,
    TokenLimitExceeded,
    TokenRefused,
    TooBusy,
    Unauthorized,
    UserError,
)
from slackwater.core.files.file import File, FileStatus
from slackwater.core.files.retention import Retention

encode = msgspec.json.Encoder().encode

# Byte for byte what Azure answers to a call without a known api-version, the space included (spec 1.3).
RESOURCE_NOT_FOUND = b'{"error":{"code":"404","message": "Resource not found"}}'
# A name that needs no quotes; Azure sends it without.
TOKEN = re.compile(r"[\w.!#$&+^`|~-]+", re.ASCII)
STATUSES: tuple[tuple[type[UserError], int], ...] = (
    (Unauthorized, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (PreconditionFailed, 412),
    (PayloadTooLarge, 413),
    (EncodingRefused, 415),
    (TooBusy, 429),
    (UserError, 400),
)
# OpenAI's words for a missing and for a wrong key (spec 7.3). The key itself is not repeated: answers get logged.
# When to ask again, in seconds, where the ledger cannot be asked. /readyz says the same.
AWAY_SECONDS = "5"
SLOW = "The service's database took too long for this page. Try again in a moment, or ask for less."
NO_KEY = "You didn't provide an API key. Send it as an Authorization header: 'Authorization: Bearer YOUR_KEY'."
WRONG_KEY = "Incorrect API key provided. Use one of the keys that this service was configured with."


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(encode(body), status, headers, "application/json")


def file_object(file: File, dialect: Dialect, retention: Retention) -> objects.FileObject:
    """A file as a family shows it (spec 2.1): what is not set is null in one, and left out in the other.

    It expires when its user or the operator has said, whichever is first.
    """
    pending = file.status is FileStatus.PENDING
    nothing = None if dialect.null_expiry else UNSET
    expires_at = retention.file_goes_at(file)
    return objects.FileObject(
        id=file.id,
        purpose=file.purpose.value,
        filename=file.filename,
        bytes=UNSET if pending else file.size,
        created_at=file.created_at,
        expires_at=nothing if expires_at is None else expires_at,
        status=file.status.value,
        status_details=nothing if file.status_details is None else file.status_details,
    )


def batch_object(batch: Batch) -> objects.BatchObject:
    """A batch as all families show it."""
    counts, usage = batch.counts, batch.usage
    errors = None
    if batch.errors is not None:
        data = [
            objects.BatchErrorObject(code=e.code, message=e.message, param=e.param, line=e.line) for e in batch.errors
        ]
        errors = objects.BatchErrors(data=data)
    return objects.BatchObject(
        id=batch.id,
        endpoint=batch.endpoint,
        model=batch.model,
        errors=errors,
        input_file_id=batch.input_file_id or None,
        completion_window=batch.completion_window,
        status=batch.status.value,
        output_file_id=batch.output_file_id,
        error_file_id=batch.error_file_id,
        created_at=batch.created_at,
        in_progress_at=batch.in_progress_at,
        expires_at=batch.expires_at,
        finalizing_at=batch.finalizing_at,
        completed_at=batch.completed_at,
        failed_at=batch.failed_at,
        expired_at=batch.expired_at,
        cancelling_at=batch.cancelling_at,
        cancelled_at=batch.cancelled_at,
        request_counts=objects.RequestCountsObject(
            total=counts.total, completed=counts.completed, failed=counts.failed
        ),
        usage=objects.UsageObject(
            input_tokens=usage.input_tokens,
            input_tokens_details=objects.InputDetails(cached_tokens=usage.cached_tokens),
            output_tokens=usage.output_tokens,
            output_tokens_details=objects.OutputDetails(reasoning_tokens=usage.reasoning_tokens),
            total_tokens=usage.input_tokens + usage.output_tokens,
        ),
        metadata=batch.metadata,
        input_blob=UNSET if batch.storage is None else batch.storage.input_url,
        output_blob=UNSET if batch.storage is None else batch.storage.output_url,
        error_blob=UNSET if batch.storage is None else batch.storage.error_url,
    )


def file_list(files: Sequence[File], dialect: Dialect, retention: Retention, *, has_more: bool) -> objects.FileList:
    """A page. `has_more` is always said: the OpenAI clients ask for ever where it is missing (spec 1.5)."""
    first, last = (files[0].id, files[-1].id) if files else (None, None)
    data = [file_object(file, dialect, retention) for file in files]
    return objects.FileList(data=data, first_id=first, last_id=last, has_more=has_more)


def batch_list(batches: Sequence[Batch], *, has_more: bool) -> objects.BatchList:
    """A page of batches."""
    first, last = (batches[0].id, batches[-1].id) if batches else (None, None)
    data = [batch_object(batch) for batch in batches]
    return objects.BatchList(data=data, first_id=first, last_id=last, has_more=has_more)


def error_response(dialect: Dialect, error: Exception, *, files: bool = False) -> Response:
    """An error in the envelope of a family (spec 7.1). `files`: the call was one of the Files API."""
    codes = dialect.codes
    if isinstance(error, UserError):
        status = next(status for kind, status in STATUSES if isinstance(error, kind))
        message = error.message
        if isinstance(error, Unauthorized) and not isinstance(error, TokenRefused) and codes.keeps_own:
            message = WRONG_KEY if error.given else NO_KEY
        return envelope(
            status,
            message=message,
            code=_code(dialect, error),
            param=error.param,
            kind=codes.kind,
            headers=_headers(dialect, error, status),
            detail=files and dialect.files_detail,
        )
    kind = "server_error" if codes.kind else None
    if isinstance(error, StorageFull):
        message = "The service has no disk space left. Nothing was changed; try again later."
        return envelope(507, message=message, code=codes.failure, kind=kind)
    if isinstance(error, LedgerUnavailable):
        message = (
            SLOW
            if isinstance(error, LedgerSlow)
            else "The service cannot reach its database. Nothing was changed; try again in a moment."
        )
        return envelope(503, message=message, code=codes.failure, kind=kind, headers={"Retry-After": AWAY_SECONDS})
    if isinstance(error, FilesUnavailable):
        message = "The service cannot reach the store of its files. Nothing was changed; try again in a moment."
        return envelope(503, message=message, code=codes.failure, kind=kind)
    if isinstance(error, FileUnreadable):
        return envelope(500, message=error.message, code=error.code, kind=kind, headers={"x-should-retry": "false"})
    if isinstance(error, IssuerUnavailable):
        return envelope(503, message=str(error), code=error.code if kind else "serviceUnavailable", kind=kind)
    message = "The service failed to answer this request. It is logged under the x-request-id of this answer."
    return envelope(500, message=message, code=codes.failure, kind=kind)


def token_headers(dialect: Dialect, *, held: int, limit: int | None) -> dict[str, str]:
    """Azure's two quota headers, of the deployment that a batch is for (spec 3.1)."""
    if not dialect.token_headers:
        return {}
    headers = {"deployment-enqueued-tokens": str(held)}
    return headers if limit is None else headers | {"deployment-maximum-enqueued-tokens": str(limit)}


def _headers(dialect: Dialect, error: UserError, status: int) -> dict[str, str] | None:
    """What tells clients whether, and when, to try again, and what there is no room in."""
    if isinstance(error, TokenLimitExceeded):
        return token_headers(dialect, held=error.held, limit=error.limit)
    if isinstance(error, TooBusy):
        return {"Retry-After": str(error.retry_after)}
    return {"x-should-retry": "false"} if status == 409 else None


def envelope(
    status: int,
    *,
    message: str,
    code: str | None,
    param: str | None = None,
    kind: str | None = None,
    headers: Mapping[str, str] | None = None,
    detail: bool = False,
) -> Response:
    """The body of every error."""
    body = objects.ErrorBody(
        error=objects.ErrorDetail(code=code, message=message, type=kind, param=param),
        detail=objects.FilesDetail(message=message, code=code) if detail else UNSET,
    )
    return json_response(body, status, headers)


def _code(dialect: Dialect, error: UserError) -> str | None:
    codes = dialect.codes
    if isinstance(error, Unauthorized):
        return codes.unauthorized if error.given or not codes.keeps_own else None
    by_kind: tuple[tuple[type[UserError], str | None], ...] = (
        (InputFileMissing, codes.input_file_missing),
        (NotFound, codes.not_found),
        (Conflict, codes.conflict),
        (PayloadTooLarge, codes.too_large),
        (FileTooLarge, codes.too_large),
        (FileRefused, codes.refused),
        (QuotaExceeded, codes.quota),
    )
    for kind, code in by_kind:
        if isinstance(error, kind):
            return code
    if isinstance(error, InvalidRequest):
        if error.code == "missing_required_parameter":
            return codes.missing
        return error.code if codes.keeps_own and error.code != InvalidRequest.code else codes.invalid
    return error.code


def not_found_anywhere(dialect: Dialect | None) -> Response:
    """The answer for a path that no family has."""
    if dialect is None or dialect.codes.bare_not_found:
        return Response(RESOURCE_NOT_FOUND, 404, media_type="application/json")
    message = "Invalid URL: there is nothing at this path. /openapi.json lists what there is."
    return envelope(404, message=message, code=None, kind=dialect.codes.kind)


def disposition(filename: str) -> str:
    """A Content-Disposition for a name that a user chose; nothing in it can end the header or the quotes."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\;' else "_" for c in filename)
    if not TOKEN.fullmatch(plain):
        plain = f'"{plain}"'
    return f"attachment; filename={plain}; filename*=UTF-8''{quote(filename, safe='')}"
