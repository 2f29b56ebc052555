"""What the built-in backend answers: replies of the right shape for each endpoint; echo_requests says what it refuses.

Everything follows from the request alone, ids too, so the same request always has the same answer. Tokens are words.
"""

import math
import struct
from base64 import b64encode
from collections.abc import Callable
from hashlib import shake_256
from typing import Any

import msgspec

from slackwater.adapters.upstream.echo_media import pictures, spoken, video
from slackwater.adapters.upstream.echo_ranking import ranking, scores
from slackwater.adapters.upstream.echo_requests import Refused, check_request
from slackwater.adapters.upstream.echo_words import question_in, reply_text, text_in, words_in
from slackwater.core.endpoints import IMAGE_EDITS, IMAGES, MESSAGES, RERANK, SCORE, SPEECH, VIDEOS
from slackwater.core.sending.lines import escape_line_ends
from slackwater.core.sending.request import Reply

EMBEDDING_DIMENSIONS = 16
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
    if make is None and path != SPEECH:
        return error_reply(404, "unknown_url", f"There is no {path} here; there are {', '.join((*ANSWERS, SPEECH))}.")
    try:
        check_request(path, request)
        if path == SPEECH:
            kind, sound = spoken(request)
            return Reply(200, sound, content_type=kind)
        assert make is not None, "all others are made here"
        return Reply(200, escape_line_ends(msgspec.json.encode(make(request, identity))))
    except Refused as refused:
        return error_reply(400, refused.code, str(refused), param=refused.param)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, RecursionError, StopIteration):
        return error_reply(400, "invalid_type", f"The request is not of the shape that {path} takes.")


def error_reply(status: int, code: str, message: str, *, param: str | None = None) -> Reply:
    """An error in the envelope that OpenAI's clients read."""
    kind = "invalid_request_error" if status < 500 else code
    error = {"message": message, "type": kind, "param": param, "code": code}
    return Reply(status, msgspec.json.encode({"error": error}))


def _chat(request: dict[str, Any], identity: str) -> dict[str, Any]:
    messages = request["messages"]
    asked = sum(words_in(text_in(message.get("content"))) for message in messages)
    text = reply_text(question_in(messages), request.get("response_format"))
    usage = {"prompt_tokens": asked, "completion_tokens": words_in(text), "total_tokens": asked + words_in(text)}
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
    texts = [reply_text(str(item), None) for item in prompts]
    asked, written = sum(words_in(str(item)) for item in prompts), sum(map(words_in, texts))
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
    asked = sum(words_in(str(item)) for item in inputs)
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
    question = given if isinstance(given, str) else question_in(given)
    form = (request.get("text") or {}).get("format") or {"type": "text"}
    text = reply_text(question, form)
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    asked, written = words_in(question), words_in(text)
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


def _message(request: dict[str, Any], identity: str) -> dict[str, Any]:
    messages = request["messages"]
    asked = sum(words_in(text_in(message.get("content"))) for message in messages)
    text = reply_text(question_in(messages), None)
    return {
        "id": f"msg_{identity}",
        "type": "message",
        "role": "assistant",
        "model": "echo",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": asked, "output_tokens": words_in(text)},
    }


ANSWERS: dict[str, Callable[[dict[str, Any], str], dict[str, Any]]] = {
    "/chat/completions": _chat,
    "/completions": _completion,
    "/embeddings": _embeddings,
    "/responses": _response,
    "/moderations": _moderation,
    IMAGES: pictures,
    IMAGE_EDITS: pictures,
    VIDEOS: video,
    MESSAGES: _message,
    RERANK: ranking,
    SCORE: scores,
}
