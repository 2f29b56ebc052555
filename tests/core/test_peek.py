"""What the first bytes of an input file say, and what they leave open."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.input.peek import HEAD_BYTES, Peek, first_line_is_json, peek


def line(text: str, *, model: str = "d") -> bytes:
    """A chat request."""
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    return json.dumps({"custom_id": "a", "method": "POST", "url": "/chat/completions", "body": body}).encode() + b"\n"


def look(data: bytes) -> Peek:
    """A first look at a whole file."""
    return peek(data[:HEAD_BYTES], size=len(data))


def test_the_deployment_of_the_first_request() -> None:
    """Blank lines before it do not count."""
    assert look(b"\n  \n" + line("x", model="mine")).deployment == "mine"


def test_tokens_are_about_a_quarter_of_the_characters_of_the_text() -> None:
    """Keys and syntax do not count, the rest of the file is taken to be like its beginning."""
    data = line("x" * 400) * 1_000
    assert len(data) > HEAD_BYTES
    tokens = look(data).tokens
    assert tokens is not None
    assert 100_000 <= tokens <= 110_000


@pytest.mark.parametrize(
    "data",
    [b"", b"\n\n", b"{", b"[1]\n", b'{"body": 5}\n', b'{"body": {"model": 5}}\n', b"\xff\xfe{\x00", b"[" * 5_000],
)
def test_what_is_no_request_says_nothing(data: bytes) -> None:
    """Validation will say what is wrong."""
    assert look(data) == Peek()


def test_images_cannot_be_estimated() -> None:
    """A few lines with images do not speak for the rest; the deployment is known all the same."""
    assert look(line("data:image/png;base64,AAAA")) == Peek("d", None)


def test_a_first_line_that_is_too_long_to_see() -> None:
    """Nothing is guessed about it, and it is not called wrong."""
    data = line("x" * 2 * HEAD_BYTES)
    assert look(data) == Peek()
    assert first_line_is_json(data[:HEAD_BYTES], size=len(data))


@pytest.mark.parametrize(
    ("data", "is_json"),
    [
        (b"", False),
        (b"  \n\n", False),
        (b"hello\n{}\n", False),
        (b"{}\nhello\n", True),
        (b"\n\n{}", True),
        (b'{"a": "\xff"}', False),
        (b"\xef\xbb\xbf{}\n", False),
        (b"5\r\n", True),
    ],
)
def test_whether_the_first_line_is_json(data: bytes, is_json: bool) -> None:
    """The first line with something in it decides, and nothing behind it."""
    assert first_line_is_json(data, size=len(data)) is is_json


@given(st.binary(max_size=300))
def test_no_bytes_upset_it(data: bytes) -> None:
    """Whatever is uploaded, looking at it never fails."""
    look(data)
    first_line_is_json(data, size=len(data))
