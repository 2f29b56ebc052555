"""Which shards go next. Workers claim the lowest rank first; this module decides the ranks.

Start-time fair queueing over shards: the shards of one batch stand one unit apart, and a batch that arrives starts at the
rank that is being served now. So batches of a deployment take turns, shard by shard, while the order within a batch stays the
order of its file. A batch of three lines waits for the shards that are open, up to 1,000 lines each, and not for the batch.
"""


def rank_shards(shards: int, *, virtual_time: float) -> list[float]:
    """Ranks for the shards of a batch that starts now. `virtual_time` is the rank being served in its deployment."""
    return [virtual_time + index for index in range(shards)]
