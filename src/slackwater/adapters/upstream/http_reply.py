"""What the HTTP client reads out of an answer beyond its status: when to come again, and a body that came compressed.

Pure functions over bytes that a stranger wrote: whatever they hold, the result is a value in range, None, or
BackendReplyBroken.
"""

import email.utils
import re
import zlib
from collections.abc import Mapping
from datetime import UTC

from msgspec import Struct

from slackwater.core.errors import BackendReplyBroken
from slackwater.core.sending.budget import Held, Share
from slackwater.core.sending.rate_limit_headers import Reading

# An hour: who asks for more is asked again after that, because a pause should not outlive whatever caused it by much.
RETRY_AFTER_MAX_SECONDS = 3600.0

# float() would also read `inf`, `nan`, `1_0` and Unicode digits.
NUMBER = re.compile(rb"\d{1,15}(\.\d{1,15})?")
# The longest HTTP-date has 33 characters; the parser of the standard library was made for letters, not for hostile input.
DATE_BYTES_MAX = 40

# Window sizes of zlib: 15 is the largest, +16 reads the gzip wrapping, a negative one reads no wrapping at all.
GZIP = zlib.MAX_WBITS + 16
ZLIB = zlib.MAX_WBITS
BARE = -zlib.MAX_WBITS
# What a step of unpacking takes in and brings out at most, more or less: some milliseconds of work.
STEP_IN_BYTES = 1 << 16
STEP_OUT_BYTES = 1 << 18
WHEN_UNPACKED = " when decompressed"
WINDOWS = {b"gzip": (GZIP,), b"x-gzip": (GZIP,), b"deflate": (ZLIB, BARE)}


class ReplyTooLarge(BackendReplyBroken):
    """An answer over the limit. Another call would bring another one: an operator has to allow it."""

    def __init__(self, bytes_max: int, *, when: str = "") -> None:
        text = f"the answer is larger than {bytes_max} bytes{when}, which is the limit of `answer_bytes` in `[worker]`"
        super().__init__(text, final=True)


class Packed(Struct):
    """An answer that is whole and compressed, and too large to be unpacked on the way."""

    status: int
    unpacker: "Unpacker"
    retry_after: float | None
    content_type: str | None
    location: str | None
    share: Share | None
    held: Held | None
    limits: tuple[Reading, ...] = ()


def retry_after_seconds(headers: Mapping[bytes, bytes], *, now: float) -> float | None:
    """Seconds from 0 to an hour, or None where nothing readable was said. `now` is the wall clock in seconds since 1970.

    `retry-after-ms` wins over `retry-after`, as in the OpenAI clients; the latter may be seconds or an HTTP-date.
    """
    milliseconds = headers.get(b"retry-after-ms")
    if milliseconds is not None and NUMBER.fullmatch(milliseconds.strip()):
        return min(float(milliseconds) / 1000, RETRY_AFTER_MAX_SECONDS)
    value = headers.get(b"retry-after", b"").strip()
    if NUMBER.fullmatch(value):
        return min(float(value), RETRY_AFTER_MAX_SECONDS)
    if not value[:1].isalpha() or len(value) > DATE_BYTES_MAX:
        return None
    try:
        moment = email.utils.parsedate_to_datetime(value.decode("ascii"))
        # An HTTP-date is in GMT even where it does not say so.
        until = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(until, 0.0), RETRY_AFTER_MAX_SECONDS)


def decoded(body: bytes | bytearray, encoding: bytes, *, bytes_max: int) -> bytes:
    """The plain body of a server that compresses although it was asked not to, at most `bytes_max` bytes of it.

    Raises ReplyTooLarge for more bytes than that, BackendReplyBroken for other encodings and damage. A second gzip
    member counts as damage: no server sends one, and endless tiny members are a way to keep a reader busy.
    """
    encoding = encoding.strip().lower()
    if encoding in (b"", b"identity") or not body:
        return bytes(body)
    name = encoding.decode("latin-1")
    if encoding not in WINDOWS:
        raise BackendReplyBroken(_unknown(encoding))
    for window in WINDOWS[encoding]:
        decompressor = zlib.decompressobj(window)
        try:
            plain = decompressor.decompress(body, bytes_max + 1)
        except zlib.error:
            continue
        if len(plain) > bytes_max:
            raise ReplyTooLarge(bytes_max, when=WHEN_UNPACKED)
        if decompressor.eof and not decompressor.unused_data:
            return plain
    raise BackendReplyBroken(_damaged(name))


class Unpacker:
    """Unpacks a large body step by step, and lets go of what it has read. `plain` is what has come out so far."""

    def __init__(self, body: bytes | bytearray, encoding: bytes, *, bytes_max: int) -> None:
        """A bytearray is used up. Raises BackendReplyBroken for an encoding that nobody asked for."""
        self._left = body if isinstance(body, bytearray) else bytearray(body)
        self._encoding = encoding.strip().lower()
        self._bytes_max = bytes_max
        self._tail = b""
        self.plain = bytearray()
        if self._encoding not in WINDOWS:
            raise BackendReplyBroken(_unknown(self._encoding))
        window, *others = WINDOWS[self._encoding]
        if others:
            try:
                zlib.decompressobj(window).decompress(self._left[:64], 64)
            except zlib.error:
                # Two ways are in use to understand `deflate`; the first bytes tell them apart.
                window = others[0]
        self._decompressor = zlib.decompressobj(window)

    @property
    def left(self) -> int:
        """Bytes that are still to be read."""
        return len(self._left) + len(self._tail)

    def step(self) -> bool:
        """Unpacks some more; whether that was all. Runs for some milliseconds, mostly without the interpreter.

        Raises what `decoded` raises, as soon as it is seen.
        """
        decompressor, until = self._decompressor, len(self.plain) + STEP_OUT_BYTES
        while len(self.plain) < until:
            piece = self._tail
            if not piece:
                piece = bytes(self._left[:STEP_IN_BYTES])
                del self._left[:STEP_IN_BYTES]
            if not piece:
                raise BackendReplyBroken(_damaged(self._encoding.decode("latin-1")))
            try:
                self.plain += decompressor.decompress(piece, STEP_OUT_BYTES)
            except zlib.error as error:
                raise BackendReplyBroken(_damaged(self._encoding.decode("latin-1"))) from error
            self._tail = decompressor.unconsumed_tail
            if len(self.plain) > self._bytes_max:
                raise ReplyTooLarge(self._bytes_max, when=WHEN_UNPACKED)
            if decompressor.eof:
                if decompressor.unused_data or self._left:
                    raise BackendReplyBroken(_damaged(self._encoding.decode("latin-1")))
                return True
        return False


def _unknown(encoding: bytes) -> str:
    return f"the answer has an encoding that was not asked for: {encoding.decode('latin-1')[:40]!r}"


def _damaged(name: str) -> str:
    return f"the answer says it is {name}, and is not, or not all of it"
