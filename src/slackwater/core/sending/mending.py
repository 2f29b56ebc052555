"""An answer that is nearly JSON, made valid: it was paid for. Whether it is an answer then, answers.py says.

Takes time in proportion to the body, whatever a stranger put into it.
"""

import codecs
import re

# How far the first brace is looked for.
BLANK_BYTES = 2048
# Bytes that are decoded at once, so that a large body is not held as text a second time.
PIECE_BYTES = 1 << 20
BYTE_ORDER_MARK = codecs.BOM_UTF8
REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()
# Halves of a surrogate pair, each written as if it were a character (CESU-8): never right in UTF-8.
HALVES = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]|\xed[\xa0-\xbf][\x80-\xbf]")
# The same, escaped: a pair or one half.
ESCAPED_HALVES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
# Places that are mended in one answer. Each costs a microsecond or less, and everybody waits meanwhile; what has more of
# them (but for numbers side by side, which are one) is hardly worth reading.
MENDED_MAX = 250_000
PAIR_BYTES = len(rb"\ud83d\ude00")
WORD = re.compile(rb"NaN|-?Infinity")


class TooBroken(Exception):
    """There are more faults than are mended."""


def mended(body: bytes) -> bytes:
    """The body with what engines are known to get wrong put right, where it begins like an object.

    A byte order mark goes, bytes that are not UTF-8 and halves of emoji become U+FFFD, NaN and Infinity null. Whether it is
    JSON then is for others to see. Raises TooBroken.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    if not body[:BLANK_BYTES].lstrip().startswith(b"{"):
        return body
    if not body.isascii():
        body = _unicode(body)
    return _whole_pairs(_without_words(body))


def _unicode(body: bytes) -> bytes:
    try:
        str(body, "utf-8")
    except UnicodeDecodeError:
        pass
    else:
        return body
    if HALVES.search(body):
        joined, done = bytearray(), 0
        for count, found in enumerate(HALVES.finditer(body)):
            _bound(count)
            joined += body[done : found.start()]
            joined += _joined(found[0])
            done = found.end()
        joined += body[done:]
        body = bytes(joined)
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    text, count = bytearray(), 0
    for begin in range(0, len(body), PIECE_BYTES):
        piece = decode(body[begin : begin + PIECE_BYTES], begin + PIECE_BYTES >= len(body)).encode()
        count += piece.count(REPLACEMENT)
        _bound(count)
        text += piece
    return bytes(text)


def _bound(count: int) -> None:
    if count > MENDED_MAX:
        raise TooBroken


def _joined(halves: bytes) -> bytes:
    """Two halves make the character that was meant; one is lost."""
    if len(halves) == 3:
        return REPLACEMENT
    return halves.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass").decode("utf-16-le").encode()


def _escaped(body: bytes, begin: int, at: int) -> bool:
    """Whether the byte at `at` is escaped by the backslashes before it, of which the first is not before `begin`."""
    before = body[begin:at]
    return bool((len(before) - len(before.rstrip(b"\\"))) & 1)


def _without_words(body: bytes) -> bytes:
    """NaN and Infinity become null outside strings. Goes from string to string only where there is such a word."""
    found = WORD.search(body)
    if found is None:
        return body
    result = bytearray()
    # `done` is never inside a string; everything before it is in the result.
    done = count = 0
    while found is not None:
        _bound(count := count + 1)
        at = found.start()
        if _quotes(body, done, at) & 1:
            # A word of a text. The string ends at the next quote that is not escaped.
            begin, end = at, body.find(b'"', at)
            while end >= 0 and _escaped(body, begin, end):
                _bound(count := count + 1)
                begin, end = end + 1, body.find(b'"', end + 1)
            if end < 0:
                break
            end += 1
            result += body[done:end]
        else:
            # Up to the next string, every such word is one.
            end = body.find(b'"', at)
            end = len(body) if end < 0 else end
            result += body[done:at]
            result += body[at:end].replace(b"-Infinity", b"null").replace(b"Infinity", b"null").replace(b"NaN", b"null")
        done = end
        found = WORD.search(body, done)
    result += body[done:]
    return bytes(result)


def _quotes(body: bytes, begin: int, end: int) -> int:
    """How many quotes there are that begin or end a string."""
    if body.find(b"\\", begin, end) < 0:
        return body.count(b'"', begin, end)
    # Without pairs of backslashes, whatever is left escapes what follows it.
    return body[begin:end].replace(b"\\\\", b"").replace(b'\\"', b"").count(b'"')


def _whole_pairs(body: bytes) -> bytes:
    """Escapes of half a surrogate pair become U+FFFD."""
    found = ESCAPED_HALVES.search(body)
    if found is None:
        return body
    result = bytearray()
    done = begin = count = 0
    while found is not None:
        _bound(count := count + 1)
        at, end = found.span()
        if _escaped(body, begin, at):
            # A backslash of a text, and the letter u.
            begin = at + 1
        else:
            if end - at < PAIR_BYTES:
                result += body[done:at]
                result += rb"\ufffd"
                done = end
            begin = end
        found = ESCAPED_HALVES.search(body, begin)
    result += body[done:]
    return bytes(result)
