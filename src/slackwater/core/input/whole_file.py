"""Mistakes that a file makes as a whole: it is no JSON Lines at all, and its first line says what it is instead.

One sentence about the file is worth more than a hundred about its lines, which are all wrong for that one reason.
"""

import re

import msgspec

BOM = b"\xef\xbb\xbf"
# How much of a line is looked at.
HEAD_BYTES = 4 << 10
_COMPRESSED = (
    (b"\x1f\x8b", "gzip", "gunzip FILE"),
    (b"PK\x03\x04", "zip", "unzip FILE"),
    (b"\x28\xb5\x2f\xfd", "Zstandard", "zstd -d FILE"),
    (b"BZh", "bzip2", "bunzip2 FILE"),
    (b"\xfd7zXZ\x00", "xz", "unxz FILE"),
)
_CELL = r'(?:"[^"]*"|[\w .:/-]*)'
_CSV = re.compile(rf"{_CELL}(?:([,;\t]){_CELL})(?:\1{_CELL})*")
# Looks at a line of any length and keeps nothing of it.
_decode = msgspec.json.Decoder(msgspec.Raw).decode
_ENCODINGS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
ARRAY = "The file is one JSON array. JSON Lines has an object on each line and nothing around them: jq -c '.[]' FILE"


def whole_file_mistake(first: bytes) -> str | None:
    """What a file is instead of JSON Lines, and what to do; None where it may be that.

    `first` is its first line with something in it, which is wrong. An array that ends on it is one only where no line follows:
    that is ARRAY, too.
    """
    head = first[:HEAD_BYTES]
    for mark, name, command in _COMPRESSED:
        if head.startswith(mark):
            return f"The file is compressed with {name}. Unpack it first: {command}"
    if head.startswith(b"PAR1"):
        return "The file is a Parquet file. Write a line of JSON for each request instead."
    for mark, name in _ENCODINGS:
        if head.startswith(mark):
            return f"The file is in {name}. Save it as UTF-8, or: iconv -f {name} -t UTF-8 FILE"
    if b"\x00" in head[:4] and head.replace(b"\x00", b"").lstrip()[:1] in (b"{", b"["):
        return "The file is in UTF-16, without a byte order mark. Save it as UTF-8, or: iconv -f UTF-16LE -t UTF-8 FILE"
    text = head.removeprefix(BOM).decode("utf-8", "replace").strip()
    if text.startswith("<"):
        return "The file is HTML or XML, such as a page that was saved instead of a file. Write a line of JSON for each request."
    if text == "{" or (text.startswith("{") and _goes_on(text, first)):
        return "The file is pretty-printed: a request lies on several lines. Write each on one line, or: jq -c . FILE"
    if text.startswith("[") and not is_array(first):
        return ARRAY
    if not text.startswith(("{", "[")) and _CSV.fullmatch(text):
        return "The file is CSV, or something like it. Write a line of JSON for each request: custom_id, method, url, body."
    return None


def speaks_of_the_file(message: str) -> bool:
    """Whether this is what is said of a file that is wrong as a whole."""
    return message.startswith("The file is ")


def is_array(line: bytes) -> bool:
    """Whether a line is a whole JSON array."""
    return line.removeprefix(BOM).lstrip()[:1] == b"[" and _is_json(line)


def _goes_on(text: str, first: bytes) -> bool:
    """Whether a line is the first of an object that is printed over several: it ends where a value or a member may follow."""
    end = first.rstrip()[-1:]
    if end not in (b"{", b"[", b",", b":"):
        return False
    if end != b",":
        return True
    # A whole object with a comma behind it is a line of its own.
    return not _is_json(first.rstrip()[:-1])


def _is_json(line: bytes) -> bool:
    try:
        _decode(line.removeprefix(BOM))
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True
