"""A file that comes in parts: what was announced, which parts have come, and how it ended (spec 2.5)."""

import base64
from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from slackwater.core.accounts.resource import DEFAULT
from slackwater.core.errors import InvalidRequest
from slackwater.core.files.file import Purpose


class UploadStatus(StrEnum):
    """Where an upload is. Every status but the first is an end, and an end never changes."""

    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Upload(Struct, frozen=True, kw_only=True):
    """An upload. `size` is the announced number of bytes; moments are whole seconds since 1970 in UTC."""

    id: str
    filename: str
    purpose: Purpose
    size: int
    mime_type: str
    created_at: int
    expires_at: int
    resource: str = DEFAULT
    status: UploadStatus = UploadStatus.PENDING
    file_lifetime_seconds: int | None = None
    """How long the file lives once it is made; None keeps it until it is deleted."""
    file_id: str | None = None
    completed_with: str | None = None
    """Digest of the `part_ids` that completed it, by which a repeated call is known."""
    ended_at: int | None = None

    def status_at(self, now: float) -> UploadStatus:
        """The status that is true now: an upload has expired when its time is over, not when somebody notices."""
        if self.status is UploadStatus.PENDING and self.expires_at <= now:
            return UploadStatus.EXPIRED
        return self.status


class UploadPart(Struct, frozen=True, kw_only=True):
    """Some bytes of an upload. Where they go is said at the end, by `id` or by `block_id`."""

    id: str
    upload_id: str
    block_id: str
    size: int
    created_at: int
    blob: str
    checksum: int | None = None
    """CRC-32; None where an older version wrote it."""


def in_order(part_ids: Sequence[str], parts: Sequence[UploadPart]) -> list[UploadPart]:
    """The parts that are named, by their ids or their block ids. Raises InvalidRequest."""
    if not part_ids:
        raise InvalidRequest(
            "'part_ids' is empty: name the parts in the order in which they make the file.", param="part_ids"
        )
    by_name = {part.id: part for part in parts} | {part.block_id: part for part in parts}
    named: dict[str, UploadPart] = {}
    for part_id in part_ids:
        part = by_name.get(part_id)
        if part is None:
            raise InvalidRequest(f"There is no part '{part_id[:80]}' in this upload.", param="part_ids")
        if part.id in named:
            raise InvalidRequest(f"The part '{part_id[:80]}' is named twice; name every part once.", param="part_ids")
        named[part.id] = part
    return list(named.values())


def checksum(md5: str) -> bytes:
    """The sixteen bytes of an MD5, in hexadecimal digits of either case or in base64. Raises InvalidRequest."""
    try:
        digest = bytes.fromhex(md5) if len(md5) == 32 else base64.b64decode(md5, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != 16:
        raise InvalidRequest(
            "'md5' must be the MD5 of the whole file: 32 hexadecimal digits, or its 16 bytes in base64.", param="md5"
        )
    return digest
