"""A streamed answer of a real vLLM becomes the JSON value that it would have been without a stream, but for `id` and `created`.

Each request is sent without a stream, twice, so that the prefix cache finds the same, and then as the product sends one that it
listens to: with its HTTP client, its chunks put together, and names of empty fields learnt from the answer before.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.vllm.engine import MODEL, Engine

from slackwater.adapters.system_clock import SystemClock
from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.core.sending.answer_kinds import CHAT, COMPLETIONS
from slackwater.core.sending.door import Door
from slackwater.core.sending.request import Reply, Request
from slackwater.core.sending.streaming import Form, Streaming
from slackwater.pipeline.sending.canary import may_be_streamed
from slackwater.pipeline.sending.listening import ListenedCalls, Listener
from slackwater.telemetry import BackendMeter

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

MESSAGES = [{"role": "system", "content": "You know the tides."}, {"role": "user", "content": "Why is the sea salty?"}]
# Without thinking, what the model writes is the answer.
PLAIN = {"chat_template_kwargs": {"enable_thinking": False}}
ONE_WAY = {"temperature": 0, "max_tokens": 24, "ignore_eos": True}
SEEDED = {"temperature": 1.0, "seed": 7, "max_tokens": 24}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "How the weather is.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string", "maxLength": 8}, "days": {"enum": [1, 2, 3]}},
            "required": ["place", "days"],
            "additionalProperties": False,
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"tide": {"enum": ["high", "low"]}, "metres": {"enum": [1, 2]}},
    "required": ["tide", "metres"],
    "additionalProperties": False,
}
END, END_OF_THINKING = 1, "</think>"

CHATS: dict[str, dict[str, Any]] = {
    "greedy": PLAIN | ONE_WAY,
    "seeded": PLAIN | SEEDED,
    "seeded-at-temperature-0": PLAIN | ONE_WAY | {"seed": 3},
    "one-token": PLAIN | ONE_WAY | {"max_tokens": 1},
    "two-choices": PLAIN | SEEDED | {"n": 2},
    "three-choices-with-logprobs": PLAIN | SEEDED | {"n": 3, "logprobs": True, "top_logprobs": 2},
    "logprobs": PLAIN | ONE_WAY | {"logprobs": True},
    "top-logprobs": PLAIN | ONE_WAY | {"logprobs": True, "top_logprobs": 5},
    "no-top-logprobs": PLAIN | ONE_WAY | {"logprobs": True, "top_logprobs": 0},
    "token-ids": PLAIN | ONE_WAY | {"return_token_ids": True},
    "tokens-as-ids": PLAIN | ONE_WAY | {"logprobs": True, "return_tokens_as_token_ids": True},
    "ends-by-itself": PLAIN | {"temperature": 0, "logit_bias": {END: 100}},
    "ends-soon": PLAIN | SEEDED | {"logit_bias": {END: 6}, "max_tokens": 200},
    "stop-string": PLAIN | SEEDED | {"stop": ["a"], "max_tokens": 200},
    "stop-string-included": PLAIN | SEEDED | {"stop": ["a"], "include_stop_str_in_output": True, "max_tokens": 200},
    "stop-token": PLAIN | SEEDED | {"stop_token_ids": list(range(300, 1500)), "max_tokens": 200},
    "json-schema": PLAIN
    | SEEDED
    | {"response_format": {"type": "json_schema", "json_schema": {"name": "tide", "schema": SCHEMA}}},
    "structured-choice": PLAIN | SEEDED | {"structured_outputs": {"choice": ["spring tide", "neap tide"]}},
    "structured-regex": PLAIN | SEEDED | {"structured_outputs": {"regex": "[a-z]{4,9}[0-9]{3}"}},
    "tools-not-called": PLAIN | SEEDED | {"tools": [WEATHER], "tool_choice": "auto"},
    "tools-forbidden": PLAIN | SEEDED | {"tools": [WEATHER], "tool_choice": "none"},
    "user-and-metadata": PLAIN | ONE_WAY | {"user": "somebody", "metadata": {"a": "b"}},
    "not-streamed-prompt-logprobs": PLAIN | ONE_WAY | {"prompt_logprobs": 1},
    "not-streamed-echo": PLAIN | ONE_WAY | {"echo": True},
}
CALLS: dict[str, dict[str, Any]] = {
    "named": {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
    "required": {"tool_choice": "required"},
    "required-of-two-choices": {"tool_choice": "required", "n": 2},
}
TEXTS: dict[str, dict[str, Any]] = {
    "greedy": ONE_WAY,
    "seeded": SEEDED,
    "two-choices": SEEDED | {"n": 2},
    "logprobs": ONE_WAY | {"logprobs": 3},
    "logprobs-of-two": SEEDED | {"n": 2, "logprobs": 1},
    "several-prompts": ONE_WAY | {"prompt": ["Why is", "the sea", "salty?"]},
    "several-prompts-and-choices": SEEDED | {"prompt": ["Why is", "the sea"], "n": 2},
    "tokens-for-a-prompt": ONE_WAY | {"prompt": [300, 301, 302, 303]},
    "token-ids": ONE_WAY | {"return_token_ids": True},
    "stop-string": SEEDED | {"stop": ["a", "e"], "max_tokens": 200},
    "ends-by-itself": {"temperature": 0, "logit_bias": {END: 100}, "max_tokens": 10},
    "structured-json": SEEDED | {"structured_outputs": {"json": SCHEMA}, "max_tokens": 200},
    "not-streamed-echo": ONE_WAY | {"echo": True},
}
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "unknown-model": (CHAT, {"model": "another"}),
    "no-messages": (CHAT, {"messages": "none"}),
    "too-long": (CHAT, {"max_tokens": 100_000}),
    "temperature": (CHAT, {"temperature": -1}),
    "too-many-logprobs": (CHAT, {"logprobs": True, "top_logprobs": 99}),
    "no-schema": (CHAT, {"response_format": {"type": "json_schema"}}),
    "wrong-schema": (CHAT, {"structured_outputs": {"regex": "(["}}),
    "tool-that-is-not-there": (
        CHAT,
        {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "x"}}},
    ),
    "suffix": (COMPLETIONS, {"prompt": "a", "suffix": "b"}),
    "best-of": (COMPLETIONS, {"prompt": "a", "n": -1}),
}


class Ear:
    """Counts the chunks that it hears."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.ends = 0

    def chunk(self, tokens: int, at: float) -> None:
        self.tokens.append(tokens)

    def ended(self, at: float) -> None:
        self.ends += 1


def both(engine: Engine, path: str, body: dict[str, Any]) -> tuple[Reply, Reply, Ear, int, Streaming]:
    """The replies without a stream and with one, who heard it, how many calls that took, and what was learnt of streams."""

    async def story() -> tuple[Reply, Reply, Ear, int, Streaming]:
        backend, streaming, ear, meter = HttpBackend(engine.base_url), Streaming(), Ear(), BackendMeter()
        calls = ListenedCalls("vllm", backend, Door(slots=1), SystemClock(), streaming)
        listener: list[Listener] = []
        request = Request(line=0, custom_id="r", path=path, body=json.dumps(body).encode())

        def wants(door: Door, request: Request) -> Listener | None:
            return listener[0] if listener else None

        try:
            for _ in range(2):
                plain = await calls.send(request, request.body, wants, meter)
            listener.append(ear)
            streamed = await calls.send(request, request.body, wants, meter)
        finally:
            await backend.close()
        return plain, streamed, ear, 1 + meter.sent, streaming

    return asyncio.run(story())


def differences(whole: Any, streamed: Any, place: str = "") -> Iterator[str]:
    """Each value that is not the same, or not in both, and where."""
    if isinstance(whole, dict) and isinstance(streamed, dict):
        for name in sorted(whole.keys() | streamed.keys()):
            if name not in whole or name not in streamed:
                there = "only without a stream" if name in whole else "only with a stream"
                yield f"{place}.{name} is there {there}: {whole.get(name, streamed.get(name))!r}"
            elif place or name not in ("id", "created"):
                yield from differences(whole[name], streamed[name], f"{place}.{name}")
    elif isinstance(whole, list) and isinstance(streamed, list) and len(whole) == len(streamed):
        for number, (one, other) in enumerate(zip(whole, streamed, strict=True)):
            yield from differences(one, other, f"{place}[{number}]")
    elif whole != streamed or type(whole) is not type(streamed):
        yield f"{place}: {whole!r} without a stream, {streamed!r} with one"


def with_names(parsed: Any) -> Any:
    """The same with ids of tool calls, which are drawn by lot, made equal."""
    for choice in parsed["choices"]:
        for call in (choice.get("message") or {}).get("tool_calls") or []:
            assert call["id"]
            call["id"] = "drawn by lot"
    return parsed


def same(engine: Engine, path: str, body: dict[str, Any], *, streams: bool = True) -> Any:
    """Holds one request against itself; returns the answer without a stream."""
    plain, streamed, ear, calls, streaming = both(engine, path, body)
    assert plain.status == 200, plain.body
    whole, put_together = json.loads(plain.body), json.loads(streamed.body)
    assert list(differences(with_names(whole), with_names(put_together))) == []
    assert (calls, ear.ends, streaming.form(0.0)) == (1, 1, Form.CONTINUOUS)
    assert bool(ear.tokens) is streams
    if streams:
        assert ear.tokens[-1] == whole["usage"]["completion_tokens"]
    return whole


@pytest.mark.parametrize("name", CHATS)
def test_chats(engine: Engine, name: str) -> None:
    """Of a chat."""
    body = {"model": MODEL, "messages": MESSAGES} | CHATS[name]
    same(engine, CHAT, body, streams=not name.startswith("not-streamed"))


@pytest.mark.parametrize("name", CALLS)
def test_calls_of_tools(engine: Engine, name: str) -> None:
    """The calls are the same, and not to the letter: without a stream vLLM writes arguments anew, and "" for no text.

    That is why nobody listens to a request with tools.
    """
    body = (
        {"model": MODEL, "messages": MESSAGES, "tools": [WEATHER]} | PLAIN | SEEDED | {"max_tokens": 200} | CALLS[name]
    )
    request = Request(line=0, custom_id="r", path=CHAT, body=json.dumps(body).encode())
    assert not may_be_streamed(request)
    for seed in range(50):
        plain, streamed, _, calls, _ = both(engine, CHAT, body | {"seed": seed})
        whole, put_together = (with_names(json.loads(reply.body)) for reply in (plain, streamed))
        # Nothing keeps a random model from another call, or from blanks, until there is no room for more.
        if all(choice["finish_reason"] != "length" for choice in whole["choices"]):
            break
    for answer in (whole, put_together):
        for choice in answer["choices"]:
            message = choice["message"]
            message["content"] = message["content"] or None
            for call in message["tool_calls"]:
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])
                assert call["function"]["arguments"]["days"] in (1, 2, 3)
    assert list(differences(whole, put_together)) == []
    assert calls == 1


def test_thinking_that_ends(engine: Engine, model: Path) -> None:
    """What was thought and what was said are both the same; of the tokens that were thought, a stream may count one less."""
    added = json.loads((model / "tokenizer.json").read_text())["added_tokens"]
    [end] = [token["id"] for token in added if token["content"] == END_OF_THINKING]
    for seed in range(100):
        body = (
            {"model": MODEL, "messages": MESSAGES} | SEEDED | {"logit_bias": {end: 4}, "max_tokens": 40, "seed": seed}
        )
        plain, streamed, _, _, _ = both(engine, CHAT, body | {"return_token_ids": True})
        [choice] = json.loads(plain.body)["choices"]
        # A model that has learnt to think ends that once. vLLM takes a second mark out of a whole answer, and not of a stream.
        if choice["token_ids"].count(end) == 1 and choice["message"]["reasoning"] and choice["message"]["content"]:
            break
    whole, put_together = json.loads(plain.body), json.loads(streamed.body)
    thought = [_thought(value) for value in (whole, put_together)]
    assert list(differences(whole, put_together)) == []
    assert 0 < thought[0] < 40
    assert thought[1] in (thought[0] - 1, thought[0])


@pytest.mark.parametrize("more", [{}, {"logprobs": True, "top_logprobs": 1}], ids=["plain", "logprobs"])
def test_thinking_to_the_end(engine: Engine, more: dict[str, Any]) -> None:
    """The same, but for a number of vLLM's: its stream counts the last token of a thought once the next one has come."""
    plain, streamed, _, _, _ = both(engine, CHAT, {"model": MODEL, "messages": MESSAGES} | SEEDED | more)
    whole, put_together = json.loads(plain.body), json.loads(streamed.body)
    assert whole["choices"][0]["finish_reason"] == "length"
    assert whole["choices"][0]["message"]["content"] is None
    thought = [_thought(value) for value in (whole, put_together)]
    assert list(differences(whole, put_together)) == []
    assert thought[0] == SEEDED["max_tokens"]
    assert thought[1] in (thought[0] - 1, thought[0])


def _thought(answer: Any) -> int:
    """How many tokens were thought, which is taken out of it."""
    tokens: int = answer["usage"]["completion_tokens_details"].pop("reasoning_tokens")
    return tokens


@pytest.mark.parametrize("name", TEXTS)
def test_completions(engine: Engine, name: str) -> None:
    """Of a completion."""
    body = {"model": MODEL, "prompt": "Why is the sea salty?"} | TEXTS[name]
    same(engine, COMPLETIONS, body, streams=not name.startswith("not-streamed"))


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(engine: Engine, name: str) -> None:
    """What is refused without a stream is refused in the same words where one was asked for."""
    path, changed = REFUSED[name]
    said = {"model": MODEL} | ({"messages": MESSAGES} if path == CHAT else {}) | changed
    plain, streamed, _, _, _ = both(engine, path, said)
    assert plain.status in (400, 404, 422), plain.body
    assert (streamed.status, json.loads(streamed.body)) == (plain.status, json.loads(plain.body))
