"""The rules of a line, one by one, and the order in which they count."""

import json

import pytest

from slackwater.core.endpoints import normalised
from slackwater.core.sending.deployment import Capabilities
from tests.core.input_lines import DEPLOYMENT, body, check, line


def test_mixed_endpoints_do_not_pass_as_responses() -> None:
    """A file is chat or responses throughout: the first fitting url decides, and only Azure lets it."""
    chat = line()
    responses = line(custom_id="b", url="/v1/responses", body={"model": DEPLOYMENT, "input": "Hello"})
    assert [(error.code, error.line) for error in check(chat + responses).errors] == [("url_mismatch", 2)]
    assert [(error.code, error.line) for error in check(responses + chat).errors] == [("url_mismatch", 2)]
    assert check(responses, family="openai").errors[0].code == "invalid_url"
    assert check(responses, endpoint="/embeddings").errors[0].code == "url_mismatch"


def test_openai_compares_urls_to_the_letter() -> None:
    """With OpenAI the url is the endpoint as the batch has it."""
    assert check(line(url="/v1/chat/completions"), family="openai", endpoint="/v1/chat/completions").errors == []
    assert check(line(), family="openai", endpoint="/v1/chat/completions").errors[0].code == "invalid_url"


# Lines that break two rules, the earlier of which counts, and the parameter of that.
TWICE_WRONG = [
    ({"custom_id": None, "method": "GET"}, "custom_id"),
    ({"custom_id": "", "method": "GET"}, "custom_id"),
    ({"method": 5, "url": 6}, "method"),
    ({"method": "GET", "url": "/x"}, "method"),
    ({"method": "GET", "body": {}}, "method"),
    ({"url": "/x", "body": {}}, "url"),
    ({"body": {"model": 7, "stream": True}}, "body.model"),
    ({"body": {"model": "other", "stream": True}}, "body.model"),
    ({"custom_id": "first", "body": {"model": DEPLOYMENT, "stream": "yes"}}, "body.stream"),
    ({"custom_id": "first", "body": {"model": DEPLOYMENT}}, "custom_id"),
    ({"body": {"model": DEPLOYMENT}}, "body.messages"),
    ({"body": []}, "body"),
]


@pytest.mark.parametrize("family", ["azure", "openai"])
@pytest.mark.parametrize(("changes", "param"), TWICE_WRONG)
def test_the_first_broken_rule_counts(changes: dict[str, object], param: str, family: str) -> None:
    """One error per line: the first in the order of the contract."""
    whole = {"custom_id": "a", "method": "POST", "url": "/chat/completions", "body": body()} | changes
    data = line(custom_id="first") + json.dumps({k: v for k, v in whole.items() if v is not None}).encode()
    assert [(error.param, error.line) for error in check(data, family=family).errors] == [(param, 2)]


def test_a_faulty_line_takes_its_id() -> None:
    """A line that repeats the id of a faulty one is reported now, not when the first has been mended."""
    errors = check(line(method="GET") + line()).errors
    assert [(error.code, error.line) for error in errors] == [("invalid_request", 1), ("duplicate_custom_id", 2)]


@pytest.mark.parametrize("name", ["x" * 24, "x" * 25, "\u00e9", "x" * 5000, "\U0001f30a" * 30])
def test_ids_are_told_apart_however_long(name: str) -> None:
    """Long ids differ by their last character, and a repeated one is found."""
    data = line(custom_id=name) + line(custom_id=name + "y")
    assert check(data).errors == []
    assert [error.line for error in check(data + line(custom_id=name)).errors] == [3]


@pytest.mark.parametrize("where", ["short", "long"])
def test_utf8_is_strict(where: str) -> None:
    """A byte that is no UTF-8 makes a line invalid, also where a long line is checked in pieces."""
    filler = "x" if where == "short" else "\u00e9" * (3 << 20)
    good = line(body=body(messages=[{"role": "user", "content": filler + "@@"}]))
    raw = json.dumps(json.loads(good), ensure_ascii=False).encode()
    first = line(custom_id="first")
    assert check(first + raw.replace(b"@@", "\U0001f30a".encode())).errors == []
    for wrong in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf"):
        errors = check(first + raw.replace(b"@@", wrong)).errors
        assert [(error.code, error.line) for error in errors] == [("invalid_json_line", 2)]


def test_duplicate_keys_last_wins() -> None:
    """Of a key that a line has twice, the last counts."""
    text = line().replace(b'"method": "POST"', b'"method": "GET", "method": "POST"')
    assert check(text).errors == []
    text = line().replace(b'"method": "POST"', b'"method": "POST", "method": "GET"')
    assert check(text).errors[0].param == "method"


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"01", b"+1"])
def test_only_json_numbers(number: bytes) -> None:
    """What Python takes for a number and JSON does not is invalid."""
    text = line().replace(b'"model"', b'"temperature": ' + number + b', "model"')
    assert check(text).errors[0].code == "invalid_json_line"


def test_deep_nesting_is_an_error_of_its_line() -> None:
    """Nesting that no parser here can follow is refused, not raised, and the lines around it are still checked."""
    deep = line(custom_id="b").replace(b'"Hello"', b"[" * 100_000 + b"]" * 100_000)
    assert [error.line for error in check(line() + deep + line(custom_id="c", method="GET")).errors] == [2, 3]


@pytest.mark.parametrize(
    ("data", "code", "param"),
    [
        (line(url="/v1/embeddings"), "invalid_url", "url"),
        (line(body=body(stream=True)), "streaming_unsupported", "body.stream"),
        (line(body=body(model=None)), "invalid_request", "body.model"),
        (line(body=body(messages=None)), "missing_required_parameter", "body.messages"),
        (line(body=body(messages=[])), "invalid_request", "body.messages"),
        (line() + line(), "duplicate_custom_id", "custom_id"),
        (line() + line(custom_id="b", body=body(model="x")), "mismatched_model", "body.model"),
        (b'{"a": NaN}\n', "invalid_json_line", None),
        (b"[" * 100_000 + b"]" * 100_000 + b"\n", "invalid_json_line", None),
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
    error = check(data).errors[0]
    assert error.code == "model_not_found"
    # Whoever may make batches may list models, too.
    assert error.message.endswith(" of this service: 'REPLACE-WITH-MODEL-DEPLOYMENT-NAME'.")
    many = {f"d{number}": Capabilities() for number in range(9)}
    assert check(data, deployments=many).errors[0].message.endswith("such as 'd0', 'd1', 'd2', 'd3', 'd4'.")
    # The vendor's sentence stays as it is.
    assert check(data, family="openai").errors[0].message.endswith("is not supported by the Batch API.")
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
        ("/v1/v1/x", "/v1/x"),
        ("/openai/openai/x", "/openai/x"),
        ("/", "/"),
    ],
)
def test_urls_are_compared_without_version(url: str, expected: str) -> None:
    """One leading /openai, one leading /v1 and a slash at the end mean nothing."""
    assert normalised(url) == expected
