"""Files, whole or fetched from a URL."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from slackwater.api.objects.times import Lifetime, Moment


class ExpiresAfter(Struct, frozen=True, kw_only=True):
    """When a file goes by itself."""

    anchor: Literal["created_at"]
    seconds: Lifetime


class FileObject(Struct, frozen=True, kw_only=True):
    """A file (spec 2.1)."""

    object: Literal["file"] = "file"
    id: str
    purpose: str
    filename: str
    bytes: int | UnsetType = UNSET
    """Size; absent while an import is `pending`."""
    created_at: Moment
    expires_at: Moment | UnsetType | None = UNSET
    status: Literal["pending", "processed", "error"]
    status_details: str | UnsetType | None = UNSET
    """Why the status is `error`."""


class FileList(Struct, frozen=True, kw_only=True):
    """A page of files. The next one is asked for with `after=last_id`."""

    object: Literal["list"] = "list"
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(Struct, frozen=True, kw_only=True):
    """What became of a file that was to be deleted."""

    object: Literal["file"] = "file"
    deleted: bool
    id: str


class NewImport(Struct, frozen=True, kw_only=True):
    """A file to be fetched from a URL (spec 2.2)."""

    purpose: str
    filename: str
    content_url: str
    """Where the bytes are. The operator has to allow its host."""
    expires_after: ExpiresAfter | None = None
