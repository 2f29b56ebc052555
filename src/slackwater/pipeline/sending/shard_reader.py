"""Reads the shards of a worker, and reads again those that are damaged, a bounded number of times.

Before: the worker's claim. After: the feed. A batch has its tries once, and not for each of its shards.
"""

import logging

from slackwater.core.sending.rereading import Rereading
from slackwater.pipeline.sending.shard_lines import Damaged, read_shard, salvaged_shard
from slackwater.ports import BlobStore, Clock, Shard
from slackwater.telemetry import event, meters

# What is known of batches that could not be read is forgotten so long after they would have been tried again.
FORGOTTEN_SECONDS = 3600.0


class ShardReader:
    """Knows which batches could not be read."""

    def __init__(self, blobs: BlobStore, clock: Clock) -> None:
        self._blobs = blobs
        self._clock = clock
        self._unread: dict[str, Rereading] = {}

    def waiting(self, now: float) -> list[str]:
        """Batches of which nothing is to be read before their next try."""
        return [key for key, each in self._unread.items() if now < each.until]

    def unreadable(self, batch_id: str) -> Rereading | None:
        """What is known of a batch that could not be read and is to be tried again."""
        reading = self._unread.get(batch_id)
        return None if reading is None or reading.spent else reading

    async def read(self, shard: Shard) -> tuple[bytes, bool]:
        """The lines of a shard, and whether they are only what is left of it. Raises OSError where it is to be tried again.

        What is left of it has as many lines, of which those that are not what they were cannot be parsed.
        """
        try:
            data = await read_shard(self._blobs, shard)
        except OSError as error:
            if not self._last_try(shard, error):
                raise
            data, lost = await salvaged_shard(self._blobs, shard)
            event("input_lost", level=logging.ERROR, batch=shard.batch_id, shard=shard.index, lines=lost)
            return data, True
        reading = self._unread.get(shard.batch_id)
        if reading is not None and not reading.spent:
            del self._unread[shard.batch_id]
        return data, False

    def _last_try(self, shard: Shard, error: OSError) -> bool:
        """A shard could not be read. Returns whether it is not to be tried again."""
        now = self._clock.monotonic()
        for key in [key for key, each in self._unread.items() if now > each.until + FORGOTTEN_SECONDS]:
            del self._unread[key]
        reading = self._unread.setdefault(shard.batch_id, Rereading())
        last = reading.failed(damaged=isinstance(error, Damaged), now=now)
        meters.damage_seen["input"] += 1
        event(
            "shard_unreadable",
            level=logging.ERROR if last else logging.WARNING,
            batch=shard.batch_id,
            shard=shard.index,
            tries=reading.tries,
            error=repr(error),
        )
        return last
