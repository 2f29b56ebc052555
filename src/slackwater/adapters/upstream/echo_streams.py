"""An answer of the built-in backend cut into the chunks of a stream, as vLLM sends them: a role, then a word at a time.

Before: an answer as it is without a stream. After: the echo server, which sends them, or the backend itself, which puts them
together again as the HTTP client does.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

DONE = b"data: [DONE]\n\n"
CHUNKS = {"chat.completion": "chat.completion.chunk", "text_completion": "text_completion"}


def asked_to_stream(body: bytes) -> bool:
    """Whether a request wants its answer as a stream."""
    try:
        request = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return isinstance(request, dict) and request.get("stream") is True


def without_stream(body: bytes) -> bytes:
    """The request without what asks for a stream: its answer has the same words and the same id."""
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    fields.pop("stream", None)
    fields.pop("stream_options", None)
    return msgspec.json.encode(fields)


def events_of(answer: bytes, request: bytes) -> Iterator[bytes]:
    """The events of a stream that says what an answer says; one event for an answer of another kind."""
    whole = msgspec.json.decode(answer)
    if whole.get("object") not in CHUNKS:
        yield _event(whole)
        return
    options = msgspec.json.decode(request).get("stream_options") or {}
    usage, choices = whole.pop("usage"), whole.pop("choices")
    whole["object"] = CHUNKS[whole["object"]]
    for choice in choices:
        # Of its own choice, as vLLM counts.
        written = 0
        for piece, tokens in _pieces(choice):
            written += tokens
            chunk = whole | {"choices": [piece]}
            if options.get("include_usage") and options.get("continuous_usage_stats"):
                chunk["usage"] = _so_far(usage, written)
            elif options.get("include_usage"):
                chunk["usage"] = None
            yield _event(chunk)
    if options.get("include_usage"):
        yield _event(whole | {"choices": [], "usage": usage})
    yield DONE


def _event(value: Any) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def _so_far(usage: dict[str, int], written: int) -> dict[str, int]:
    asked = usage["prompt_tokens"]
    return {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written}


def _pieces(choice: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    """The choices of the chunks of one choice, and how many tokens each brings."""
    index, reason = choice["index"], choice["finish_reason"]
    message = choice.get("message")
    same = {"index": index, "logprobs": None}
    if message is None:
        for word in _words(choice["text"]):
            yield same | {"text": word, "finish_reason": None}, 1
        yield same | {"text": "", "finish_reason": reason}, 0
        return
    more = {name: value for name, value in message.items() if name not in ("role", "content")}
    yield same | {"delta": {"role": message["role"], "content": "", **more}, "finish_reason": None}, 0
    for word in _words(message["content"]):
        yield same | {"delta": {"content": word}, "finish_reason": None}, 1
    yield same | {"delta": {}, "finish_reason": reason}, 0


def _words(text: str) -> Iterator[str]:
    """The text in words, each with the blanks before it; a token of the built-in backend."""
    begin = 0
    for at in range(1, len(text)):
        if text[at].isspace() and not text[at - 1].isspace():
            yield text[begin:at]
            begin = at
    if text:
        yield text[begin:]
