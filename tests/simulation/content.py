"""What lines are like, whoever answers them: most are good, some are bad whatever happens, one kills its engine.

The world knows it; the service does not. What an engine answers to a line depends on this and on the engine's own state.
"""

import json
from enum import StrEnum
from typing import Any

from slackwater.core.errors import BackendReplyBroken, BackendTimeout
from slackwater.core.sending.request import Reply


class Content(StrEnum):
    """What becomes of a line at an engine that is well."""

    GOOD = "good"
    MENDED = "mended"
    """Its answer is not quite JSON, and is kept."""
    PICKY = "picky"
    """One engine always fails it; every other one answers."""
    OWN = "own"
    """It is refused for its own fault."""
    ERROR = "error"
    HANG_UP = "hang-up"
    BUSY = "busy"
    """It is always told to come later, and not when."""
    SPENT = "spent"
    """It is always told that the account may not go on."""
    INSIDE = "inside"
    """200, with an error in the body."""
    UNREADABLE = "unreadable"
    SLOW = "slow"
    """No answer comes in time."""
    KILLER = "killer"
    """The engine dies of it."""


ANSWERED = frozenset({Content.GOOD, Content.MENDED, Content.PICKY})
# A batch of these holds nobody up, and nothing else may hold it up.
HEALTHY = frozenset({Content.GOOD, Content.MENDED, Content.OWN})
POISON = (
    Content.ERROR,
    Content.HANG_UP,
    Content.BUSY,
    Content.SPENT,
    Content.INSIDE,
    Content.UNREADABLE,
    Content.SLOW,
)
SECONDS_SLOW = 10.0

SPENT = (
    Reply(402, b'{"error":{"message":"pay"}}'),
    Reply(429, b'{"error":{"message":"no more","code":"insufficient_quota"}}'),
    Reply(429, b'{"error":{"message":"tomorrow"}}', 86_400.0),
)

# What comes instead of JSON.
UNREADABLE = (
    b"<html><body>a page</body></html>",
    b'data: {"choices":[{"delta":{"content":"hel"}}]}\n\ndata: [DONE]\n\n',
    b"",
    b'{"choices":[{"message":{"content":"hal',
    b"[1,2]",
)
INSIDE = (
    b'{"error":{"message":"it went wrong","type":"server_error"}}',
    b'{"choices":null,"error":{"code":500}}',
    b'{"object":"error","message":"out of order","code":500}',
    b'{"choices":[]}',
)
# What an error line may say of each.
STATUSES = {
    Content.OWN: {400},
    Content.ERROR: {500, 502},
    Content.BUSY: {429},
    Content.SPENT: {402, 429},
    Content.INSIDE: {200, 500},
}
CODES = {
    Content.HANG_UP: {"backend_reply_broken"},
    Content.UNREADABLE: {"backend_reply_broken"},
    Content.SLOW: {"backend_timeout"},
    Content.KILLER: {"engine_stopped"},
}


def usage_of(text: str) -> dict[str, Any]:
    """Tokens that differ from line to line, and are the same whoever asks."""
    number = sum(text.encode())
    read, cached, written = number % 97 + 3, number % 3, number % 31
    return {"prompt_tokens": read, "completion_tokens": written, "prompt_tokens_details": {"cached_tokens": cached}}


def answer(text: str) -> bytes:
    """The body of a good answer."""
    choices = [{"message": {"role": "assistant", "content": "."}, "finish_reason": "stop"}]
    return json.dumps({"model": "m", "choices": choices, "echo": text, "usage": usage_of(text)}).encode()


def mended(text: str) -> bytes:
    """A body that is nearly right: its end is put right when it is read, and nothing else of it changes."""
    body = answer(text)[:-1]
    flaws = (
        b',"score":NaN}',
        b',"note":"caf\xe9"}',
        rb',"note":"half \ud83d an emoji"}',
        b',"low":-Infinity,"note":"NaN"}',
    )
    number = sum(text.encode())
    mark = b"\xef\xbb\xbf" if number % 5 == 0 else b""
    return mark + body + flaws[number % len(flaws)]


def reply_to(text: str, content: Content) -> Reply:
    """What an engine that is well says to a line. Raises BackendError where it says nothing."""
    number = sum(text.encode())
    match content:
        case Content.GOOD | Content.PICKY:
            return Reply(200, answer(text))
        case Content.MENDED:
            return Reply(200, mended(text))
        case Content.OWN:
            return Reply(400, b'{"error":{"message":"no such thing"}}')
        case Content.ERROR:
            return Reply((500, 502)[number % 2], b'{"error":{"message":"it broke"}}')
        case Content.BUSY:
            return Reply(429, b'{"error":{"message":"busy"}}')
        case Content.SPENT:
            return SPENT[number % len(SPENT)]
        case Content.INSIDE:
            return Reply(200, INSIDE[number % len(INSIDE)])
        case Content.UNREADABLE:
            return Reply(200, UNREADABLE[number % len(UNREADABLE)])
        case Content.SLOW:
            raise BackendTimeout("no answer in time")
        case Content.HANG_UP | Content.KILLER:
            raise BackendReplyBroken("the connection ended", lost=True)
