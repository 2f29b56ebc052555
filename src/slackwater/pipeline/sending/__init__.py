"""From a queued shard to journaled results."""
