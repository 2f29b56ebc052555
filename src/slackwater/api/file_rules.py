"""What a file must be to be taken, in the words of the caller's family: the same for uploads, parts and imports."""

import re

from slackwater.api.dialects import Dialect
from slackwater.core.errors import FileRefused, InvalidRequest
from slackwater.core.files.file import Purpose
from slackwater.core.input.peek import first_line_is_json

NOT_JSONL = "Invalid file format for Batch API. Must be .jsonl"
FIRST_LINE = (
    "Invalid file format for Batch API: the file must be in the .jsonl format, with a JSON object on its first line. "
    "See the input file of the batch API."
)


def read_purpose(given: str | None, dialect: Dialect) -> Purpose:
    """The purpose of a new file. Raises InvalidRequest and FileRefused."""
    if given is None:
        raise InvalidRequest(
            "Missing required parameter: 'purpose'.", code="missing_required_parameter", param="purpose"
        )
    purpose = next((known for known in dialect.purposes if known.value == given), None)
    if purpose is None:
        names = ", ".join(f"'{known.value}'" for known in dialect.purposes)
        if dialect.codes.keeps_own:
            raise FileRefused(f"'{given[:60]}' is not one of [{names}] - 'purpose'", param="purpose")
        raise InvalidRequest(f"Invalid value for purpose. Use one of {names}.", param="purpose")
    return purpose


def read_filename(given: str) -> str:
    """The last part of a path: some clients send the whole of it, and the name is what people recognise."""
    return re.split(r"[\\/]", given)[-1] or "file"


def check_name(filename: str, purpose: Purpose, dialect: Dialect) -> None:
    """Raises FileRefused where the family wants another ending. A name without one is fine (spec 2.1)."""
    strict = dialect.looks_into_files and purpose is Purpose.BATCH
    if strict and "." in filename and not filename.lower().endswith(".jsonl"):
        raise FileRefused(NOT_JSONL)


def check_head(head: bytes, size: int, purpose: Purpose, dialect: Dialect) -> None:
    """Raises FileRefused where the family looks at the first line, and it is no JSON."""
    strict = dialect.looks_into_files and purpose is Purpose.BATCH
    if strict and not first_line_is_json(head, size=size):
        raise FileRefused(FIRST_LINE)


def lifetime(given: int | None, purpose: Purpose, dialect: Dialect) -> int | None:
    """Seconds that a file lives, where the caller says so, or else the family."""
    return dialect.batch_file_lifetime if given is None and purpose is Purpose.BATCH else given
