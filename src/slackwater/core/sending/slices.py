"""Long prompts in slices: an engine that keeps prefixes in a cache is given the first part of a prompt, then more of it, and in
the end the request itself, of which only the rest is left to read. In between the engine's steps are as short as everybody's.

A slice is the same request with less text, and with one token for its answer, which is thrown away. Nothing of the request
itself changes. Where the text is cut, a template puts its marks behind it: they are read again with the next slice.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from slackwater.core.sending.answer_kinds import CHAT, COMPLETIONS

# One token more than a slice needs to be read at all.
ANSWER_TOKENS = Raw(b"1")
# What would make more of an answer than that, or let it be refused.
DROPPED = (
    "best_of",
    "echo",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "min_tokens",
    "n",
    "prompt_logprobs",
    "stop",
    "store",
    "stream",
    "stream_options",
    "top_logprobs",
    "use_beam_search",
)
# With these a prompt is something else than its text from the beginning, or goes to more than one engine.
WHOLE = ("audio", "ec_transfer_params", "kv_transfer_params", "truncate_prompt_tokens")
ABSENT = frozenset({b"null", b"false"})
# A cut is moved back to the end of a word, over so much of the text at most: words are read as they stand.
WORD_CHARS = 64
TEXTS = ("text", "input_text")
# The text of a prompt that is no conversation.
PROMPT = "prompt"

_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_messages = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_anything = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class _Text(Struct, frozen=True):
    """A piece of text in a conversation: in which message, and in which part of that; None where it is all of it."""

    message: int
    part: int | None
    text: str


class Cuts:
    """The slices of one request."""

    __slots__ = ("_fields", "_messages", "_roles", "_texts", "chars")

    def __init__(
        self, fields: dict[str, Raw], messages: list[dict[str, Raw]], texts: list[_Text], roles: list[str]
    ) -> None:
        self._fields = fields
        self._messages = messages
        self._texts = texts
        self._roles = roles
        self.chars = sum(len(each.text) for each in texts)
        """The length of its text, in characters."""

    def role(self, chars: int) -> str:
        """Whose words are cut by a slice with so many characters: the role of a message, or `prompt`."""
        return self._roles[self._find(chars)[0].message]

    def slice(self, chars: int) -> tuple[bytes, int]:
        """The body of a slice with the first so many characters of the text, and with how many it has really."""
        found, before = self._find(chars)
        text = found.text[: chars - before]
        if len(text) < len(found.text):
            space = text.rfind(" ", max(1, len(text) - WORD_CHARS))
            text = text[:space] if space > 0 else text
        fields = dict(self._fields)
        if self._messages:
            message = dict(self._messages[found.message])
            content: Any = text
            if found.part is not None:
                parts = _anything(bytes(message["content"]))
                content = [*parts[: found.part], {**parts[found.part], "text": text}]
            message["content"] = Raw(_encode(content))
            fields["messages"] = Raw(_encode([*self._messages[: found.message], message]))
        else:
            fields["prompt"] = Raw(_encode(text))
        fields["max_tokens"] = ANSWER_TOKENS
        return _encode(fields), before + len(text)

    def _find(self, chars: int) -> tuple[_Text, int]:
        """The piece of text that so many characters end in, and how many lie before it."""
        before = 0
        for each in self._texts:
            if chars <= before + len(each.text):
                return each, before
            before += len(each.text)
        return self._texts[-1], before - len(self._texts[-1].text)


def cuts_of(body: bytes, path: str) -> Cuts | None:
    """How a request can be cut. None where it has to go whole: pictures, sound, several prompts, other endpoints."""
    if path not in (CHAT, COMPLETIONS):
        return None
    try:
        fields = _fields(body)
        if any(name in fields and bytes(fields[name]) not in ABSENT for name in WHOLE):
            return None
        texts, messages, roles = _prompt(fields) if path == COMPLETIONS else _conversation(fields)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not texts:
        return None
    for name in DROPPED:
        fields.pop(name, None)
    return Cuts(fields, messages, texts, roles)


_Found = tuple[list[_Text], list[dict[str, Raw]], list[str]]
NONE: _Found = ([], [], [])


def _prompt(fields: dict[str, Raw]) -> _Found:
    text = _anything(bytes(fields.get("prompt", b"null")))
    if not isinstance(text, str) or not text:
        return NONE
    return [_Text(0, None, text)], [], [PROMPT]


def _conversation(fields: dict[str, Raw]) -> _Found:
    messages = _messages(bytes(fields.get("messages", b"[]")))
    texts, roles = [], []
    for number, message in enumerate(messages):
        roles.append(str(_anything(bytes(message.get("role", b'""')))))
        content = _anything(bytes(message.get("content", b"null")))
        if isinstance(content, str):
            if content:
                texts.append(_Text(number, None, content))
        elif isinstance(content, list):
            for place, part in enumerate(content):
                if not isinstance(part, dict) or part.get("type") not in TEXTS or not isinstance(part.get("text"), str):
                    return NONE
                if part["text"]:
                    texts.append(_Text(number, place, part["text"]))
        elif content is not None:
            return NONE
    return texts, messages, roles
