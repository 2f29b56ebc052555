"""What a modelled engine answers: OpenAI's objects with a text of no meaning, as many tokens of it as were asked for."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

# Four bytes each, so that the text counts as many tokens when it comes back in a prompt.
WORDS = ("the ", "sea ", "ebb ", "and ", "low ", "tide", " at ", "moon", " to ", "bay ", "wave", " or ", "salt", ", a ")


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer, as far as it goes."""

    index: int
    text: str
    finish: str | None = None


def text_of(begin: int, end: int) -> str:
    """The tokens from `begin` on, before `end`."""
    return "".join(WORDS[token % len(WORDS)] for token in range(begin, end))


def usage_of(prompt: int, cached: int, completion: int) -> dict[str, Any]:
    """The usage object, all in tokens."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


class Shape:
    """The objects of one call: `chat` or completions, with its id and the model's name."""

    def __init__(self, *, chat: bool, identity: str, model: str) -> None:
        self._chat = chat
        prefix, kind = ("chatcmpl", "chat.completion") if chat else ("cmpl", "text_completion")
        self._head = {"id": f"{prefix}-{identity}", "object": kind, "created": int(time.time()), "model": model}

    def whole(self, choices: Iterable[Choice], usage: dict[str, Any]) -> bytes:
        """The answer to a call that is not streamed."""
        return msgspec.json.encode(
            {**self._head, "choices": [self._whole_choice(choice) for choice in choices], "usage": usage}
        )

    def _whole_choice(self, choice: Choice) -> dict[str, Any]:
        common = {"index": choice.index, "logprobs": None, "finish_reason": choice.finish}
        if self._chat:
            return {**common, "message": {"role": "assistant", "content": choice.text, "refusal": None}}
        return {**common, "text": choice.text}

    def begin(self, index: int, usage: dict[str, Any] | None) -> bytes:
        """The first event of a choice: who speaks. Completions have none."""
        return self._event(self._delta(Choice(index, ""), {"role": "assistant"}), usage) if self._chat else b""

    def chunk(self, choice: Choice, usage: dict[str, Any] | None) -> bytes:
        """Some more text of one choice, and its end where it has ended."""
        return self._event(self._delta(choice, {}), usage)

    def _delta(self, choice: Choice, more: dict[str, Any]) -> list[dict[str, Any]]:
        common = {"index": choice.index, "logprobs": None, "finish_reason": choice.finish}
        if self._chat:
            return [{**common, "delta": {**more, "content": choice.text}}]
        return [{**common, "text": choice.text}]

    def end(self, usage: dict[str, Any] | None) -> bytes:
        """The last events: the usage, where it was asked for, and the mark of the end."""
        return (self._event([], usage) if usage else b"") + b"data: [DONE]\n\n"

    def _event(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> bytes:
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        data: dict[str, Any] = {**self._head, "object": kind, "choices": choices}
        if usage is not None:
            data["usage"] = usage
        return b"data: " + msgspec.json.encode(data) + b"\n\n"


def error_of(message: str, kind: str, code: str | int, param: str | None = None) -> bytes:
    """The error object."""
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": param, "code": code}})
