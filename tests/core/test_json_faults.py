"""What is wrong with lines that are no JSON, and with files that are no JSON Lines: named, with the place and the cure."""

import gzip
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.input.json_faults import json_fault
from slackwater.core.input.line_judge import INVALID_JSON, unfit_url
from slackwater.core.input.validation import BOM_MESSAGE
from tests.core.input_lines import check, faults, line, only_fault

NOT_JSON = "This line is not parseable as valid JSON. "


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        (rb'{"a": "x\ud83d"}', 9, r"\ud83d is half an emoji"),
        (rb'{"a": "x\ude00 \ud83d\ude00"}', 9, r"\ude00 is half an emoji"),
        (rb'{"a": "\\ud83d", "b": NaN}', 23, "NaN is no JSON"),
        (b'{"a": "NaN", "b": -Infinity}', 19, "-Infinity is no JSON"),
        (b'{"a": None}', 7, "JSON has null"),
        (b'{"a": True, "b": ', 7, "JSON has true"),
        (b"{'a': 1}", 2, "single quotes"),
        ("{\u201ca\u201d: 1}".encode(), 2, "typographic quotes"),
        (b'{"a": 1},\n', 9, "a comma behind the object"),
        (b'{"a": 1,}', 9, "a comma before }"),
        (b'{"a": 1} {"b": 2}', 10, "a second object on the line"),
        (b'{"a": "\x1b[2J"}', 8, "U+001B stands raw in a string; write \\u001b"),
        (b'{"a": "b\tc"}', 9, "U+0009 stands raw in a string; write \\t"),
        (b'{"a": \x07}', 7, "U+0007"),
        ('{"ä": "'.encode() + b'caf\xe9"}', 11, "the byte 0xE9 is no UTF-8"),
        (b'\xef\xbb\xbf{"a": 1}', 1, "byte order mark"),
        (b'{"a": "b\n', 7, "the line ends before its object does"),
        (b'{"a": [1, 2\r\n', 12, "the line ends before its object does"),
        (b'{"a": "\\x41"}', 8, "a backslash that begins no escape"),
        (b'{"a" 1}', 6, "expecting ':' delimiter"),
        (b'{"a": 1 // one', 9, "a comment"),
    ],
)
def test_a_fault_has_a_column_and_a_name(text: bytes, column: int, words: str) -> None:
    """The first one counts; nothing is repeated that a terminal would obey."""
    error = check(line() + text, family="openai").errors[0]
    assert (error.code, error.line) == (INVALID_JSON, 2)
    assert error.message.startswith(f"{NOT_JSON}Column {column}: ")
    assert words in error.message
    assert error.message.isprintable()


@given(st.data())
def test_whatever_is_no_json_has_a_place(data: st.DataObject) -> None:
    """A valid line with something put in, taken out or cut has a fault exactly where a strict parser sees one."""
    text = line(body={"model": "m", "x": ["é\U0001f600", 1.5, None, {"a": True}]}).rstrip()
    at = data.draw(st.integers(0, len(text)))
    put = data.draw(
        st.sampled_from([b"", b",", b"'", b'"', b"NaN", b"\\ud83d", b"\\", b"\x00", b"\xff", b"{", b"]", b"1"])
    )
    text = text[:at] + put + text[at + data.draw(st.integers(0, 3)) :]
    try:
        text.decode()
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        fault = json_fault(text)
        assert fault is not None
        assert 0 <= fault.start <= fault.end <= len(text.decode("utf-8", "replace"))
    else:
        assert json_fault(text) is None


REQUESTS = [json.loads(line(custom_id=name)) for name in "abc"]
PRETTY = "\n".join(json.dumps(each, indent=2) for each in REQUESTS).encode()


@pytest.mark.parametrize("family", ["azure", "openai"])
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (json.dumps(REQUESTS, indent=1).encode(), "one JSON array"),
        (json.dumps(REQUESTS).encode(), "one JSON array"),
        (b"[\n" + b",\n".join(line().rstrip() for _ in "abc") + b"\n]\n", "one JSON array"),
        (PRETTY, "pretty-printed"),
        (b"\r\n" + PRETTY.replace(b"{\n ", b"{ "), "pretty-printed"),
        (line().decode().encode("utf-16"), "in UTF-16"),
        (line().decode().encode("utf-16-le") * 3, "in UTF-16"),
        (gzip.compress(line() * 50), "compressed with gzip"),
        (b"PK\x03\x04\x00\n\x00", "compressed with zip"),
        (b"custom_id,method,url,body\na,POST,/v1/x,{}\n", "CSV"),
        (b'"id";"prompt"\n"1";"why?"\n', "CSV"),
        (b"<!DOCTYPE html>\n<html>\n", "HTML"),
    ],
)
def test_a_file_that_is_something_else_is_named_once(data: bytes, words: str, family: str) -> None:
    """One sentence about the file, with its cure, and nothing about its lines."""
    error = only_fault(data, family=family)
    assert words in error.message
    assert error.line is not None


def test_lines_are_judged_one_by_one_where_the_file_is_json_lines() -> None:
    """One odd line at the beginning does not speak for the others."""
    for first in (b"[1]\n", b"{\n", b"{},\n", b"hello\n", b'{"a": 1},\n'):
        found = faults(first + line(custom_id="b") + line(custom_id="b"))
        assert [number for _, _, number in found] == ([1] if first == b"{\n" else [1, 3]), first


def test_a_byte_order_mark_keeps_azures_words() -> None:
    """They are known to the letter."""
    mark = b"\xef\xbb\xbf"
    assert only_fault(mark + line()).message == BOM_MESSAGE
    assert "byte order mark" in only_fault(mark + line(), family="openai").message


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://api.openai.com/v1/chat/completions", "'/v1/chat/completions'"),
        ("//engine:8000/v1/embeddings", "'/v1/embeddings'"),
        ("http://engine:8000", "no path of an endpoint"),
        ("v1/chat/completions", "no path of an endpoint"),
        ("/v1/pooling", "is not offered"),
    ],
)
@pytest.mark.parametrize("family", ["azure", "openai"])
def test_a_url_that_no_batch_may_have(url: str, words: str, family: str) -> None:
    """An address, half a path, an endpoint that is not offered: refused, even where the batch was made for that."""
    error = only_fault(line(url=url), family=family, endpoint=url)
    assert error.code in ("url_mismatch", "invalid_url")
    assert words in error.message
    assert unfit_url("/v1/chat/completions") is None
