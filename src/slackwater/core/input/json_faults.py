"""Why a line is no JSON, and where: the place, what stands there, and what to do about it.

Only wrong lines come here, a bounded number of a file, so a slow and careful reading does. Columns are characters from 1.
Nothing is repeated raw that a terminal would obey.
"""

import json
import re

from msgspec import Struct

# A longer line is looked at only around its beginning; what lies further behind is not looked for.
BYTES_MAX = 4 << 20
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
# Strings as a whole, and words outside of them that look like JSON and are none.
_TOKEN = re.compile(
    r'"[^"\\]*(?:\\.[^"\\]*)*"|(?<![\w"])(?:-?Infinity|-?inf|NaN|nan|None|True|False|undefined)(?!\w)', re.DOTALL
)
# Escapes of surrogates: a pair, or one half. An escaped backslash before `u` is none.
_ESCAPE = re.compile(
    r"\\u([dD][89abAB][0-9a-fA-F]{2})(\\u[dD][c-fC-F][0-9a-fA-F]{2})?|\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\."
)
_MEANT = {"None": "null", "undefined": "null", "True": "true", "False": "false"}


class JsonFault(Struct, frozen=True):
    """`start` and `end` are its place in the decoded line, in characters; `what` is a sentence without its stop."""

    start: int
    end: int
    what: str


def json_fault(line: bytes) -> JsonFault | None:
    """The first thing that keeps a line from being JSON in UTF-8; None where nothing does, or it cannot be told."""
    line = line[:BYTES_MAX].rstrip(b"\r\n")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        if error.start + 4 >= BYTES_MAX:
            # Cut by us in the middle of a character.
            return None
        start = len(line[: error.start].decode())
        said = f"the byte 0x{line[error.start]:02X} is no UTF-8; save the file as UTF-8"
        return JsonFault(start, start + 1, said)
    fault = _fault_of_syntax(text)
    end = len(text) if fault is None else fault.start
    return _fault_of_token(text, end) or fault


def _fault_of_syntax(text: str) -> JsonFault | None:
    """Where Python stops reading. It takes NaN and half an emoji, which are no JSON."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        at = min(error.pos, len(text))
        if len(text) >= BYTES_MAX // 4 and at >= len(text):
            return None
        return JsonFault(at, min(at + 1, len(text)), _what_is_at(text, at, error.msg))
    except (RecursionError, ValueError):
        return None
    return None


def _fault_of_token(text: str, end: int) -> JsonFault | None:
    """The first word, or half of an emoji in a string, that is no JSON; None where there is none up to `end`."""
    for found in _TOKEN.finditer(text):
        word = found[0]
        if found.start() > end:
            break
        if not word.startswith('"'):
            if word in _MEANT:
                what = f"{word} is Python's or JavaScript's; JSON has {_MEANT[word]} (json.dumps writes it)"
            else:
                what = f"{word} is no JSON; write null or a number"
            return JsonFault(found.start(), found.end(), what)
        if "\\u" in word and (half := _half(word)) is not None:
            start = found.start() + half[0]
            if start > end:
                break
            what = f"{half[1]} is half an emoji or another half of two escapes: a text was cut in the middle of a character"
            return JsonFault(start, start + len(half[1]), what)
    return None


def _half(string: str) -> tuple[int, str] | None:
    for found in _ESCAPE.finditer(string):
        escape = found[0]
        if len(escape) == len(r"\ud83d") and escape[2] in "dD":
            return found.start(), escape
    return None


def _what_is_at(text: str, at: int, said: str) -> str:
    """What stands at the place where Python stopped, in words."""
    rest = text[at:]
    char = rest[:1]
    if char == BOM:
        return "a byte order mark stands before the line; save the file as UTF-8 without one, and join files without it"
    if said.startswith("Invalid control character"):
        hint = "; write \\t" if char == "\t" else f"; write \\u{ord(char):04x}"
        return f"the control character U+{ord(char):04X} stands raw in a string{hint}"
    if said == "Extra data":
        return _what_follows(rest)
    if said.startswith("Unterminated string") or not rest.strip():
        return "the line ends before its object does: it was cut, or a request lies on several lines; write each on one line"
    if char == "'":
        return "strings are in single quotes, as Python prints them; JSON has double quotes (json.dumps writes them)"
    if char in "\u201c\u201d\u201e\u2018\u2019":
        return 'typographic quotes; JSON has straight ones (")'
    if rest.startswith(("//", "/*", "#")):
        return "a comment; JSON has none"
    if char in "}]" and text[:at].rstrip().endswith(","):
        return f"a comma before {char}; remove it"
    if char == "\\" or said.startswith("Invalid \\"):
        return "a backslash that begins no escape of JSON; write it twice"
    if not char.isprintable():
        return f"the character U+{ord(char):04X} where JSON has none"
    expected = said[0].lower() + said[1:]
    return f"'{char}' where JSON has something else ({expected.removesuffix(' enclosed in double quotes')})"


def _what_follows(rest: str) -> str:
    if rest.strip() == ",":
        return "a comma behind the object; lines of JSON Lines have nothing between them, so remove it"
    if rest.lstrip(", \t").startswith("{"):
        return "a second object on the line; each request needs a line of its own"
    return "something stands behind the object; a line is one JSON object and nothing else"
