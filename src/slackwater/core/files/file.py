"""A file as the user sees it: bytes with a purpose, a name and perhaps an end. Uploads and results alike."""

from enum import StrEnum

from msgspec import Struct

from slackwater.core.accounts.resource import DEFAULT

FILENAME_MAX = 512


class Purpose(StrEnum):
    """Why a file exists. Users upload `batch`; finished batches make `batch_output`. The rest is kept but not interpreted."""

    BATCH = "batch"
    BATCH_OUTPUT = "batch_output"
    FINE_TUNE = "fine-tune"
    FINE_TUNE_RESULTS = "fine-tune-results"
    ASSISTANTS = "assistants"
    ASSISTANTS_OUTPUT = "assistants_output"
    USER_DATA = "user_data"
    EVALS = "evals"
    VISION = "vision"


class FileStatus(StrEnum):
    """Where a file is on its short way. A client polls until `processed` or `error`."""

    PENDING = "pending"
    PROCESSED = "processed"
    ERROR = "error"


class File(Struct, frozen=True, kw_only=True):
    """One stored file. `size` is in bytes, moments are whole seconds since 1970 in UTC, `blob` is the key of its bytes."""

    id: str
    filename: str
    purpose: Purpose
    size: int
    created_at: int
    blob: str
    resource: str = DEFAULT
    expires_at: int | None = None
    status: FileStatus = FileStatus.PROCESSED
    status_details: str | None = None
    checksum: int | None = None
    """CRC-32 of all bytes; None where the file has none yet, or an older version wrote it."""


class FileLimits(Struct, frozen=True, kw_only=True):
    """How many uploaded files there may be at once; 0 is no limit. Results of batches do not count (spec 6.1)."""

    lasting: int = 0
    """Files that live until they are deleted."""
    expiring: int = 0
    """Files that go by themselves."""
