"""Batches that wait for a storage of their user's: since when, and when it is asked again."""

from msgspec import Struct

# Waits double from the first; seconds.
WAIT_FIRST, WAIT_MAX = 1.0, 60.0


class StorageWait(Struct, frozen=True, kw_only=True):
    """One of them. All moments are monotonic."""

    since: float
    until: float
    seconds: float
    """Between the last try and the next one."""
    refused: bool
    """Whether somebody has to do something, or it may pass."""


class StorageWaits:
    """All of them, as one process knows them."""

    def __init__(self) -> None:
        self._waits: dict[str, StorageWait] = {}

    def failed(self, batch_id: str, *, refused: bool, now: float) -> StorageWait:
        """Another try has failed."""
        before = self._waits.get(batch_id)
        seconds = WAIT_FIRST if before is None else min(2 * before.seconds, WAIT_MAX)
        since = now if before is None else before.since
        wait = StorageWait(since=since, until=now + seconds, seconds=seconds, refused=refused)
        self._waits[batch_id] = wait
        return wait

    def over(self, batch_id: str) -> None:
        """It does not wait any more."""
        self._waits.pop(batch_id, None)

    def waiting(self, now: float) -> set[str]:
        """Batches whose next try is still to come."""
        return {batch_id for batch_id, each in self._waits.items() if now < each.until}

    def of(self, batch_id: str) -> StorageWait | None:
        """What a batch waits for; None where it does not."""
        return self._waits.get(batch_id)
