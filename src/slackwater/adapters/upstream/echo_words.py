"""Texts in requests to the built-in backend, and what it says to them."""

from functools import reduce
from operator import getitem
from typing import Any

import msgspec

# Most items of an example of an array.
ITEMS_MAX = 16


def words_in(text: str) -> int:
    """How many tokens a text has here, at least 1."""
    return max(1, len(text.split()))


def text_in(content: Any) -> str:
    """The text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content or [] if isinstance(part, dict) and "text" in part)


def question_in(messages: list[dict[str, Any]]) -> str:
    """What the user said last."""
    users = [message for message in messages if message.get("role", "user") == "user"]
    return text_in((users or messages)[-1].get("content"))


def reply_text(question: str, response_format: Any) -> str:
    """What is said to a question, in the format that was asked for."""
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind == "json_schema":
        # Chat nests the schema one level deeper than responses do.
        schema = response_format.get("json_schema", response_format).get("schema", {})
        return msgspec.json.encode(example_of(schema)).decode()
    if kind == "json_object":
        return msgspec.json.encode({"echo": question}).decode()
    return f"Echo of: {question}\n\n(This is Slackwater's built-in backend: no model has read your request.)"


def example_of(schema: Any, root: Any = None) -> Any:
    """A small value that fits a JSON schema of the usual kind. Raises RecursionError for one that never ends."""
    if not isinstance(schema, dict):
        return None
    root = schema if root is None else root
    reference = schema.get("$ref")
    if reference is not None:
        return example_of(reduce(getitem, reference.removeprefix("#").split("/")[1:], root), root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return None if {"type": "null"} in choices else example_of(choices[0], root)
    kind = schema.get("type", "object" if "properties" in schema else None)
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        fields: dict[str, Any] = schema.get("properties", {})
        return {name: example_of(fields.get(name), root) for name in schema.get("required") or fields}
    if kind == "array":
        count = min(int(schema.get("minItems", 1)), ITEMS_MAX)
        return [example_of(schema.get("items"), root) for _ in range(count)]
    if kind in ("integer", "number"):
        return schema.get("minimum", 0)
    return {"string": "echo", "boolean": True}.get(str(kind))
