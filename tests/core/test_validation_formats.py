"""The rules of `response_format` in chat and of `text.format` in responses."""

import pytest

from tests.core.input_lines import DEPLOYMENT, body, check, faults, line, only_fault

SEED_CHAT = [{"role": "user", "content": "Hello"}]
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}}


def chat_format(**changes: object) -> dict[str, object]:
    """A valid `response_format`, but for what is changed in its `json_schema`; None removes a key."""
    inner = {"name": "Answer", "schema": SCHEMA, "strict": True} | changes
    return {"type": "json_schema", "json_schema": {key: value for key, value in inner.items() if value is not None}}


def text_format(**changes: object) -> dict[str, object]:
    """A valid `text.format` of responses, but for what is changed; None removes a key."""
    whole = {"type": "json_schema", "name": "Answer", "schema": SCHEMA, "strict": True} | changes
    return {key: value for key, value in whole.items() if value is not None}


# A `response_format`, the parameter below it that is wrong, and whether that is missing; None where nothing is.
CHAT_FORMATS: list[tuple[object, str | None, bool]] = [
    (None, None, False),
    ({"type": "text"}, None, False),
    ({"type": "json_object"}, None, False),
    ({"type": "json_object", "schema": SCHEMA}, None, False),
    (chat_format(), None, False),
    (chat_format(schema=None), None, False),
    (chat_format(strict=None, description="d"), None, False),
    (chat_format(name="a-B_9" * 12), None, False),
    ({"json_schema": {"schema": {}, "name": "x"}, "type": "json_schema"}, None, False),
    # Engines have types of their own.
    ({"type": "structural_tag", "structures": [], "triggers": []}, None, False),
    ({"type": "regex", "value": "a+"}, None, False),
    ("json", "", False),
    ([], "", False),
    ({}, ".type", True),
    ({"type": 5}, ".type", False),
    ({"type": ""}, ".type", False),
    ({"type": None}, ".type", False),
    # The spelling is one of OpenAI's, nearly: no engine means anything else by it.
    ({"type": "json-schema"}, ".type", False),
    ({"type": "JSON_Object"}, ".type", False),
    ({"type": "jsonSchema"}, ".type", False),
    ({"type": "Text"}, ".type", False),
    ({"type": "json_schema"}, ".json_schema", True),
    ({"type": "json_schema", "json_schema": None}, ".json_schema", True),
    ({"type": "json_schema", "json_schema": "x"}, ".json_schema", False),
    ({"type": "json_schema", "json_schema": SCHEMA}, ".json_schema.name", True),
    (chat_format(name=""), ".json_schema.name", False),
    (chat_format(name=7), ".json_schema.name", False),
    (chat_format(name="a b"), ".json_schema.name", False),
    (chat_format(name="a\n"), ".json_schema.name", False),
    (chat_format(name="\u00e9"), ".json_schema.name", False),
    (chat_format(name="x" * 65), ".json_schema.name", False),
    (chat_format(schema=[]), ".json_schema.schema", False),
    (chat_format(schema="{}"), ".json_schema.schema", False),
    (chat_format(strict="true"), ".json_schema.strict", False),
    (chat_format(strict=1), ".json_schema.strict", False),
]
TEXT_FORMATS: list[tuple[object, str | None, bool]] = [
    (None, None, False),
    ({}, None, False),
    ({"verbosity": "low"}, None, False),
    ({"format": None}, None, False),
    ({"format": {"type": "text"}}, None, False),
    ({"format": {"type": "json_object"}}, None, False),
    ({"format": text_format()}, None, False),
    ({"format": text_format(strict=None)}, None, False),
    ({"format": {"type": "grammar", "syntax": "lark"}}, None, False),
    ("text", "", False),
    ({"format": "json"}, ".format", False),
    ({"format": {"name": "x"}}, ".format.type", True),
    ({"format": text_format(type="json schema")}, ".format.type", False),
    ({"format": text_format(name=None)}, ".format.name", True),
    ({"format": text_format(name="a/b")}, ".format.name", False),
    ({"format": text_format(schema=None)}, ".format.schema", True),
    ({"format": text_format(schema=True)}, ".format.schema", False),
    ({"format": text_format(strict="no")}, ".format.strict", False),
    # Chat nests the schema; responses do not.
    ({"format": chat_format()}, ".format.name", True),
]


@pytest.mark.parametrize("family", ["azure", "openai"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("endpoint", "key", "value", "param", "absent"),
    [("/chat/completions", "response_format", *row) for row in CHAT_FORMATS]
    + [("/responses", "text", *row) for row in TEXT_FORMATS],
)
def test_formats_of_answers_are_checked_for_shape(
    endpoint: str, key: str, value: object, param: str | None, absent: bool, first: bool, family: str
) -> None:
    """A format of another shape than the contract's is a fault of its line that says where; others pass, engines' own too."""
    payload = {"model": DEPLOYMENT} | ({"messages": SEED_CHAT} if key == "response_format" else {"input": "Hello"})
    data = b"" if first else line(custom_id="first", url=endpoint, body=payload)
    data += line(url=endpoint, body=payload | {key: value})
    code = "missing_required_parameter" if absent and family == "openai" else "invalid_request"
    expected = [] if param is None else [(code, f"body.{key}{param}", 1 if first else 2)]
    assert faults(data, endpoint=endpoint, family=family) == expected


def test_a_near_miss_is_told_what_it_missed() -> None:
    """Who writes a type in another spelling reads the right one."""
    error = only_fault(line(body=body(response_format={"type": "JSON-schema"})))
    assert error.message == "There is no format 'JSON-schema'; did you mean 'json_schema'?"


def test_formats_belong_to_their_endpoints() -> None:
    """What chat calls the format means nothing to embeddings, and `text` nothing to chat: the engine may judge that."""
    assert check(line(body=body(text="x"))).errors == []
    data = line(url="/embeddings", body={"model": DEPLOYMENT, "input": "Hello", "response_format": "x"})
    assert check(data, endpoint="/embeddings").errors == []
