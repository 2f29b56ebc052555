"""What an output or error file says about one row, as cells."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from slackwater.core.watching.result_lines import answer_text, read_result_line

# Anything that a model answers has fewer; beyond it, it is no table.
FIELDS_MAX = 200
CUT_OFF = "the answer was cut off at its most tokens"


class _Reason(Struct):
    finish_reason: str | None = None


class _Body(Struct):
    choices: list[_Reason] | None = None
    status: str | None = None
    stop_reason: str | None = None


class _Response(Struct):
    body: Raw


class _Id(Struct):
    custom_id: str


class _Line(Struct):
    custom_id: str
    response: _Response | None = None


_WRONG = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _ChatMessage(Struct):
    content: str


class _ChatChoice(Struct):
    message: _ChatMessage
    finish_reason: str | None = None


class _ChatBody(Struct):
    choices: list[_ChatChoice]


class _ChatResponse(Struct):
    body: _ChatBody


class _ChatLine(Struct):
    """What nearly every line is: read in one go."""

    custom_id: str
    response: _ChatResponse


_line = msgspec.json.Decoder(_Line).decode
_chat = msgspec.json.Decoder(_ChatLine).decode
_id = msgspec.json.Decoder(_Id).decode
_body = msgspec.json.Decoder(_Body).decode


class Cells(Struct, frozen=True, kw_only=True):
    """The answer to a row, or why there is none."""

    custom_id: str
    answer: Any = ""
    """Text; where it is none, such as a vector, its JSON value."""
    fields: dict[str, Any] | None = None
    """Of an answer that is a JSON object; its values by name."""
    error: str = ""


def custom_id_of(line: bytes) -> str | None:
    """Whose line it is; None where it is no line of a results file."""
    try:
        return _id(line).custom_id
    except _WRONG:
        return None


def cells_of(line: bytes, *, failed: bool) -> Cells:
    """A line of an output file, or (`failed`) of an error file; it has a custom_id."""
    if failed:
        read = read_result_line(line, failed=True)
        status = (
            "" if read.status_code is None or str(read.status_code) in (read.code or "") else f"{read.status_code} "
        )
        return Cells(
            custom_id=read.custom_id,
            error=f"{status}{read.code}" + (f": {read.message}" if read.message else ""),
        )
    try:
        chat = _chat(line)
        choice = chat.response.body.choices[0]
    except (*_WRONG, IndexError):
        return _of_any(line)
    text = choice.message.content
    return Cells(
        custom_id=chat.custom_id,
        answer=text,
        fields=_fields(text),
        error=CUT_OFF if choice.finish_reason == "length" else "",
    )


def _of_any(line: bytes) -> Cells:
    whole = _line(line)
    response = whole.response
    if response is None:
        return Cells(custom_id=whole.custom_id, error="the line has no response")
    error = CUT_OFF if _cut_off(response.body) else ""
    text = answer_text(response.body, most=None)
    if text is None:
        return Cells(custom_id=whole.custom_id, answer=_other(response.body), error=error)
    return Cells(custom_id=whole.custom_id, answer=text, fields=_fields(text), error=error)


def may_have_fields(line: bytes) -> bool:
    """Whether a look at the answer is worth it: a JSON object inside of a JSON text has such quotes."""
    return b'\\"' in line


def _fields(text: str) -> dict[str, Any] | None:
    begin = text[:1]
    if begin.isspace():
        begin = text.lstrip()[:1]
    if begin == "`":
        text = _unfenced(text)
    elif begin != "{":
        return None
    try:
        read = msgspec.json.decode(text)
    except _WRONG:
        return None
    return read if isinstance(read, dict) and read and len(read) <= FIELDS_MAX else None


def _unfenced(text: str) -> str:
    """JSON that a model has put between ``` and ```."""
    lines = text.strip().splitlines()
    if len(lines) >= 3 and lines[0] in ("```json", "```") and lines[-1] == "```":
        return "\n".join(lines[1:-1])
    return ""


def _cut_off(body: Raw) -> bool:
    try:
        read = _body(body)
    except _WRONG:
        return False
    return (
        bool(read.choices and read.choices[0].finish_reason == "length")
        or read.status == "incomplete"
        or read.stop_reason == "max_tokens"
    )


def _other(body: Raw) -> Any:
    """Of answers that are no text: the vector, the verdict, else all of it."""
    read = msgspec.json.decode(body)
    if isinstance(read, dict):
        for name, inner in (("data", "embedding"), ("results", "")):
            parts = read.get(name)
            if isinstance(parts, list) and len(parts) == 1:
                if not inner:
                    return parts[0]
                if isinstance(parts[0], dict) and inner in parts[0]:
                    return parts[0][inner]
    return read
