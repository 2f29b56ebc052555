"""Unicode's normal form NFKC, in a time that grows with the text and not with its square.

To bring marks into their order takes the square of the length of a run of them. Nobody writes thirty; somebody who wants to hold
up a service writes a hundred thousand. Unicode's stream-safe form (UAX #15, section 13) breaks such runs with a U+034F after
each thirty, which is what is done here.
"""

import functools
import re
import unicodedata

MARKS_MAX = 30
BREAK = "\u034f"
# All marks are below; above are pictures, letters of China, and tags.
LAST_MARK = 0x1EFFF


@functools.cache
def _long_run() -> re.Pattern[str]:
    """More marks on end than there may be; also of characters that become marks."""
    marks = (
        chr(each)
        for each in range(0x300, LAST_MARK + 1)
        if unicodedata.combining(unicodedata.normalize("NFKD", chr(each))[0])
    )
    return re.compile(f"[{''.join(map(re.escape, marks))}]{{{MARKS_MAX + 1},}}")


def _broken(run: re.Match[str]) -> str:
    marks = run[0]
    return BREAK.join(marks[at : at + MARKS_MAX] for at in range(0, len(marks), MARKS_MAX))


def nfkc(text: str) -> str:
    """The text in NFKC, but for runs of more than thirty marks, which are broken."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", _long_run().sub(_broken, text))
