"""Records and errors as our users see them: JSON bodies, HTTP statuses, envelopes. The only place that maps errors to HTTP."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from slackwater.api.dialects import Dialect
from slackwater.core.batch import Batch
from slackwater.core.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    StorageFull,
    TokenLimitExceeded,
    Unauthorized,
    UserError,
)
from slackwater.core.file import File

encode = msgspec.json.Encoder().encode

# Byte for byte what Azure answers to a call without a known api-version, the space included (spec 1.3).
RESOURCE_NOT_FOUND = b'{"error":{"code":"404","message": "Resource not found"}}'
STATUSES: tuple[tuple[type[UserError], int], ...] = (
    (Unauthorized, 401),
    (NotFound, 404),
    (Conflict, 409),
    (PayloadTooLarge, 413),
    (TokenLimitExceeded, 400),
    (UserError, 400),
)


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(encode(body), status, headers, "application/json")


def file_object(file: File) -> dict[str, Any]:
    """A file as all families show it (spec 2.1); `expires_at` only where it is set, as Azure does."""
    shown: dict[str, Any] = {
        "object": "file",
        "id": file.id,
        "purpose": file.purpose.value,
        "filename": file.filename,
        "bytes": file.size,
        "created_at": file.created_at,
    }
    if file.expires_at is not None:
        shown["expires_at"] = file.expires_at
    return shown | {"status": file.status.value, "status_details": file.status_details}


def batch_object(batch: Batch) -> dict[str, Any]:
    """A batch with every key of both vendors (spec 3.2): clients ignore what they do not know."""
    counts, usage = batch.counts, batch.usage
    errors = None
    if batch.errors is not None:
        data = [{"code": e.code, "message": e.message, "param": e.param, "line": e.line} for e in batch.errors]
        errors = {"object": "list", "data": data}
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": errors,
        "input_file_id": batch.input_file_id,
        "completion_window": batch.completion_window,
        "status": batch.status.value,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "created_at": batch.created_at,
        "in_progress_at": batch.in_progress_at,
        "expires_at": batch.expires_at,
        "finalizing_at": batch.finalizing_at,
        "completed_at": batch.completed_at,
        "failed_at": batch.failed_at,
        "expired_at": batch.expired_at,
        "cancelling_at": batch.cancelling_at,
        "cancelled_at": batch.cancelled_at,
        "request_counts": {"total": counts.total, "completed": counts.completed, "failed": counts.failed},
        "usage": {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_tokens},
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "total_tokens": usage.input_tokens + usage.output_tokens,
        },
        "metadata": batch.metadata,
    }


def list_object(data: Sequence[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """A page. `has_more` is always said: the OpenAI clients ask for ever where it is missing (spec 1.5)."""
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": list(data), "first_id": first, "last_id": last, "has_more": has_more}


def error_response(dialect: Dialect, error: Exception) -> Response:
    """An error in the envelope of a family (spec 7.1): one shape that both vendors' clients read."""
    codes = dialect.codes
    if isinstance(error, UserError):
        status = next(status for kind, status in STATUSES if isinstance(error, kind))
        return envelope(
            status,
            message=error.message,
            code=_code(dialect, error),
            param=error.param,
            kind=codes.kind,
            headers={"x-should-retry": "false"} if status == 409 else None,
        )
    if isinstance(error, StorageFull):
        message = "The service has no disk space left. Nothing was changed; try again later."
        return envelope(507, message=message, code=codes.failure, kind="server_error" if codes.kind else None)
    message = "The service failed to answer this request. It is logged under the x-request-id of this answer."
    return envelope(500, message=message, code=codes.failure, kind="server_error" if codes.kind else None)


def envelope(
    status: int,
    *,
    message: str,
    code: str | None,
    param: str | None = None,
    kind: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The body of every error."""
    error = {"code": code, "message": message, "type": kind, "param": param}
    return json_response({"error": error}, status, headers)


def _code(dialect: Dialect, error: UserError) -> str | None:
    codes = dialect.codes
    by_kind: dict[type[UserError], str | None] = {
        Unauthorized: codes.unauthorized,
        NotFound: codes.not_found,
        Conflict: codes.conflict,
        PayloadTooLarge: codes.too_large,
    }
    for kind, code in by_kind.items():
        if isinstance(error, kind):
            return code
    if isinstance(error, InvalidRequest):
        if error.code == "missing_required_parameter":
            return codes.missing
        return codes.invalid if error.code == InvalidRequest.code or codes.kind is None else error.code
    return error.code


def not_found_anywhere(dialect: Dialect | None) -> Response:
    """The answer for a path that no family has."""
    if dialect is None or dialect.codes.kind is None:
        return Response(RESOURCE_NOT_FOUND, 404, media_type="application/json")
    return envelope(404, message="Invalid URL: there is nothing at this path.", code=None, kind=dialect.codes.kind)


def disposition(filename: str) -> str:
    """A Content-Disposition for a name that a user chose; nothing in it can end the header or the quotes."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\;' else "_" for c in filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
