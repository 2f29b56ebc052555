"""The indexes of results that are in memory, over all resources: those that were looked at last, up to a bound.

One that has gone is made again when somebody looks. Whoever asks has found the batch through the view of its resource.
"""

import asyncio
from collections import OrderedDict
from weakref import ReferenceType

from msgspec import Struct, field

from slackwater.core.watching.comparison import Comparison
from slackwater.core.watching.result_index import ResultIndex

BYTES_MAX = 64 << 20
COMPARED_MAX = 4
SEARCHES_AT_ONCE = 2


class Shelved(Struct):
    """The index of one batch, and what it is an index of."""

    index: ResultIndex = field(default_factory=ResultIndex)
    of: tuple[tuple[str, int], ...] | None = None
    """The files that it is of, and their sizes; empty for logs, to which more is added; None before there is one."""
    sizes: list[int] | None = None
    """The lines of the shards of a batch that runs."""
    making: asyncio.Task[None] | None = None
    whole: bool = True
    """Whether that reads all that there is."""


class Compared(Struct, frozen=True):
    """A comparison, and what it is one of: two indexes, as long as they are there, and how many results they had."""

    here: ReferenceType[ResultIndex]
    there: ReferenceType[ResultIndex]
    sizes: tuple[int, int]
    comparison: Comparison


class ResultShelf:
    """Those of a process."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self.compared: OrderedDict[tuple[str, str], Compared] = OrderedDict()
        """The comparisons of two batches that were made last."""
        self.searches = asyncio.Semaphore(SEARCHES_AT_ONCE)
        self._shelved: OrderedDict[str, Shelved] = OrderedDict()

    def of(self, batch_id: str) -> Shelved:
        """That of a batch; an empty one where there is none."""
        shelved = self._shelved.setdefault(batch_id, Shelved())
        self._shelved.move_to_end(batch_id)
        return shelved

    def trim(self) -> None:
        """Lets go of those that nobody has looked at for longest, until the others fit. The last one stays in any case."""
        size = sum(each.index.size for each in self._shelved.values())
        for batch_id, each in list(self._shelved.items())[:-1]:
            if size <= self._bytes_max:
                return
            if each.making is None:
                size -= each.index.size
                del self._shelved[batch_id]

    def keep(self, ids: tuple[str, str], compared: Compared) -> None:
        """Keeps a comparison, and lets go of the one that was made first."""
        self.compared[ids] = compared
        self.compared.move_to_end(ids)
        while len(self.compared) > COMPARED_MAX:
            self.compared.popitem(last=False)
