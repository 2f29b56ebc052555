"""JSON bodies: bounded while they are read, and checked against the type that the API document shows for them.

The sentences are OpenAI's (spec 7.3), because people search for them. Fields that a type does not have are ignored, as
both vendors do; those that it has must fit, and the first that does not is named.
"""

import types
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct
from starlette.requests import ClientDisconnect, Request

from slackwater.core.errors import EncodingRefused, InvalidRequest, PayloadTooLarge

JSON_BYTES_MAX = 1 << 20
INTEGER_MAX = 2**63 - 1
SHOWN_MAX = 60

S = TypeVar("S", bound=Struct)


async def read_body(request: Request, kind: type[S], *, optional: bool = False, bytes_max: int = JSON_BYTES_MAX) -> S:
    """The body as a `kind`. With `optional`, no body is an empty object.

    Raises InvalidRequest, PayloadTooLarge and EncodingRefused.
    """
    data = await _read(request, bytes_max)
    if optional and not data.strip():
        data = b"{}"
    try:
        body = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise InvalidRequest(f"The body must be a JSON object, but it is {name_of_type(body)}.")
    return read_object(body, kind)


def announced(request: Request) -> int:
    """The bytes of the body, as its head says; 0 where it does not. Raises EncodingRefused.

    Asked before anything is read: a peer that waits to be told to go on (`Expect: 100-continue`) then sends nothing in vain.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise EncodingRefused(f"Send the body as it is, without Content-Encoding; this one says '{encoding[:40]}'.")
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


async def _read(request: Request, bytes_max: int) -> bytes:
    data = bytearray()
    try:
        if announced(request) > bytes_max:
            raise PayloadTooLarge(f"The body is larger than {bytes_max:,} bytes.")
        async for piece in request.stream():
            data += piece
            if len(data) > bytes_max:
                raise PayloadTooLarge(f"The body is larger than {bytes_max:,} bytes.")
    except ClientDisconnect as error:
        raise InvalidRequest("The request was broken off.") from error
    return bytes(data)


def read_object(given: dict[str, Any], kind: type[S], *, inside: str = "") -> S:
    """A JSON object as a `kind`; `inside` is the path to it, such as `expires_after.`. Raises InvalidRequest."""
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        name = inside + field.name
        value = given.get(field.name)
        if value is None:
            # Clients write null for what they leave out.
            if field.required:
                raise InvalidRequest(
                    f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name
                )
            continue
        values[field.name] = _checked(value, field.type, name)
    return kind(**values)


def _checked(value: Any, kind: Any, name: str) -> Any:
    """The value, where it has the type. The handful of types that bodies are made of."""
    kind, meta = _plain(kind)
    origin = get_origin(kind) or kind
    if origin is Literal:
        return _one_of(value, get_args(kind), name)
    if isinstance(kind, type) and issubclass(kind, Struct):
        return read_object(_typed(value, dict, name), kind, inside=f"{name}.")
    _typed(value, origin, name)
    if origin is float:
        # An integer is how people write a number.
        return _number(value, meta, name)
    if origin is int:
        return _within(value, meta, name)
    if origin is str:
        return _not_too_long(value, meta, name)
    if origin is list:
        (item,) = get_args(kind)
        return [_checked(each, item, f"{name}[{index}]") for index, each in enumerate(value)]
    return value


def _plain(kind: Any) -> tuple[Any, Meta | None]:
    """A field's type without `| None` and without its annotation, and the annotation."""
    meta: Meta | None = None
    while True:
        if get_origin(kind) is Annotated:
            kind, *metas = get_args(kind)
            meta = next((each for each in metas if isinstance(each, Meta)), meta)
        elif get_origin(kind) in (Union, types.UnionType):
            kind = next(each for each in get_args(kind) if each is not type(None))
        else:
            return kind, meta


def _typed(value: Any, kind: type, name: str) -> Any:
    # A boolean is an integer to Python, and to nobody else.
    numbers = (int, float) if kind is float else kind
    if isinstance(value, numbers) and not (kind in (int, float) and isinstance(value, bool)):
        return value
    wanted = {
        str: "a string",
        int: "an integer",
        float: "a number",
        dict: "an object",
        list: "an array",
        bool: "a boolean",
    }[kind]
    raise InvalidRequest(
        f"Invalid type for '{name}': expected {wanted}, but got {name_of_type(value)} instead.",
        code="invalid_type",
        param=name,
    )


def _one_of(value: Any, known: tuple[Any, ...], name: str) -> Any:
    if value not in known:
        names = ", ".join(f"'{each}'" for each in known)
        raise InvalidRequest(f"Invalid value: '{_shown(value)}'. Supported values are: {names}.", param=name)
    return value


def _number(value: float, meta: Meta | None, name: str) -> float:
    above = meta.gt if meta is not None and meta.gt is not None else -INTEGER_MAX
    if not above < value <= INTEGER_MAX:
        raise InvalidRequest(
            f"Invalid value for '{name}': expected a number above {above}, but got {_shown(value)}.", param=name
        )
    return float(value)


def _within(value: int, meta: Meta | None, name: str) -> int:
    least = meta.ge if meta is not None and meta.ge is not None else -INTEGER_MAX
    most = meta.le if meta is not None and meta.le is not None else INTEGER_MAX
    if not least <= value <= most:
        bounds = f"at least {least}" if most == INTEGER_MAX else f"between {least} and {most}"
        raise InvalidRequest(
            f"Invalid value for '{name}': expected an integer {bounds}, but got {_shown(value)}.", param=name
        )
    return value


def _not_too_long(value: str, meta: Meta | None, name: str) -> str:
    least = meta.min_length if meta is not None and meta.min_length is not None else 0
    most = meta.max_length if meta is not None else None
    if len(value) < least:
        raise InvalidRequest(f"Invalid '{name}': it must not be empty.", code="string_below_min_length", param=name)
    if most is not None and len(value) > most:
        raise InvalidRequest(
            f"Invalid '{name}': expected at most {most} characters, but got {len(value)}.",
            code="string_above_max_length",
            param=name,
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"Invalid '{name}': it has half of a surrogate pair.", param=name) from error
    return value


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "..."


def name_of_type(value: object) -> str:
    """A JSON type as error messages call it."""
    names = {
        str: "a string",
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        list: "an array",
        dict: "an object",
    }
    return "null" if value is None else names.get(type(value), "something else")
