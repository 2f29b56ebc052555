"""Whether the head of a request may come in: its size, its lines, and what it says of the body that follows.

The parser is strict about the form of each line; what is decided here is what lines mean together. Two servers in a row that
read one body differently let somebody put a request into another's connection, so everything that could be read in two ways
is refused (RFC 9112, sections 3.2 and 6).
"""

import functools
import ipaddress
import re
from collections.abc import Sequence
from enum import Enum

from msgspec import Struct


class Refusal(Enum):
    """Why a connection is answered by the front door itself, or closed by it. The names are in the metrics."""

    HEAD_TOO_LARGE = "head_too_large"
    URL_TOO_LONG = "url_too_long"
    MALFORMED = "malformed"
    NO_HOST = "no_host"
    FRAMING = "framing"
    """Chunks with too much around them, or trailers without an end."""
    HEAD_SLOW = "head_slow"
    BODY_SLOW = "body_slow"
    READER_SLOW = "reader_slow"
    IDLE = "idle"
    EVICTED = "evicted"
    FULL = "full"


ANSWERS: dict[Refusal, tuple[int, str]] = {
    Refusal.HEAD_TOO_LARGE: (431, "The request's header lines are too large, or too many."),
    Refusal.URL_TOO_LONG: (414, "The request's URL is too long."),
    Refusal.MALFORMED: (400, "This is not a valid HTTP/1.1 request."),
    Refusal.NO_HOST: (400, "A request needs one Host header, with a name or an address."),
    Refusal.FRAMING: (400, "The chunks of the body have too much around them."),
    Refusal.HEAD_SLOW: (408, "The request's header lines did not come in time."),
    Refusal.BODY_SLOW: (408, "The request's body did not come in time."),
    Refusal.FULL: (503, "There are too many connections. Try again in a moment."),
}
"""Status and message, for what is answered. All others are closed without a word: nobody waits for one."""


EMPTY_LINES = re.compile(rb"(?:\r\n)+")


class HeadLimits(Struct, frozen=True, kw_only=True):
    """How large a head may be."""

    head_bytes: int = 16 << 10
    """Request line and header lines. The lines around the pieces of one chunked body, its trailers among them, may have as
    much, and a little for each chunk."""
    headers: int = 100
    """Header lines."""


def empty_lines(data: bytes) -> int:
    """How many bytes of empty lines there are before a request. They are read over (RFC 9112, section 2.2)."""
    match = EMPTY_LINES.match(data)
    return 0 if match is None else match.end()


def unfinished_fault(head: bytes, limits: HeadLimits) -> Refusal | None:
    """What is wrong with a head whose end has not come yet, if that can be told already."""
    if len(head) > limits.head_bytes:
        return Refusal.HEAD_TOO_LARGE if b"\n" in head else Refusal.URL_TOO_LONG
    # Somebody who speaks TLS is told at once, and not when the time is over. A lonely CR may be half of an empty line.
    if not _begins(head) and head != b"\r":
        return Refusal.MALFORMED
    # These would end a head for a lenient reader; a strict one would wait.
    return Refusal.MALFORMED if b"\n\n" in head or b"\n\r\n" in head else None


def whole_fault(head: bytes, limits: HeadLimits) -> Refusal | None:
    """What is wrong with a whole head, the empty line at its end included, before the parser looks at its lines."""
    if len(head) > limits.head_bytes:
        long_line = head.find(b"\n") > limits.head_bytes
        return Refusal.URL_TOO_LONG if long_line else Refusal.HEAD_TOO_LARGE
    # The request line and the empty one are lines, too.
    if head.count(b"\n") > limits.headers + 2:
        return Refusal.HEAD_TOO_LARGE
    # The parser takes a CR before the method, and more than one space between it, URL and version; not everybody does.
    return None if _begins(head) and head.count(b" ", 0, head.index(b"\r\n")) == 2 else Refusal.MALFORMED


def _begins(head: bytes) -> bool:
    """Whether there is a method, or the beginning of one: those that there are have upper-case letters only."""
    return b"A" <= head[:1] <= b"Z"


# A name, an IPv4 or an IPv6 address, and a port (RFC 3986, section 3.2.2).
HOST = re.compile(rb"(?:\[([0-9A-Fa-f:.]{2,45})\]|[A-Za-z0-9._~%!$&'()*+,;=-]*)(?::[0-9]{0,5})?")


@functools.lru_cache(maxsize=64)
def is_host(value: bytes) -> bool:
    """Whether a Host header has the form of one."""
    match = HOST.fullmatch(value)
    if match is None:
        return False
    if match[1] is not None:
        try:
            ipaddress.IPv6Address(match[1].decode())
        except ValueError:
            return False
    return True


def meaning_fault(*, version: str, hosts: Sequence[bytes], transfer_encodings: Sequence[bytes]) -> Refusal | None:
    """What is wrong with lines that are well formed each. Lengths that contradict each other the parser finds itself."""
    if version not in ("1.1", "1.0"):
        return Refusal.MALFORMED
    if len(hosts) > 1 or (not hosts and version == "1.1") or not all(map(is_host, hosts)):
        return Refusal.NO_HOST
    # Nothing but chunks can be read here, and HTTP/1.0 does not have them: who sends them there means something else.
    if transfer_encodings and (
        version == "1.0" or len(transfer_encodings) > 1 or transfer_encodings[0].lower() != b"chunked"
    ):
        return Refusal.MALFORMED
    return None


# Around a chunk: its size in hexadecimal digits and two line ends, with room for a signature as some clouds send it.
AROUND_A_CHUNK = 32


def framing_fault(*, around: int, chunks: int, limits: HeadLimits) -> Refusal | None:
    """Whether a chunked body has too many bytes that are no body: extensions of chunks, and trailers."""
    return Refusal.FRAMING if around > limits.head_bytes + AROUND_A_CHUNK * chunks else None
