"""Writes results again that a power cut has taken from logs which were not synced: the ledger keeps them.

Why it keeps them: docs/decisions/journal.md. Where several work with the ledger, they sync what they write, and logs of those who
live are left alone. Until that is done nothing is added to logs and no batch ends, because what comes
later has its place behind them. Before: a start. After: the workers and the finalizer.
"""

import logging

from slackwater.core.errors import StorageTrouble
from slackwater.pipeline.loops import Pace
from slackwater.ports import BlobStore, Ledger
from slackwater.telemetry import event


class Restoring:
    """What a start does before anybody sends or ends; without room on the disk it is tried again and again."""

    def __init__(self, ledger: Ledger, blobs: BlobStore) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._after = 0
        self._told = False
        self.done = False
        """Whether all logs have what was written to them."""

    async def step(self) -> Pace:
        """Goes on where there was no room. Whatever else is wrong with the disk is the caller's: raises OSError."""
        if self.done:
            return Pace.IDLE
        try:
            living = [f"{each.id}-" for each in await self._ledger.members()]
            while page := await self._ledger.kept_texts(after=self._after):
                for number, place, text in page:
                    if not _writes(living, place.key) and await self._blobs.restore(place, text):
                        event("results_restored", log=place.key, bytes=len(text))
                    self._after = number
        except StorageTrouble as full:
            if not self._told:
                event("results_wait_for_room", level=logging.WARNING, error=str(full))
            self._told = True
            return Pace.IDLE
        self.done = True
        return Pace.BUSY


def _writes(living: list[str], log: str) -> bool:
    """Whether one of those writes to a log: its name begins with that of its owner."""
    return log.rpartition("/")[2].startswith(tuple(living))
