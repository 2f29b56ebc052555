"""What the first bytes of an input file already say, before anything is validated: which deployment, about how many tokens.

Azure does the same (spec 3.1): the header `deployment-enqueued-tokens` is an approximation from the number of characters,
and a batch that finds no room is refused at once. Whatever cannot be said for sure is None, and left to validation.
"""

import msgspec
from msgspec import Struct

from slackwater.core.input.tokens import characters_as_tokens
from slackwater.core.input.validation import is_blank

HEAD_BYTES = 64 << 10


class Peek(Struct, frozen=True):
    """A first look at an input file."""

    deployment: str | None = None
    tokens: int | None = None


class _Body(Struct):
    model: str


class _Line(Struct):
    body: _Body


class _Url(Struct):
    url: str


_decode = msgspec.json.Decoder(_Line).decode
_decode_url = msgspec.json.Decoder(_Url).decode


def peek(head: bytes, *, size: int) -> Peek:
    """Looks at the first bytes of a file of `size` bytes. Only lines that lie in them as a whole count."""
    lines = _whole_lines(head, size)
    try:
        deployment = _decode(lines[0]).body.model
        # Images vary too much in size for a few lines to speak for the rest.
        if b";base64," in head:
            return Peek(deployment)
        tokens = sum(characters_as_tokens(line) for line in lines)
    except (IndexError, KeyError, TypeError, RecursionError, UnicodeDecodeError, msgspec.MsgspecError):
        return Peek()
    return Peek(deployment, max(1, tokens * size // sum(len(line) + 1 for line in lines)))


def first_url(head: bytes, *, size: int) -> str | None:
    """The `url` of the first request, where that lies in the first bytes as a whole."""
    try:
        return _decode_url(_whole_lines(head, size)[0]).url
    except (IndexError, RecursionError, UnicodeDecodeError, msgspec.MsgspecError):
        return None


def first_line_is_json(head: bytes, *, size: int) -> bool:
    """Whether the first line with something in it is JSON; also true where it is too long to be seen whole.

    An empty file has no such line. OpenAI looks so far when a file is uploaded (spec 2.1).
    """
    lines = _whole_lines(head, size)
    if not lines:
        return size > len(head)
    try:
        msgspec.json.decode(lines[0], type=msgspec.Raw)
        str(lines[0], "utf-8")
    except (RecursionError, UnicodeDecodeError, msgspec.MsgspecError):
        return False
    return True


def _whole_lines(head: bytes, size: int) -> list[bytes]:
    end = size if size <= len(head) else head.rfind(b"\n") + 1
    return [line for line in head[:end].split(b"\n") if not is_blank(line)]
