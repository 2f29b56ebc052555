"""The built-in backend: shapes that OpenAI's own client reads, answers that repeat, and trouble in the asked measure."""

import asyncio
import contextlib
import io
import json
import math
import socket
import threading
import wave
from base64 import b64decode
from collections import Counter
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import openai
import pytest
import uvicorn
from openai.types import Completion, CreateEmbeddingResponse, ImagesResponse, ModerationCreateResponse, Video
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import BaseModel

from slackwater.adapters.system_clock import SystemClock
from slackwater.adapters.upstream.echo_backend import EchoBackend
from slackwater.adapters.upstream.echo_server import echo_app
from slackwater.adapters.upstream.echo_words import example_of
from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.core.sending.request import Reply
from slackwater.core.sending.streaming import asks_to_stream

T = TypeVar("T")
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello there"}]}


class RecordingClock(SystemClock):
    """A clock that does not wait, and remembers for how long it was asked to."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 30))


def send(path: str, request: Any) -> Reply:
    """One call to a fresh backend."""
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    return run(EchoBackend(clock=SystemClock()).send(path, body))


def answer(path: str, request: Any) -> Any:
    reply = send(path, request)
    assert reply.status == 200, reply.body
    return json.loads(reply.body)


def test_the_same_request_has_the_same_answer() -> None:
    """Answers and ids follow from the request alone."""
    first, again = send("/chat/completions", CHAT), send("/chat/completions", CHAT)
    other = send("/chat/completions", CHAT | {"user": "x"})
    assert first == again
    assert json.loads(first.body)["id"] != json.loads(other.body)["id"]


def test_chat_echoes_what_the_user_said_last() -> None:
    """The last user message comes back, also from content parts, with a word on who answers; tokens are words."""
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "first"},
        {"role": "user", "content": [{"type": "text", "text": "and second"}, {"type": "image_url", "image_url": {}}]},
        {"role": "assistant", "content": None},
    ]
    chat = answer("/chat/completions", CHAT | {"messages": messages})
    text = chat["choices"][0]["message"]["content"]
    assert text.startswith("Echo of: and second\n")
    assert "built-in backend" in text
    usage = chat["usage"]
    assert usage["prompt_tokens"] == 6
    assert usage["completion_tokens"] == len(text.split())
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


SCHEMA = {
    "type": "object",
    "required": ["name", "count", "ratio", "sure", "color", "tags", "next", "always"],
    "properties": {
        "name": {"type": "string"},
        "count": {"type": "integer", "minimum": 3},
        "ratio": {"type": "number"},
        "sure": {"type": "boolean"},
        "color": {"enum": ["red", "green"]},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 2},
        "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        "always": {"const": 7},
        "optional": {"type": "string"},
    },
    "$defs": {"tag": {"type": ["string", "null"]}},
}
FITTING = {
    "name": "echo",
    "count": 3,
    "ratio": 0,
    "sure": True,
    "color": "red",
    "tags": ["echo", "echo"],
    "next": None,
    "always": 7,
}


@pytest.mark.parametrize("path", ["/chat/completions", "/responses"])
def test_a_schema_is_answered_with_a_fitting_value(path: str) -> None:
    """Structured outputs: the text is JSON of the asked shape, in chat and in responses, which nest the schema differently."""
    if path == "/responses":
        answered = answer(path, {"input": "x", "text": {"format": {"type": "json_schema", "schema": SCHEMA}}})
        text = answered["output"][0]["content"][0]["text"]
    else:
        response_format = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
        text = answer(path, CHAT | {"response_format": response_format})["choices"][0]["message"]["content"]
    assert json.loads(text) == FITTING


def test_a_schema_without_an_end_is_refused() -> None:
    """A schema that always needs itself has no value: 400, and the backend lives."""
    endless = {"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#"}}}
    with pytest.raises(RecursionError):
        example_of(endless)
    response_format = {"type": "json_schema", "json_schema": {"schema": endless}}
    assert send("/chat/completions", CHAT | {"response_format": response_format}).status == 400


def test_embeddings_are_unit_vectors_that_follow_the_text() -> None:
    """One vector of length one per input, of the asked dimensions; the same text has the same vector."""
    data = answer("/embeddings", {"input": ["a", "b", "a"], "dimensions": 40})["data"]
    vectors = [entry["embedding"] for entry in data]
    assert [entry["index"] for entry in data] == [0, 1, 2]
    assert [len(vector) for vector in vectors] == [40, 40, 40]
    assert vectors[0] == vectors[2] != vectors[1]
    assert all(math.isclose(math.hypot(*vector), 1.0) for vector in vectors)
    assert len(answer("/embeddings", {"input": "a"})["data"][0]["embedding"]) == 16
    assert len(answer("/embeddings", {"input": [1, 2, 3]})["data"]) == 1


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/chat/completions", b"{not json", 400, "invalid_json"),
        ("/chat/completions", b"[]", 400, "invalid_type"),
        ("/chat/completions", b"[" * 5000, 400, "invalid_json"),
        ("/chat/completions", b"{}", 400, "missing_required_parameter"),
        ("/chat/completions", b'{"messages": []}', 400, "empty_array"),
        ("/chat/completions", b'{"messages": "hello"}', 400, "invalid_type"),
        ("/completions", b"{}", 400, "missing_required_parameter"),
        ("/embeddings", b'{"input": "x", "dimensions": "many"}', 400, "invalid_type"),
        ("/embeddings", b'{"input": "x", "dimensions": 1000000000}', 400, "integer_above_max_value"),
        ("/embeddings", b'{"input": []}', 400, "empty_array"),
        ("/responses", b'{"input": 3}', 400, "invalid_type"),
        ("/moderations", b"{}", 400, "missing_required_parameter"),
        ("/nothing", b"{}", 404, "unknown_url"),
    ],
)
def test_errors_have_openai_s_envelope(path: str, body: bytes, status: int, code: str) -> None:
    """What is wrong with a request comes back as a 4xx in the envelope that clients read, never as an exception."""
    reply = send(path, body)
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"], error["type"]) == (status, code, "invalid_request_error")
    assert error["message"].endswith(".")


SAID = "messages[0]"
REFUSED = [
    # A request, the parameter that is wrong, and words of the sentence.
    ("/chat/completions", {"messages": [{"rolez": "user", "content": "x"}]}, f"{SAID}.role", "Missing required"),
    ("/chat/completions", {"messages": [{"role": "usr", "content": "x"}]}, f"{SAID}.role", "'system', 'assistant', "),
    ("/chat/completions", {"messages": [{"role": 1, "content": "x"}]}, f"{SAID}.role", "but got an integer"),
    ("/chat/completions", {"messages": [{"role": "user"}]}, f"{SAID}.content", "Missing required"),
    ("/chat/completions", {"messages": [{"role": "user", "content": None}]}, f"{SAID}.content", "Missing required"),
    (
        "/chat/completions",
        {"messages": [{"role": "user", "content": {"a": 1}}]},
        f"{SAID}.content",
        "but got an object",
    ),
    ("/chat/completions", {"messages": [{"role": "user", "content": [{}]}]}, f"{SAID}.content[0].type", "Missing"),
    (
        "/chat/completions",
        {"messages": [{"role": "user", "content": ["x"]}]},
        f"{SAID}.content[0]",
        "expected an object",
    ),
    (
        "/chat/completions",
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        f"{SAID}.content[0].text",
        "Missing required",
    ),
    ("/chat/completions", {"messages": [{"role": "tool", "content": "x"}]}, f"{SAID}.tool_call_id", "Missing required"),
    ("/chat/completions", {"messages": ["x"]}, SAID, "expected an object, but got a string"),
    ("/chat/completions", {"messages": "x"}, "messages", "expected an array of objects, but got a string"),
    ("/chat/completions", CHAT | {"temperature": "hot"}, "temperature", "expected a decimal, but got a string"),
    ("/chat/completions", CHAT | {"temperature": 2.5}, "temperature", "Expected a value <= 2, but got 2.5"),
    ("/chat/completions", CHAT | {"max_tokens": 1.5}, "max_tokens", "expected an integer, but got a decimal"),
    ("/chat/completions", CHAT | {"n": True}, "n", "but got a boolean"),
    ("/chat/completions", CHAT | {"model": 5}, "model", "expected a string, but got an integer"),
    ("/chat/completions", CHAT | {"response_format": {}}, "response_format.type", "Missing required"),
    ("/chat/completions", CHAT | {"tools": [{}]}, "tools[0].type", "Missing required"),
    ("/completions", {"prompt": {}}, "prompt", "but got an object"),
    ("/embeddings", {"input": [1, "x", None]}, "input[2]", "but got null"),
    ("/embeddings", {"input": "x", "encoding_format": "hex"}, "encoding_format", "are: 'float', and 'base64'."),
    ("/responses", {"input": [{"rolez": "user", "content": "x"}]}, "input[0].role", "Missing required"),
    ("/responses", {"input": "x", "instructions": 5}, "instructions", "expected a string"),
    ("/moderations", {"input": [5]}, "input[0]", "expected an object"),
]


@pytest.mark.parametrize(("path", "request_", "param", "words"), REFUSED)
def test_what_an_engine_refuses_is_refused(path: str, request_: Any, param: str, words: str) -> None:
    """A file that was tried with the built-in backend does not fail line by line at the first engine."""
    reply = send(path, request_)
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert words in error["message"]
    assert param in error["message"] or error["code"] == "invalid_value"


TAKEN: list[tuple[str, Any]] = [
    (
        "/chat/completions",
        {
            "messages": [
                {"role": "developer", "content": "x"},
                {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "function", "function": {}}]},
                {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "x"}]},
                {"role": "user", "content": "", "name": "ann", "mood": 3},
            ],
            "model": "m",
            "temperature": 1,
            "tools": [],
            "stop": ["a", "b"],
            "top_k": 4,
            "max_tokens": None,
        },
    ),
    ("/completions", {"prompt": [[1, 2], [3]]}),
    ("/completions", {"prompt": [1, 2]}),
    ("/embeddings", {"input": [[1], [2]], "encoding_format": "float"}),
    (
        "/responses",
        {"input": [{"role": "user", "content": "x"}, {"type": "function_call_output", "call_id": "a", "output": "x"}]},
    ),
    ("/moderations", {"input": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "x"}}]}),
]


@pytest.mark.parametrize(("path", "request_"), TAKEN)
def test_what_an_engine_takes_is_taken(path: str, request_: Any) -> None:
    """Every shape of a field; keys that nobody knows, and null for what is left out."""
    assert send(path, request_).status == 200


STRICT: list[tuple[type[BaseModel], str, Any]] = [
    (ChatCompletion, "/chat/completions", CHAT),
    (Completion, "/completions", {"prompt": ["a", "b"]}),
    (CreateEmbeddingResponse, "/embeddings", {"input": "a"}),
    (Response, "/responses", {"input": "hi"}),
    (
        Response,
        "/responses",
        {
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}],
            "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
            "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": False}],
            "tool_choice": "required",
            "temperature": 0,
            "metadata": {"a": "b"},
            "max_output_tokens": 5,
        },
    ),
    (ModerationCreateResponse, "/moderations", {"input": ["a", "b"]}),
    (ImagesResponse, "/images/generations", {"prompt": "a boat", "n": 2}),
    (ImagesResponse, "/images/edits", {"prompt": "a boat", "images": [{"image_url": "data:image/png;base64,AAAA"}]}),
    (Video, "/videos", {"prompt": "a wave"}),
]


@pytest.mark.parametrize(("model", "path", "request_"), STRICT)
def test_answers_have_every_key_of_openai_s_types(model: type[BaseModel], path: str, request_: Any) -> None:
    """A client that takes nothing less than the whole type reads every answer."""
    model.model_validate_json(send(path, request_).body, strict=True)


def statuses(seed: int, **rates: float) -> list[tuple[int, float | None]]:
    """What 400 different requests are answered, each sent twice."""
    backend = EchoBackend(clock=SystemClock(), seed=seed, retry_after=2.5, **rates)

    async def work() -> list[tuple[int, float | None]]:
        bodies = [json.dumps(CHAT | {"user": str(number)}).encode() for number in range(400)]
        replies = [await backend.send("/chat/completions", body) for body in bodies * 2]
        return [(reply.status, reply.retry_after) for reply in replies]

    return run(work())


def test_trouble_comes_in_the_asked_measure_and_repeats_with_its_seed() -> None:
    """Shares of 500 and 429 are about those asked for, only a 429 says when to return, and a seed decides which."""
    drawn = statuses(1, error_rate=0.2, busy_rate=0.3)
    counts = Counter(drawn)
    assert set(counts) == {(200, None), (500, None), (429, 2.5)}
    # Five standard deviations of 800 draws.
    assert abs(counts[500, None] - 160) < 57
    assert abs(counts[429, 2.5] - 240) < 65
    assert drawn == statuses(1, error_rate=0.2, busy_rate=0.3)
    assert drawn != statuses(2, error_rate=0.2, busy_rate=0.3)


def test_a_repeated_request_draws_again() -> None:
    """A retry is not doomed to the fate of the first attempt."""
    drawn = statuses(1, error_rate=0.5)
    assert drawn[:400] != drawn[400:]


def test_a_hanging_call_ends_when_it_is_cancelled() -> None:
    """With a hang rate of one no call is ever answered, and a timeout gets out."""

    async def work() -> None:
        backend = EchoBackend(clock=SystemClock(), hang_rate=1.0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(backend.send("/chat/completions", b"{}"), 0.01)

    run(work())


def test_latency_is_waited_for_on_the_clock() -> None:
    """Latency and jitter go through the Clock port, so that virtual time can carry them; jitter repeats with its seed."""

    async def work() -> list[float]:
        clock = RecordingClock()
        backend = EchoBackend(clock=clock, latency_seconds=60.0, jitter_seconds=30.0)
        for number in range(50):
            await backend.send("/chat/completions", json.dumps(CHAT | {"user": str(number)}).encode())
        return clock.waits

    waits = run(work())
    assert len(waits) == 50
    assert 60.0 <= min(waits) < 65.0
    assert 85.0 < max(waits) <= 90.0
    assert waits == run(work())


@contextlib.contextmanager
def served(backend: EchoBackend) -> Iterator[str]:
    """The backend over HTTP on loopback; gives its base URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(echo_app(backend), log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            # The listener takes connections already; they are answered as soon as the server runs.
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


def test_a_streamed_answer_is_the_unstreamed_one() -> None:
    """But for its id: over HTTP, put together by our client, and within the process, for chats and completions."""
    bodies = [
        ("/chat/completions", CHAT),
        ("/chat/completions", CHAT | {"messages": [{"role": "user", "content": "  two  blanks\n\u2028 \U0001f600 "}]}),
        ("/chat/completions", CHAT | {"response_format": {"type": "json_object"}}),
        ("/completions", {"model": "m", "prompt": ["a b", "c"]}),
    ]

    async def story(url: str) -> None:
        http = HttpBackend(url)
        inside = EchoBackend(clock=SystemClock())
        for path, value in bodies:
            body = json.dumps(value).encode()
            asking = asks_to_stream(body, path)
            assert asking is not None
            whole = json.loads((await inside.send(path, body)).body)
            for backend in (http, inside):
                heard: list[int] = []
                reply = await backend.send(path, asking, heard=heard.append)
                assert reply.streamed
                assert heard[-1] == whole["usage"]["completion_tokens"]
                assert json.loads(reply.body) | {"id": whole["id"]} == whole
        refused = await http.send("/chat/completions", b'{"model":"m","stream":true}', heard=heard.append)
        assert (refused.status, refused.streamed) == (400, False)
        await http.close()

    with served(EchoBackend(clock=SystemClock())) as url:
        run(story(url))


def test_a_stream_takes_as_long_as_an_answer() -> None:
    """Its words come during the latency."""

    async def work() -> float:
        clock = RecordingClock()
        backend = EchoBackend(clock=clock, latency_seconds=60.0)
        asking = asks_to_stream(json.dumps(CHAT).encode(), "/chat/completions")
        assert asking is not None
        await backend.send("/chat/completions", asking, heard=lambda tokens: None)
        assert len(clock.waits) > 10
        return sum(clock.waits)

    assert run(work()) == pytest.approx(60.0)


def test_openai_s_client_reads_streams() -> None:
    """Chunks are what OpenAI's own client takes them for."""
    with (
        served(EchoBackend(clock=SystemClock())) as url,
        openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=20) as client,
    ):
        messages: Any = [{"role": "user", "content": "hi there"}]
        whole = client.chat.completions.create(model="m", messages=messages)
        with client.chat.completions.stream(model="m", messages=messages, stream_options={"include_usage": True}) as s:
            streamed = s.get_final_completion()
        assert streamed.choices[0].message.content == whole.choices[0].message.content
        assert streamed.choices[0].finish_reason == "stop"
        assert streamed.usage == whole.usage
        chunks = list(client.completions.create(model="m", prompt="a b", stream=True))
        text = client.completions.create(model="m", prompt="a b").choices[0].text
        assert "".join(chunk.choices[0].text for chunk in chunks) == text


def test_openai_s_client_understands_every_answer() -> None:
    """Served over HTTP, each endpoint is read by OpenAI's own client, embeddings in its base64 too."""
    with (
        served(EchoBackend(clock=SystemClock())) as url,
        openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=20) as client,
    ):
        assert [model.id for model in client.models.list()] == ["echo"]
        chat = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        assert (chat.choices[0].message.content or "").startswith("Echo of: hi")
        assert client.completions.create(model="m", prompt=["a", "b"]).choices[1].index == 1
        assert client.responses.create(model="m", input="hi").output_text.startswith("Echo of: hi")
        assert client.moderations.create(input=["a", "b"]).results[1].flagged is False
        base64 = client.embeddings.create(model="m", input="a").data[0].embedding
        plain = client.embeddings.create(model="m", input="a", encoding_format="float").data[0].embedding
        assert base64 == pytest.approx(plain, abs=1e-6)
        picture = (client.images.generate(model="m", prompt="a boat").data or [])[0].b64_json or ""
        assert b64decode(picture, validate=True).startswith(b"\x89PNG\r\n")
        with client.audio.speech.with_streaming_response.create(model="m", input="a b c", voice="alloy") as spoken:
            assert spoken.headers["content-type"] == "audio/wav"
            with wave.open(io.BytesIO(spoken.read())) as sound:
                assert sound.getnframes() / sound.getframerate() == pytest.approx(0.3)
        with pytest.raises(openai.NotFoundError):
            client.post("/nothing", body={}, cast_to=object)


@pytest.mark.parametrize(
    ("path", "request_", "status", "param"),
    [
        ("/rerank", {"query": "a", "documents": []}, 400, "documents"),
        ("/rerank", {"documents": ["a"]}, 400, "query"),
        ("/score", {"text_1": "a"}, 400, None),
        ("/score", {"text_1": ["a", "b"], "text_2": ["a", "b", "c"]}, 400, None),
        ("/messages", {"messages": [{"role": "user", "content": "hi"}]}, 400, "max_tokens"),
        ("/messages", {"messages": [{"role": "user"}], "max_tokens": 1}, 400, "messages[0].content"),
        ("/audio/speech", {"input": "hi", "voice": "alloy", "response_format": "midi"}, 400, None),
        ("/images/generations", {"prompt": "a", "n": 11}, 400, "n"),
        ("/videos", {"prompt": "a", "seconds": 4}, 400, "seconds"),
        (
            "/rerank",
            {"query": {"content": [{"type": "text", "text": "a"}]}, "documents": [{"text": "a"}, "b"]},
            200,
            None,
        ),
        ("/score", {"queries": ["a"], "documents": ["a", "b"]}, 200, None),
    ],
)
def test_other_endpoints_are_judged_too(path: str, request_: Any, status: int, param: str | None) -> None:
    """What no engine takes is refused, with the field."""
    reply = send(path, request_)
    assert reply.status == status, reply.body
    if param is not None:
        assert json.loads(reply.body)["error"]["param"] == param


def test_what_is_ranked_is_in_order() -> None:
    """The most alike comes first, by how many words are the same."""
    ranked = answer("/rerank", {"query": "the tide", "documents": ["ebb", "the tide", "the ebb"], "top_n": 2})
    assert [each["index"] for each in ranked["results"]] == [1, 2]
    assert ranked["usage"]["total_tokens"] == 2 + 1 + 2 + 2 + 2 + 2
    pairs = answer("/score", {"text_1": "a b", "text_2": ["a b", "c"]})["data"]
    assert [each["score"] for each in pairs] == [1.0, 0.0]


def test_busy_over_http_says_when_to_return() -> None:
    """A 429 carries Retry-After in seconds."""
    with (
        served(EchoBackend(clock=SystemClock(), busy_rate=1.0, retry_after=1.5)) as url,
        openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=20) as client,
    ):
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        assert caught.value.response.headers["retry-after"] == "1.5"
