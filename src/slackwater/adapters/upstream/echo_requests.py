"""What the built-in backend refuses: what an engine would, in the words of OpenAI's API (spec 7.3), which people search for.

Only what is there is judged, by its type and, where there are few, by its value; a key that nobody knows is read over, as
engines do. So a file that was tried with the built-in backend does not fail line by line at the first engine.
"""

from collections.abc import Callable
from typing import Any

from slackwater.core.endpoints import IMAGE_EDITS, IMAGES, MESSAGES, RERANK, SCORE, SPEECH, VIDEOS

Check = Callable[[Any, str], None]
KINDS = {str: "a string", bool: "a boolean", int: "an integer", float: "a decimal", list: "an array", dict: "an object"}


class Refused(Exception):
    """A request that no engine takes: a sentence, a code, and the parameter that is wrong."""

    def __init__(self, code: str, message: str, param: str) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


def check_request(path: str, request: dict[str, Any]) -> None:
    """Looks at a request for an endpoint, such as `/chat/completions`. Raises Refused."""
    _fields(request, "", NEEDED[path], KNOWN[path])


def _fields(value: dict[str, Any], place: str, needed: tuple[str, ...], known: dict[str, Check]) -> None:
    for name in needed:
        if value.get(name) is None:
            raise _missing(place + name)
    for name, given in value.items():
        check = known.get(name)
        # Clients write null for what they leave out.
        if check is not None and given is not None:
            check(given, place + name)


def _missing(place: str) -> Refused:
    return Refused("missing_required_parameter", f"Missing required parameter: '{place}'.", place)


def _wrong(place: str, expected: str, given: Any) -> Refused:
    got = "null" if given is None else KINDS.get(type(given), "something else")
    message = f"Invalid type for '{place}': expected {expected}, but got {got} instead."
    return Refused("invalid_type", message, place)


def _of(kind: type) -> Check:
    def check(given: Any, place: str) -> None:
        # A boolean is an integer to Python, and to nobody else.
        if not isinstance(given, kind) or (kind is int and isinstance(given, bool)):
            raise _wrong(place, KINDS[kind], given)

    return check


def _number(least: float, most: float, *, whole: bool = False) -> Check:
    name = "integer" if whole else "decimal"

    def check(given: Any, place: str) -> None:
        if isinstance(given, bool) or not isinstance(given, int if whole else (int, float)):
            raise _wrong(place, f"an {name}" if whole else f"a {name}", given)
        if least <= given <= most:
            return
        below = given < least
        side, sign, bound = ("below minimum", ">=", least) if below else ("above maximum", "<=", most)
        message = f"Invalid '{place}': {name} {side} value. Expected a value {sign} {bound}, but got {given} instead."
        raise Refused(f"{name}_{'below_min' if below else 'above_max'}_value", message, place)

    return check


def _one_of(*known: str) -> Check:
    def check(given: Any, place: str) -> None:
        if not isinstance(given, str):
            raise _wrong(place, f"one of {_listed(known, 'or')}", given)
        if given not in known:
            message = f"Invalid value: '{given[:60]}'. Supported values are: {_listed(known, 'and')}."
            raise Refused("invalid_value", message, place)

    return check


def _listed(names: tuple[str, ...], word: str) -> str:
    quoted = [f"'{name}'" for name in names]
    return f", {word} ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(names) > 1 else quoted[0]


def _some(expected: str, items: Check) -> Check:
    """An array with something in it."""

    def check(given: Any, place: str) -> None:
        if not isinstance(given, list):
            raise _wrong(place, expected, given)
        if not given:
            message = f"Invalid '{place}': empty array. Expected an array with minimum length 1, but got an empty array instead."
            raise Refused("empty_array", message, place)
        for index, item in enumerate(given):
            items(item, f"{place}[{index}]")

    return check


def _text_or(expected: str, items: Check) -> Check:
    several = _some(f"one of a string or {expected}", items)

    def check(given: Any, place: str) -> None:
        if not isinstance(given, str):
            several(given, place)

    return check


def _part(given: Any, place: str) -> None:
    """A part of a message's content."""
    if not isinstance(given, dict):
        raise _wrong(place, "an object", given)
    _fields(given, f"{place}.", ("type",), {"type": _of(str), "text": _of(str)})
    if given["type"] in ("text", "input_text") and given.get("text") is None:
        raise _missing(f"{place}.text")


def _message(given: Any, place: str) -> None:
    if not isinstance(given, dict):
        raise _wrong(place, "an object", given)
    _fields(given, f"{place}.", ("role",), MESSAGE)
    role = given["role"]
    if role != "assistant" and given.get("content") is None:
        raise _missing(f"{place}.content")
    if role == "tool" and given.get("tool_call_id") is None:
        raise _missing(f"{place}.tool_call_id")


def _item(given: Any, place: str) -> None:
    """An item of a response's input: a message, or something else that says its type."""
    if not isinstance(given, dict):
        raise _wrong(place, "an object", given)
    if given.get("type", "message") != "message":
        _of(str)(given["type"], f"{place}.type")
        return
    _fields(given, f"{place}.", ("role", "content"), ITEM)


def _prompt(given: Any, place: str) -> None:
    """A text, or tokens."""
    if isinstance(given, list):
        for index, token in enumerate(given):
            _of(int)(token, f"{place}[{index}]")
    elif isinstance(given, bool) or not isinstance(given, (str, int)):
        raise _wrong(place, "one of a string or an array of integers", given)


def _moderated(given: Any, place: str) -> None:
    if not isinstance(given, str):
        _part(given, place)


def _turn(given: Any, place: str) -> None:
    """A message of Anthropic's."""
    _of(dict)(given, place)
    known: dict[str, Check] = {"role": _one_of("user", "assistant", "system"), "content": CONTENT}
    _fields(given, f"{place}.", ("role", "content"), known)


def _document(given: Any, place: str) -> None:
    if not isinstance(given, (str, dict)):
        raise _wrong(place, "one of a string or an object", given)


def _picture(given: Any, place: str) -> None:
    """How a picture is named in JSON."""
    _of(dict)(given, place)
    _fields(given, f"{place}.", (), {"image_url": _of(str), "file_id": _of(str)})


def _typed(given: Any, place: str) -> None:
    """An object that says its type: a tool, a format."""
    _of(dict)(given, place)
    _fields(given, f"{place}.", ("type",), {"type": _of(str)})


def _all(items: Check) -> Check:
    several = _some("an array of objects", items)

    def check(given: Any, place: str) -> None:
        if given != []:
            several(given, place)

    return check


CONTENT = _text_or("an array of objects", _part)
MESSAGE: dict[str, Check] = {
    "role": _one_of("system", "assistant", "user", "function", "tool", "developer"),
    "content": CONTENT,
    "name": _of(str),
    "tool_call_id": _of(str),
    "tool_calls": _all(_typed),
}
ITEM: dict[str, Check] = {"role": _one_of("user", "assistant", "system", "developer"), "content": CONTENT}
TOKENS_MAX = 2**31 - 1
SAMPLED: dict[str, Check] = {
    "model": _of(str),
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "user": _of(str),
    "metadata": _of(dict),
    "stream": _of(bool),
}
WRITTEN: dict[str, Check] = SAMPLED | {
    "max_tokens": _number(0, TOKENS_MAX, whole=True),
    "n": _number(1, 128, whole=True),
    "seed": _number(-(2**63), 2**63 - 1, whole=True),
    "stop": _text_or("an array of strings", _of(str)),
    "frequency_penalty": _number(-2, 2),
    "presence_penalty": _number(-2, 2),
    "logit_bias": _of(dict),
}
NEEDED: dict[str, tuple[str, ...]] = {
    "/chat/completions": ("messages",),
    "/completions": ("prompt",),
    "/embeddings": ("input",),
    "/responses": ("input",),
    "/moderations": ("input",),
    IMAGES: ("prompt",),
    IMAGE_EDITS: ("prompt",),
    VIDEOS: ("prompt",),
    MESSAGES: ("messages", "max_tokens"),
    RERANK: ("query", "documents"),
    SCORE: (),
    SPEECH: ("input", "voice"),
}
SIDE = _text_or("an array of strings", _of(str))
DRAWN: dict[str, Check] = {
    "model": _of(str),
    "prompt": _of(str),
    "n": _number(1, 10, whole=True),
    "size": _of(str),
    "quality": _of(str),
    "output_format": _one_of("png", "webp", "jpeg", "gif", "svg"),
    "user": _of(str),
}
# More than any model has; a request cannot ask for gigabytes.
DIMENSIONS_MAX = 8192
KNOWN: dict[str, dict[str, Check]] = {
    "/chat/completions": WRITTEN
    | {
        "messages": _some("an array of objects", _message),
        "max_completion_tokens": _number(1, TOKENS_MAX, whole=True),
        "tools": _all(_typed),
        "response_format": _typed,
        "logprobs": _of(bool),
        "top_logprobs": _number(0, 20, whole=True),
        "parallel_tool_calls": _of(bool),
        "reasoning_effort": _of(str),
    },
    "/completions": WRITTEN | {"prompt": _text_or("an array", _prompt), "echo": _of(bool), "suffix": _of(str)},
    "/embeddings": {
        "model": _of(str),
        "input": _text_or("an array", _prompt),
        "dimensions": _number(1, DIMENSIONS_MAX, whole=True),
        "encoding_format": _one_of("float", "base64"),
        "user": _of(str),
    },
    "/responses": SAMPLED
    | {
        "input": _text_or("an array of objects", _item),
        "instructions": _of(str),
        "max_output_tokens": _number(1, TOKENS_MAX, whole=True),
        "tools": _all(_typed),
        "parallel_tool_calls": _of(bool),
        "reasoning": _of(dict),
        "text": _of(dict),
        "previous_response_id": _of(str),
        "truncation": _one_of("auto", "disabled"),
    },
    "/moderations": {"model": _of(str), "input": _text_or("an array", _moderated)},
    IMAGES: DRAWN,
    IMAGE_EDITS: DRAWN | {"images": _some("an array of objects", _picture), "mask": _picture},
    VIDEOS: {"model": _of(str), "prompt": _of(str), "seconds": _of(str), "size": _of(str), "input_reference": _picture},
    MESSAGES: {
        "model": _of(str),
        "messages": _some("an array of objects", _turn),
        "max_tokens": _number(1, TOKENS_MAX, whole=True),
        "temperature": _number(0, 1),
        "top_p": _number(0, 1),
        "stream": _of(bool),
    },
    RERANK: {
        "model": _of(str),
        "documents": _some("an array", _document),
        "top_n": _number(0, TOKENS_MAX, whole=True),
        "return_documents": _of(bool),
    },
    SCORE: {
        "model": _of(str),
        "text_1": _text_or("an array of strings", _of(str)),
        "text_2": _text_or("an array of strings", _of(str)),
    },
    SPEECH: {
        "model": _of(str),
        "input": _of(str),
        "instructions": _of(str),
        "response_format": _one_of("mp3", "opus", "aac", "flac", "wav", "pcm"),
        "speed": _number(0.25, 4),
    },
}
