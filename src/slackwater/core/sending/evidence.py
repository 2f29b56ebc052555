"""What a call says, and of whom: of the request, of the way to the engine, or of the engine. Comes after every call.

This is one answer looked at by itself. Whose trouble it is, where that cannot be told from one answer, is found out by
comparison (judgement.py): what became of other lines, through the same door, in the same moments?
"""

import re
from enum import Enum

import msgspec
from msgspec import Struct

from slackwater.core.errors import BackendError, BackendUnreachable
from slackwater.core.sending.lines import model_of
from slackwater.core.sending.upstream_words import REPEATED, plain, repeats

# Who asks for this much time is not busy for a moment.
BLOCKED_SECONDS = 3600.0
REASON_LENGTH_MAX = 300
# Codes and types under which vendors say that an account may not go on: OpenAI and Azure, Anthropic, OpenRouter.
BLOCKED_CODES = re.compile(
    r"insufficient_quota|billing|credit|payment|exceeded_current_quota|account_deactivated", re.I
)


# Under which they say that there is no such model: OpenAI and its twins, Azure.
MISSING_CODES = re.compile(r"model_not_found|deployment_?not_?found", re.I)


class Kind(Enum):
    """What a call says."""

    SUCCESS = "success"
    OWN = "own"
    """The request's own fault: 400, 413, 422 and the like. Nothing else is to be learnt."""
    REFUSED = "refused"
    """401, 403, 404, 405, 407, 3xx, or a 400 that says that there is no such model: shut, unless others come through."""
    BLOCKED = "blocked"
    """The account may not go on: its quota or its money is used up, or it is to wait for hours."""
    BUSY = "busy"
    """Not now: 429, 529, 503 with a wait, a router that dropped it."""
    TROUBLE = "trouble"
    """It was taken and did not work: 5xx, no usable answer, too late."""
    LOST = "lost"
    """The connection broke before an answer was whole: what a dying engine does, too."""
    UNREACHED = "unreached"
    """Nobody listens. The request was not sent."""


class Evidence(Struct, frozen=True):
    """What one call says. `wait` is in seconds, where it was asked for; `reason` is for operators, without user content.

    `status` is that of the answer, where it is more than the request's own fault or a success.
    """

    kind: Kind
    reason: str = ""
    wait: float | None = None
    status: int | None = None


SUCCESS = Evidence(Kind.SUCCESS)

REFUSALS = frozenset({401, 403, 404, 405, 407})
# Not the request's own fault, although below 500.
TRIED_AGAIN = frozenset({408, 409, 425})


class _Error(Struct):
    code: str | int | None = None
    type: str | None = None
    message: str | None = None


class _Envelope(Struct):
    error: _Error | str | None = None
    message: str | None = None


_envelope = msgspec.json.Decoder(_Envelope)
_error = msgspec.json.Decoder(_Error)


def evidence_of(
    status: int,
    body: bytes,
    *,
    retry_after: float | None,
    dropped: bool = False,
    asked: bytes = b"",
    came: int | None = None,
) -> Evidence:
    """What an HTTP answer says that is not a success. `dropped`: a router in front of the engine let it fall.

    `came`: it came with this status and an error inside, which counts as `status`.
    `asked` is the body of the request: no part of it is in the reason, as far as that can be told.
    """
    if status in (402, 429) or (status == 503 and (retry_after is not None or dropped)) or status == 529:
        said = words_of(body)
        if status == 402 or BLOCKED_CODES.search(said.codes) or (retry_after or 0.0) >= BLOCKED_SECONDS:
            return Evidence(Kind.BLOCKED, _reason(status, said, asked, came), retry_after, status)
        # "Come at once", or at a moment that is past, is no wait: who said so is as busy as before.
        return Evidence(Kind.BUSY, _reason(status, said, asked, came), retry_after or None, status)
    if status in REFUSALS or 300 <= status < 400:
        return Evidence(Kind.REFUSED, _reason(status, words_of(body), asked, came), None, status)
    if status in TRIED_AGAIN or status >= 500:
        return Evidence(Kind.TROUBLE, _reason(status, words_of(body), asked, came), retry_after, status)
    if status == 400 and MISSING_CODES.search((said := words_of(body)).codes):
        # Routers say so of a name that they do not know, where engines say 404.
        return Evidence(Kind.REFUSED, _reason(status, said, asked, came), None, status)
    return Evidence(Kind.OWN, f"status {status}")


def evidence_of_error(error: BackendError) -> Evidence:
    """What a call says that brought no whole answer."""
    reason = plain(str(error), length_max=REASON_LENGTH_MAX)
    if isinstance(error, BackendUnreachable) or not error.sent:
        return Evidence(Kind.UNREACHED, reason) if not error.sent else Evidence(Kind.LOST, reason)
    return Evidence(Kind.LOST if error.lost else Kind.TROUBLE, reason)


class Words(Struct, frozen=True):
    """What an error body says: its codes and types in one text, and its message."""

    codes: str
    message: str


def words_of(body: bytes) -> Words:
    """The words of an error body in one of the shapes that servers use; empty where it has none."""
    head = body[:20_000]
    try:
        found = _envelope.decode(head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Words("", "")
    error = found.error
    if isinstance(error, _Error):
        return Words(f"{error.code or ''} {error.type or ''}", error.message or "")
    return Words("", error or found.message or "")


def _reason(status: int, said: Words, asked: bytes, came: int | None) -> str:
    text = plain(
        f"{said.codes.strip()}: {said.message}".strip(": "), length_max=REASON_LENGTH_MAX - (20 if came is None else 40)
    )
    # A model's name is in the request, too, and operators want to read it.
    if asked and repeats(text, asked) and repeats(text, asked, names=(model_of(asked) or "",)):
        codes = plain(said.codes.strip(), length_max=100)
        text = REPEATED if not codes or repeats(codes, asked) else f"{codes}: {REPEATED}"
    what = f"status {status}" if came is None else f"status {came} with an error inside"
    return f"{what}{f' ({text})' if text else ''}"[:REASON_LENGTH_MAX]
