"""Answers that are no JSON: what an engine has spoken. A line of results is JSON, so their bytes are kept in base64.

Before: the HTTP client. After: the judgement of the call. A label proves little: engines send errors as audio and audio as text,
so what the bytes are counts first, and what the header says where they do not tell.
"""

import binascii
import re

import msgspec

from slackwater.core.endpoints import SPEECH
from slackwater.core.sending.answer_kinds import Answer, ErrorInside, Unreadable
from slackwater.core.sending.answers import read_answer
from slackwater.core.sending.request import Reply

# The endpoints whose answers are bytes.
BINARY = frozenset({SPEECH})
MEDIA = ("audio/", "video/", "image/", "application/octet-stream", "binary/octet-stream", "application/ogg")
OCTETS = "application/octet-stream"
# How files begin that engines make (mp3 with and without tags, wav, ogg, flac, aac, mp4): place, bytes, type.
BEGINNINGS = (
    (0, b"ID3", "audio/mpeg"),
    (0, b"RIFF", "audio/wav"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
)
# The first two bytes of a frame, as a mask and what it leaves.
FRAMES = ((0xFFF6, 0xFFF0, "audio/aac"), (0xFFE0, 0xFFE0, "audio/mpeg"))
# So much is looked at to see whether it is a text: no sound is one.
TEXT_BYTES_MAX = 64 << 10
# Nothing but what stands in a text, and the beginning of a character that is cut off.
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]*\Z")
# A type for a line of results: of a stranger, so no more than it may be made of (RFC 9110, without parameters that nobody needs).
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,100}/[a-z0-9!#$&^_.+-]{1,100}")
# Divides by three, so that each piece is whole in base64.
PIECE_BYTES = 3 << 18
TAIL = b'"}'


def read_reply(reply: Reply, *, path: str) -> Answer | ErrorInside | Unreadable:
    """What a reply of status 2xx is, whatever its endpoint answers with. `path` is the endpoint's, such as /audio/speech."""
    if path not in BINARY:
        return read_answer(reply.body, path=path)
    kind = media_type(reply.body, reply.content_type)
    if kind is None:
        return read_answer(reply.body, path=path)
    head = head_of(kind, len(reply.body))
    return Answer(None, None, b"".join((head, binascii.b2a_base64(reply.body, newline=False), TAIL)))


def media_type(body: bytes | bytearray, said: str | None) -> str | None:
    """What kind of bytes an answer is, such as `audio/mpeg`; None for what is a text, or nothing. `said` is its header."""
    if not body:
        return None
    begin = bytes(body[:64])
    for place, mark, kind in BEGINNINGS:
        if begin[place:].startswith(mark):
            return _given(said) or kind
    if _is_page(begin) or _is_text(bytes(body[:TEXT_BYTES_MAX])) or (begin.lstrip()[:1] == b"{" and _is_object(body)):
        return None
    if (given := _given(said)) is not None:
        return given
    word = int.from_bytes(begin[:2], "big")
    for mask, left, kind in FRAMES:
        if word & mask == left:
            return kind
    return OCTETS


def head_of(kind: str, size: int) -> bytes:
    """What stands before the base64 of so many bytes in the body of a line; TAIL stands behind it."""
    return b'{"object":"binary","content_type":%b,"bytes":%d,"base64":"' % (msgspec.json.encode(kind), size)


def wrap_in_place(body: bytearray, kind: str, *, piece_bytes: int = PIECE_BYTES) -> None:
    """Makes bytes the body of a line where they lie, from their end on, so that there is no second copy of them."""
    size = len(body)
    head = head_of(kind, size)
    body.extend(bytes(wrapped_size(size, len(head)) - size))
    end = size
    while end:
        start = (end - 1) // piece_bytes * piece_bytes
        piece = binascii.b2a_base64(body[start:end], newline=False)
        at = len(head) + start // 3 * 4
        body[at : at + len(piece)] = piece
        end = start
    body[: len(head)] = head
    body[-len(TAIL) :] = TAIL


def wrapped_size(size: int, head: int) -> int:
    """How many bytes so many become, behind a head of that length."""
    return head + (size + 2) // 3 * 4 + len(TAIL)


def _given(said: str | None) -> str | None:
    """The type that a header names, where that is one of media."""
    kind = (said or "").partition(";")[0].strip().lower()
    return kind if kind.startswith(MEDIA) and _TYPE.fullmatch(kind) else None


def _is_page(begin: bytes) -> bool:
    return begin.lstrip()[:14].lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body"))


def _is_object(body: bytes | bytearray) -> bool:
    """Whether it is JSON with bytes in it that are no UTF-8. Errors are short."""
    if len(body) > TEXT_BYTES_MAX:
        return False
    try:
        msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


def _is_text(piece: bytes) -> bool:
    """Whether the beginning of a body is a text in UTF-8; its last character may be cut."""
    if _TEXT.match(piece) is None:
        return False
    try:
        piece.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(piece) - 3 and error.reason == "unexpected end of data"
    return True
