"""How the work of one batch is cut, and in which order. Whose batch goes next is batch_order.py's."""

# A shard is about so much work for the backends of its deployment.
SHARD_SECONDS = 30.0
# A token has about four bytes.
BYTES_PER_TOKEN = 4
# However slow they are, and however quick.
SHARD_BYTES_MIN, SHARD_BYTES_MAX = 1 << 16, 1 << 20


def shard_bytes(tokens_per_second: float) -> int:
    """Bytes of a shard at most, for backends that have been seen to read so many tokens; 0 where nothing is known yet."""
    if tokens_per_second <= 0.0:
        return SHARD_BYTES_MAX
    return int(min(max(tokens_per_second * SHARD_SECONDS * BYTES_PER_TOKEN, SHARD_BYTES_MIN), SHARD_BYTES_MAX))


def rank_shards(shards: int) -> list[float]:
    """Ranks for the shards of a batch: the order of its file. The lowest is claimed first."""
    return [float(index) for index in range(shards)]
