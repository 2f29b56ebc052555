"""Which shards go next. Workers claim the lowest rank first; this module decides the ranks.

Start-time fair queueing over shards: the shards of one batch stand one unit apart, and a batch that arrives starts at the
rank that is being served now. So batches of a deployment take turns, shard by shard, and three lines never wait behind a
hundred thousand, while the order within a batch stays the order of its file.
"""


def rank_shards(shards: int, *, virtual_time: float) -> list[float]:
    """Ranks for the shards of a batch that starts now. `virtual_time` is the rank being served in its deployment."""
    return [virtual_time + index for index in range(shards)]
