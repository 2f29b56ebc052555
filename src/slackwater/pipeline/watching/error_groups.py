"""What went wrong in a batch, grouped: one entry for each code, with a few examples, the largest first.

Pages ask again and again while a batch runs, so what was read is remembered: each call reads only the lines that have come
since. What is remembered is bounded, and can always be read again.
"""

import asyncio
from collections import OrderedDict

import msgspec
from msgspec import Struct, field

from slackwater.core.batch import Batch
from slackwater.core.sending.request import Outcome
from slackwater.core.watching.result_lines import ResultLine, read_result_line
from slackwater.pipeline.watching.result_reader import ResultReader

BATCHES_MAX = 64
GROUPS_MAX = 100
EXAMPLES_MAX = 5
# Where there are more codes than that, which a backend can make up as it likes.
OTHERS = "other"


class ErrorGroup(Struct, kw_only=True):
    """Lines that failed in the same way."""

    code: str
    status_code: int | None
    count: int = 0
    message: str | None = None
    """Of the first one."""
    examples: list[ResultLine] = field(default_factory=list)


class _Remembered(Struct):
    seen: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    groups: dict[tuple[str, int | None], ErrorGroup] = field(default_factory=dict)
    ended: bool = False
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class ErrorGroups:
    """The errors of the batches of one resource."""

    def __init__(self, reader: ResultReader) -> None:
        self._reader = reader
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()

    async def of(self, batch: Batch) -> tuple[int, list[ErrorGroup]]:
        """How many lines have failed, and their groups, the largest first."""
        known = self._remembered.get(batch.id)
        if known is None or known.ended is not batch.terminal:
            # The files have lines that no log had: those that never ran.
            known = self._remembered[batch.id] = _Remembered(ended=batch.terminal)
        self._remembered.move_to_end(batch.id)
        if len(self._remembered) > BATCHES_MAX:
            self._remembered.popitem(last=False)
        async with known.reading:
            async for _, name, end, line in self._reader.lines(batch, seen=dict(known.seen), outcomes={Outcome.FAILED}):
                known.seen[name] = end
                known.failed += 1
                try:
                    _count(known.groups, read_result_line(line, failed=True))
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    # Damaged on the disk. What becomes of it is said when the batch ends.
                    continue
        return known.failed, sorted(known.groups.values(), key=lambda group: -group.count)


def _count(groups: dict[tuple[str, int | None], ErrorGroup], line: ResultLine) -> None:
    code, status = line.code or OTHERS, line.status_code
    if (code, status) not in groups and len(groups) >= GROUPS_MAX:
        code, status = OTHERS, None
    group = groups.get((code, status))
    if group is None:
        group = groups[code, status] = ErrorGroup(code=code, status_code=status, message=line.message)
    group.count += 1
    if len(group.examples) < EXAMPLES_MAX:
        group.examples.append(line)
