"""What to make of the body of an upstream answer: an answer, an error that came with status 200, or nothing of use.

Before: the HTTP client. After: the judgement of the call. An answer was paid for, so what is nearly right is kept and made
valid; what is right keeps its bytes, but for line breaks between JSON tokens. The usual ones are read here, as quickly as can
be; all others go to closer_look.py.
"""

from collections.abc import Callable

import msgspec
from msgspec import Raw, Struct, field

from slackwater.core.sending.answer_kinds import (
    EMBEDDINGS,
    IMAGE_EDITS,
    IMAGES,
    MESSAGES,
    MODERATIONS,
    RERANK,
    RESPONSES,
    SCORE,
    SPEECH,
    UNSUCCESSFUL,
    VIDEOS,
    WITH_CHOICES,
    Answer,
    ErrorInside,
    Unreadable,
)
from slackwater.core.sending.closer_look import look_closer
from slackwater.core.sending.lines import Billed, UsageSaid, one_line, usage_in, usage_of

# An object with anything in it is longer than this, if it is no more than a flag.
EMPTY_BYTES = 16

_NOTHING = Raw(b"")


class _Choice(Struct, gc=False):
    finish_reason: str | None = None
    error: Raw = _NOTHING


class _Completion(Struct, gc=False):
    """What is read of an answer with choices; in the order of the engines, which is the fastest to read."""

    model: str | None = None
    choices: list[_Choice] | None = None
    usage: UsageSaid | None = None
    error: Raw = _NOTHING


class _Other(Struct, gc=False):
    """What is read of every other answer."""

    object: str | None = None
    status: str | None = None
    error: Raw = _NOTHING
    model: str | None = None
    usage: UsageSaid | None = None


class _Data(_Other):
    """Of embeddings, images and scores."""

    answer: list[Raw] | None = field(name="data", default=None)


class _Response(_Other):
    answer: list[Raw] | None = field(name="output", default=None)


class _Results(_Other):
    """Of moderations and rerank."""

    answer: list[Raw] | None = field(name="results", default=None)
    meta: Billed | None = None


class _Message(_Other):
    answer: list[Raw] | None = field(name="content", default=None)


class _Video(_Other):
    answer: str | None = field(name="id", default=None)


class _Spoken(_Other):
    """Of engines that have speech in JSON."""

    answer: str | None = field(name="audio", default=None)


_completion = msgspec.json.Decoder(_Completion).decode
_other = msgspec.json.Decoder(_Other).decode
_of_data, _of_results = msgspec.json.Decoder(_Data).decode, msgspec.json.Decoder(_Results).decode
_known: dict[str, Callable[[bytes], _Data | _Response | _Results | _Message | _Video | _Spoken]] = {
    EMBEDDINGS: _of_data,
    RESPONSES: msgspec.json.Decoder(_Response).decode,
    MODERATIONS: _of_results,
    IMAGES: _of_data,
    IMAGE_EDITS: _of_data,
    VIDEOS: msgspec.json.Decoder(_Video).decode,
    MESSAGES: msgspec.json.Decoder(_Message).decode,
    RERANK: _of_results,
    SCORE: _of_data,
    SPEECH: msgspec.json.Decoder(_Spoken).decode,
}


def read_answer(body: bytes, *, path: str) -> Answer | ErrorInside | Unreadable:
    """What a body of status 2xx is. `path` is the endpoint's, such as /chat/completions.

    On a path that nobody knows any object is an answer that has something in it: a team may run another kind of endpoint.
    """
    try:
        if not body.isascii():
            str(body, "utf-8")
        if path in WITH_CHOICES:
            said = _completion(body)
            if not said.choices:
                return look_closer(body, path)
            choice = said.choices[0]
            if choice.error is not _NOTHING or choice.finish_reason == "error":
                return look_closer(body, path)
            error, usage, model = said.error, said.usage, said.model
        else:
            other: _Other
            if (decode := _known.get(path)) is not None:
                other = known = decode(body)
                if not known.answer:
                    return look_closer(body, path)
            else:
                other = _other(body)
                if len(body) <= EMPTY_BYTES:
                    return look_closer(body, path)
            if other.object == "error" or other.status in UNSUCCESSFUL:
                return look_closer(body, path)
            error, usage, model = other.error, other.usage, other.model
            if usage is None and isinstance(other, _Results):
                usage = usage_in(other.meta)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        # It is not JSON, or no object; or something in it has another type than usual.
        return look_closer(body, path)
    if error is not _NOTHING and bytes(error) != b"null":
        return look_closer(body, path)
    return Answer(None if usage is None else usage_of(usage), model, one_line(body))
