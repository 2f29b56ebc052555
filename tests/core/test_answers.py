"""What is made of the body of an upstream answer: kept, mended, taken for the error that it is, or shown."""

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slackwater.core.accounts.usage import Usage
from slackwater.core.sending.answer_kinds import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    MODERATIONS,
    RESPONSES,
    Answer,
    ErrorInside,
    Unreadable,
)
from slackwater.core.sending.answers import read_answer
from slackwater.core.sending.request import Reply
from slackwater.core.sending.unanswered import redirect_message, refusal_body, unreadable_error


def completion(content: object = "hi", **more: object) -> dict[str, Any]:
    """An answer to a chat."""
    choices = [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage}
    return whole | more


def text(value: object) -> bytes:
    return json.dumps(value).encode()


GOOD = text(completion("X"))


def strict(body: bytes) -> Any:
    """The value of one line of JSON, for a reader who knows no mercy."""

    def refused(word: str) -> None:
        raise ValueError(word)

    assert b"\n" not in body
    assert b"\r" not in body
    return json.loads(body.decode("utf-8"), parse_constant=refused)


def answered(body: bytes, path: str = CHAT) -> Answer:
    found = read_answer(body, path=path)
    assert isinstance(found, Answer)
    strict(found.body)
    return found


def failed(value: object, path: str = CHAT) -> ErrorInside:
    found = read_answer(value if isinstance(value, bytes) else text(value), path=path)
    assert isinstance(found, ErrorInside)
    strict(found.body)
    return found


# Answers


def test_a_good_answer_keeps_its_bytes() -> None:
    """Usage and model are read; nothing is touched."""
    assert answered(GOOD) == Answer(Usage(input_tokens=3, output_tokens=2), "m", GOOD)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (EMBEDDINGS, {"object": "list", "data": [{"embedding": [0.1]}], "model": "m"}),
        (MODERATIONS, {"id": "modr-1", "model": "m", "results": [{"flagged": False}]}),
        (RESPONSES, {"object": "response", "status": "completed", "error": None, "output": []}),
        (RESPONSES, {"object": "response", "status": "incomplete", "error": None, "output": []}),
        (COMPLETIONS, {"object": "text_completion", "choices": [{"text": "x", "finish_reason": "length"}]}),
        (CHAT, completion(usage=None)),
        (CHAT, completion(error=None)),
        (CHAT, completion(error={})),
        (CHAT, completion(error={"code": None, "message": None})),
        (CHAT, completion(error=False, errors=[])),
        (CHAT, completion(None)),
        (CHAT, completion(status="error", code=500)),
        (CHAT, completion(json.dumps({"error": {"message": "x", "code": 500}}))),
        (CHAT, completion('"error": "object":"error" NaN \\ud83d')),
        (CHAT, {"message": {"role": "assistant", "content": "hi"}, "done": True}),
        (CHAT, {"model": "m", "generated_text": "hi"}),
        ("/pooling", {"results": [{"index": 0, "relevance_score": 0.5}]}),
        ("/pooling", {"data": []}),
        ("/pooling", {"status": "ok"}),
        (EMBEDDINGS, {"embedding": [0.1], "index": 0}),
        (EMBEDDINGS, {"model": "m", "embeddings": [[0.1]]}),
        (RESPONSES, {"object": "response", "status": "queued", "output": []}),
        (RESPONSES, {"output": [{"type": "message"}]}),
        (MODERATIONS, {"results": [{"flagged": True}], "code": 0}),
        (COMPLETIONS, {"content": "hi", "stop": True}),
        (CHAT, {"output": {"text": "hi"}, "usage": {"input_tokens": 1}, "request_id": "x"}),
        (CHAT, {"choices": [{"finish_reason": "error", "error": {"code": 502}}, {"finish_reason": "stop"}]}),
    ],
)
def test_what_is_an_answer(path: str, value: dict[str, Any]) -> None:
    """Errors that say nothing, texts about errors, and shapes that nobody knows are answers, and stay as they are."""
    found = answered(text(value), path)
    assert (found.body, found.mended) == (text(value), False)


@pytest.mark.parametrize(
    ("body", "usage", "model"),
    [
        (b'{"usage":"many","model":"m","a":1}', None, "m"),
        (b'{"model":5,"usage":{"prompt_tokens":1}}', Usage(input_tokens=1), None),
        (b'{"usage":{"prompt_tokens":-1}}', None, None),
        (b'{"object":7}', None, None),
    ],
)
def test_odd_types_do_not_make_an_answer_worthless(body: bytes, usage: Usage | None, model: str | None) -> None:
    """What has another type is not read; what has the usual one is."""
    assert read_answer(body, path="/x") == Answer(usage, model, body)


# Errors inside


@pytest.mark.parametrize(
    ("value", "status"),
    [
        # The engine of the cases.
        ({"error": {"message": "CUDA out of memory", "type": "server_error", "code": 500}}, 500),
        ({"object": "error", "message": "boom", "type": "InternalServerError", "code": 500}, 500),
        ({"error": {"message": "Rate limit exceeded: free-models-per-day", "code": 429, "metadata": {}}}, 429),
        # OpenAI, Azure, vLLM, LiteLLM, Anthropic, Google, Ollama, TGI.
        ({"error": {"code": "insufficient_quota", "type": "insufficient_quota"}}, 429),
        ({"error": {"code": "rate_limit_exceeded", "type": "tokens"}}, 429),
        ({"error": {"code": None, "type": "server_error"}}, 500),
        ({"error": {"code": "invalid_api_key", "type": "invalid_request_error"}}, 401),
        ({"error": {"code": "context_length_exceeded", "type": "invalid_request_error"}}, 400),
        ({"error": {"code": "content_filter", "status": 400, "type": None}}, 400),
        ({"error": {"code": "DeploymentNotFound", "message": "x"}}, 404),
        ({"object": "error", "type": "NotFoundError", "code": 404}, 404),
        ({"error": {"type": "BadRequestError", "code": 400}}, 400),
        ({"error": {"type": "throttling_error", "code": "429"}}, 429),
        ({"error": {"type": "None", "code": "401"}}, 401),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, 529),
        ({"type": "error", "error": {"type": "authentication_error"}}, 401),
        ({"error": {"code": 8, "status": "RESOURCE_EXHAUSTED"}}, 429),
        ({"error": "model not found, try pulling it first"}, 500),
        ({"error": "Model is overloaded", "error_type": "overloaded"}, 529),
        ({"error": "slow down", "code": 429}, 429),
        ({"error": {"message": "x", "metadata": {"error_type": "provider_unavailable"}}}, 502),
        # Nobody knows what it means.
        ({"error": {"code": "no_such_name", "type": ["odd"]}}, 500),
        ({"error": {"code": 200}}, 500),
        ({"error": {"code": 1e300}}, 500),
        ({"error": True}, 500),
        ({"error": ["x"]}, 500),
        # It wins over choices, which may be half an answer.
        (completion(error={"code": 502}), 502),
        ({"choices": [{"finish_reason": "error", "message": {"content": ""}, "error": {"code": 502}}]}, 502),
        ({"choices": [{"finish_reason": "error", "message": {"content": "half"}}]}, 500),
        # No choices, and nothing else.
        (completion(choices=None), 500),
        (completion(choices=[]), 500),
        (completion(choices=None, base_resp={"status_code": 1008}), 500),
        ({"detail": "Not Found"}, 500),
        ({"message": "boom", "code": 503}, 503),
    ],
)
def test_an_error_inside_counts_as_its_status(value: dict[str, Any], status: int) -> None:
    """A number says it, else a name does, the nearest first; what nobody knows is a fault of the backend."""
    found = failed(value)
    assert (found.status, found.body) == (status, text(value))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": "server_error", "message": "x"}, 500),
        ({"code": "rate_limit_exceeded"}, 429),
        ({"code": "image_parse_error"}, 400),
        ({"code": "vector_store_timeout"}, 500),
        (None, 500),
    ],
)
def test_a_failed_response(error: dict[str, str] | None, status: int) -> None:
    """An object of the Responses API says that it failed, and why."""
    value = {"object": "response", "status": "failed", "error": error, "output": [], "model": "m"}
    assert failed(value, RESPONSES).status == status
    assert failed(value, "/elsewhere").status == status


def test_an_embedding_with_an_error() -> None:
    """Errors are errors on every endpoint."""
    assert failed({"object": "error", "message": "x", "code": 400}, EMBEDDINGS).status == 400
    assert failed({"error": {"code": 503}}, EMBEDDINGS).status == 503


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        ({"code": 429, "metadata": {"retry_after_seconds": 17}}, 17.0),
        ({"code": 429, "retry_after": 1.5}, 1.5),
        ({"code": 429, "retry_after": 1e9}, 3600.0),
        ({"code": 429, "retry_after": -1}, None),
        ({"code": 429, "retry_after": "soon"}, None),
        ({"code": 429}, None),
    ],
)
def test_when_to_come_again(error: dict[str, Any], seconds: float | None) -> None:
    """Some say in the body what belongs into a header."""
    assert failed({"error": error}).retry_after == seconds


# No answers


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, MODERATIONS])
@pytest.mark.parametrize(
    "value",
    [
        {},
        {"hello": 1},
        {"status": "ok"},
        {"status": "UP", "components": {"db": {"status": "UP"}}},
        {"message": "Welcome to the gateway", "version": "1.2.0"},
        {"object": "list", "models": []},
        {"model": "m", "usage": {"prompt_tokens": 1}},
    ],
)
def test_an_object_without_what_was_asked_for_is_no_answer(path: str, value: dict[str, Any]) -> None:
    """A health page, a greeting, another server's answer: whatever it is, nobody has asked for it."""
    missing = {CHAT: "choices", COMPLETIONS: "choices", EMBEDDINGS: "data", RESPONSES: "output", MODERATIONS: "results"}
    assert read_answer(text(value), path=path) == Unreadable(f"JSON that has no `{missing[path]}`")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (EMBEDDINGS, {"data": []}),
        (EMBEDDINGS, {"data": None, "model": "m"}),
        (CHAT, {"data": [{"embedding": [0.1]}]}),
        (RESPONSES, {"status": "completed!"}),
        ("/pooling", {}),
    ],
)
def test_nor_is_an_empty_one_or_the_answer_to_something_else(path: str, value: dict[str, Any]) -> None:
    """What has a name and nothing in it is as good as not there."""
    assert isinstance(read_answer(text(value), path=path), Unreadable)


# Mended


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (GOOD.replace(b'"X"', b'"\xff\xfe\x80abc"'), "\ufffd\ufffd\ufffdabc"),
        (GOOD.replace(b'"X"', '"caf\u00e9"'.encode("latin-1")), "caf\ufffd"),
        (GOOD.replace(b'"X"', rb'"a\ud83d"'), "a\ufffd"),
        (GOOD.replace(b'"X"', rb'"a\ud83d\ud83d\ude00\ude00\u0041"'), "a\ufffd\U0001f600\ufffdA"),
        (GOOD.replace(b'"X"', rb'"a\\ud83d\\\ud83d"'), "a\\ud83d\\\ufffd"),
        (GOOD.replace(b'"X"', b'"a\xed\xa0\xbdb"'), "a\ufffdb"),
        (GOOD.replace(b'"X"', b'"a\xed\xa0\xbd\xed\xb8\x80b"'), "a\U0001f600b"),
        (b"\xef\xbb\xbf" + GOOD, "X"),
    ],
)
def test_text_that_is_no_unicode(body: bytes, content: str) -> None:
    """It is kept, with U+FFFD for what nobody can read, and every reader reads it."""
    found = answered(body)
    assert found.mended
    assert found.usage == Usage(input_tokens=3, output_tokens=2)
    assert strict(found.body)["choices"][0]["message"]["content"] == content


def test_numbers_that_are_none() -> None:
    """NaN and Infinity become null, where they are no text."""
    texts = ["NaN", 'a "NaN" \\', "-Infinity", "\\", '"', "Infinity\\"]
    value = completion(texts, x=float("nan"), y=[float("inf"), float("-inf")], NaN={"z": float("nan")})
    found = answered(text(value))
    assert found.mended
    assert strict(found.body) == completion(texts, x=None, y=[None, None], NaN={"z": None})
    nan = GOOD.replace(b'"prompt_tokens": 3', b'"logprob": NaN, "x": -Infinity, "prompt_tokens": 3')
    assert answered(nan).usage == Usage(input_tokens=3, output_tokens=2)


@pytest.mark.parametrize("body", [text(completion("a\nb\u2028c")).replace(b", ", b",\r\n"), b"\n" + GOOD + b"\r\n"])
def test_line_breaks_are_no_fault(body: bytes) -> None:
    """Line breaks between tokens are JSON; a line of a file must not have them."""
    assert not answered(body).mended
    pretty = json.dumps(completion("a\nb\u2028c\u2029d\u0085e"), indent=2, ensure_ascii=False).encode()
    assert strict(answered(pretty).body) == completion("a\nb\u2028c\u2029d\u0085e")


def test_an_error_may_need_mending_too() -> None:
    """It is an error of its own kind then, not a broken answer."""
    found = failed(b'\xef\xbb\xbf{"error":{"code":429,"message":"caf\xe9"}}')
    assert (found.status, found.mended) == (429, True)


# Unreadable


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "an empty body"),
        (b" \n ", "an empty body"),
        (b"\xef\xbb\xbf", "an empty body"),
        (b"<html><body>Login please</body></html>", "HTML"),
        (b'\n<?xml version="1.0"?>', "XML"),
        (b'data: {"id":"c"}\n\ndata: [DONE]\n\n', "a stream of events that nobody asked for"),
        (b": keep-alive\n\ndata: {}\n\n", "a stream of events that nobody asked for"),
        (GOOD[:-9], "half a body: JSON that ends too early"),
        (b'{"a":NaN,"b":"', "half a body: JSON that ends too early"),
        (b"[1]", "a JSON array"),
        (b'"x"', "a JSON string"),
        (b"null", "null"),
        (b"NaN", "something that is not JSON"),
        (b"\x1f\x8b\x08\xff\xfe", "something that is not JSON"),
        (b"17", "a JSON number"),
        (b"no upstream", "something that is not JSON"),
        (b'{"a":1}{"b":2}', "more than one JSON value"),
        (b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "JSON that is nested too deeply"),
        (b'{"a":' + b'{"a":' * 50_000, "JSON that is nested too deeply"),
    ],
)
def test_what_nobody_can_read(body: bytes, why: str) -> None:
    """It is said what it is instead."""
    assert read_answer(body, path=CHAT) == Unreadable(why)


def test_broken_json_says_where() -> None:
    """A fault that nobody has a word for is named by the place."""
    found = read_answer(b'{"a":"\x01"}', path=CHAT)
    assert isinstance(found, Unreadable)
    assert found.why.startswith("broken JSON (")
    assert "byte 6" in found.why


def test_an_unreadable_answer_is_shown() -> None:
    """Status, content type and the first 2 KB; nothing that steers a terminal."""
    code, message = unreadable_error("HTML", Reply(200, b"<p>\x1b[31m\xff\r\nx</p>", content_type="text/html"))
    assert code == "backend_reply_broken"
    assert message == (
        "The backend answered 200 (text/html) with HTML, which is no answer. It is: <p>\ufffd[31m\ufffd  x</p>"
    )
    code, message = unreadable_error("HTML", Reply(200, b"a" * 2047 + "é".encode() * 10_000))
    assert message.endswith(": " + "a" * 2047)
    assert unreadable_error("an empty body", Reply(204, b""))[1] == (
        "The backend answered 204 with an empty body, which is no answer."
    )


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://login.example/in?token=secret#more", "points to https://login.example/in?..., "),
        ("https://user:secret@login.example/in", "points to https://login.example/in, "),
        ("/v2/chat", "points to /v2/chat, "),
        ("https://[half", "points to an address that cannot be read, "),
        ("https://login.example/\x1b" + "a" * 9000, "points to https://login.example/\ufffd" + "a" * 477 + ", "),
        (None, "does not say where to"),
    ],
)
def test_a_redirect_says_where_to(location: str | None, shown: str) -> None:
    """Without what may be secret, and not at any length."""
    reply = Reply(307, b"<html>moved</html>", location=location)
    message = redirect_message(reply)
    assert shown.removesuffix(", ") in message
    assert "secret" not in message
    assert "not followed" in message
    assert strict(refusal_body(reply))["error"] == {
        "message": message,
        "type": "upstream_error",
        "param": None,
        "code": "307",
    }
    assert refusal_body(Reply(400, b'{"error":\n{}}')) == b'{"error": {}}'


# Anything at all

WORDS = st.sampled_from(
    [
        *(b'"', b"\\", b"\\\\", b'\\"', b"NaN", b"-Infinity", b"Infinity", b"\\ud83d", b"\\ude00", b"\\u0041", b"\n"),
        *(b"\xed\xa0\xbd", b"\xed\xb8\x80", b"\xff", b"\xc3", b"\xe9", b"\xef\xbb\xbf", b"x", b" ", b",", b":", b"1"),
        *(b"{", b"}", b"[", b"]", b"null", b'"error"', b'"choices"', b'"a":', b"\\ud8", b"\xf0\x9f"),
    ]
)
SOUP = st.lists(WORDS, max_size=30).map(b"".join)
JSONISH = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["error", "object", "status", "choices", "usage", "model", "code", "type", "message", "a"])
OBJECTS = st.dictionaries(KEYS, JSONISH, max_size=5).map(text)
ODD_TEXTS = SOUP.map(lambda soup: b'{"choices":[{"message":{"content":"' + soup + b'"}}]}')
ODD_VALUES = SOUP.map(lambda soup: b'{"a":[' + soup + b"]}")
PATHS = st.sampled_from([CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS, "/x"])


@given(st.binary(max_size=200) | SOUP | OBJECTS | ODD_TEXTS | ODD_VALUES, PATHS)
@example(b'{"a":"\\ud83d', "/x")
@example(b'{"choices":[{"error":null}]}', CHAT)
def test_anything_is_one_of_the_three(body: bytes, path: str) -> None:
    """Whatever came, what is kept is one line that every reader reads; what was right keeps its bytes; twice is once."""
    found = read_answer(body, path=path)
    if isinstance(found, Unreadable):
        _, message = unreadable_error(found.why, Reply(200, body))
        assert message.isprintable()
        return
    value = strict(found.body)
    assert isinstance(value, dict)
    msgspec.json.decode(found.body, type=dict[str, msgspec.Raw])
    if not found.mended:
        assert found.body.split() == body.split()
        assert json.loads(body) == value
    again = read_answer(found.body, path=path)
    assert type(again) is type(found)
    assert not isinstance(again, Unreadable)
    assert (again.body, again.mended) == (found.body, False)


@given(OBJECTS, PATHS)
def test_every_object_of_python_is_read(body: bytes, path: str) -> None:
    """What a Python server writes for whatever it has (NaN, halves of emoji) is never lost."""
    found = read_answer(body, path=path)
    assert not isinstance(found, Unreadable) or found.why.startswith(("JSON that has no `", "an empty JSON object"))
    assert isinstance(read_answer(b'{"choices":[%b]}' % body, path=CHAT), Answer | ErrorInside)


HOSTILE = {
    "words": b"NaN,",
    "escaped_quotes": b'NaN\\"',
    "quotes": b'NaN"',
    "backslashes": b"\\",
    "backslashes_and_halves": b"\\\\\\\\\\ud83d",
    "halves": rb"\ud83d",
    "raw_halves": b"\xed\xa0\xbd",
    "latin1": b"\xe9",
    "open": b'{"',
    "strings": b'"NaN","',
}


def test_there_is_an_end_to_mending() -> None:
    """Numbers side by side are one fault, however many; beyond some number of others nobody wants to read the rest."""
    vectors = b'{"data":[' + b"NaN," * 1_000_000 + b"0]}"
    assert answered(vectors, EMBEDDINGS).body.count(b"null") == 1_000_000
    for fault in (b"\xe9", rb"\ud83d", b"\xed\xa0\xbd"):
        body = GOOD.replace(b"X", fault * 300_000)
        assert read_answer(body, path=CHAT) == Unreadable("JSON with more than 250000 faults")


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("begin", [b'{"a":"', b'{"a":[NaN,', b'{"a":"NaN\\ud83d'])
def test_time_grows_with_the_body(name: str, begin: bytes) -> None:
    """No body takes more than its share: ten times the size takes no more than some thirty times as long."""
    seconds = []
    for size in (100_000, 1_000_000):
        body = begin + HOSTILE[name] * (size // len(HOSTILE[name]))
        begun = time.process_time()
        read_answer(body, path=CHAT)
        seconds.append(time.process_time() - begun)
    assert seconds[1] < max(0.05, 30 * seconds[0])
