"""How records become rows and rows become records."""

from typing import Any

import msgspec

from slackwater.adapters.sql.db import Row
from slackwater.core.accounts.price import Price
from slackwater.core.accounts.usage import Usage
from slackwater.core.batch import (
    BEGIN,
    BEGIN_ELSEWHERE,
    Batch,
    BatchError,
    Policies,
    RequestCounts,
    Status,
    UserStorage,
    WindowElapsed,
)
from slackwater.core.files.file import File, FileStatus, Purpose
from slackwater.core.files.upload import Upload, UploadPart, UploadStatus
from slackwater.ports import BlobRange, IdempotencyKey

_policies = msgspec.json.Decoder(Policies)
_metadata = msgspec.json.Decoder(dict[str, str])
_errors = msgspec.json.Decoder(list[BatchError])
_storage = msgspec.json.Decoder(UserStorage)
_price = msgspec.json.Decoder(Price)
MOMENTS = (
    "in_progress_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
)


def text_of(value: object) -> str:
    """JSON text of a record."""
    return msgspec.json.encode(value).decode()


def pattern_of(text: str) -> str:
    """A pattern of LIKE that means exactly these characters, anywhere."""
    for special in "\\%_":
        text = text.replace(special, "\\" + special)
    return f"%{text}%"


def file_row(file: File) -> dict[str, Any]:
    """The columns of a file."""
    return msgspec.structs.asdict(file) | {"purpose": file.purpose.value, "status": file.status.value}


def file_record(row: Row) -> File:
    """The file of a row."""
    return File(
        id=row["id"],
        resource=row["resource"],
        filename=row["filename"],
        purpose=Purpose(row["purpose"]),
        size=row["size"],
        created_at=row["created_at"],
        blob=row["blob"],
        expires_at=row["expires_at"],
        status=FileStatus(row["status"]),
        status_details=row["status_details"],
        checksum=row["checksum"],
    )


def upload_row(upload: Upload) -> dict[str, Any]:
    """The columns of an upload."""
    return msgspec.structs.asdict(upload) | {"purpose": upload.purpose.value, "status": upload.status.value}


def upload_record(row: Row) -> Upload:
    """The upload of a row."""
    return Upload(
        id=row["id"],
        resource=row["resource"],
        filename=row["filename"],
        purpose=Purpose(row["purpose"]),
        size=row["size"],
        mime_type=row["mime_type"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        status=UploadStatus(row["status"]),
        file_lifetime_seconds=row["file_lifetime_seconds"],
        file_id=row["file_id"],
        completed_with=row["completed_with"],
        ended_at=row["ended_at"],
    )


def part_record(row: Row) -> UploadPart:
    """The part of a row."""
    return UploadPart(**{name: row[name] for name in UploadPart.__struct_fields__})


def batch_row(batch: Batch, key: IdempotencyKey | None = None) -> dict[str, Any]:
    """The columns of a new batch."""
    return {
        "id": batch.id,
        "resource": batch.resource,
        "input_file_id": batch.input_file_id,
        "input_blob": batch.input_blob,
        "endpoint": batch.endpoint,
        "completion_window": batch.completion_window,
        "status": batch.status.value,
        "stage": (BEGIN if batch.input_blob else BEGIN_ELSEWHERE)[0].value,
        "created_at": batch.created_at,
        "expires_at": batch.expires_at,
        "expires": int(batch.policies.window_elapsed is WindowElapsed.EXPIRE),
        "policies": text_of(batch.policies),
        "metadata": None if batch.metadata is None else text_of(batch.metadata),
        "total": batch.counts.total,
        "deployment": batch.deployment,
        "enqueued_tokens": batch.enqueued_tokens,
        "input_bytes": batch.input_bytes,
        "storage": None if batch.storage is None else text_of(batch.storage),
        "idempotency_key": None if key is None else key.key,
        "idempotency_digest": None if key is None else key.digest,
    }


def batch_record(row: Row) -> Batch:
    """The batch of a row."""
    # A row looks a name up in turn: with so many columns that would be half of what a page of a list costs.
    column = dict(zip(row.keys(), row, strict=True))
    return Batch(
        id=column["id"],
        resource=column["resource"],
        input_file_id=column["input_file_id"],
        input_blob=column["input_blob"],
        endpoint=column["endpoint"],
        completion_window=column["completion_window"],
        status=Status(column["status"]),
        created_at=column["created_at"],
        expires_at=column["expires_at"],
        policies=_policies.decode(column["policies"]),
        deployment=column["deployment"],
        model=column["model"],
        metadata=None if column["metadata"] is None else _metadata.decode(column["metadata"]),
        enqueued_tokens=column["enqueued_tokens"],
        input_bytes=column["input_bytes"],
        counts=RequestCounts(total=column["total"], completed=column["completed"], failed=column["failed"]),
        usage=Usage(
            input_tokens=column["input_tokens"],
            cached_tokens=column["cached_tokens"],
            output_tokens=column["output_tokens"],
            reasoning_tokens=column["reasoning_tokens"],
        ),
        price=price_record(column["price"]),
        errors=None if column["errors"] is None else _errors.decode(column["errors"]),
        output_file_id=column["output_file_id"],
        error_file_id=column["error_file_id"],
        first_result_at=column["first_result_at"],
        answers_mended=column["answers_mended"],
        paused=bool(column["paused"]),
        storage=None if column["storage"] is None else _storage.decode(column["storage"]),
        **{moment: column[moment] for moment in MOMENTS},
    )


def price_record(text: str | None) -> Price | None:
    """The price of a text; without one, none was known."""
    return _price.decode(text) if text else None


def range_row(prefix: str, where: BlobRange | None) -> dict[str, Any]:
    """The three columns of a range, all null where there is none."""
    return {
        f"{prefix}_key": where.key if where else None,
        f"{prefix}_offset": where.offset if where else None,
        f"{prefix}_length": where.length if where else None,
    }


def range_record(row: Row, prefix: str) -> BlobRange | None:
    """The range in three columns."""
    key = row[f"{prefix}_key"]
    if key is None:
        return None
    return BlobRange(key=key, offset=row[f"{prefix}_offset"], length=row[f"{prefix}_length"])


def joined(before: BlobRange | None, after: BlobRange | None) -> tuple[bool, BlobRange | None]:
    """Whether `after` directly continues `before` (or one of them is missing), and what both are together."""
    if before is None or after is None:
        return True, before or after
    if before.key == after.key and before.offset + before.length == after.offset:
        return True, BlobRange(key=before.key, offset=before.offset, length=before.length + after.length)
    return False, None
