"""Every rule of an input file, in both families, over the samples of the contract and over anything at all."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slackwater.core.validation import BOM, InputChecker, Rules, Verdict, is_blank, normalised

SAMPLES = Path(__file__).parent.parent / "samples" / "input"
DEPLOYMENT = "REPLACE-WITH-MODEL-DEPLOYMENT-NAME"


def check(data: bytes, *, family: str = "azure", endpoint: str = "/chat/completions", **more: object) -> Verdict:
    """The verdict on a file."""
    rules = {"deployments": frozenset({DEPLOYMENT}), "family": family, "endpoint": endpoint} | more
    checker = InputChecker(Rules(**rules))  # type: ignore[arg-type]
    for text in io.BytesIO(data):
        checker.feed(text)
    return checker.finish()


def line(**changes: object) -> bytes:
    """A valid request line, but for what is changed; None removes a key."""
    body = {"model": DEPLOYMENT, "messages": [{"role": "user", "content": "Hello"}]}
    whole = {"custom_id": "a", "method": "POST", "url": "/chat/completions", "body": body} | changes
    return json.dumps({key: value for key, value in whole.items() if value is not None}).encode() + b"\n"


def body(**changes: object) -> dict[str, object]:
    whole = {"model": DEPLOYMENT, "messages": [{"role": "user", "content": "Hello"}]} | changes
    return {key: value for key, value in whole.items() if value is not None}


ACCEPTED: list[tuple[str, int | None]] = []
# Per sample: what Azure's family answers, what OpenAI's does (code and line), and the endpoint of the batch.
SAMPLE_ANSWERS: dict[str, tuple[list[tuple[str, int | None]], list[tuple[str, int | None]], str]] = {
    "ok_chat_azure.jsonl": (ACCEPTED, ACCEPTED, "/chat/completions"),
    "ok_chat_v1_url.jsonl": (ACCEPTED, ACCEPTED, "/v1/chat/completions"),
    "ok_image_url.jsonl": (ACCEPTED, ACCEPTED, "/chat/completions"),
    "ok_responses.jsonl": (ACCEPTED, ACCEPTED, "/v1/responses"),
    "ok_structured_outputs.jsonl": (ACCEPTED, ACCEPTED, "/chat/completions"),
    "edge_blank_lines.jsonl": (ACCEPTED, ACCEPTED, "/chat/completions"),
    "edge_crlf.jsonl": (ACCEPTED, ACCEPTED, "/chat/completions"),
    "edge_no_trailing_newline.jsonl": (ACCEPTED, ACCEPTED, "/chat/completions"),
    "bad_json_line.jsonl": ([("invalid_json_line", 2)], [("invalid_json_line", 2)], "/chat/completions"),
    "bad_not_object.jsonl": (
        [("invalid_request", 1), ("invalid_request", 2), ("invalid_request", 3)],
        [("invalid_request", 1), ("invalid_request", 2), ("invalid_request", 3)],
        "/chat/completions",
    ),
    "bad_missing_fields.jsonl": (
        [("invalid_request", line) for line in (1, 2, 3, 4)],
        [("missing_required_parameter", line) for line in (1, 2, 3, 4)],
        "/chat/completions",
    ),
    "bad_method_get.jsonl": ([("invalid_request", 1)], [("invalid_request", 1)], "/chat/completions"),
    "bad_url_mismatch.jsonl": ([("url_mismatch", 2)], [("invalid_url", 2)], "/chat/completions"),
    "bad_model_mismatch.jsonl": ([("model_mismatch", 2)], [("mismatched_model", 2)], "/chat/completions"),
    "bad_stream_true.jsonl": ([("invalid_request", 1)], [("streaming_unsupported", 1)], "/chat/completions"),
    "bad_duplicate_custom_id.jsonl": (
        [("duplicate_custom_id", 2)],
        [("duplicate_custom_id", 2)],
        "/chat/completions",
    ),
    "bad_empty.jsonl": ([("empty_file", None)], [("empty_file", None)], "/chat/completions"),
    "bad_whitespace_only.jsonl": ([("empty_file", None)], [("empty_file", None)], "/chat/completions"),
    "bad_utf8_bom.jsonl": ([("invalid_request", None)], [("invalid_json_line", 1)], "/chat/completions"),
    "bad_utf16le.jsonl": (
        [("invalid_json_line", line) for line in (1, 2, 3, 4)],
        [("invalid_json_line", line) for line in (1, 2, 3, 4)],
        "/chat/completions",
    ),
}


def test_every_sample_has_an_answer() -> None:
    """No sample of the contract is left out."""
    assert {path.name for path in SAMPLES.iterdir()} == SAMPLE_ANSWERS.keys()


@pytest.mark.parametrize("family", ["azure", "openai"])
@pytest.mark.parametrize("name", SAMPLE_ANSWERS)
def test_samples_give_the_codes_of_the_contract(name: str, family: str) -> None:
    """Every sample is accepted, or refused with exactly the codes and line numbers of the contract, in both families."""
    azure, openai, endpoint = SAMPLE_ANSWERS[name]
    verdict = check((SAMPLES / name).read_bytes(), family=family, endpoint=endpoint)
    expected = azure if family == "azure" else openai
    assert [(error.code, error.line) for error in verdict.errors] == expected
    assert verdict.error_count == len(expected)


@pytest.mark.parametrize("name", [name for name in SAMPLE_ANSWERS if name.startswith(("ok", "edge"))])
def test_azure_takes_either_spelling_and_responses_as_chat(name: str) -> None:
    """An Azure batch of /chat/completions takes urls with and without /v1, and files of /responses throughout."""
    verdict = check((SAMPLES / name).read_bytes())
    assert verdict.errors == []
    assert verdict.endpoint == ("/responses" if name == "ok_responses.jsonl" else "/chat/completions")
    assert verdict.deployment == DEPLOYMENT
    assert verdict.total == sum(not is_blank(text) for text in (SAMPLES / name).read_bytes().split(b"\n"))


def test_exact_texts() -> None:
    """The texts that are known to the letter are used to the letter."""
    bom = check((SAMPLES / "bad_utf8_bom.jsonl").read_bytes()).errors[0]
    assert bom.message == (
        "Validation failed: A valid model deployment name couldn't be extracted from the input file. Please ensure that "
        "each row in the input file has a valid deployment name specified in the 'model' field, and that the deployment "
        "name is consistent across all rows."
    )
    empty = check(b"").errors[0]
    assert empty.message == "The input file is empty. Please ensure that the batch contains at least one request."
    data = line(body=body(stream=True)) + line(url="/x") + b"{\n" + line(custom_id=None) + line(body=body(model="x"))
    texts = [(error.param, error.message) for error in check(data, family="openai").errors]
    assert texts[:4] == [
        ("body.stream", "Chat Completions: Streaming is not supported in the Batch API."),
        ("url", "The URL provided for this request does not match the batch endpoint."),
        (None, "This line is not parseable as valid JSON."),
        ("custom_id", "Missing required parameter: 'custom_id'."),
    ]
    unknown = check(line(body=body(model="x")), family="openai").errors[0]
    assert unknown.message == "The provided model 'x' is not supported by the Batch API."
    assert (unknown.param, unknown.line) == ("body.model", 1)


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


@pytest.mark.parametrize(
    ("endpoint", "payload", "accepted"),
    [
        ("/chat/completions", {"messages": "Hello"}, False),
        ("/chat/completions", {"messages": []}, False),
        ("/chat/completions", {"messages": None}, False),
        ("/chat/completions", {"input": "Hello"}, False),
        ("/completions", {"prompt": "Hello"}, True),
        ("/completions", {"prompt": [1, 2]}, True),
        ("/completions", {"messages": [{"role": "user", "content": "Hello"}]}, False),
        ("/embeddings", {"input": ["a", "b"]}, True),
        ("/embeddings", {"input": {}}, False),
        ("/embeddings", {"input": 5}, False),
        ("/responses", {"input": [{"role": "user", "content": "Hello"}]}, True),
        ("/moderations", {"input": "Hello"}, True),
        ("/moderations", {}, False),
    ],
)
def test_each_endpoint_needs_its_payload(endpoint: str, payload: dict[str, object], accepted: bool) -> None:
    """Chat needs messages, completions a prompt, the others an input; each with something in it."""
    data = line(url=f"/v1{endpoint}", body={"model": DEPLOYMENT} | payload)
    assert (check(data, endpoint=endpoint).errors == []) is accepted


@pytest.mark.parametrize("space", ["", " ", "\t " * 40])
def test_space_in_a_payload_hides_nothing(space: str) -> None:
    """However far the first message is from the bracket: it is found, or found missing."""
    text = line().decode()
    assert check(text.replace("[{", f"[{space}{{").encode()).errors == []
    empty = line(body=body(messages=[])).decode().replace("[]", f"[{space}]")
    assert check(empty.encode()).errors[0].param == "body.messages"


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
        ("/v1/v1/x", "/v1/x"),
        ("/openai/openai/x", "/openai/x"),
        ("/", "/"),
    ],
)
def test_urls_are_compared_without_version(url: str, expected: str) -> None:
    """One leading /openai, one leading /v1 and a slash at the end mean nothing."""
    assert normalised(url) == expected


class LongWay(InputChecker):
    """A checker that explains every line, as it otherwise explains only the wrong and the first."""

    def _fits(self, line: bytes) -> bool:
        return False


# One change each to a line that is fine, in all the ways that a rule looks at.
CHANGES: list[dict[str, object]] = [
    {},
    {"custom_id": None},
    {"custom_id": ""},
    {"custom_id": 1},
    {"custom_id": "\u00e9" * 40},
    {"method": "GET"},
    {"method": None},
    {"url": "/v1/chat/completions"},
    {"url": "/responses"},
    {"url": None},
    {"extra": [1]},
    {"body": None},
    {"body": "x"},
    *({"body": body(stream=stream)} for stream in (True, False, "yes", 0)),
    *({"body": body(model=model)} for model in (None, "", "other", 5)),
    *({"body": body(messages=messages)} for messages in (None, [], "x", {}, 0, [[]])),
]


@pytest.mark.parametrize("family", ["azure", "openai"])
# No deadlines: that a shared machine is slow is no failure.
@settings(deadline=None)
@given(rows=st.lists(st.tuples(st.sampled_from(CHANGES), st.sampled_from("abcdef")), max_size=8))
def test_the_short_way_never_differs_from_the_long_way(family: str, rows: list[tuple[dict[str, object], str]]) -> None:
    """What decides quickly that a line is fine agrees with what explains what is wrong with it."""
    rules = Rules(family=family, endpoint="/chat/completions", deployments=frozenset({DEPLOYMENT}))
    short, long = InputChecker(rules), LongWay(rules)
    for changes, name in rows:
        text = line(**({"custom_id": name} | changes))
        short.feed(text)
        long.feed(text)
        assert short.faultless is long.faultless
    assert short.finish() == long.finish()


@pytest.mark.parametrize("family", ["azure", "openai"])
@pytest.mark.parametrize("changes", [changes for changes in CHANGES if changes.get("url") != "/responses"])
def test_a_rule_holds_on_every_line(changes: dict[str, object], family: str) -> None:
    """What is refused on the first line is refused, in the same words, on a later one."""
    data = line(**({"custom_id": "b"} | changes))
    alone = check(data, family=family, deployments=None).errors
    later = check(line() + data, family=family, deployments=None).errors
    if not alone:
        # Only the model depends on what came before.
        assert {error.code for error in later} <= {"model_mismatch", "mismatched_model"}
        return
    assert [(error.code, error.param, error.line) for error in later] == [(alone[0].code, alone[0].param, 2)]


PIECES = [
    line(),
    line(custom_id="b"),
    line(method="GET"),
    b"\n",
    b" \r\n",
    b"{",
    b'"',
    BOM,
    b"\xff",
    b"[1]\n",
    b"null\n",
]


@settings(deadline=None)
@given(
    st.one_of(st.binary(max_size=400), st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)),
    st.sampled_from(["azure", "openai"]),
    st.integers(1, 5),
)
def test_anything_is_answered(data: bytes, family: str, errors_max: int) -> None:
    """Whatever the bytes: no exception, errors in line order and capped, and as many counted as lines can be wrong."""
    verdict = check(data, family=family, errors_max=errors_max)
    lines = [error.line for error in verdict.errors if error.line is not None]
    assert lines == sorted(set(lines))
    assert verdict.total == sum(not is_blank(text) for text in io.BytesIO(data))
    assert verdict.error_count <= max(verdict.total, 1)
    assert (verdict.error_count == 0) is (verdict.errors == [])
    kept = verdict.errors if verdict.error_count <= errors_max else verdict.errors[:-1]
    assert len(kept) == min(verdict.error_count, errors_max)
    if verdict.errors == []:
        for text in io.BytesIO(data):
            assert is_blank(text) or json.loads(text)["method"] == "POST"


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([b"", b"  ", b"\t"]),
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80),
        ),
        max_size=20,
        unique=True,
    ),
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
    st.booleans(),
)
def test_valid_files_are_accepted(rows: list[bytes | str], end: bytes, ends: bool, ascii: bool) -> None:
    """Any ids, any blank lines between them, any line ends: the file is accepted and every request counted."""
    texts = [
        row if isinstance(row, bytes) else json.dumps(json.loads(line(custom_id=row)), ensure_ascii=ascii).encode()
        for row in rows
    ]
    data = end.join(texts) + end * ends
    verdict = check(data, endpoint="/v1/chat/completions")
    requests = sum(isinstance(row, str) for row in rows)
    assert verdict.total == requests
    assert [error.code for error in verdict.errors] == ([] if requests else ["empty_file"])
