"""What the built-in backend answers: replies of the right shape for each endpoint; echo_requests says what it refuses.

Everything follows from the request alone, ids too, so the same request always has the same answer. Tokens are words.
"""

import math
import struct
from base64 import b64encode
from collections.abc import Callable
from functools import reduce
from hashlib import shake_256
from operator import getitem
from typing import Any

import msgspec

from slackwater.adapters.upstream.echo_requests import Refused, check_request
from slackwater.core.sending.lines import escape_line_ends
from slackwater.core.sending.request import Reply

EMBEDDING_DIMENSIONS = 16
# Most items of an example of an array.
ITEMS_MAX = 16
# Every category that a version of OpenAI's client wants to be there.
MODERATION_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


def answer(path: str, body: bytes, identity: str) -> Reply:
    """The answer to one request; errors are those of a strict server."""
    try:
        request = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return error_reply(400, "invalid_json", "The body is not valid JSON.")
    if not isinstance(request, dict):
        return error_reply(400, "invalid_type", "The body must be a JSON object.")
    make = ANSWERS.get(path)
    if make is None:
        return error_reply(404, "unknown_url", f"There is no {path} here; there are {', '.join(ANSWERS)}.")
    try:
        check_request(path, request)
        return Reply(200, escape_line_ends(msgspec.json.encode(make(request, identity))))
    except Refused as refused:
        return error_reply(400, refused.code, str(refused), param=refused.param)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, RecursionError):
        return error_reply(400, "invalid_type", f"The request is not of the shape that {path} takes.")


def error_reply(status: int, code: str, message: str, *, param: str | None = None) -> Reply:
    """An error in the envelope that OpenAI's clients read."""
    kind = "invalid_request_error" if status < 500 else code
    error = {"message": message, "type": kind, "param": param, "code": code}
    return Reply(status, msgspec.json.encode({"error": error}))


def _words(text: str) -> int:
    return max(1, len(text.split()))


def _text(content: Any) -> str:
    """The text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content or [] if isinstance(part, dict) and "text" in part)


def _question(messages: list[dict[str, Any]]) -> str:
    """What the user said last."""
    users = [message for message in messages if message.get("role", "user") == "user"]
    return _text((users or messages)[-1].get("content"))


def _reply_text(question: str, response_format: Any) -> str:
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind == "json_schema":
        # Chat nests the schema one level deeper than responses do.
        schema = response_format.get("json_schema", response_format).get("schema", {})
        return msgspec.json.encode(example_of(schema)).decode()
    if kind == "json_object":
        return msgspec.json.encode({"echo": question}).decode()
    return f"Echo of: {question}\n\n(This is Slackwater's built-in backend: no model has read your request.)"


def example_of(schema: Any, root: Any = None) -> Any:
    """A small value that fits a JSON schema of the usual kind. Raises RecursionError for one that never ends."""
    if not isinstance(schema, dict):
        return None
    root = schema if root is None else root
    reference = schema.get("$ref")
    if reference is not None:
        return example_of(reduce(getitem, reference.removeprefix("#").split("/")[1:], root), root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return None if {"type": "null"} in choices else example_of(choices[0], root)
    kind = schema.get("type", "object" if "properties" in schema else None)
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        fields: dict[str, Any] = schema.get("properties", {})
        return {name: example_of(fields.get(name), root) for name in schema.get("required") or fields}
    if kind == "array":
        count = min(int(schema.get("minItems", 1)), ITEMS_MAX)
        return [example_of(schema.get("items"), root) for _ in range(count)]
    if kind in ("integer", "number"):
        return schema.get("minimum", 0)
    return {"string": "echo", "boolean": True}.get(str(kind))


def _chat(request: dict[str, Any], identity: str) -> dict[str, Any]:
    messages = request["messages"]
    asked = sum(_words(_text(message.get("content"))) for message in messages)
    text = _reply_text(_question(messages), request.get("response_format"))
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
    prompts = [prompt] if isinstance(prompt, str) or isinstance(prompt[0], int) else list(prompt)
    texts = [_reply_text(str(item), None) for item in prompts]
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
    inputs = [given] if isinstance(given, str) or isinstance(given[0], int) else list(given)
    dimensions = int(request.get("dimensions") or EMBEDDING_DIMENSIONS)
    vectors: list[Any] = [_vector(str(item), dimensions) for item in inputs]
    if request.get("encoding_format") == "base64":
        # What OpenAI's client asks for unless told otherwise: little-endian floats of four bytes.
        vectors = [b64encode(struct.pack(f"<{dimensions}f", *vector)).decode() for vector in vectors]
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    asked = sum(_words(str(item)) for item in inputs)
    usage = {"prompt_tokens": asked, "total_tokens": asked}
    return {"object": "list", "data": data, "model": "echo", "usage": usage}


def _vector(text: str, dimensions: int) -> list[float]:
    """A direction that depends on the text alone, of length one."""
    drawn = shake_256(text.encode()).digest(dimensions)
    numbers = [byte - 127.5 for byte in drawn]
    length = math.sqrt(sum(number * number for number in numbers))
    return [number / length for number in numbers]


def _response(request: dict[str, Any], identity: str) -> dict[str, Any]:
    given = request["input"]
    question = given if isinstance(given, str) else _question(given)
    form = (request.get("text") or {}).get("format") or {"type": "text"}
    text = _reply_text(question, form)
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    asked, written = _words(question), _words(text)
    return {
        "id": f"resp_{identity}",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "max_output_tokens": request.get("max_output_tokens"),
        "metadata": request.get("metadata") or {},
        "model": "echo",
        "output": [
            {"type": "message", "id": f"msg_{identity}", "role": "assistant", "status": "completed", "content": content}
        ],
        "parallel_tool_calls": request.get("parallel_tool_calls") is not False,
        "previous_response_id": request.get("previous_response_id"),
        "temperature": _or(request.get("temperature"), 1.0),
        "text": {"format": form},
        "tool_choice": request.get("tool_choice") or "auto",
        "tools": request.get("tools") or [],
        "top_p": _or(request.get("top_p"), 1.0),
        "truncation": request.get("truncation") or "disabled",
        "usage": {
            "input_tokens": asked,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": asked + written,
        },
    }


def _or(given: float | None, default: float) -> float:
    return default if given is None else given


def _moderation(request: dict[str, Any], identity: str) -> dict[str, Any]:
    given = request["input"]
    count = 1 if isinstance(given, str) else len(given)
    result = {
        "flagged": False,
        "categories": dict.fromkeys(MODERATION_CATEGORIES, False),
        "category_scores": dict.fromkeys(MODERATION_CATEGORIES, 0.0),
        "category_applied_input_types": {name: ["text"] for name in MODERATION_CATEGORIES},
    }
    return {"id": f"modr-{identity}", "model": "echo", "results": [result] * count}


ANSWERS: dict[str, Callable[[dict[str, Any], str], dict[str, Any]]] = {
    "/chat/completions": _chat,
    "/completions": _completion,
    "/embeddings": _embeddings,
    "/responses": _response,
    "/moderations": _moderation,
}
