"""Reads an input file once, from the first byte to the last: checks each line, cuts shards, and weighs the whole.

Runs as one call in an Offload, because it keeps a core busy: about a second for 200 MB. Memory is the ids seen so far (a
digest each), a bounded sample, and a line.
"""

from msgspec import Struct

from slackwater.core.batch import BatchError
from slackwater.core.tokens import TextSample, TokenCounter
from slackwater.core.validation import InputChecker, Rules
from slackwater.ports import BlobStore, NewShard

SHARD_LINES_MAX = 1000
SHARD_BYTES_MAX = 1 << 20


class Scan(Struct, frozen=True, kw_only=True):
    """Either errors, or everything that the batch needs to start. `endpoint` has no version prefix."""

    errors: list[BatchError]
    error_count: int
    total: int
    tokens: int
    deployment: str | None
    endpoint: str
    shards: list[NewShard]


def scan_input(
    blobs: BlobStore,
    key: str,
    rules: Rules,
    counter: TokenCounter | None,
    shard_lines_max: int = SHARD_LINES_MAX,
    shard_bytes_max: int = SHARD_BYTES_MAX,
) -> Scan:
    """Checks the file `key` against the rules. Without a counter, tokens are estimated from bytes."""
    sample = TextSample()
    checker = InputChecker(rules, sample)
    cuts: list[tuple[int, int, int]] = []
    start = position = lines = 0
    with blobs.reader(key) as file:
        for line in file:
            size = len(line)
            if lines and (lines >= shard_lines_max or position + size - start > shard_bytes_max):
                cuts.append((start, position - start, lines))
                start, lines = position, 0
            position += size
            lines += checker.feed(line)
    if lines:
        cuts.append((start, position - start, lines))
    verdict = checker.finish()
    if verdict.errors:
        return _scan(verdict.errors, verdict.error_count, verdict.total, verdict.model, verdict.endpoint)
    # The ids are not needed any more, and the tokenizer needs room.
    del checker
    weight = sample.weigh(counter)
    return Scan(
        errors=[],
        error_count=0,
        total=verdict.total,
        tokens=weight.tokens,
        deployment=verdict.model,
        endpoint=verdict.endpoint,
        shards=[
            NewShard(offset=offset, length=length, lines=count, tokens=round(weight.tokens * length / position))
            for offset, length, count in cuts
        ],
    )


def _scan(errors: list[BatchError], count: int, total: int, model: str | None, endpoint: str) -> Scan:
    return Scan(errors=errors, error_count=count, total=total, tokens=0, deployment=model, endpoint=endpoint, shards=[])
