"""The place of a fault in its line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.batch import BatchError
from slackwater.core.input.excerpt import TEXT_MAX, Excerpt, excerpt_of

LINE = json.dumps(
    {
        "custom_id": "task-1",
        "method": "GET",
        "url": "/v1/chat/completions",
        "body": {"model": "ünbekannt", "messages": [{"role": "user", "content": [{"image_url": "x"}]}], "stream": True},
    },
    ensure_ascii=False,
).encode()


def marked(line: bytes, param: str | None = None) -> str | None:
    """What is marked."""
    found = excerpt_of(line, BatchError(code="c", message="m", param=param, line=1))
    assert len(found.text) <= TEXT_MAX
    return None if found.start is None else found.text[found.start : found.end]


@pytest.mark.parametrize(
    ("param", "text"),
    [
        ("method", '"GET"'),
        ("custom_id", '"task-1"'),
        ("body.model", '"ünbekannt"'),
        ("body.stream", "true"),
        ("body.messages[0].content[0]", '{"image_url": "x"}'),
        ("body.messages[0].role", '"user"'),
    ],
)
def test_the_member_that_is_named_is_marked(param: str, text: str) -> None:
    """However deep it lies."""
    assert marked(LINE, param) == text


@pytest.mark.parametrize(
    ("param", "behind"), [("body.input", '"body": '), ("body.messages[0].name", '"messages": ['), ("id", "")]
)
def test_what_is_missing_is_marked_where_it_should_be(param: str, behind: str) -> None:
    """The beginning of the object that lacks it."""
    found = excerpt_of(LINE, BatchError(code="c", message="m", param=param, line=1))
    assert found.start is not None
    assert found.text[found.start] == "{"
    assert found.text[: found.start].endswith(behind)


def test_of_two_members_of_one_name_the_last_counts() -> None:
    """As it does for validation."""
    assert marked(b'{"method": "POST", "method": "GET"}', "method") == '"GET"'


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'{"a": tru}\n', "t"),
        (b'{"a": 1,}', "}"),
        (b'{"a": "\xe4\xff"}', "\ufffd"),
        ('{"ä": 1, "b" 2}\r\n'.encode(), "2"),
        (b'{"a": "x"', ""),
        (b'"a": 1', ":"),
    ],
)
def test_what_is_no_json_is_marked_where_it_stops_being_json(line: bytes, text: str) -> None:
    """In characters, not in bytes; a line that breaks off is marked at its end."""
    assert marked(line) == text


def test_a_long_line_is_cut_around_the_fault() -> None:
    """Enough of what comes before is there to find the place."""
    line = b'{"a": "' + b"x" * 10_000 + b'", "method": "GET", "b": "' + b"y" * 10_000 + b'"}'
    found = excerpt_of(line, BatchError(code="c", message="m", param="method", line=1))
    assert found.start == 60
    assert found.text[60:65] == '"GET"'
    assert len(found.text) == TEXT_MAX


def test_a_long_value_is_marked_as_far_as_it_is_shown() -> None:
    """The mark does not leave the text."""
    found = excerpt_of(b'{"a": "' + b"x" * 1_000 + b'"}', BatchError(code="c", message="m", param="a", line=1))
    assert (found.start, found.end) == (6, TEXT_MAX)


def test_without_a_place_there_is_no_mark() -> None:
    """The beginning of the line is shown."""
    assert excerpt_of(LINE, BatchError(code="c", message="m", line=1)) == Excerpt(text=LINE.decode()[:TEXT_MAX])


@given(
    line=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))),
    param=st.one_of(st.none(), st.text(alphabet="ab.[]01", max_size=12)),
)
def test_any_line_and_any_place(line: bytes, param: str | None) -> None:
    """Nothing makes it fail, and a mark always lies in its text."""
    found = excerpt_of(line, BatchError(code="c", message="m", param=param, line=1))
    assert len(found.text) <= TEXT_MAX
    if found.start is not None:
        assert found.end is not None
        assert 0 <= found.start <= found.end <= len(found.text)
