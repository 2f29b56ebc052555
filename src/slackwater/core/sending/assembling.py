"""One answer out of the chunks of a streamed one: the JSON value that the same engine would have sent without a stream.

Before: the HTTP client, with bytes as they come. After: answers.py, which cannot tell the difference. What must hold: half an
answer is never taken for a whole one, and what is not understood is not guessed: the request is sent again without a stream.
Takes time and memory in proportion to the answer. Texts are never decoded, only put together, so every value keeps its bytes.

How pieces become one (docs/decisions/streaming.md has the reasons, assembled_parts.py the rules of each value): of a delta,
texts are joined, lists go on, objects are merged; of a choice, lists go on; of a chunk, the last value that says something
counts.
"""

from typing import cast

import msgspec
from msgspec import Raw

from slackwater.core.errors import StreamBroken
from slackwater.core.sending.answer_kinds import CHAT
from slackwater.core.sending.assembled_parts import (
    Fields,
    NotUnderstood,
    Verdicts,
    says_nothing,
)
from slackwater.core.sending.events import Events

DONE = b"[DONE]"
# What has a meaning in a stream only: padding against whoever counts bytes on the wire (OpenAI), and where in the text the
# findings of Azure's asynchronous filter are.
OF_STREAMS = frozenset({"obfuscation", "content_filter_offsets"})
# Azure's findings come with every chunk, for the text so far or since the last ones.
FILTERED = "content_filter_results"
# What Ollama calls itself. It leaves the numbers in tool calls, as nobody else does (its `openai` package, ToolCall).
OLLAMA = b'"fp_ollama"'
# Beside these there is no content, where none came: OpenAI, vLLM and SGLang say null then, although a stream begins with "".
INSTEAD = ("tool_calls", "function_call", "refusal", "reasoning", "reasoning_content", "audio")
# No request asks for more choices.
CHOICES_MAX = 1024
# A text from here on is not copied when the answer is put together.
LARGE_BYTES = 1 << 20
# About what an object of ours costs beside its bytes.
CHOICE_BYTES = 2048

_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_objects = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_number = msgspec.json.Decoder(int).decode
_raws = msgspec.json.Decoder(list[Raw]).decode
_text = msgspec.json.Decoder(str).decode


class _Choice:
    """What has come of one choice."""

    __slots__ = ("characters", "finished", "message", "more", "tokens", "verdicts")

    def __init__(self) -> None:
        self.message: Fields | None = None
        self.more = Fields()
        self.verdicts: Verdicts | None = None
        self.finished = False
        self.tokens = 0
        # Of the text of a completion.
        self.characters = 0


class Assembling:
    """Takes the bytes of a stream. `tokens` is how many have been written so far, as far as the chunks tell."""

    def __init__(self, path: str) -> None:
        """`path` is that of the endpoint: /chat/completions or /completions."""
        self._chat = path == CHAT
        self._events = Events()
        self._top: dict[str, bytes] = {}
        self._top_bytes = 0
        self._choices: dict[int, _Choice] = {}
        self._error: bytes | None = None
        self._done = False
        self._parts_bytes = 0
        self.tokens = 0
        self.chunks = 0
        """How many have come that say something."""

    @property
    def held(self) -> int:
        """About how many bytes are kept in memory."""
        return self._parts_bytes + self._top_bytes + self._events.held + len(self._choices) * CHOICE_BYTES

    @property
    def over(self) -> bool:
        """Whether it has said that it has come to its end."""
        return self._done or self._error is not None

    def feed(self, data: bytes) -> None:
        """More of the stream. Raises StreamBroken."""
        for event, failed in self._events.feed(data):
            self._take(event, failed)

    def whole(self) -> bytes:
        """The answer, once the stream has ended; an error that was in it is all that there is then. Raises StreamBroken."""
        for event, failed in self._events.end():
            self._take(event, failed)
        if self._error is not None:
            return self._error
        if not self._choices or not all(choice.finished for choice in self._choices.values()):
            raise StreamBroken("the stream ended before the answer did: a choice has no finish_reason")
        if not self._done:
            # It may be that only the usage is missing, which nobody could tell.
            raise StreamBroken("the stream ended without [DONE]: something of it is missing")
        return self._written()

    def _take(self, event: bytes, failed: bool) -> None:
        if self.over:
            return
        if event.strip() == DONE:
            self._done = True
            return
        try:
            chunk = _fields(event)
            error = chunk.get("error")
            if (
                failed
                or (error is not None and bytes(error) != b"null")
                or bytes(chunk.get("object", b"")) == b'"error"'
            ):
                # As it came, but on one line; llama.cpp's has no envelope.
                whole = error is not None or "object" in chunk
                self._error = event if whole else b'{"error":%b}' % event
                return
            self._chunk(chunk)
        except StreamBroken:
            raise
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, NotUnderstood) as problem:
            raise StreamBroken(f"the stream has an event that cannot be used: {_harmless(problem)}") from problem

    def _chunk(self, chunk: dict[str, Raw]) -> None:
        self.chunks += 1
        raw_choices = chunk.pop("choices", None)
        choices = [] if raw_choices is None or bytes(raw_choices) == b"null" else _objects(raw_choices)
        usage = chunk.get("usage")
        written = None if usage is None else _completion_tokens(usage)
        for place, choice in enumerate(choices):
            number = _number(choice.pop("index")) if "index" in choice else place
            self._choice(number, choice, written if len(choices) == 1 else None)
        if not choices and written is not None:
            # The sum over all of them, at the end.
            self.tokens = max(self.tokens, written)
        else:
            self.tokens = max(self.tokens, sum(choice.tokens for choice in self._choices.values()))
        for name, raw in chunk.items():
            value = bytes(raw)
            if name in OF_STREAMS:
                continue
            if name in self._top and (says_nothing(value) or (name == "created" and value == b"0")):
                # Azure begins with a chunk that has findings about the prompt, and nothing else.
                continue
            self._top_bytes += (
                len(value) - len(self._top.get(name, b"")) + (0 if name in self._top else len(name) + 200)
            )
            self._top[name] = value

    def _choice(self, number: int, fields: dict[str, Raw], written: int | None) -> None:
        choice = self._choices.get(number)
        if choice is None:
            if not 0 <= number < CHOICES_MAX:
                raise NotUnderstood(f"a choice has the number {number}")
            choice = self._choices[number] = _Choice()
        before = choice.characters
        grown = 0
        new = 0
        for name, raw in fields.items():
            value = bytes(raw)
            if name == "delta":
                if value != b"null":
                    if choice.message is None:
                        choice.message = Fields()
                    delta = _fields(value)
                    grown += choice.message.merge(delta)
                    new = new or _tells(delta)
            elif name == FILTERED:
                choice.verdicts = choice.verdicts or Verdicts()
                grown += choice.verdicts.merge(value)
            elif name == "text" and value[:1] == b'"':
                grown += choice.more.join(name, value)
                choice.characters += len(_text(value))
                new = new or int(len(value) > 2)
            elif name not in OF_STREAMS:
                if name == "finish_reason" and not says_nothing(value):
                    # Some say "" until there is one.
                    choice.finished = True
                elif name == "logprobs" and not self._chat and before and value[:1] == b"{":
                    value = _from_the_beginning(value, before)
                elif name == "token_ids" and value[:1] == b"[":
                    new = max(new, len(_raws(value)))
                grown += choice.more.of_choice(name, value)
        self._parts_bytes += grown
        choice.tokens = max(choice.tokens, written) if written is not None else choice.tokens + new

    def _written(self) -> bytes:
        """The value as text."""
        top = self._top
        kind = b'"chat.completion"' if self._chat else b'"text_completion"'
        numbered = top.get("system_fingerprint") == OLLAMA
        parts: list[bytes | bytearray] = [b'{"id":', top.pop("id", b"null"), b',"object":', kind]
        top.pop("object", None)
        for name in ("created", "model"):
            if name in top:
                parts += (b',"%b":' % name.encode(), top.pop(name))
        parts.append(b',"choices":[')
        for place, (number, choice) in enumerate(sorted(self._choices.items())):
            parts.append(b'%b{"index":%d' % (b"," if place else b"", number))
            if self._chat:
                choice.message = choice.message or Fields()
                choice.message.empty_is_null("content", beside=INSTEAD)
                choice.message.add("role", b'"assistant"')
                choice.message.add("content", b"null")
                parts.append(b',"message":')
                choice.message.write(parts, numbered=numbered)
            choice.more.write_inside(parts)
            if choice.verdicts is not None and choice.verdicts.any:
                parts.append(b',"content_filter_results":')
                choice.verdicts.write(parts)
            parts.append(b"}")
        parts.append(b"]")
        for name, value in top.items():
            parts += (b",", msgspec.json.encode(name), b":", value)
        parts.append(b"}")
        return _put_together(parts)


def _put_together(parts: list[bytes | bytearray]) -> bytes:
    """All parts in one. What is large grows where it lies, so that there is no second one of it."""
    place, largest = max(enumerate(parts), key=lambda each: len(each[1]))
    if not isinstance(largest, bytearray) or len(largest) < LARGE_BYTES:
        return b"".join(parts)
    largest += b"".join(parts[place + 1 :])
    largest[:0] = b"".join(parts[:place])
    # It is read like any bytes.
    return cast(bytes, largest)


def _completion_tokens(usage: Raw) -> int | None:
    if bytes(usage) == b"null":
        return None
    said = _fields(usage).get("completion_tokens")
    return None if said is None or bytes(said) == b"null" else _number(said)


def _tells(delta: dict[str, Raw]) -> int:
    """Whether a delta brings something that was written: about one token, where nothing says how many."""
    return int(any(name != "role" and not says_nothing(bytes(raw)) for name, raw in delta.items()))


def _from_the_beginning(logprobs: bytes, before: int) -> bytes:
    """Offsets that count from the beginning of their chunk count from that of the text, as they do without a stream.

    Which they do shows in the first: behind a text, nothing has the offset 0.
    """
    fields = _fields(logprobs)
    raw = fields.get("text_offset")
    if raw is None or bytes(raw) == b"null":
        return logprobs
    offsets = msgspec.json.decode(raw, type=list[int])
    if not offsets or offsets[0] != 0:
        return logprobs
    fields["text_offset"] = Raw(msgspec.json.encode([offset + before for offset in offsets]))
    return msgspec.json.encode(fields)


def _harmless(problem: Exception) -> str:
    return str(problem) if isinstance(problem, NotUnderstood) else "it is not the JSON of a chunk"
