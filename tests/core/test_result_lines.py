"""Lines of results in a few words, whatever a backend has answered."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.sending.lines import TAIL, LineWriter, tail_of
from slackwater.core.watching.result_lines import ANSWER_LENGTH_MAX, answer_text, read_custom_id, read_result_line

WRITER = LineWriter("0" * 24)


def line(body: Any, status: int = 200) -> bytes:
    """A line with an answer."""
    return WRITER.answered(0, "täsk", status=status, body=json.dumps(body).encode())


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"choices": [{"message": {"content": "Hi"}}]}, "Hi"),
        ({"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"text": "b"}]}}]}, "ab"),
        ({"choices": [{"message": {"content": None, "refusal": "No."}}]}, "No."),
        ({"choices": [{"message": {"content": None, "tool_calls": [{"id": 1}]}}]}, '{"id": 1}'),
        ({"choices": [{"text": "Once"}]}, "Once"),
        ({"output": [{"type": "reasoning"}, {"content": [{"type": "output_text", "text": "So"}]}]}, "So"),
        ({"data": [{"embedding": [0.1]}]}, None),
        ({"choices": "none"}, None),
        ({"choices": [{"message": {"content": "x" * 999}}]}, "x" * ANSWER_LENGTH_MAX),
    ],
)
def test_the_text_of_an_answer(body: Any, text: str | None) -> None:
    """Of chat, completions and responses; None where there is none."""
    assert answer_text(json.dumps(body).encode()) == text
    assert read_result_line(line(body), failed=False).answer == text


def test_a_completed_line() -> None:
    """Its id, status and tokens, in either spelling."""
    for usage in ({"prompt_tokens": 3, "completion_tokens": 4}, {"input_tokens": 3, "output_tokens": 4}):
        read = read_result_line(line({"choices": [], "usage": usage}), failed=False)
        assert (read.custom_id, read.status_code, read.code, read.message) == ("täsk", 200, None, None)
        assert (read.input_tokens, read.output_tokens) == (3, 4)
    assert read_custom_id(line({})) == "täsk"


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error": {"code": "content_filter", "message": "m", "type": "t"}}, "content_filter", "m"),
        ({"error": {"code": None, "type": "server_error", "message": "m"}}, "server_error", "m"),
        ({"error": {"code": "400", "type": "BadRequest", "message": "m"}}, "BadRequest", "m"),
        ({"object": "error", "message": "m", "type": "invalid", "code": 400}, "invalid", "m"),
        ({"error": "broken"}, "status_400", "broken"),
        ({"detail": "not here"}, "status_400", "not here"),
        ({"error": [1]}, "status_400", None),
        ({}, "status_400", None),
    ],
)
def test_a_failed_line(body: Any, code: str, message: str | None) -> None:
    """Code and message, in the spellings of the engines that there are."""
    read = read_result_line(line(body, 400), failed=True)
    assert (read.status_code, read.code, read.message, read.answer) == (400, code, message, None)


def test_a_line_whose_answer_had_an_error_inside() -> None:
    """What came is said before what it says, and what it counts as is its status."""
    for body, code, rest in (({"error": {"type": "oom", "message": "m"}}, "oom", " m"), ({}, "error_inside", "")):
        text = WRITER.answered(0, "a", status=500, body=json.dumps(body).encode(), tail=tail_of(200, 500))
        read = read_result_line(text, failed=True)
        said = f"The backend answered 200 with an error inside, which counts as 500.{rest}"
        assert (read.status_code, read.code, read.message) == (500, code, said)
    assert tail_of(None, 500) == TAIL


def test_a_line_that_never_ran() -> None:
    """It has a code of ours and no status."""
    text = WRITER.unanswered(0, "a", code="batch_expired", message="Too late.")
    read = read_result_line(text, failed=True)
    assert (read.status_code, read.code, read.message) == (None, "batch_expired", "Too late.")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "content", "error", "code", "type", "output", "text", "usage"]),
            inner,
        )
    ),
    max_leaves=20,
)


@given(body=st.dictionaries(st.sampled_from(["choices", "output", "error", "usage", "message"]), JSON))
def test_any_body(body: Any) -> None:
    """What a backend answers never makes reading fail."""
    assert read_result_line(line(body), failed=False).code is None
    assert read_result_line(line(body, 500), failed=True).code
