"""Why nothing of one batch is sent although its deployment is served: what people are told of it. Decides nothing.

Before: the worker, which has the shards of the batch. After: whoever watches (pipeline/watching/deployment_watch.py).
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from slackwater.core.errors import FilesUnavailable, LedgerUnavailable, StorageTrouble
from slackwater.core.sending.door import STATES, DoorState
from slackwater.core.sending.evidence import Kind
from slackwater.core.sending.judgement import DEATHS_MAX, Setback
from slackwater.core.sending.rereading import Rereading
from slackwater.pipeline.sending.dispatcher import Standing
from slackwater.pipeline.sending.lease import Lease

NO_ROOM = "There is no room on the disk for answers. Nothing is sent until there is; an operator has to make some."
NO_LEDGER = "The database of the ledger cannot be reached. Nothing is sent until it can."
NO_FILES = "The object store of the files cannot be reached, or refuses. Nothing is sent until it takes answers again."
UNREADABLE = "A part of its input cannot be read from the disk. That is tried again a few times."
SUSPECTED = f"The engine has stopped {DEATHS_MAX} times while its requests were out: they go one at a time and alone."


class HeldBack(Struct, frozen=True):
    """What holds one batch back: what the engine said of it alone (`batch`), or our own disk. Moments are monotonic."""

    what: Literal["batch", "disk"]
    standing: Standing


def not_written(since: float, trouble: StorageTrouble) -> HeldBack:
    """Results could not be written down since then."""
    words = NO_ROOM
    if isinstance(trouble, LedgerUnavailable):
        words = NO_LEDGER
    elif isinstance(trouble, FilesUnavailable):
        words = NO_FILES
    return HeldBack("disk", Standing(DoorState.DOWN, words, since, None))


def input_unreadable(reading: Rereading) -> HeldBack:
    """Its bytes could not be read, and are read again."""
    return HeldBack("disk", Standing(DoorState.DOWN, UNREADABLE, reading.since, reading.until))


def held_back(leases: Sequence[Lease], now: float) -> HeldBack | None:
    """Why nothing of a batch with these open shards is out, of which nothing is. None where something may be at once.

    It was told to wait, it alone; or all of its lines that are left wait for another try.
    """
    if not leases:
        return None
    circuit = leases[0].circuit
    trials = [item.trial for lease in leases for item in lease.waiting if item.trial is not None]
    said = max((trial.last for trial in trials if trial.last is not None), key=lambda last: last.ended, default=None)
    told = circuit.until > now
    if not told and (not trials or (circuit.begins and any(lease.unread for lease in leases))):
        return None
    since = now if circuit.since is None else circuit.since
    if told:
        return HeldBack("batch", Standing(DoorState.BUSY, _reason(said), since, circuit.until))
    dues = [trial.due for trial in trials if not trial.goes_alone]
    if not dues:
        return HeldBack("batch", Standing(DoorState.DOWN, SUSPECTED, since, None))
    until = min(dues)
    if said is None or until <= now:
        return None
    state = STATES.get(said.evidence.kind, DoorState.DOWN)
    return HeldBack("batch", Standing(state, _reason(said), since, until))


def _reason(said: Setback | None) -> str:
    """In the engine's words; a line that was not sent at all says nothing."""
    return "" if said is None or said.evidence.kind is Kind.UNREACHED else said.evidence.reason
