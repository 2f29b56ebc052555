"""One result as a row of a table. Of a long line only the beginning is read: it is one of ours, so that much is known of it."""

import re

import msgspec
from msgspec import Struct

from slackwater.core.sending.request import Outcome
from slackwater.core.watching.result_entries import Code
from slackwater.core.watching.result_lines import ResultLine, read_result_line
from slackwater.core.watching.text_search import Excerpt

LINE_MAX = 32 << 10
"""Longer lines are not read as a whole for a row, in bytes."""
HEAD = re.compile(r'{"id":"[^"]*","custom_id":("(?:[^"\\]|\\.)*")')
STATUS = re.compile(r'"response":{"status_code":(\d+)')


class Row(Struct, frozen=True, kw_only=True):
    """One result in short, and what an index knows of it."""

    outcome: Outcome
    line: int | None
    """The number of its request, from 1, blank lines of the input left out."""
    seconds: float | None
    """How long the call took that brought it."""
    short: ResultLine
    found: Excerpt | None = None
    """Where it was searched for: the text around the place."""
    found_in: str | None = None
    """`custom_id`, `answer` or `prompt`."""


def short_of(data: bytes, *, whole: bool, failed: bool, error: Code | None, tokens: int | None) -> ResultLine:
    """A line in short; of one that is not `whole`, what its beginning says. `error` and `tokens` are what an index knows."""
    code, status = error or (None, None)
    unread = ResultLine(
        custom_id="",
        status_code=status,
        code=code,
        message=None,
        answer=None,
        input_tokens=None,
        output_tokens=tokens,
    )
    if whole:
        try:
            return read_result_line(data, failed=failed)
        except (msgspec.MsgspecError, UnicodeError):
            # Damaged on the disk.
            return unread
    text = data.decode("utf-8", "replace")
    head = HEAD.match(text)
    if head is None:
        return unread
    try:
        custom_id = msgspec.json.decode(head[1], type=str)
    except msgspec.MsgspecError:
        return unread
    answered = STATUS.match(text, head.end() + 1)
    return msgspec.structs.replace(
        unread, custom_id=custom_id, status_code=int(answered[1]) if answered is not None else status
    )
