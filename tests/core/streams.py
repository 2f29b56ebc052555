"""Streams for tests: chunks as servers write them, and what is made of them."""

import json
from collections.abc import Iterable
from typing import Any

from slackwater.core.sending.answer_kinds import CHAT
from slackwater.core.sending.assembling import Assembling

HEAD = {"id": "c-1", "object": "chat.completion.chunk", "created": 7, "model": "m"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def delta(value: dict[str, Any], *, index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of a chat."""
    return HEAD | {"choices": [{"index": index, "delta": value, "finish_reason": finish, **more}]}


def text(value: str, *, index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of a completion."""
    choice = {"index": index, "text": value, "finish_reason": finish, **more}
    return HEAD | {"object": "text_completion", "choices": [choice]}


def events(chunks: Iterable[Any], *, done: bool = True) -> bytes:
    """The stream of some chunks; bytes stand for themselves."""
    sent = [
        each if isinstance(each, bytes) else b"data: " + json.dumps(each, separators=(",", ":")).encode() + b"\n\n"
        for each in chunks
    ]
    return b"".join(sent) + (b"data: [DONE]\n\n" if done else b"")


def fed(stream: bytes, path: str = CHAT, *, cut: int | None = None) -> Assembling:
    """What has come of a stream, in pieces of `cut` bytes."""
    answer = Assembling(path)
    for begin in range(0, len(stream), cut or len(stream) or 1):
        answer.feed(stream[begin : begin + (cut or len(stream))])
    return answer


def assembled(chunks: Iterable[Any], path: str = CHAT) -> Any:
    """The value that chunks make."""
    return json.loads(fed(events(chunks), path).whole())


def choice_of(chunks: Iterable[Any], path: str = CHAT) -> Any:
    """The only choice of it."""
    (choice,) = assembled(chunks, path)["choices"]
    return choice


def message_of(*deltas: dict[str, Any]) -> Any:
    """The message that deltas make."""
    return choice_of([*map(delta, deltas), delta({}, finish="stop")])["message"]
