"""How long the front door waits for whoever is at the other end of a connection, for each thing that it may wait for."""

from enum import IntEnum

from msgspec import Struct

from slackwater.core.arriving.heads import Refusal


class Phase(IntEnum):
    """What a connection is about."""

    FRESH = 0
    """Nothing has come yet."""
    IDLE = 1
    """A request was answered, and nothing of another has come."""
    HEAD = 2
    """A part of a head has come."""
    BODY = 3
    """A request is being worked on, and its body is still coming."""
    ANSWER = 4
    """A request is being worked on; all of it is here."""
    CLOSING = 5
    """The last answer is on its way out; what still comes is thrown away."""


class Patience(Struct, frozen=True, kw_only=True):
    """Seconds. A body that comes, or an answer that is taken, at less than `bytes_min` in its time is as good as silent."""

    head: float = 15.0
    body: float = 30.0
    reader: float = 60.0
    idle: float = 75.0
    closing: float = 5.0
    bytes_min: int = 1024


# An idle connection is closed without a word, and so is one on which nothing ever came: some clients open them ahead.
_SILENT = {Phase.FRESH: Refusal.IDLE, Phase.IDLE: Refusal.IDLE, Phase.CLOSING: Refusal.READER_SLOW}


def overdue(phase: Phase, *, waited: float, patience: Patience) -> Refusal | None:
    """Why a connection is to be given up that has been in this phase, without getting on, for so long."""
    if phase is Phase.ANSWER:
        # That is up to us.
        return None
    times = (patience.head, patience.idle, patience.head, patience.body, 0.0, patience.closing)
    if waited < times[phase]:
        return None
    return _SILENT.get(phase) or (Refusal.HEAD_SLOW if phase is Phase.HEAD else Refusal.BODY_SLOW)
