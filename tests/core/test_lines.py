"""The text of result lines: bytes are kept, lines are lines, and every one is JSON."""

import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.accounts.usage import Usage
from slackwater.core.sending.answer_kinds import Answer, Unreadable
from slackwater.core.sending.answers import read_answer
from slackwater.core.sending.lines import (
    MILLISECONDS_MAX,
    LineWriter,
    error_body,
    escape_line_ends,
    flatten,
    is_object,
    milliseconds_in,
    one_line,
    read_input_line,
    with_model,
)

WRITER = LineWriter("0123456789abcdef0123456789abcdef")


@given(st.text(max_size=50), st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=20), max_size=5))
def test_an_answered_line(custom_id: str, body: dict[str, object]) -> None:
    """The line is JSON with the contract's keys, and the body's bytes are in it as they came."""
    text = json.dumps(body, indent=1, ensure_ascii=False).encode("utf-8", "replace")
    body = json.loads(text)
    custom_id = custom_id.encode("utf-8", "ignore").decode()
    line = WRITER.answered(7, custom_id, status=200, body=one_line(text))
    read = json.loads(line)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert len(line.decode().splitlines()) == 1
    assert read["custom_id"] == custom_id
    assert read["response"]["body"] == body
    assert list(read) == ["id", "custom_id", "response", "error"]
    assert list(read["response"]) == ["status_code", "request_id", "body"]


ENDS = "a\u2028b\u2029c\u0085d"


def test_no_line_has_a_line_end_of_unicode() -> None:
    """Clients that split text and not bytes see as many lines as there are: in ids, answers and errors."""
    body = json.dumps({"text": ENDS, ENDS: "“潮”"}, ensure_ascii=False).encode()
    lines = [
        WRITER.answered(0, ENDS, status=200, body=body),
        b"".join(WRITER.answered_parts(1, ENDS, status=200, body=b"{}")),
        WRITER.unanswered(2, ENDS, code="x", message=ENDS),
    ]
    read = [json.loads(line) for line in b"".join(lines).decode().splitlines()]
    assert [line["custom_id"] for line in read] == [ENDS] * 3
    assert read[0]["response"]["body"] == json.loads(body)
    assert read[2]["error"]["message"] == ENDS


@given(st.text(alphabet="a潮ä\x85\u2028\u2029\u2014\U0001f30a", max_size=60), st.integers(1, 9))
def test_a_large_text_is_changed_where_it_lies(text: str, piece_bytes: int) -> None:
    """Piece by piece it becomes what a small one does, wherever the pieces end."""
    body = bytearray(b'\n{"x":\r\n"' + text.encode() + b'"}\n')
    expected = escape_line_ends(one_line(bytes(body)))
    flatten(body, piece_bytes=piece_bytes)
    assert body == expected
    assert json.loads(body) == {"x": text}


def test_numbers_and_order_are_kept() -> None:
    """Numbers too large for any parser, and the order of keys, survive."""
    body = b'{"z":1.10,"a":123456789012345678901234567890,"z2":1e400}'
    assert body in WRITER.answered(0, "x", status=200, body=one_line(body))
    assert with_model(b'{"n":1.10,"model":"a","big":123456789012345678901234567890}', b'"b"') == (
        b'{"n":1.10,"model":"b","big":123456789012345678901234567890}'
    )


def test_ids_are_unique_and_the_same_again() -> None:
    """A repeated request keeps its ids; another line, or another shard, has others."""
    ids = {json.loads(WRITER.answered(line, "x", status=200, body=b"{}"))["id"] for line in range(500)}
    assert len(ids) == 500
    first = json.loads(WRITER.answered(3, "x", status=200, body=b"{}"))
    assert first == json.loads(WRITER.answered(3, "x", status=200, body=b"{}"))
    assert [len(part) for part in first["response"]["request_id"].split("-")] == [8, 4, 4, 4, 12]
    assert first["id"] not in {json.loads(LineWriter("f" * 32).answered(3, "x", status=200, body=b"{}"))["id"]}


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ('{"prompt_tokens":3,"completion_tokens":4}', Usage(input_tokens=3, output_tokens=4)),
        (
            '{"prompt_tokens":3,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":2},'
            '"completion_tokens_details":{"reasoning_tokens":1}}',
            Usage(input_tokens=3, cached_tokens=2, output_tokens=4, reasoning_tokens=1),
        ),
        (
            '{"input_tokens":5,"output_tokens":6,"input_tokens_details":{"cached_tokens":1}}',
            Usage(input_tokens=5, cached_tokens=1, output_tokens=6),
        ),
        ('{"prompt_tokens":9,"total_tokens":9}', Usage(input_tokens=9)),
        ("null", None),
    ],
)
def test_usage_is_read_in_every_shape(usage: str, expected: Usage | None) -> None:
    """Chat, completions, responses and embeddings name their tokens differently."""
    body = f'{{"choices":[{{"message":{{"content":"x"}}}}],"usage":{usage},"model":"m"}}'.encode()
    read = read_answer(body, path="/chat/completions")
    assert isinstance(read, Answer)
    assert (read.usage, read.model) == (expected, "m")


@pytest.mark.parametrize(
    "body",
    [
        b'{"usage":"many"}',
        b'{"model":5}',
        b'{"usage":{"prompt_tokens":"3"}}',
        b'{"usage":{"prompt_tokens":-1}}',
        b'{"usage":{"completion_tokens":1e400}}',
        b'{"usage":{"prompt_tokens":9223372036854775808}}',
        b'{"usage":{"prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":-3}}}',
    ],
)
def test_unexpected_types_do_not_make_an_answer_worthless(body: bytes) -> None:
    """An object with an odd usage is still an answer."""
    read = read_answer(b'{"choices":[{"message":{"content":"x"}}],' + body[1:], path="/chat/completions")
    assert isinstance(read, Answer)
    assert (read.usage, read.model) == (None, None)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"x"', b"null", b'{"a":', b'{"a":' + b"[" * 5000])
def test_what_is_no_json_object_is_no_answer(body: bytes) -> None:
    """HTML, other JSON, half JSON and bottomless nesting are told apart from an answer."""
    assert isinstance(read_answer(body, path="/chat/completions"), Unreadable)
    assert not is_object(body)


def test_error_bodies_are_json_whatever_came() -> None:
    """A proxy's HTML is wrapped; an object stays as it came."""
    assert error_body(b'{"error": {"message": "x"}}', 400) == b'{"error": {"message": "x"}}'
    assert json.loads(error_body(b"<html>\xff</html>", 502))["error"]["code"] == "502"


def test_lines_that_never_ran() -> None:
    """No response, and a code that says why."""
    line = json.loads(WRITER.unanswered(1, "a", code="batch_cancelled", message="m"))
    assert (line["response"], line["error"]) == (None, {"code": "batch_cancelled", "message": "m"})


def test_reading_an_input_line() -> None:
    """Only the id and the body matter; the body's bytes are the user's."""
    line = read_input_line(b'{"custom_id":"\\u00e4","method":"POST","url":"/x","body":{"model": "m" }}\n')
    assert (line.custom_id, bytes(line.body)) == ("ä", b'{"model": "m" }')


@pytest.mark.parametrize("other", ["5", "null", "[]", '"b"'])
def test_of_a_repeated_key_the_last_counts(other: str) -> None:
    """Validation takes the last of two custom_ids or bodies, whatever the first is; so must who sends the request."""
    line = read_input_line(f'{{"custom_id": {other}, "body": {other}, "custom_id": "a", "body": {{"x": 1}}}}'.encode())
    assert (line.custom_id, bytes(line.body)) == ("a", b'{"x": 1}')


@pytest.mark.parametrize(
    ("seconds", "said"), [(None, None), (0.0, 0), (1.2344, 1234), (-3.0, 0), (1e12, MILLISECONDS_MAX)]
)
def test_the_id_of_a_call_says_how_long_it_took(seconds: float | None, said: int | None) -> None:
    """A UUID of version 8 that begins with milliseconds; of version 4 where there is no time. The id of the line is the same."""
    line = json.loads(WRITER.answered(3, "x", status=200, body=b"{}", seconds=seconds))
    parts = json.loads(b"".join(WRITER.answered_parts(3, "x", status=200, body=b"{}", seconds=seconds)))
    assert line == parts
    assert line["id"] == json.loads(WRITER.answered(3, "x", status=200, body=b"{}"))["id"]
    request_id = line["response"]["request_id"]
    assert uuid.UUID(request_id).version == (4 if seconds is None else 8)
    assert milliseconds_in(request_id) == said
    other = json.loads(WRITER.answered(4, "x", status=200, body=b"{}", seconds=seconds))
    assert other["response"]["request_id"] != request_id


@pytest.mark.parametrize("text", ["", "nonsense", "x" * 36, "zzzzzzzz-0000-8000-8000-000000000000"])
def test_an_id_that_says_nothing(text: str) -> None:
    """Whatever it is, it has no time."""
    assert milliseconds_in(text) is None
