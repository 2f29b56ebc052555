"""What the bodies of images, videos, speech, rerank, score and Anthropic's messages must be like, as far as that is certain.

A field is judged only where everybody who serves the endpoint has it in one form; all others are the engine's to judge. Where
the forms are from: OpenAI's openapi.yaml of 21 August 2026 (images, edits in JSON, videos, speech) and its Batch guide (no
multipart: pictures are named by `image_url` or `file_id`), vLLM's `pooling/scoring/protocol.py` (rerank, score), Anthropic's
Messages API. As in payloads.py, a typed decode lets nearly all lines through, and what it refuses is looked at key by key.
"""

from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from slackwater.core.endpoints import IMAGE_EDITS, IMAGES, MESSAGES, RERANK, SCORE, SPEECH, VIDEOS
from slackwater.core.input.payloads import Flaw, fields_of, is_null, items_of, missing, shown, text_of

Check = Callable[[Raw, str], Flaw | None]

# How a picture may be named where there is no multipart.
ADDRESSES = ("https://", "http://", "data:")
# Under any of these an edit has its pictures: OpenAI's, and those of engines that take JSON, too (Dynamo, SGLang, routers).
PICTURES = ("images", "image", "input_reference", "url")
# The two sides of a score: vLLM's names for them, and SGLang's.
PAIRS = (
    ("text_1", "text_2"),
    ("queries", "documents"),
    ("queries", "items"),
    ("data_1", "data_2"),
    ("query", "items"),
)
# What a model may be asked to say in one piece; OpenAI's other value is a stream.
AUDIO = "audio"


# The typed decode. What is not looked at here is not in a `Body`.

_Text = Annotated[str, Meta(min_length=1)]
_Texts = Annotated[list[str], Meta(min_length=1)]
_Count = Annotated[int, Meta(ge=1)] | None


class _Ref(Struct, gc=False, forbid_unknown_fields=True):
    image_url: Annotated[str, Meta(pattern=r"^(https?://|data:)")]


class _Object(Struct, gc=False):
    pass


class _Asked(Struct, gc=False, kw_only=True):
    model: str
    stream: bool | None = None
    data_sources: None = None


class _Picture(_Asked, kw_only=True):
    prompt: _Text
    n: _Count = None
    size: str | None = None
    quality: str | None = None
    output_format: str | None = None
    response_format: str | None = None


class _Edit(_Picture, kw_only=True):
    images: Annotated[list[_Ref], Meta(min_length=1)]
    mask: _Ref | None = None


class _Video(_Asked, kw_only=True):
    prompt: _Text
    seconds: _Text | None = None
    size: str | None = None
    input_reference: _Ref | None = None


class _Speech(_Asked, kw_only=True):
    input: _Text
    voice: _Text | None = None
    instructions: str | None = None
    response_format: str | None = None
    speed: float | None = None
    stream_format: None = None


class _Rerank(_Asked, kw_only=True):
    query: _Text
    documents: _Texts
    top_n: Annotated[int, Meta(ge=0)] | None = None


class _Score(_Asked, kw_only=True):
    text_1: _Text | _Texts
    text_2: _Text | _Texts


class _Messages(_Asked, kw_only=True):
    messages: Annotated[list[_Object], Meta(min_length=1)]
    max_tokens: _Count = None
    system: str | None = None


def _decoder(body: type[_Asked]) -> Callable[[bytes], Struct]:
    fields = [("custom_id", str), ("method", str), ("url", str), ("body", body)]
    return msgspec.json.Decoder(msgspec.defstruct(f"Line{body.__name__}", fields, gc=False)).decode


TYPED: Mapping[str, Callable[[bytes], Struct]] = {
    IMAGES: _decoder(_Picture),
    IMAGE_EDITS: _decoder(_Edit),
    VIDEOS: _decoder(_Video),
    SPEECH: _decoder(_Speech),
    RERANK: _decoder(_Rerank),
    SCORE: _decoder(_Score),
    MESSAGES: _decoder(_Messages),
}


# Key by key


def endpoint_flaw(body: dict[str, Raw], endpoint: str) -> Flaw | None:
    """The first thing that is wrong with a body for one of the endpoints in TYPED."""
    if endpoint == SCORE:
        return _score_flaw(body)
    for names in NEEDED[endpoint]:
        if all(name not in body or is_null(body[name]) for name in names):
            return missing(names[0])
    for name, check in KNOWN[endpoint].items():
        if name in body and not is_null(body[name]) and (flaw := check(body[name], name)) is not None:
            return flaw
    return None


def _must(place: str, what: str) -> Flaw:
    return Flaw(f"body.{place}", f"The value of '{place}' must be {what}.")


def _begins(value: Raw) -> bytes:
    return bytes(memoryview(value)[:1])


def _text(value: Raw, place: str) -> Flaw | None:
    return None if _begins(value) == b'"' else _must(place, "a string")


def _filled(value: Raw, place: str) -> Flaw | None:
    return None if text_of(value) else _must(place, "a string that is not empty")


def _whole(least: int) -> Check:
    def check(value: Raw, place: str) -> Flaw | None:
        try:
            number = msgspec.json.decode(value, type=int)
        except msgspec.ValidationError:
            return _must(place, "an integer")
        return None if number >= least else _must(place, f"at least {least}")

    return check


def _number(value: Raw, place: str) -> Flaw | None:
    return None if _begins(value) in b"-0123456789" else _must(place, "a number")


def _something(what: str) -> Check:
    """A string, an array or an object with something in it."""

    def check(value: Raw, place: str) -> Flaw | None:
        return None if text_of(value) or items_of(value) or fields_of(value) else _must(place, what)

    return check


def _text_or_object(value: Raw, place: str) -> Flaw | None:
    return None if text_of(value) or fields_of(value) else _must(place, "a string or an object that is not empty")


def _text_or_array(value: Raw, place: str) -> Flaw | None:
    return None if text_of(value) is not None or items_of(value) is not None else _must(place, "a string or an array")


def _messages(value: Raw, place: str) -> Flaw | None:
    return None if items_of(value) else _must(place, "an array with at least one message")


def _seconds(value: Raw, place: str) -> Flaw | None:
    return (
        None if text_of(value) or _begins(value) in b"0123456789" else _must(place, "a number of seconds, as a string")
    )


def _ref(value: Raw, place: str) -> Flaw | None:
    """How a picture is named: `image_url` or `file_id`, and not both."""
    fields = fields_of(value)
    if fields is None:
        return _must(place, "an object with an 'image_url' or a 'file_id': a batch has no files beside its lines")
    named = [name for name in ("image_url", "file_id") if name in fields and not is_null(fields[name])]
    if len(named) != 1:
        return _must(place, "an object with either an 'image_url' or a 'file_id'")
    here = f"{place}.{named[0]}"
    text = text_of(fields[named[0]])
    if not text:
        return _must(here, "a string that is not empty")
    if named[0] == "image_url" and not text.lower().startswith(ADDRESSES):
        return _must(here, f"an address (https://...) or a data URL (data:image/png;base64,...), not {shown(text)}")
    return None


def _refs(value: Raw, place: str) -> Flaw | None:
    items = items_of(value)
    if not items:
        return _must(place, "an array with at least one image")
    return next(
        (flaw for index, item in enumerate(items) if (flaw := _ref(item, f"{place}[{index}]")) is not None), None
    )


def _audio(value: Raw, place: str) -> Flaw | None:
    if text_of(value) == AUDIO:
        return None
    return Flaw(f"body.{place}", f"Streaming is not supported in a batch; remove '{place}' or set it to '{AUDIO}'.")


def _score_flaw(body: dict[str, Raw]) -> Flaw | None:
    """Both sides of a score have to be there, under names that belong together."""
    there = {name for name, value in body.items() if not is_null(value)}
    pair = next((pair for pair in PAIRS if there.issuperset(pair)), None)
    if pair is None:
        half = next((pair for pair in PAIRS if there.intersection(pair)), PAIRS[0])
        return missing(next(name for name in half if name not in there))
    return next((flaw for name in pair if (flaw := FILLED(body[name], name)) is not None), None)


FILLED = _something("a string or an array that is not empty")
_PICTURE: dict[str, Check] = {
    "prompt": _filled,
    "n": _whole(1),
    "size": _text,
    "quality": _text,
    "output_format": _text,
    "response_format": _text,
}
# Of the names in each, one has to be there.
NEEDED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    IMAGES: (("prompt",),),
    IMAGE_EDITS: (("prompt",), PICTURES),
    VIDEOS: (("prompt",),),
    SPEECH: (("input",),),
    RERANK: (("query",), ("documents",)),
    MESSAGES: (("messages",),),
}
KNOWN: Mapping[str, Mapping[str, Check]] = {
    IMAGES: _PICTURE,
    IMAGE_EDITS: {**_PICTURE, "images": _refs, "mask": _ref},
    VIDEOS: {"prompt": _filled, "seconds": _seconds, "size": _text, "input_reference": _ref},
    SPEECH: {
        "input": _filled,
        "voice": _text_or_object,
        "instructions": _text,
        "response_format": _text,
        "speed": _number,
        "stream_format": _audio,
    },
    RERANK: {"query": _text_or_object, "documents": FILLED, "top_n": _whole(0)},
    MESSAGES: {"messages": _messages, "max_tokens": _whole(1), "system": _text_or_array},
}
