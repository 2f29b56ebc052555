"""What the HTTP client reads out of an answer beyond its status: when to come again, and a body that came compressed.

Pure functions over bytes that a stranger wrote: whatever they hold, the result is a value in range, None, or
BackendReplyBroken.
"""

import email.utils
import re
import zlib
from collections.abc import Mapping
from datetime import UTC

from slackwater.core.errors import BackendReplyBroken

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
WINDOWS = {b"gzip": (GZIP,), b"x-gzip": (GZIP,), b"deflate": (ZLIB, BARE)}


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


def too_large(bytes_max: int, *, when: str = "") -> BackendReplyBroken:
    """An answer over the limit. Another call would bring another one: an operator has to allow it."""
    text = f"the answer is larger than {bytes_max} bytes{when}, which is the limit of `answer_bytes` in `[worker]`"
    return BackendReplyBroken(text, final=True)


def decoded(body: bytes, encoding: bytes, *, bytes_max: int) -> bytes:
    """The plain body of a server that compresses although it was asked not to, at most `bytes_max` bytes of it.

    Raises BackendReplyBroken for other encodings, damage, and more bytes than that. A second gzip member counts as
    damage: no server sends one, and endless tiny members are a way to keep a reader busy.
    """
    encoding = encoding.strip().lower()
    if encoding in (b"", b"identity") or not body:
        return body
    name = encoding.decode("latin-1")
    if encoding not in WINDOWS:
        raise BackendReplyBroken(f"the answer has an encoding that was not asked for: {name[:40]!r}")
    for window in WINDOWS[encoding]:
        decompressor = zlib.decompressobj(window)
        try:
            plain = decompressor.decompress(body, bytes_max + 1)
        except zlib.error:
            continue
        if len(plain) > bytes_max:
            raise too_large(bytes_max, when=" when decompressed")
        if decompressor.eof and not decompressor.unused_data:
            return plain
    raise BackendReplyBroken(f"the answer says it is {name}, and is not, or not all of it")
