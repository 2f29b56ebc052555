"""What the body of an input line must be like for its endpoint: the payload, images in it, the format of the answer.

`decode_line` is the one typed decode that nearly all lines need. What it refuses may still be right, if only written in an
unusual way: the functions here look closer, one level of JSON at a time, and name the first flaw. The line is valid JSON
when they see it.
"""

import re
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

SHOWN_MAX = 60
SCHEMA_NAME = r"[A-Za-z0-9_-]{1,64}"
FORMATS = ("text", "json_object", "json_schema")
# OpenAI's chat, its responses, and Anthropic's messages.
IMAGE_PARTS = ("image_url", "input_image", "image")
# Images lie in the payload itself, in the content of a message, or in the output of a tool: not deeper than this.
IMAGE_LEVELS_MAX = 3
# What a line with an image must have somewhere. Letters may be escaped, though hardly anybody does that.
MAY_BE_IMAGE = re.compile(rb"image|\\u00[2-7]").search


class _Any(Struct, gc=False):
    """An object, whatever is in it."""


class _Schema(Struct, gc=False):
    name: Annotated[str, Meta(pattern=rf"^{SCHEMA_NAME}\Z")]
    schema: _Any | None = None
    strict: bool | None = None


class _PlainFormat(Struct, gc=False, tag_field="type", tag="text"):
    pass


class _ObjectFormat(Struct, gc=False, tag_field="type", tag="json_object"):
    pass


class _ChatSchema(Struct, gc=False, tag_field="type", tag="json_schema"):
    json_schema: _Schema


class _ResponseSchema(Struct, gc=False, tag_field="type", tag="json_schema"):
    name: Annotated[str, Meta(pattern=rf"^{SCHEMA_NAME}\Z")]
    schema: _Any
    strict: bool | None = None


class _Text(Struct, gc=False):
    format: _PlainFormat | _ObjectFormat | _ResponseSchema | None = None


class Body(Struct, gc=False):
    """A body, as far as it is looked at; keys that no endpoint here may have are typed as absent."""

    model: str
    messages: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET
    prompt: Raw | UnsetType = UNSET
    stream: bool | None = None
    response_format: _PlainFormat | _ObjectFormat | _ChatSchema | None = None
    text: _Text | None = None
    data_sources: None = None


class Line(Struct, gc=False):
    """An input line."""

    custom_id: str
    method: str
    url: str
    body: Body


decode_line = msgspec.json.Decoder(Line).decode
decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
decode_any = msgspec.json.Decoder(Raw).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


class Flaw(Struct, frozen=True):
    """What is wrong with a body. `param` says where, from `body` on; `missing` is whether something is not there at all."""

    param: str
    message: str
    missing: bool = False


def shown(text: str) -> str:
    """A value of the user's in a message: quoted, and shortened where it is long."""
    return f"'{text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + '...'}'"


def text_of(value: Raw) -> str | None:
    """The string that a JSON value is, if it is one."""
    try:
        return _decode_text(value)
    except msgspec.ValidationError:
        return None


def fields_of(value: Raw) -> dict[str, Raw] | None:
    """The fields of the object that a JSON value is, if it is one."""
    try:
        return decode_fields(value)
    except msgspec.ValidationError:
        return None


def items_of(value: Raw) -> list[Raw] | None:
    """The items of the array that a JSON value is, if it is one."""
    try:
        return _decode_list(value)
    except msgspec.ValidationError:
        return None


def is_null(value: Raw) -> bool:
    """Whether a JSON value is null."""
    return bytes(memoryview(value)[:4]) == b"null"


def missing(name: str) -> Flaw:
    """The flaw of a body that lacks a parameter."""
    return Flaw(f"body.{name}", f"Missing required parameter: '{name}'.", missing=True)


# The payload: messages, input or prompt


def begins_filled(payload: Raw | UnsetType, key: str) -> bool:
    """Whether a payload is surely a string or an array with something in it, by its first bytes alone."""
    if payload is UNSET:
        return False
    view = memoryview(payload)
    if view[0] == 0x5B and view[1] in b'{["':
        return True
    # Copying the whole of it would be the dearest step of all.
    start = bytes(view[:32])
    if start[0] == 0x5B:
        return start[1:].lstrip()[:1] not in (b"", b"]")
    return start[0] == 0x22 and key != "messages"


def payload_flaw(body: dict[str, Raw], key: str) -> Flaw | None:
    """What is wrong with the payload of a body, which lies under `key`."""
    payload = body.get(key, UNSET)
    if payload is UNSET or is_null(payload):
        return missing(key)
    if begins_filled(payload, key) or items_of(payload):
        return None
    what = "an array with at least one message" if key == "messages" else "a string or an array that is not empty"
    return Flaw(f"body.{key}", f"The value of '{key}' must be {what}.")


def inputs_in(payload: Raw) -> int:
    """How many texts are to be embedded: a string and an array of token ids are one, an array of such is its length."""
    items = items_of(payload) if bytes(memoryview(payload)[:1]) == b"[" else None
    if not items or bytes(memoryview(items[0])[:1]) in b"-0123456789":
        return 1
    return len(items)


# Images


def image_flaw(body: dict[str, Raw], key: str) -> Flaw | None:
    """The first image of a payload, for a model that cannot see. A text that speaks of images is none."""
    place = _first_image(body[key], key, IMAGE_LEVELS_MAX)
    if place is None:
        return None
    return Flaw(f"body.{place}", "This deployment takes text only, and the request has an image. Remove the image.")


def _first_image(value: Raw, place: str, levels: int) -> str | None:
    items = items_of(value)
    places = [place] if items is None else [f"{place}[{index}]" for index in range(len(items))]
    for here, item in zip(places, [value] if items is None else items, strict=True):
        fields = fields_of(item)
        if fields is None:
            continue
        if _is_image(fields):
            return here
        for key in ("content", "output"):
            if levels > 1 and key in fields and (found := _first_image(fields[key], f"{here}.{key}", levels - 1)):
                return found
    return None


def _is_image(fields: dict[str, Raw]) -> bool:
    # Some engines take a part without a type as what its key says.
    if "image_url" in fields and not is_null(fields["image_url"]):
        return True
    return "type" in fields and text_of(fields["type"]) in IMAGE_PARTS


# The format of the answer


def format_flaw(body: dict[str, Raw], endpoint: str) -> Flaw | None:
    """What is wrong with `response_format` of chat, or with `text.format` of responses.

    A type that is not OpenAI's passes: engines have some of their own (grammars, regular expressions), and the engine will
    say if it has not. One of OpenAI's types in another spelling is no such type, and is worth saying before the batch runs.
    """
    if endpoint in ("/chat/completions", "/completions") and "response_format" in body:
        return _format_flaw(body["response_format"], "response_format", nested=True)
    if endpoint == "/responses" and "text" in body and not is_null(body["text"]):
        settings = fields_of(body["text"])
        if settings is None:
            return Flaw("body.text", "The value of 'text' must be an object.")
        if "format" in settings:
            return _format_flaw(settings["format"], "text.format", nested=False)
    return None


def _format_flaw(value: Raw, place: str, *, nested: bool) -> Flaw | None:
    """Chat nests name and schema in `json_schema`, responses do not, and need the schema."""
    if is_null(value):
        return None
    fields = fields_of(value)
    if fields is None:
        return Flaw(f"body.{place}", f"The value of '{place}' must be an object with a 'type'.")
    if "type" not in fields:
        return missing(f"{place}.type")
    kind = text_of(fields["type"])
    if not kind:
        return Flaw(f"body.{place}.type", f"The value of '{place}.type' must be a non-empty string.")
    if kind not in FORMATS:
        letters = re.sub("[^a-z]", "", kind.lower())
        meant = next((name for name in FORMATS if name.replace("_", "") == letters), None)
        if meant is None:
            return None
        return Flaw(f"body.{place}.type", f"There is no format {shown(kind)}; did you mean '{meant}'?")
    if kind != "json_schema":
        return None
    if nested:
        place = f"{place}.json_schema"
        if "json_schema" not in fields or is_null(fields["json_schema"]):
            return missing(place)
        fields = fields_of(fields["json_schema"])
        if fields is None:
            return Flaw(f"body.{place}", f"The value of '{place}' must be an object with a name and a schema.")
    return _schema_flaw(fields, place, schema_required=not nested)


def _schema_flaw(fields: dict[str, Raw], place: str, *, schema_required: bool) -> Flaw | None:
    if "name" not in fields:
        return missing(f"{place}.name")
    if not re.fullmatch(SCHEMA_NAME, text_of(fields["name"]) or ""):
        message = f"The value of '{place}.name' must be 1 to 64 letters, digits, underscores or dashes."
        return Flaw(f"body.{place}.name", message)
    schema = fields.get("schema")
    if schema is None or is_null(schema):
        if schema_required:
            return missing(f"{place}.schema")
    elif fields_of(schema) is None:
        return Flaw(f"body.{place}.schema", f"The value of '{place}.schema' must be an object: a JSON schema.")
    if bytes(memoryview(fields.get("strict", Raw(b"null")))) not in (b"true", b"false", b"null"):
        return Flaw(f"body.{place}.strict", f"The value of '{place}.strict' must be true or false.")
    return None
