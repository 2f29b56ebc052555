"""Files that come in parts."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from slackwater.api.objects.files import ExpiresAfter, FileObject
from slackwater.api.objects.times import Moment


class NewUpload(Struct, frozen=True, kw_only=True):
    """A file that will come in parts (spec 2.5)."""

    purpose: str
    filename: str
    bytes: Annotated[int, Meta(ge=0)]
    """Size of the whole; the parts must add up to it."""
    mime_type: str
    expires_after: ExpiresAfter | None = None


class CompleteUpload(Struct, frozen=True, kw_only=True):
    """The order in which the parts make the file."""

    part_ids: list[str]
    """Ids of parts, or their `azure_block_id`."""
    md5: str | None = None
    """MD5 of the whole file, in hexadecimal digits or in base64, to be compared."""


class UploadObject(Struct, frozen=True, kw_only=True):
    """A file that comes in parts."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: Moment
    filename: str
    purpose: str
    status: Literal["pending", "completed", "cancelled", "expired"]
    expires_at: Moment
    file: FileObject | UnsetType = UNSET
    """The file that was made; only once the upload is `completed`."""


class UploadPartObject(Struct, frozen=True, kw_only=True):
    """One part of an upload."""

    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: Moment
    upload_id: str
    azure_block_id: str | UnsetType = UNSET
