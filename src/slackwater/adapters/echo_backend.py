"""The built-in Backend: no model, but answers of the right shape, the same for the same request every time.

For the demo, for tests, and for load. It can be slow, fail, be busy, or hang, each for a share of the calls that is decided
by a hash of the request and of how often it came, so that a run can be repeated.
"""

import asyncio
import math
from collections import Counter
from hashlib import blake2b
from typing import Any

import msgspec

from slackwater.core.request import Reply
from slackwater.ports import Clock

EMBEDDING_DIMENSIONS = 16
# How many different requests are remembered to tell a first call from a repeated one.
REMEMBERED_MAX = 200_000


class EchoBackend:
    """Answers chat completions, completions, embeddings, responses and moderations."""

    def __init__(
        self,
        *,
        clock: Clock,
        latency_seconds: float = 0.0,
        error_rate: float = 0.0,
        busy_rate: float = 0.0,
        hang_rate: float = 0.0,
        retry_after: float | None = 1.0,
        seed: int = 0,
    ) -> None:
        """Rates are shares of calls from 0 to 1: answered with 500, answered with 429, and never answered."""
        self._clock = clock
        self._latency = latency_seconds
        self._error_rate = error_rate
        self._busy_rate = busy_rate
        self._hang_rate = hang_rate
        self._retry_after = retry_after
        self._seed = seed
        self._calls: Counter[bytes] = Counter()

    async def send(self, path: str, body: bytes) -> Reply:
        """One answer, after the latency."""
        digest = blake2b(body, digest_size=8, salt=self._seed.to_bytes(8, "little")).digest()
        fault = self._fault(digest) if self._error_rate or self._busy_rate or self._hang_rate else None
        if fault == "hang":
            await asyncio.get_running_loop().create_future()
        if self._latency:
            await self._clock.sleep(self._latency)
        if fault == "error":
            return _error(500, "server_error", "This is an error that was asked for.")
        if fault == "busy":
            reply = _error(429, "rate_limit_exceeded", "This is a busy answer that was asked for.")
            return Reply(reply.status, reply.body, self._retry_after)
        return answer(path, body, digest.hex())

    def _fault(self, digest: bytes) -> str | None:
        """What goes wrong with this call. A repeated request draws again."""
        if len(self._calls) >= REMEMBERED_MAX:
            self._calls.clear()
        self._calls[digest] += 1
        drawn = blake2b(digest + self._calls[digest].to_bytes(4, "little"), digest_size=8).digest()
        share = int.from_bytes(drawn, "little") / 2**64
        for rate, name in ((self._error_rate, "error"), (self._busy_rate, "busy"), (self._hang_rate, "hang")):
            if share < rate:
                return name
            share -= rate
        return None

    async def close(self) -> None:
        """There is nothing to let go of."""


def answer(path: str, body: bytes, identity: str) -> Reply:
    """The answer to one request; errors are those of a strict server."""
    try:
        request = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return _error(400, "invalid_json", "The body is not valid JSON.")
    if not isinstance(request, dict):
        return _error(400, "invalid_type", "The body must be a JSON object.")
    make = ANSWERS.get(path)
    if make is None:
        return _error(404, "unknown_url", f"There is no {path} here; there are {', '.join(ANSWERS)}.")
    try:
        return Reply(200, msgspec.json.encode(make(request, identity)))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        return _error(400, "invalid_request", f"The request lacks what {path} needs: {error}.")


def _error(status: int, code: str, message: str) -> Reply:
    error = {"message": message, "type": "invalid_request_error" if status < 500 else code, "param": None, "code": code}
    return Reply(status, msgspec.json.encode({"error": error}))


def _words(text: str) -> int:
    return max(1, len(text.split()))


def _text(content: Any) -> str:
    """The text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content or [] if isinstance(part, dict))


def _reply_text(question: str, response_format: Any) -> str:
    if isinstance(response_format, dict) and response_format.get("type") == "json_schema":
        schema = response_format.get("json_schema", response_format).get("schema", {})
        return msgspec.json.encode(example_of(schema)).decode()
    return f"(echo, no model) You asked: {question}"


def example_of(schema: Any) -> Any:
    """A small value that fits a JSON schema."""
    if not isinstance(schema, dict):
        return None
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {name: example_of(field) for name, field in schema.get("properties", {}).items()}
    if kind == "array":
        return [example_of(schema.get("items"))]
    return {"string": "echo", "integer": 0, "number": 0.5, "boolean": True}.get(str(kind))


def _chat(request: dict[str, Any], identity: str) -> dict[str, Any]:
    messages = request["messages"]
    asked = sum(_words(_text(message.get("content"))) for message in messages)
    text = _reply_text(_text(messages[-1].get("content")), request.get("response_format"))
    usage = {"prompt_tokens": asked, "completion_tokens": _words(text), "total_tokens": asked + _words(text)}
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": f"chatcmpl-{identity}",
        "object": "chat.completion",
        "created": 0,
        "model": "echo",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage,
    }


def _completion(request: dict[str, Any], identity: str) -> dict[str, Any]:
    prompt = request["prompt"]
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    texts = [f" (echo, no model) {item}" for item in prompts]
    asked, written = sum(_words(str(item)) for item in prompts), sum(map(_words, texts))
    return {
        "id": f"cmpl-{identity}",
        "object": "text_completion",
        "created": 0,
        "model": "echo",
        "choices": [
            {"index": index, "text": text, "logprobs": None, "finish_reason": "stop"}
            for index, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written},
    }


def _embeddings(request: dict[str, Any], identity: str) -> dict[str, Any]:
    given = request["input"]
    inputs = [given] if isinstance(given, str) or (given and isinstance(given[0], int)) else list(given)
    dimensions = int(request.get("dimensions") or EMBEDDING_DIMENSIONS)
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(str(item), dimensions)}
        for index, item in enumerate(inputs)
    ]
    asked = sum(_words(str(item)) for item in inputs)
    usage = {"prompt_tokens": asked, "total_tokens": asked}
    return {"object": "list", "data": data, "model": "echo", "usage": usage}


def _vector(text: str, dimensions: int) -> list[float]:
    """A direction that depends on the text alone, of length one."""
    numbers: list[float] = []
    block = 0
    while len(numbers) < dimensions:
        digest = blake2b(text.encode() + block.to_bytes(4, "little")).digest()
        numbers += [byte - 127.5 for byte in digest]
        block += 1
    numbers = numbers[:dimensions]
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    return [number / length for number in numbers]


def _response(request: dict[str, Any], identity: str) -> dict[str, Any]:
    given = request["input"]
    question = given if isinstance(given, str) else _text(given[-1].get("content"))
    text = _reply_text(question, (request.get("text") or {}).get("format"))
    content = [{"type": "output_text", "text": text, "annotations": []}]
    asked, written = _words(question), _words(text)
    return {
        "id": f"resp_{identity}",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "model": "echo",
        "output": [
            {"type": "message", "id": f"msg_{identity}", "role": "assistant", "status": "completed", "content": content}
        ],
        "usage": {"input_tokens": asked, "output_tokens": written, "total_tokens": asked + written},
    }


def _moderation(request: dict[str, Any], identity: str) -> dict[str, Any]:
    given = request["input"]
    count = 1 if isinstance(given, str) else len(given)
    result = {"flagged": False, "categories": {}, "category_scores": {}}
    return {"id": f"modr-{identity}", "model": "echo", "results": [result] * count}


ANSWERS = {
    "/chat/completions": _chat,
    "/completions": _completion,
    "/embeddings": _embeddings,
    "/responses": _response,
    "/moderations": _moderation,
}
