"""JSON schemas for structured answers, as the body of a request has them.

Chat: `response_format`; responses: `text.format`. Both vendors know a strict form, in which each object names all of its
properties as required and takes no others (https://platform.openai.com/docs/guides/structured-outputs, 2026-11).
"""

import re
from typing import Any

import msgspec

from slackwater.core.errors import InvalidRequest

# As both vendors take it.
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]+")
NAME_LENGTH_MAX = 64


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """A schema, and whether it keeps the rules of the strict form."""

    name: str
    schema: dict[str, Any]
    strict: bool

    def as_chat(self) -> dict[str, Any]:
        """The value of `response_format`."""
        return {
            "type": "json_schema",
            "json_schema": {"name": self.name, "strict": self.strict, "schema": self.schema},
        }

    def as_responses(self) -> dict[str, Any]:
        """The value of `text`."""
        return {"format": {"type": "json_schema", "name": self.name, "strict": self.strict, "schema": self.schema}}


def schema_of(data: bytes, *, stem: str) -> Schema:
    """Reads a schema; `stem` names it where it has no title. Also takes what a request has, `{"name", "schema"}`.

    Raises InvalidRequest where it is no schema of an object.
    """
    try:
        read = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the schema is no JSON: {error}") from error
    name = ""
    if isinstance(read, dict) and isinstance(read.get("json_schema"), dict):
        read = read["json_schema"]
    if isinstance(read, dict) and isinstance(read.get("schema"), dict):
        name = str(read.get("name") or "")
        read = read["schema"]
    if not isinstance(read, dict) or not (read.get("type") == "object" or "$ref" in read):
        raise InvalidRequest('the schema has to describe an object: {"type": "object", "properties": {...}}')
    name = _NOT_IN_A_NAME.sub("_", name or str(read.get("title") or stem)).strip("_")[:NAME_LENGTH_MAX]
    return Schema(name=name or "answer", schema=read, strict=_strict(read))


def _strict(part: Any) -> bool:
    """Whether everything below keeps the rules of the strict form."""
    if isinstance(part, list):
        return all(_strict(each) for each in part)
    if not isinstance(part, dict):
        return True
    properties = part.get("properties")
    if part.get("type") == "object" or isinstance(properties, dict):
        names = set(properties) if isinstance(properties, dict) else set()
        if part.get("additionalProperties") is not False or set(part.get("required") or ()) != names:
            return False
    return all(_strict(value) for key, value in part.items() if key not in ("enum", "const", "default", "examples"))
