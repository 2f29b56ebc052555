"""Rows and requests: templates, what is made of a row at each endpoint, schemas, and what an answer is beside a row."""

import json
from typing import Any

import pytest

from slackwater.core.errors import InvalidRequest
from slackwater.core.rows.answer_cells import CUT_OFF, cells_of
from slackwater.core.rows.recipe import Recipe, check_recipe, field_of, request_line, template_for
from slackwater.core.rows.schema import schema_of
from slackwater.core.rows.template import Template

STRICT = (
    b'{"title": "Mood of it", "type": "object", "properties": {"mood": {"type": "string"}}, '
    b'"required": ["mood"], "additionalProperties": false}'
)


def made(recipe: Recipe, row: dict[str, Any], pictures: tuple[str, ...] = ()) -> dict[str, Any]:
    check_recipe(recipe)
    line = request_line(recipe, "row-1", row, pictures)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    read = json.loads(line)
    assert (read["custom_id"], read["method"], read["url"]) == ("row-1", "POST", recipe.url)
    return dict(read["body"])


@pytest.mark.parametrize(
    ("text", "row", "filled"),
    [
        ("{text}", {"text": "a {b} \n c"}, "a {b} \n c"),
        ("Say {a}, {b}.", {"a": "x", "b": "y"}, "Say x, y."),
        ("{first name}!", {"first name": "Ada"}, "Ada!"),
        ("{ text }", {"text": "t"}, "t"),
        ('{{"a": {n}}}', {"n": 1}, '{"a": 1}'),
        ("{a.b}{a.c.d}", {"a": {"b": 1, "c": {"d": "x"}}}, "1x"),
        ("{a.b}", {"a.b": "whole", "a": {"b": "part"}}, "whole"),
        ("{n}|{f}|{t}|{l}|{z}", {"n": 1, "f": 0.5, "t": True, "l": ["é"], "z": None}, '1|0.5|true|["é"]|'),
        ("", {"text": "t"}, ""),
        ("no column", {}, "no column"),
    ],
)
def test_templates(text: str, row: dict[str, Any], filled: str) -> None:
    """Names in braces, names with spaces and dots, braces themselves; a value's own braces are not looked at."""
    assert Template(text).fill(row) == filled


@pytest.mark.parametrize("text", ["{text", "text}", "{}", "{ }", '{"a": {text}}', "{{text}", "a } b {text}"])
def test_braces_without_a_partner(text: str) -> None:
    """A brace that is no column says how one is written."""
    with pytest.raises(InvalidRequest, match=r"\{\{ and \}\}"):
        Template(text)


def test_a_column_that_is_not_there() -> None:
    """The columns that there are are named, and not all of a thousand."""
    with pytest.raises(InvalidRequest, match="there is no column 'txt'; there are id, text"):
        Template("{txt}").fill({"id": 1, "text": "t"})
    with pytest.raises(InvalidRequest, match="and 992 more"):
        Template("{txt}").fill({f"c{number}": 1 for number in range(1_000)})
    with pytest.raises(InvalidRequest, match=r"\{\{ and \}\}"):
        Template('{"a": 1}').fill({"text": "t"})
    with pytest.raises(InvalidRequest, match=r"there is no column 'a\.b\.c'"):
        Template("{a.b.c}").fill({"a": {"b": "text"}})


def test_chat() -> None:
    """System prompt, schema, pictures, and fields at any depth, filled with the row."""
    recipe = Recipe(
        url="/v1/chat/completions",
        model="m",
        prompt=Template("Mood of {text}?"),
        system=Template("You are {who}."),
        schema=schema_of(STRICT, stem="x"),
        pictures=("path",),
        detail="low",
        fields=tuple(map(field_of, ("temperature=0", "user={id}", "extra.deep.er=[1]", "stop=plain"))),
    )
    assert recipe.columns == ["text", "who", "id", "path"]
    body = made(recipe, {"text": "t", "who": "w", "id": 7, "path": "p"}, ("data:x",))
    assert body["messages"] == [
        {"role": "system", "content": "You are w."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Mood of t?"},
                {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}},
            ],
        },
    ]
    assert (body["temperature"], body["user"], body["extra"], body["stop"]) == (0, "7", {"deep": {"er": [1]}}, "plain")
    described = body["response_format"]["json_schema"]
    assert (body["response_format"]["type"], described["name"], described["strict"]) == (
        "json_schema",
        "Mood_of_it",
        True,
    )


def test_fields_do_not_run_from_row_to_row() -> None:
    """A field inside of the schema's object changes this request, and not what all rows share."""
    recipe = Recipe(
        url="/v1/chat/completions",
        model="m",
        prompt=Template("{t}"),
        schema=schema_of(STRICT, stem="x"),
        fields=(field_of("response_format.note={t}"),),
    )
    assert [made(recipe, {"t": each})["response_format"]["note"] for each in ("a", "b")] == ["a", "b"]
    assert "note" not in recipe.schema.as_chat()  # type: ignore[union-attr]


def test_other_endpoints() -> None:
    """Where a row's text goes elsewhere."""
    prompt, system = Template("{t}"), Template("s")
    responses = Recipe(url="/v1/responses", model="m", prompt=prompt, system=system, schema=schema_of(STRICT, stem="x"))
    body = made(responses, {"t": "hi"})
    assert (body["input"], body["instructions"], body["text"]["format"]["type"]) == ("hi", "s", "json_schema")
    with_picture = made(Recipe(url="/v1/responses", model="m", prompt=prompt, pictures=("p",)), {"t": "hi"}, ("u",))
    assert with_picture["input"][0]["content"] == [
        {"type": "input_text", "text": "hi"},
        {"type": "input_image", "image_url": "u"},
    ]
    for url, key in (("/v1/embeddings", "input"), ("/completions", "prompt"), ("/openai/v1/moderations", "input")):
        assert made(Recipe(url=url, model="m", prompt=prompt), {"t": "hi"}) == {"model": "m", key: "hi"}
    messages = made(Recipe(url="/v1/messages", model="m", prompt=prompt, system=system), {"t": "hi"})
    assert (messages["system"], messages["max_tokens"], messages["messages"][0]["content"]) == ("s", 1024, "hi")
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    assert made(Recipe(url="/v1/chat/completions", model="m", prompt=None), {"messages": talk})["messages"] == talk


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (Recipe(url="/v1/embeddings", model="m", prompt=Template("x"), system=Template("s")), "a system prompt"),
        (
            Recipe(url="/v1/completions", model="m", prompt=Template("x"), schema=schema_of(STRICT, stem="x")),
            "a schema",
        ),
        (Recipe(url="/v1/messages", model="m", prompt=Template("x"), pictures=("p",)), "pictures"),
        (Recipe(url="/v1/embeddings", model="m", prompt=None), "a conversation"),
        (Recipe(url="/v1/assistants", model="m", prompt=Template("x")), "there are /v1/chat/completions"),
    ],
)
def test_what_an_endpoint_does_not_take(recipe: Recipe, said: str) -> None:
    """Said before any row is read, and not dropped."""
    with pytest.raises(InvalidRequest, match=said):
        check_recipe(recipe)


def test_which_column_is_asked() -> None:
    """Without a template: a usual name, or the only column; else the columns are named."""
    assert (found := template_for(["id", "question"])) is not None
    assert found.columns == ["question"]
    assert (found := template_for(["Satz"])) is not None
    assert found.columns == ["Satz"]
    assert template_for(["id", "messages"]) is None
    with pytest.raises(InvalidRequest, match=r"--template: its columns are \{id\}, \{satz\}"):
        template_for(["id", "satz"])


def test_fields_that_are_none() -> None:
    """What is no FIELD=VALUE, and what has an option of its own."""
    for text in ("temperature", "=1", "a..b=1", "messages=[]", "model=x"):
        with pytest.raises(InvalidRequest):
            field_of(text)


def test_schemas() -> None:
    """The strict form is told from others at any depth; what is no object is refused."""
    loose = schema_of(b'{"type": "object", "properties": {"a": {"type": "object", "properties": {}}}}', stem="my file!")
    assert (loose.name, loose.strict) == ("my_file", False)
    deep = json.loads(STRICT) | {"$defs": {"x": {"type": "object", "properties": {"a": {}}, "required": ["a"]}}}
    assert not schema_of(json.dumps(deep).encode(), stem="x").strict
    wrapped = schema_of(b'{"name": "n", "schema": ' + STRICT + b"}", stem="x")
    assert (wrapped.name, wrapped.strict) == ("n", True)
    for data in (b"", b"[]", b'{"type": "array"}', b"\xff", b"[" * 100_000):
        with pytest.raises(InvalidRequest):
            schema_of(data, stem="x")


def line(body: Any, custom_id: str = "row-1") -> bytes:
    return json.dumps({"id": "x", "custom_id": custom_id, "response": {"status_code": 200, "body": body}}).encode()


def chat_line(content: Any, reason: str = "stop") -> bytes:
    return line({"choices": [{"message": {"content": content}, "finish_reason": reason}]})


def test_answers_as_cells() -> None:
    """Text whole, objects as fields, also in a fence; what is cut off says so."""
    long = "x" * 10_000
    assert cells_of(chat_line(long), failed=False).answer == long
    for content in ('{"a": 1}', ' \n{"a": 1}', '```json\n{"a": 1}\n```', '```\n{"a": 1}\n```\n'):
        assert cells_of(chat_line(content), failed=False).fields == {"a": 1}
    for content in ("[1]", "{}", "{broken", "plain", "```\ncode\n```", "{" * 50_000, '{"a": 1} and more'):
        assert cells_of(chat_line(content), failed=False).fields is None
    assert cells_of(chat_line('{"a": ', "length"), failed=False).error == CUT_OFF
    assert (
        cells_of(line({"output": [{"content": [{"text": "t"}]}], "status": "incomplete"}), failed=False).error
        == CUT_OFF
    )


def test_answers_without_text() -> None:
    """A vector, a verdict, and what nobody knows: none is lost."""
    assert cells_of(line({"data": [{"embedding": [0.5, 1]}]}), failed=False).answer == [0.5, 1]
    assert cells_of(line({"results": [{"flagged": True}]}), failed=False).answer == {"flagged": True}
    assert cells_of(line({"some": "thing"}), failed=False).answer == {"some": "thing"}
    assert cells_of(b'{"custom_id": "row-1", "response": null}', failed=False).error


def test_failures_as_cells() -> None:
    """Status, code and message of what failed; of what was never sent, what the service says."""
    failed = {"custom_id": "r", "response": {"status_code": 400, "body": {"error": {"code": "c", "message": "m"}}}}
    assert cells_of(json.dumps(failed).encode(), failed=True).error == "400 c: m"
    never = {"custom_id": "r", "response": None, "error": {"code": "batch_expired", "message": "late"}}
    assert cells_of(json.dumps(never).encode(), failed=True).error == "batch_expired: late"
