"""Looking for a text: in any case and normal form, as a text and no pattern, and by bytes where these are enough."""

import json
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.watching.line_texts import id_and_texts_answered, id_and_texts_asked
from slackwater.core.watching.text_search import AROUND, FOUND_MAX, Needle, folded


@pytest.mark.parametrize(
    ("wanted", "text", "found"),
    [
        ("salt", "The SALTY sea", "SALT"),
        ("é", "cafe\u0301", "e\u0301"),
        ("cafe\u0301", "un CAFÉ noir", "CAFÉ"),
        ("strasse", "die Straße", "Straße"),
        ("fi", "o\ufb01n", "\ufb01"),
        ("ａｂ", "x ab", "ab"),
        ("潮", "満潮", "潮"),
        ("\U0001f30a", "a \U0001f30a b", "\U0001f30a"),
        (".*", "all .* of it", ".*"),
        ("a+b(", "say a+b(c", "a+b("),
        ('"quoted\\', 'it is "quoted\\', '"quoted\\'),
        ("two\nlines", "in Two\nLines", "Two\nLines"),
    ],
)
def test_what_is_found(wanted: str, text: str, found: str) -> None:
    """And where: an excerpt has the place marked in the text as it is written."""
    excerpt = Needle.of(wanted).find_in(["nothing here", text])
    assert excerpt is not None
    assert excerpt.text[excerpt.start : excerpt.end] == found


@pytest.mark.parametrize(("wanted", "text"), [(".", "no dot"), ("[a-z]", "abc"), ("e", "é"), ("ab", "a b"), ("%", "x")])
def test_what_is_not_found(wanted: str, text: str) -> None:
    """Patterns mean nothing, and a letter with a mark is another letter."""
    assert Needle.of(wanted).find_in([text]) is None


def test_an_excerpt_is_short() -> None:
    """However long the text, and what was looked for."""
    excerpt = Needle.of("y" * 300).find_in(["x" * 5_000 + "y" * 300 + "z" * 5_000])
    assert excerpt is not None
    assert excerpt.text == "…" + "x" * AROUND + "y" * FOUND_MAX + "y" * AROUND + "…"
    assert excerpt.text[excerpt.start : excerpt.end] == "y" * FOUND_MAX


TEXTS = st.text(alphabet="aAbBéÉß\u0301\ufb01Kſ潮 \"\\/\n<'", max_size=30)


@given(TEXTS, st.integers(0, 30), st.integers(1, 6), st.booleans())
def test_nothing_that_is_there_is_passed_over(text: str, begin: int, length: int, ascii_only: bool) -> None:
    """What a text has, the line of JSON that has the text may have, however it is escaped."""
    needle = Needle.of(text[begin : begin + length])
    if needle.find_in([text]) is None or not needle.text:
        return
    line = json.dumps({"x": normalize("NFD", text) if ascii_only else text}, ensure_ascii=ascii_only).encode()
    if ascii_only:
        needle = Needle.of(text[begin : begin + length])
        if needle.find_in([normalize("NFD", text)]) is None:
            return
    assert needle.may_be_in(line)
    assert needle.may_be_in(line.replace(b"/", b"\\/").replace(b"'", b"\\u0027"))


def test_most_lines_are_passed_over_by_their_bytes() -> None:
    """Plain lines without the text; those with escapes or other letters are read."""
    needle = Needle.of("Needle")
    assert not needle.may_be_in(b'{"x":"hay\\nstack"}')
    assert needle.may_be_in(b'{"x":"A NEEDLE"}')
    assert needle.may_be_in('{"x":"ä"}'.encode())
    assert needle.may_be_in(b'{"x":"\\u006eeedle"}')
    assert not Needle.of("é").may_be_in(b'{"x":"e"}')


@given(st.text(max_size=40))
def test_normal_forms_are_the_same(text: str) -> None:
    """Whichever of the four a text is in."""
    assert len({folded(normalize(form, text)) for form in ("NFC", "NFD", "NFKC", "NFKD")}) == 1


def test_texts_of_a_request() -> None:
    """Prompts, however nested; no names of roles and models, and no pictures."""
    body = {
        "model": "gpt",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Look"}, {"image_url": {"url": "data:abc"}}]},
            {"role": "tool", "content": "done"},
        ],
        "tools": [{"name": "t"}],
    }
    line = json.dumps({"custom_id": "a", "method": "POST", "url": "/v1", "body": body}).encode()
    assert id_and_texts_asked(line) == ("a", ["Look", "done"])
    other = json.dumps({"custom_id": "b", "body": {"model": "m", "input": ["one", "two"], "instructions": "be"}})
    assert id_and_texts_asked(other.encode()) == ("b", ["be", "one", "two"])


def test_texts_of_a_result() -> None:
    """Answers, arguments of calls, and errors of either kind."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
    body = {"id": "i", "choices": [{"message": {"role": "assistant", "content": "So", "tool_calls": [call]}}]}
    line = json.dumps({"id": "l", "custom_id": "a", "response": {"status_code": 200, "body": body}, "error": None})
    assert id_and_texts_answered(line.encode()) == ("a", ["So", "f", '{"x":1}'])
    failed = {"custom_id": "a", "response": None, "error": {"code": "gone", "message": "It is gone."}}
    assert id_and_texts_answered(json.dumps(failed).encode()) == ("a", ["gone", "It is gone."])


@pytest.mark.parametrize("line", [b"", b"[]", b"7", b'{"custom_id":"a"}', b"\xff", b"[" * 100_000, b'{"response":7}'])
def test_lines_that_are_none(line: bytes) -> None:
    """They have no text."""
    assert id_and_texts_asked(line)[1] == []
    assert id_and_texts_answered(line)[1] == []
