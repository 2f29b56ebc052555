"""What an upstream says of a refusal, made fit for operators and the log: on one line, short, without what users have written.

Servers repeat a request in their errors: validators quote the value that they dislike, proxies the whole body, some the key. What
looks like that is cut out; and where a message has a part of the request in it, as far as that can be told, none of it is kept.
"""

import json
import re

# A quotation that is longer is somebody's text, and not a name.
QUOTED_MAX = 48
QUOTED = re.compile(
    "|".join(f"{left}[^{right}]{{{QUOTED_MAX + 1},}}{right}?" for left, right in ('""', "''", "``", "“”"))
)
# How validators (pydantic, and what is made with it) show a value.
SHOWN = re.compile(r"(?P<name>\binput(?:_value)?['\"]?\s*[=:]\s*).*", re.S)
# An object or a list inside a sentence is a piece of the request; short ones are places, such as ['body', 'messages', 0].
STRUCTURE = re.compile(rf"[{{\[][^{{}}\[\]]{{{QUOTED_MAX + 1},}}.*", re.S)
SECRET = re.compile(r"\b(?:sk|pk|key)-[\w*.-]{6,}|\b(?:Bearer|Basic)\s+\S+", re.I)
# So many characters of a message that stand in the request are no coincidence.
ECHO_LENGTH = 16
# Of the request, its beginning and its end are compared.
COMPARED_BYTES = 1 << 14
REPEATED = "its message repeats the request and is not shown"
CUT = "…"


def on_one_line(text: str) -> str:
    """The text with spaces in the place of line breaks and of whatever else does not print: what comes into a log is one line."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def plain(text: str, *, length_max: int) -> str:
    """The text on one line, cut, with quotations, values and keys taken out."""
    text = on_one_line(text[: 8 * length_max])
    text = SHOWN.sub(lambda found: found["name"] + CUT, text)
    text = QUOTED.sub(lambda found: found[0][0] + CUT + found[0][0], text)
    text = STRUCTURE.sub(lambda found: found[0][0] + CUT, text)
    text = SECRET.sub(CUT, text)
    return text if len(text) <= length_max else text[: length_max - 1] + CUT


def repeats(text: str, asked: bytes, *, names: tuple[str, ...] = ()) -> bool:
    """Whether a text has a part of a request's body in it. `names` may be in both: the model, the path.

    Windows side by side are enough: whatever is twice as long as one has a whole one in it.
    """
    if len(text) < ECHO_LENGTH or not asked:
        return False
    places = [asked] if len(asked) <= 2 * COMPARED_BYTES else [asked[:COMPARED_BYTES], asked[-COMPARED_BYTES:]]
    for name in names:
        if len(name) >= 4:
            text = text.replace(name, " " * ECHO_LENGTH)
    for start in range(0, len(text) - ECHO_LENGTH + 1, ECHO_LENGTH):
        window = text[start : start + ECHO_LENGTH]
        if window.isspace():
            continue
        forms = _forms(window)
        if any(form in place for form in forms for place in places):
            return True
    return False


def _forms(window: str) -> set[bytes]:
    """The ways in which a request may have these characters."""
    if window.isascii() and '"' not in window and "\\" not in window:
        return {window.encode()}
    return {window.encode(), *(json.dumps(window, ensure_ascii=each)[1:-1].encode() for each in (True, False))}
