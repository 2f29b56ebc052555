"""The three families of clients, as values. What differs between them is decided here, and nowhere inside.

A: Azure with dated api-versions, V: Azure v1, O: OpenAI (spec section 1). A handler asks the dialect, it never asks which
one it is; what has to last longer than a request is stored on the batch as Policies.
"""

import re
import uuid
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from slackwater.core.batch import EmptyFiles, Policies, WindowElapsed
from slackwater.core.endpoints import normalised
from slackwater.core.files.file import Purpose

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
    input_file_missing: str | None
    not_found: str | None
    conflict: str | None
    too_large: str | None
    refused: str | None
    quota: str | None
    unauthorized: str | None
    failure: str | None
    kind: str | None = None
    """`type` of every error body, where the family has one."""
    keeps_own: bool = False
    """Whether an error that has a code of its own, such as `invalid_type`, keeps it."""
    bare_not_found: bool = False
    """Whether an unknown path is answered with the recorded 56 bytes instead of words."""


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
    looks_into_files: bool = False
    """A batch file's name, and its first line, are looked at when it is uploaded (spec 2.1)."""
    files_detail: bool = False
    """Errors of the Files API repeat themselves beside `error` (spec 7.1)."""
    null_expiry: bool = False
    """A file that lives until it is deleted says `expires_at: null` instead of nothing; the same for status_details."""
    purposes: tuple[Purpose, ...]
    """What a file may be uploaded for."""
    fail_fast: bool = False
    """A batch that finds no room for its estimated tokens is refused at once (spec 3.1)."""
    batch_file_lifetime: int | None = None
    """Seconds that a batch's input file lives if the caller does not say."""
    new_batch_id: Callable[[], str] = lambda: f"batch_{uuid.uuid4()}"
    upload_lifetime: int = 7_200
    """Seconds in which an upload in parts has to be completed (spec 2.5)."""
    new_part_id: Callable[[], str] = lambda: f"uplprt-{uuid.uuid4().hex}"
    shows_block_ids: bool = True
    """Parts say their `azure_block_id`."""
    token_headers: bool = False
    json_type: str = "application/json; charset=utf-8"
    webhook_object: Literal["webhook_endpoint", "webhook.endpoint"] = "webhook_endpoint"
    """What an endpoint of webhooks is called (spec 10)."""
    region_header: bool = True
    """Answers say `x-ms-region`, where it is known (spec 1.4)."""
    openai_headers: bool = False
    """Answers say `openai-version` and `openai-processing-ms` (spec 1.4)."""

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
    input_file_missing="invalidPayload",
    not_found="notFound",
    conflict="conflict",
    too_large="invalidPayload",
    refused="invalidPayload",
    quota="quotaExceeded",
    unauthorized="401",
    failure="internalFailure",
    bare_not_found=True,
)
OPENAI_CODES = Codes(
    missing="missing_required_parameter",
    invalid="invalid_value",
    input_file_missing=None,
    not_found=None,
    conflict=None,
    too_large=None,
    refused=None,
    quota=None,
    unauthorized="invalid_api_key",
    failure="server_error",
    kind="invalid_request_error",
    keeps_own=True,
)
# In the order in which OpenAI's error message lists them.
OPENAI_PURPOSES = (
    Purpose.FINE_TUNE,
    Purpose.ASSISTANTS,
    Purpose.BATCH,
    Purpose.USER_DATA,
    Purpose.VISION,
    Purpose.EVALS,
)
# Azure's dated description has names of its own (spec 2.1); the rest is what v1 added.
AZURE_PURPOSES = (*OPENAI_PURPOSES, Purpose.FINE_TUNE_RESULTS, Purpose.ASSISTANTS_OUTPUT)

AZURE = Dialect(
    name="azure",
    prefix="/openai",
    codes=AZURE_CODES,
    policies=Policies(validation="azure"),
    purposes=AZURE_PURPOSES,
    upload_status=201,
    dated=True,
    versions=frozenset(API_VERSIONS),
    shows_location=True,
    bare_endpoint=True,
    token_headers=True,
    fail_fast=True,
)
AZURE_V1 = Dialect(
    name="azure-v1",
    prefix="/openai/v1",
    codes=AZURE_CODES,
    policies=Policies(validation="azure", empty_files=EmptyFiles.OMIT),
    purposes=AZURE_PURPOSES,
    upload_status=200,
    versions=frozenset({"v1", "preview", "latest"}),
    token_headers=True,
    fail_fast=True,
    null_expiry=True,
    webhook_object="webhook.endpoint",
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
    purposes=OPENAI_PURPOSES,
    upload_status=200,
    forgiving_delete=False,
    looks_into_files=True,
    files_detail=True,
    null_expiry=True,
    batch_file_lifetime=MONTH,
    new_batch_id=lambda: f"batch_{uuid.uuid4().hex}",
    upload_lifetime=3_600,
    new_part_id=lambda: f"part_{uuid.uuid4().hex}",
    shows_block_ids=False,
    json_type="application/json",
    region_header=False,
    openai_headers=True,
)
# Azure's control plane, where it is about deployments. No family of clients: it has no files and no batches, and every
# api-version will do.
ARM = Dialect(
    name="arm",
    prefix=(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.CognitiveServices/accounts/{account}"
    ),
    codes=AZURE_CODES,
    policies=Policies(),
    purposes=(),
    upload_status=201,
)
# The longest prefix first: `/openai/v1` is not Azure's dated family.
DIALECTS = (AZURE_V1, AZURE, OPENAI)


def dialect_of(path: str) -> Dialect | None:
    """The family that a path belongs to."""
    for dialect in DIALECTS:
        if path == dialect.prefix or path.startswith(dialect.prefix + "/"):
            return dialect
    return None
