"""The text of one line in an output or error file, and what is read out of a backend's answer on the way.

Bytes of the answer are kept as they came: a line is glued together around them. Two things are replaced, because a line of a
JSON Lines file must be one line for whoever reads it. Line breaks between JSON tokens become spaces (inside strings JSON
forbids them raw). U+2028, U+2029 and U+0085 become escapes, which say the same (in JSON they stand inside strings only): for
Unicode they end lines, and so they do for readers that split text and not bytes (docs/decisions/line-ends.md).
"""

import itertools
import re
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from slackwater.core.accounts.usage import Usage
from slackwater.core.endpoints import normalised

# No answer has that many. Usage with more, or with less than none, is not believed: it is as if there were none.
TOKENS_MAX = 2**40
# What is rewritten at a time in a large text.
PIECE_BYTES = 1 << 20
# What ends a line for Unicode and not for JSON Lines, as UTF-8 has it and as JSON writes it.
LINE_ENDS = ((b"\xe2\x80\xa8", rb"\u2028"), (b"\xe2\x80\xa9", rb"\u2029"), (b"\xc2\x85", rb"\u0085"))
TAIL = b'},"error":null}\n'
# The code of a line whose answer came with a good status and an error inside.
ERROR_INSIDE = "error_inside"
SPACE = b" \t\n\r\x0b\x0c"
LINE_NUMBER = re.compile(rb"[0-9a-f]{8}")
# The longest call that an id can speak of: seven weeks.
MILLISECONDS_MAX = 2**32 - 1
_Tokens = Annotated[int, Meta(ge=0, le=TOKENS_MAX)] | None


class _Details(Struct, gc=False):
    cached_tokens: _Tokens = None
    reasoning_tokens: _Tokens = None


class UsageSaid(Struct, gc=False):
    """Chat and completions say prompt/completion; responses, images and Anthropic's messages input/output; embeddings, rerank and
    score have only the first, and some who rank only the total.
    """

    prompt_tokens: _Tokens = None
    completion_tokens: _Tokens = None
    total_tokens: _Tokens = None
    input_tokens: _Tokens = None
    output_tokens: _Tokens = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    cache_read_input_tokens: _Tokens = None
    cache_creation_input_tokens: _Tokens = None


class Billed(Struct, gc=False):
    """Where Cohere's rerank has its usage, and those that speak like it. Its `search_units` are no tokens."""

    tokens: UsageSaid | None = None
    billed_units: UsageSaid | None = None


class _Named(Struct, gc=False):
    model: str | None = None


class InputLine(Struct, gc=False):
    """The two keys of an input line that matter after validation."""

    custom_id: str
    body: msgspec.Raw


class _Addressed(Struct, gc=False):
    url: str


_named = msgspec.json.Decoder(_Named)
_anything = msgspec.json.Decoder(dict[str, msgspec.Raw])
_input_line = msgspec.json.Decoder(InputLine)
_encode = msgspec.json.Encoder().encode


def read_input_line(line: bytes) -> InputLine:
    """The id and the body of a line that validation has accepted."""
    try:
        return _input_line.decode(line)
    except msgspec.ValidationError:
        # The line has an id twice, the first of another type: the last one counts, as it did for validation (spec 5.3).
        fields = _anything.decode(line)
        return InputLine(msgspec.json.decode(fields["custom_id"], type=str), fields["body"])


def path_in(line: bytes) -> str:
    """The path of the endpoint that an input line names, without version. Raises as `read_input_line` does."""
    return normalised(msgspec.json.decode(line, type=_Addressed).url)


def with_model(body: bytes, model: bytes) -> bytes:
    """The body with another `model` (JSON text, quotes included). Every other value keeps its bytes, numbers included."""
    fields = _anything.decode(body)
    fields["model"] = msgspec.Raw(model)
    return _encode(fields)


def model_of(body: bytes) -> str | None:
    """The `model` of a request's body; None where it has none."""
    try:
        return _named.decode(body).model
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def is_object(body: bytes) -> bool:
    """Whether the bytes are one JSON object in UTF-8."""
    try:
        str(body, "utf-8")
        _anything.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False
    return True


def usage_of(usage: UsageSaid) -> Usage:
    """The tokens that an answer speaks of."""
    read = usage.prompt_tokens_details or usage.input_tokens_details
    written = usage.completion_tokens_details or usage.output_tokens_details
    input_tokens = usage.prompt_tokens or usage.input_tokens or 0
    output_tokens = usage.completion_tokens or usage.output_tokens or 0
    if not input_tokens and not output_tokens:
        input_tokens = usage.total_tokens or 0
    if usage.cache_read_input_tokens is not None and usage.prompt_tokens is None and read is None:
        # Anthropic counts what comes from a cache, and what goes into one, apart from the others.
        cached_tokens = usage.cache_read_input_tokens
        input_tokens += cached_tokens + (usage.cache_creation_input_tokens or 0)
        return Usage(input_tokens=input_tokens, cached_tokens=cached_tokens, output_tokens=output_tokens)
    if read is None and written is None:
        return Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    cached_tokens = (read.cached_tokens or 0) if read is not None else 0
    return Usage(
        input_tokens=input_tokens,
        # They are among the input tokens; more than those cannot be charged.
        cached_tokens=min(cached_tokens, input_tokens),
        output_tokens=output_tokens,
        reasoning_tokens=(written.reasoning_tokens or 0) if written is not None else 0,
    )


def usage_in(meta: Billed | None) -> UsageSaid | None:
    """The usage that Cohere's `meta` has; None where it has none in tokens."""
    if meta is None:
        return None
    said = meta.tokens or meta.billed_units
    return None if said is None or (said.input_tokens is None and said.output_tokens is None) else said


def one_line(body: bytes) -> bytes:
    """The JSON text without raw line breaks."""
    if b"\n" in body or b"\r" in body:
        return body.replace(b"\r", b" ").replace(b"\n", b" ").strip()
    return body


def escape_line_ends(text: bytes) -> bytes:
    """JSON in UTF-8 in which nothing but LF ends a line, for Unicode either. The same object, where that is so already."""
    if text.isascii():
        return text
    for raw, escape in LINE_ENDS:
        # Looks for it first, and copies nothing where it is not there.
        text = text.replace(raw, escape)
    return text


def flatten(body: bytearray, *, piece_bytes: int = PIECE_BYTES) -> None:
    """Does both to a large text where it lies, piece by piece, so that other threads have their turn in between."""
    _join(body, piece_bytes)
    _escape(body, piece_bytes)


def _join(body: bytearray, piece_bytes: int) -> None:
    """What `one_line` does."""
    if b"\n" not in body and b"\r" not in body:
        return
    for start in range(0, len(body), piece_bytes):
        piece = body[start : start + piece_bytes]
        if b"\n" in piece or b"\r" in piece:
            body[start : start + piece_bytes] = piece.replace(b"\r", b" ").replace(b"\n", b" ")
    end = len(body)
    while end and body[end - 1] in SPACE:
        end -= 1
    del body[end:]
    begin = 0
    while begin < len(body) and body[begin] in SPACE:
        begin += 1
    del body[:begin]


def _escape(body: bytearray, piece_bytes: int) -> None:
    """What `escape_line_ends` does. It grows once, and moves apart from its end on, so there is no second copy of it."""
    cuts = _cuts(body, piece_bytes)
    growth = 0
    for start, end in itertools.pairwise(cuts):
        growth += len(escape_line_ends(bytes(body[start:end]))) - (end - start)
    if not growth:
        return
    body.extend(bytes(growth))
    target = len(body)
    for end, start in itertools.pairwise(reversed(cuts)):
        piece = escape_line_ends(bytes(body[start:end]))
        target -= len(piece)
        body[target : target + len(piece)] = piece
        if target == start:
            # Nothing before this place has to move.
            return


def _cuts(body: bytearray, piece_bytes: int) -> list[int]:
    """Places at which a text in UTF-8 comes apart into pieces of about so many bytes, its two ends among them."""
    cuts = [0]
    for at in range(piece_bytes, len(body), piece_bytes):
        while at > cuts[-1] and body[at] & 0xC0 == 0x80:
            # The middle of a character.
            at -= 1
        cuts.append(at)
    cuts.append(len(body))
    return cuts


def error_body(body: bytes, status: int) -> bytes:
    """The body of an error answer for the error file: as it came if it is a JSON object, else wrapped into one.

    Proxies answer with HTML; a reader of the error file should find JSON in every line.
    """
    return one_line(body) if is_object(body) else wrapped_error(body, status)


def wrapped_error(body: bytes, status: int) -> bytes:
    """An error body around the beginning of what is not a JSON object."""
    text = body[:2000].decode("utf-8", "replace")
    return _encode({"error": {"message": text, "type": "upstream_error", "param": None, "code": str(status)}})


def tail_of(came: int | None, status: int) -> bytes:
    """The end of a line with a response. `came`: an error was inside an answer with this status, and counts as `status`."""
    if came is None:
        return TAIL
    message = f"The backend answered {came} with an error inside, which counts as {status}."
    return b'},"error":%b}\n' % _encode({"code": ERROR_INSIDE, "message": message})


class LineWriter:
    """Writes the lines of one shard. Ids are made of the batch, the shard and the line, so a repeated request keeps its id.

    The id of a call (`request_id`) says besides how long it took: it is a UUID of version 8 (RFC 9562, section 5.8), whose
    first 32 bits are milliseconds. One that has no time, and those of older versions, are of version 4.
    """

    __slots__ = ("_head", "_request", "_timed")

    def __init__(self, shard_digest: str) -> None:
        """`shard_digest` is at least 24 hex digits that no other shard has."""
        d = shard_digest
        self._head = b'{"id":"batch_req_' + d[:24].encode() + b'%08x","custom_id":%b,"response":'
        self._request = f"{d[:8]}-{d[8:12]}-4{d[12:15]}-8{d[15:18]}-{d[18:22]}".encode() + b"%08x"
        self._timed = b"%08x" + f"-{d[8:12]}-8{d[12:15]}-8{d[15:18]}-{d[18:22]}".encode() + b"%08x"

    def _call(self, line: int, seconds: float | None) -> bytes:
        if seconds is None:
            return self._request % line
        return self._timed % (min(max(0, round(seconds * 1000)), MILLISECONDS_MAX), line)

    def answered(
        self,
        line: int,
        custom_id: str,
        *,
        status: int,
        body: bytes,
        tail: bytes = TAIL,
        seconds: float | None = None,
    ) -> bytes:
        """A line with a response, newline included (spec 4.2). `body` is JSON without line breaks, `tail` of `tail_of`.

        `seconds` is how long the call took that brought it.
        """
        text = b"".join(
            (
                self._head % (line, _encode(custom_id)),
                b'{"status_code":%d,"request_id":"%b","body":' % (status, self._call(line, seconds)),
                body,
                tail,
            )
        )
        return text if text.isascii() else escape_line_ends(text)

    def answered_parts(
        self,
        line: int,
        custom_id: str,
        *,
        status: int,
        body: bytes,
        tail: bytes = TAIL,
        seconds: float | None = None,
    ) -> tuple[bytes, ...]:
        """The same in pieces, one of which is the body itself: a large one is not copied, and comes out of `flatten`."""
        return (
            escape_line_ends(self._head % (line, _encode(custom_id))),
            b'{"status_code":%d,"request_id":"%b","body":' % (status, self._call(line, seconds)),
            body,
            tail,
        )

    def place_of(self, text: bytes) -> int | None:
        """Which line of the shard it is that begins so; None where it is none of this shard."""
        begin, _, _ = self._head.partition(b"%08x")
        number = text[len(begin) : len(begin) + 8]
        if not text.startswith(begin) or not LINE_NUMBER.fullmatch(number):
            return None
        return int(number, 16)

    def unanswered(self, line: int, custom_id: str, *, code: str, message: str) -> bytes:
        """A line for a request that brought no HTTP answer or never ran, newline included (spec 4.3)."""
        error = _encode({"code": code, "message": message})
        return escape_line_ends(self._head % (line, _encode(custom_id)) + b'null,"error":%b}\n' % error)


def milliseconds_in(request_id: str) -> int | None:
    """How long the call took that has this id; None where it does not say."""
    if len(request_id) != 36 or request_id[14] != "8":
        return None
    try:
        return int(request_id[:8], 16)
    except ValueError:
        return None


BATCH_CANCELLED = ("batch_cancelled", "This request was not executed because the batch was cancelled.")
RESULT_UNREADABLE = (
    "result_unreadable",
    "This request was processed, but its result cannot be read any more: the bytes on the disk have changed or are gone. It was "
    "not sent a second time, because it may have been paid for. Run this line in a new batch.",
)
BATCH_EXPIRED = (
    "batch_expired",
    "This request could not be executed before the completion window expired.",
)
