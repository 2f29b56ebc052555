"""Reads lines of output and error files: what became of a request, in a few words. They were written by
core/sending/lines.py.

A body is whatever a backend answered, so nothing of it is taken for granted: what is not as expected is None.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from slackwater.core.sending.lines import ERROR_INSIDE

ANSWER_LENGTH_MAX = 300
MESSAGE_LENGTH_MAX = 500
CODE_LENGTH_MAX = 100


class _Response(Struct):
    status_code: int
    body: Raw


class _Error(Struct):
    code: str | None = None
    message: str | None = None


class _Line(Struct):
    custom_id: str
    response: _Response | None = None
    error: _Error | None = None


class _Id(Struct):
    custom_id: str


class _Part(Struct):
    text: str | None = None
    refusal: str | None = None


class _Message(Struct):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    tool_calls: list[Raw] | None = None


class _Choice(Struct):
    message: _Message | None = None
    text: str | None = None


class _Item(Struct):
    content: list[_Part] | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class _Answer(Struct):
    """Chat and completions have choices, responses an output."""

    choices: list[_Choice] | None = None
    output: list[_Item] | None = None


class _Used(Struct):
    usage: _Usage | None = None


_line = msgspec.json.Decoder(_Line).decode
_id = msgspec.json.Decoder(_Id).decode
_answer = msgspec.json.Decoder(_Answer).decode
_used = msgspec.json.Decoder(_Used).decode


class ResultLine(Struct, frozen=True, kw_only=True):
    """One line, in short."""

    custom_id: str
    status_code: int | None
    code: str | None
    """What went wrong, as the service or the backend calls it; None where nothing did."""
    message: str | None
    answer: str | None
    input_tokens: int | None
    output_tokens: int | None


def read_custom_id(line: bytes) -> str:
    """Whose line it is. The line is one of ours."""
    return _id(line).custom_id


def read_result_line(line: bytes, *, failed: bool) -> ResultLine:
    """A line of the output file, or (`failed`) of the error file. The line is one of ours, its body somebody else's."""
    read = _line(line)
    response, error = read.response, read.error
    code = message = None
    if failed:
        if response is not None:
            code, message = _complaint(response.body, response.status_code)
            if error is not None and error.code == ERROR_INSIDE:
                # What it counts as, is for programs; people look for it where it came from.
                code = ERROR_INSIDE if code == f"status_{response.status_code}" else code
                message = f"{error.message or ''} {message or ''}".strip()
        elif error is not None:
            code, message = error.code, error.message
        code = code or "unknown"
    usage = None if response is None or failed else _usage_of(response.body)
    return ResultLine(
        custom_id=read.custom_id,
        status_code=None if response is None else response.status_code,
        code=code and code[:CODE_LENGTH_MAX],
        message=message and message[:MESSAGE_LENGTH_MAX],
        answer=None if response is None or failed else answer_text(response.body),
        input_tokens=None if usage is None else _either(usage.prompt_tokens, usage.input_tokens),
        output_tokens=None if usage is None else _either(usage.completion_tokens, usage.output_tokens),
    )


def _either(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


def _usage_of(body: Raw) -> _Usage | None:
    try:
        return _used(body).usage
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def answer_text(body: bytes | Raw, *, most: int | None = ANSWER_LENGTH_MAX) -> str | None:
    """The text that a model has answered, or the first `most` characters of it; None where there is none, as with embeddings."""
    try:
        answer = _answer(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    for choice in answer.choices or ():
        if choice.text is not None:
            return choice.text[:most]
        if (text := _of_message(choice.message)) is not None:
            return text[:most]
    for item in answer.output or ():
        if (text := _of_parts(item.content)) is not None:
            return text[:most]
    return None


def _of_message(message: _Message | None) -> str | None:
    if message is None:
        return None
    text = message.content if isinstance(message.content, str) else _of_parts(message.content)
    if text is not None or message.refusal is not None:
        return message.refusal if text is None else text
    if message.tool_calls:
        # There is no text: what the model wants called is the answer.
        return bytes(message.tool_calls[0]).decode("utf-8", "replace")
    return None


def _of_parts(parts: list[_Part] | None) -> str | None:
    texts = [each for part in parts or () if (each := _either_text(part)) is not None]
    return "".join(texts) if texts else None


def _either_text(part: _Part) -> str | None:
    return part.refusal if part.text is None else part.text


def _complaint(body: Raw, status: int) -> tuple[str, str | None]:
    """Code and message of an error body, in the spellings of the engines that there are."""
    fallback = f"status_{status}"
    try:
        read: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return fallback, None
    if not isinstance(read, dict):
        return fallback, None
    error = read.get("error", read)
    if isinstance(error, str):
        return fallback, error
    if not isinstance(error, dict):
        return fallback, None
    message = next((error[name] for name in ("message", "detail") if isinstance(error.get(name), str)), None)
    for name in ("code", "type"):
        value = error.get(name)
        # Some engines repeat the status as the code, which says no more than the status.
        if isinstance(value, str) and value and value != str(status):
            return value, message
    return fallback, message
