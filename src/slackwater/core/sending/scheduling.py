"""The order of the shards of one batch. Whose batch goes next is batch_order.py's."""


def rank_shards(shards: int) -> list[float]:
    """Ranks for the shards of a batch: the order of its file. The lowest is claimed first."""
    return [float(index) for index in range(shards)]
