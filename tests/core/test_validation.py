"""Every rule of an input file, in both families, over the samples of the contract and over anything at all."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.validation import InputChecker, Rules, Verdict, is_blank, normalised

SAMPLES = Path(__file__).parent.parent / "samples" / "input"
DEPLOYMENT = "REPLACE-WITH-MODEL-DEPLOYMENT-NAME"


def check(data: bytes, *, family: str = "azure", endpoint: str = "/chat/completions", **more: object) -> Verdict:
    """The verdict on a file."""
    rules = {"deployments": frozenset({DEPLOYMENT}), "family": family, "endpoint": endpoint} | more
    checker = InputChecker(Rules(**rules))  # type: ignore[arg-type]
    for line in data.splitlines(keepends=True) if b"\r" not in data else data.split(b"\n"):
        checker.feed(line)
    return checker.finish()


def line(**changes: object) -> bytes:
    """A valid request line, but for what is changed; None removes a key."""
    body = {"model": DEPLOYMENT, "messages": [{"role": "user", "content": "Hello"}]}
    whole = {"custom_id": "a", "method": "POST", "url": "/chat/completions", "body": body} | changes
    return json.dumps({key: value for key, value in whole.items() if value is not None}).encode() + b"\n"


def body(**changes: object) -> dict[str, object]:
    whole = {"model": DEPLOYMENT, "messages": [{"role": "user", "content": "Hello"}]} | changes
    return {key: value for key, value in whole.items() if value is not None}


AZURE_SAMPLES = {
    "ok_chat_azure.jsonl": [],
    "ok_chat_v1_url.jsonl": [],
    "ok_image_url.jsonl": [],
    "ok_responses.jsonl": [],
    "ok_structured_outputs.jsonl": [],
    "edge_blank_lines.jsonl": [],
    "edge_crlf.jsonl": [],
    "edge_no_trailing_newline.jsonl": [],
    "bad_json_line.jsonl": [("invalid_json_line", 2)],
    "bad_duplicate_custom_id.jsonl": [("duplicate_custom_id", 2)],
    "bad_model_mismatch.jsonl": [("model_mismatch", 2)],
    "bad_url_mismatch.jsonl": [("url_mismatch", 2)],
    "bad_method_get.jsonl": [("invalid_request", 1)],
    "bad_stream_true.jsonl": [("invalid_request", 1)],
    "bad_empty.jsonl": [("empty_file", None)],
    "bad_whitespace_only.jsonl": [("empty_file", None)],
    "bad_utf8_bom.jsonl": [("invalid_request", None)],
}


@pytest.mark.parametrize(("name", "expected"), AZURE_SAMPLES.items())
def test_samples_give_the_codes_of_the_contract(name: str, expected: list[tuple[str, int | None]]) -> None:
    """Every sample file is accepted, or refused with the code and the line number that the contract names."""
    verdict = check((SAMPLES / name).read_bytes())
    assert [(error.code, error.line) for error in verdict.errors][: len(expected) or 1] == expected


def test_utf16_is_refused_on_its_first_line() -> None:
    """A UTF-16 file is no UTF-8, and the first line says so."""
    first = check((SAMPLES / "bad_utf16le.jsonl").read_bytes()).errors[0]
    assert (first.code, first.line) == ("invalid_json_line", 1)


def test_missing_fields_are_named_on_their_lines() -> None:
    """Every missing key is named, one error per line, in the names of the family."""
    data = (SAMPLES / "bad_missing_fields.jsonl").read_bytes()
    azure, openai = check(data), check(data, family="openai")
    assert [error.line for error in azure.errors[:3]] == [1, 2, 3]
    assert {error.code for error in azure.errors} == {"invalid_request"}
    assert [error.param for error in openai.errors[:3]] == ["custom_id", "method", "url"]
    assert openai.errors[0].code == "missing_required_parameter"
    assert openai.errors[0].message == "Missing required parameter: 'custom_id'."


@pytest.mark.parametrize(
    ("data", "code", "param"),
    [
        (line(url="/v1/embeddings"), "invalid_url", "url"),
        (line(body=body(stream=True)), "streaming_unsupported", "body.stream"),
        (line(body=body(model=None)), "invalid_request", "body.model"),
        (line(body=body(messages=None)), "missing_required_parameter", "body.messages"),
        (line(body=body(messages=[])), "missing_required_parameter", "body.messages"),
        (line() + line(), "duplicate_custom_id", "custom_id"),
        (line() + line(custom_id="b", body=body(model="x")), "mismatched_model", "body.model"),
        (b'{"a": NaN}\n', "invalid_json_line", None),
        (b"[" * 3000 + b"]" * 3000 + b"\n", "invalid_json_line", None),
        (line(custom_id=5), "invalid_request", "custom_id"),
    ],
)
def test_openai_codes(data: bytes, code: str, param: str | None) -> None:
    """The OpenAI family uses OpenAI's codes and parameters."""
    error = check(data, family="openai").errors[0]
    assert (error.code, error.param) == (code, param)


def test_unknown_deployment() -> None:
    """A model that is no deployment is `model_not_found`; without a list of deployments any name will do."""
    data = line(body=body(model="nobody"))
    assert check(data).errors[0].code == "model_not_found"
    assert check(data, deployments=None).errors == []


def test_too_many_tasks_counts_without_keeping() -> None:
    """Lines over the limit are counted, and the error says how many there were."""
    data = b"".join(line(custom_id=str(number)) for number in range(12))
    first = check(data, lines_max=10).errors[0]
    assert (first.code, first.line) == ("too_many_tasks", None)
    assert "12" in first.message


def test_errors_are_capped_and_the_rest_is_counted() -> None:
    """All lines are checked; the list is capped, and its last entry says how many more are wrong."""
    verdict = check(b"nonsense\n" * 250, errors_max=100)
    assert verdict.error_count == 250
    assert len(verdict.errors) == 101
    assert "150 more" in verdict.errors[-1].message


def test_messages_never_quote_prompts_or_long_values() -> None:
    """What the user wrote is quoted shortened, and never a prompt."""
    secret = "a secret prompt"
    data = line(custom_id="x" * 5000, method="GET", body=body(messages=[{"role": "user", "content": secret}]))
    message = check(data).errors[0].message
    assert secret not in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/v1/chat/completions", "/chat/completions"),
        ("/openai/v1/chat/completions/", "/chat/completions"),
        ("/v1/openai/embeddings", "/embeddings"),
        ("/chat/completions", "/chat/completions"),
        ("/", "/"),
    ],
)
def test_urls_are_compared_without_version(url: str, expected: str) -> None:
    """One leading /openai, one leading /v1 and a slash at the end mean nothing."""
    assert normalised(url) == expected


@given(st.binary(max_size=400))
def test_anything_is_answered(data: bytes) -> None:
    """Whatever the bytes: no exception, and a file with no valid line is refused."""
    verdict = check(data)
    assert verdict.errors or verdict.total > 0


@given(
    st.lists(st.sampled_from([b"", b"  ", b"\t"]), max_size=5),
    st.lists(st.text(min_size=1, max_size=80), min_size=1, max_size=20, unique=True),
    st.sampled_from([b"\n", b"\r\n"]),
)
def test_valid_files_are_accepted(blanks: list[bytes], ids: list[str], end: bytes) -> None:
    """Any ids, blank lines and line ends: the file is accepted and every request counted."""
    ids = [name for name in ids if name.encode("utf-8", "ignore").decode() == name]
    lines = [line(custom_id=name).rstrip() for name in ids] + blanks
    checker = InputChecker(Rules(family="azure", endpoint="/v1/chat/completions", deployments=None))
    for text in lines:
        assert checker.feed(text + end) is not is_blank(text)
    verdict = checker.finish()
    assert verdict.total == len(ids)
    assert (verdict.errors == []) is bool(ids)
