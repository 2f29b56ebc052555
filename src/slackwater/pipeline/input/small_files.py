"""Reads a small input file here, on the event loop, a few milliseconds at a time.

By the same rules as input_scan, and with the same outcome: only nothing has to be started for it. A process that could count
tokens costs a tenth of a second of CPU before it does anything, and three lines cost half a millisecond. Before: admission.
After: the validator.
"""

import asyncio
import io
from collections.abc import Mapping
from functools import partial

from slackwater.core.input.line_judge import Rules
from slackwater.core.input.tokens import QuickCounter, TooManyWords
from slackwater.core.sending.scheduling import SHARD_BYTES_MAX
from slackwater.pipeline.input.input_scan import SHARD_LINES_MAX, SPARE_LEVELS, Scan, Scanning, from_below
from slackwater.ports import SMALL_INPUT_BYTES, BlobRange, BlobStore

# Lines that are read between two turns of whoever else wants one: about a millisecond.
LINES_AT_ONCE = 32


async def scan_small(
    blobs: BlobStore,
    key: str,
    rules: Rules,
    counter: QuickCounter | Mapping[str, QuickCounter],
    *,
    shard_bytes_max: int = SHARD_BYTES_MAX,
    shard_lines_max: int = SHARD_LINES_MAX,
) -> Scan | None:
    """What scan_input says of a file of at most SMALL_INPUT_BYTES. `counter` is one for all, or one per deployment.

    None: it is to be read by that one, because it is larger, or its tokens are not counted so quickly.
    """
    data = await blobs.read(BlobRange(key=key, offset=0, length=SMALL_INPUT_BYTES + 1))
    if len(data) > SMALL_INPUT_BYTES:
        return None
    scanning = Scanning(rules, shard_lines_max, shard_bytes_max)
    lines = list(io.BytesIO(data))
    for start in range(0, len(lines), LINES_AT_ONCE):
        some = lines[start : start + LINES_AT_ONCE]
        from_below(SPARE_LEVELS, partial(scanning.feed, some))
        await asyncio.sleep(0)
    verdict = scanning.finish()
    if isinstance(counter, Mapping):
        found = counter.get(verdict.deployment or "")
        if found is None and not verdict.errors:
            return scanning.scan(scanning.sample.by_bytes())
    else:
        found = counter
    if verdict.errors or found is None:
        return scanning.scan(0)
    weighing = scanning.sample.weighing()
    counts: list[int] = []
    try:
        if not found.ready:
            await asyncio.to_thread(found.open)
        for count in found.counting(weighing.texts):
            if count is None:
                await asyncio.sleep(0)
            else:
                counts.append(count)
    except TooManyWords:
        return None
    return scanning.scan(weighing.tokens(counts))
