"""The three families of clients, as values. What differs between them is decided here, and nowhere inside.

A: Azure with dated api-versions, V: Azure v1, O: OpenAI (spec section 1). A handler asks the dialect, it never asks which
one it is; what has to last longer than a request is stored on the batch as Policies.
"""

import re
import uuid
from collections.abc import Callable

from msgspec import Struct

from slackwater.core.batch import EmptyFiles, Policies, WindowElapsed
from slackwater.core.validation import normalised

# What the service answered in `api-supported-versions` in April 2025 (spec 1.3); batch came with 2024-07-01-preview.
API_VERSIONS = (
    "2022-12-01",
    "2023-03-15-preview",
    "2023-05-15",
    "2023-06-01-preview",
    "2023-07-01-preview",
    "2023-08-01-preview",
    "2023-09-01-preview",
    "2023-10-01-preview",
    "2023-12-01-preview",
    "2024-02-01",
    "2024-02-15-preview",
    "2024-03-01-preview",
    "2024-04-01-preview",
    "2024-04-15-preview",
    "2024-05-01-preview",
    "2024-06-01",
    "2024-07-01-preview",
    "2024-08-01-preview",
    "2024-09-01-preview",
    "2024-10-01-preview",
    "2024-10-21",
    "2024-11-01-preview",
    "2024-12-01-preview",
    "2025-01-01-preview",
    "2025-02-01-preview",
    "2025-03-01-preview",
    "2025-04-01-preview",
    "2025-04-28",
)
LOOKS_DATED = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")
MONTH = 30 * 86_400


class Codes(Struct, frozen=True, kw_only=True):
    """How a family names what went wrong; None is written as null (spec section 7)."""

    missing: str | None
    invalid: str | None
    not_found: str | None
    conflict: str | None
    too_large: str | None
    unauthorized: str | None
    failure: str | None
    kind: str | None = None
    """`type` of every error body, where the family has one."""


class Dialect(Struct, frozen=True, kw_only=True):
    """One family."""

    name: str
    prefix: str
    codes: Codes
    policies: Policies
    upload_status: int
    dated: bool = False
    """Every call needs an api-version, and an unknown one is as if there were nothing."""
    versions: frozenset[str] | None = None
    """Values that api-version may have; None leaves it alone."""
    shows_location: bool = False
    bare_endpoint: bool = False
    """Endpoints are written back without `/v1`."""
    forgiving_delete: bool = True
    """Deleting what is not there says `deleted: false` instead of 404."""
    strict_names: bool = False
    """A batch file's name must not end in anything but .jsonl."""
    batch_file_lifetime: int | None = None
    """Seconds that a batch's input file lives if the caller does not say."""
    new_batch_id: Callable[[], str] = lambda: f"batch_{uuid.uuid4()}"
    token_headers: bool = False

    def endpoint(self, given: str) -> str:
        """A batch's endpoint as this family writes it back."""
        return normalised(given) if self.bare_endpoint else given

    def knows_version(self, version: str | None, *, lenient: bool) -> bool:
        """Whether a call with this api-version is one that this family answers."""
        if self.versions is None:
            return True
        if version is None:
            return not self.dated
        return version in self.versions or (lenient and self.dated and LOOKS_DATED.fullmatch(version) is not None)


AZURE_CODES = Codes(
    missing="invalidPayload",
    invalid="invalidPayload",
    not_found="notFound",
    conflict="conflict",
    too_large="invalidPayload",
    unauthorized="401",
    failure="internalFailure",
)
OPENAI_CODES = Codes(
    missing="missing_required_parameter",
    invalid="invalid_value",
    not_found=None,
    conflict=None,
    too_large=None,
    unauthorized="invalid_api_key",
    failure="server_error",
    kind="invalid_request_error",
)

AZURE = Dialect(
    name="azure",
    prefix="/openai",
    codes=AZURE_CODES,
    policies=Policies(validation="azure"),
    upload_status=201,
    dated=True,
    versions=frozenset(API_VERSIONS),
    shows_location=True,
    bare_endpoint=True,
    token_headers=True,
)
AZURE_V1 = Dialect(
    name="azure-v1",
    prefix="/openai/v1",
    codes=AZURE_CODES,
    policies=Policies(validation="azure", empty_files=EmptyFiles.OMIT),
    upload_status=200,
    versions=frozenset({"v1", "preview", "latest"}),
    token_headers=True,
)
OPENAI = Dialect(
    name="openai",
    prefix="/v1",
    codes=OPENAI_CODES,
    policies=Policies(
        validation="openai",
        empty_files=EmptyFiles.OMIT,
        window_elapsed=WindowElapsed.EXPIRE,
        output_expires_seconds=MONTH,
        output_filename="{id}_output.jsonl",
        error_filename="{id}_error.jsonl",
    ),
    upload_status=200,
    forgiving_delete=False,
    strict_names=True,
    batch_file_lifetime=MONTH,
    new_batch_id=lambda: f"batch_{uuid.uuid4().hex}",
)
# The longest prefix first: `/openai/v1` is not Azure's dated family.
DIALECTS = (AZURE_V1, AZURE, OPENAI)


def dialect_of(path: str) -> Dialect | None:
    """The family that a path belongs to."""
    for dialect in DIALECTS:
        if path == dialect.prefix or path.startswith(dialect.prefix + "/"):
            return dialect
    return None
