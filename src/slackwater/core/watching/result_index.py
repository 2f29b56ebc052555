"""An index of the results of a job: where each line lies, and what it is ordered, filtered and compared by.

Results are counted from 0 in the order in which they came (their *position*), so that those that come later change nothing.
What is kept of one are some numbers in arrays, 80 bytes with all orders; lines themselves are not kept.
"""

from array import array
from bisect import bisect_left
from collections.abc import Collection, Sequence
from enum import StrEnum
from itertools import accumulate

from msgspec import Struct, field

from slackwater.core.watching.result_entries import NONE, UNPLACED, Code, Entry

ANSWERED = 0
"""The group of results that are answers; those of errors are counted from 1."""
GROUPS_MAX = 100
OTHERS: Code = ("other", None)
"""Where there are more codes than that, which a backend can make up as it likes."""
BYTES_OF_ONE = 80
"""What a result takes in memory, about."""


class Order(StrEnum):
    """What results are in order of."""

    ARRIVAL = "arrival"
    LINE = "line"
    OUTPUT_TOKENS = "output_tokens"
    LATENCY = "latency"


class Columns(Struct):
    """What is known of some results, one entry in each column for each."""

    length: "array[int]" = field(default_factory=lambda: array("I"))
    """Bytes, with the line's end."""
    number: "array[int]" = field(default_factory=lambda: array("Q"))
    """Of its request, from 1, or what has the same order; UNPLACED where it is not known."""
    tokens: "array[int]" = field(default_factory=lambda: array("I"))
    milliseconds: "array[int]" = field(default_factory=lambda: array("I"))
    group: "array[int]" = field(default_factory=lambda: array("H"))
    id: "array[int]" = field(default_factory=lambda: array("Q"))
    answer: "array[int]" = field(default_factory=lambda: array("Q"))
    codes: list[Code] = field(default_factory=list)
    """What the groups of errors are."""

    def add(self, entry: Entry, *, length: int, number: int) -> None:
        """Adds one."""
        self.length.append(length)
        self.number.append(number)
        self.tokens.append(entry.tokens)
        self.milliseconds.append(entry.milliseconds)
        self.group.append(ANSWERED if entry.error is None else self._group(entry.error))
        self.id.append(entry.id)
        self.answer.append(entry.answer)

    def _group(self, code: Code) -> int:
        if code not in self.codes:
            if len(self.codes) >= GROUPS_MAX:
                code = OTHERS
            if code not in self.codes:
                self.codes.append(code)
        return self.codes.index(code) + 1

    def extend(self, more: "Columns") -> None:
        """Adds those of others, whose groups may have other numbers."""
        for name in ("length", "number", "tokens", "milliseconds", "id", "answer"):
            getattr(self, name).extend(getattr(more, name))
        numbers = [ANSWERED, *(self._group(code) for code in more.codes)]
        self.group.extend(array("H", [numbers[each] for each in more.group]) if more.codes else more.group)


class Run(Struct, frozen=True):
    """Results that lie one behind the other in one blob."""

    position: int
    """Of the first one."""
    key: str
    offset: int
    failed: bool


class Wanted(Struct, frozen=True):
    """Which results are wanted: all; or by what became of them; or one group of errors."""

    failed: bool | None = None
    code: str | None = None
    status_code: int | None = None


EVERYTHING = Wanted()


class ResultIndex:
    """The index of one job, as far as its results have been read."""

    def __init__(self) -> None:
        self.columns = Columns()
        self.runs: list[Run] = []
        self.numbered = True
        """Whether numbers of requests are known, and not only their order."""
        self.seen: dict[str, int] = {}
        """Of each blob, up to which byte it has been read."""
        self._offset = array("Q")
        self._run = array("I")
        self._orders: dict[str, array[int]] = {}
        self._views: dict[tuple[Order, bool, Wanted], tuple[int, Sequence[int]]] = {}

    def __len__(self) -> int:
        return len(self._offset)

    @property
    def size(self) -> int:
        """What it takes in memory, in bytes, about."""
        return BYTES_OF_ONE * len(self) + 4096

    def extend(self, columns: Columns, *, key: str, offset: int, failed: bool) -> None:
        """Adds results that lie one behind the other from a byte of a blob on."""
        if not columns.length:
            return
        if not self.runs or self.runs[-1].key != key or self.seen.get(key) != offset or self.runs[-1].failed != failed:
            self.runs.append(Run(len(self), key, offset, failed))
        ends = list(accumulate(columns.length, initial=offset))
        self.columns.extend(columns)
        self._run.extend([len(self.runs) - 1] * len(columns.length))
        # How many there are is known last: somebody may look from a thread.
        self._offset.extend(ends[:-1])
        self.seen[key] = ends[-1]

    def number_all(self, *, total: int) -> None:
        """Numbers requests by their order alone, where the results of all `total` are here; else numbers are not known."""
        places = self.positions_by("line")
        self.numbered = len(self) == total and UNPLACED not in self.columns.number
        if self.numbered:
            numbers = array("Q", bytes(8 * len(self)))
            for number, position in enumerate(places, 1):
                numbers[position] = number
            self.columns.number = numbers

    def place(self, position: int) -> tuple[str, int, int, bool]:
        """Where a line lies: blob, offset and length, end included; and whether it is of a request that failed."""
        run = self.runs[self._run[position]]
        return run.key, self._offset[position], self.columns.length[position], run.failed

    def number(self, position: int) -> int | None:
        """Of the request, from 1."""
        number = self.columns.number[position]
        return None if not self.numbered or number == UNPLACED else number

    def tokens(self, position: int) -> int | None:
        """Output tokens."""
        return _known(self.columns.tokens[position])

    def seconds(self, position: int) -> float | None:
        """How long the call took."""
        took = _known(self.columns.milliseconds[position])
        return None if took is None else took / 1000

    def error(self, position: int) -> Code | None:
        """What went wrong."""
        group = self.columns.group[position]
        return None if group == ANSWERED else self.columns.codes[group - 1]

    def positions_by(self, name: str) -> "array[int]":
        """All positions in the order of a column: line, output_tokens, latency, id."""
        key = {
            "line": self.columns.number,
            "output_tokens": self.columns.tokens,
            "latency": self.columns.milliseconds,
            "id": self.columns.id,
        }[name]
        known = self._orders.get(name, array("I"))
        if len(known) < len(self):
            # What is in order already is passed over by the sort, so that a few that have come cost little.
            known = array("I", sorted((*known, *range(len(known), len(self))), key=key.__getitem__))
            self._orders[name] = known
        return known

    def find(self, id_: int) -> int | None:
        """The position of the result that has this fingerprint of its id."""
        order = self.positions_by("id")
        place = bisect_left(order, id_, key=self.columns.id.__getitem__)
        return order[place] if place < len(order) and self.columns.id[order[place]] == id_ else None

    def groups_of(self, wanted: Wanted) -> Collection[int] | None:
        """The groups that are wanted; None: all."""
        if wanted == EVERYTHING:
            return None
        if wanted.failed is False:
            return {ANSWERED}
        return {
            group
            for group, (code, status) in enumerate(self.columns.codes, 1)
            if wanted.code is None or (code == wanted.code and wanted.status_code in (None, status))
        }

    def view(self, order: Order, *, descending: bool, wanted: Wanted) -> Sequence[int]:
        """The positions of what is wanted, in order. What has no value comes last, in either direction."""
        view = self.kept_view(order, descending, wanted)
        if view is None:
            view = self.made_view(order, descending, wanted)
            self.keep_view(order, descending, wanted, len(self), view)
        return view

    def kept_view(self, order: Order, descending: bool, wanted: Wanted) -> Sequence[int] | None:
        """One that was made before, of what there is now."""
        count, view = self._views.get((order, descending, wanted), (-1, ()))
        return view if count == len(self) else None

    def keep_view(self, order: Order, descending: bool, wanted: Wanted, count: int, view: Sequence[int]) -> None:
        """Keeps one of so many results for those who ask the same, and lets go of the one that was kept first."""
        self._views.pop((order, descending, wanted), None)
        while len(self._views) >= VIEWS_MAX:
            del self._views[next(iter(self._views))]
        self._views[order, descending, wanted] = count, view

    def made_view(self, order: Order, descending: bool, wanted: Wanted) -> Sequence[int]:
        """The same as `view`, which keeps nothing: it may be called from a thread while results come."""
        positions: Sequence[int] = range(len(self)) if order is Order.ARRIVAL else self.positions_by(order.value)
        if descending:
            positions = _reversed(positions, self._without(order))
        groups = self.groups_of(wanted)
        if groups is None:
            return positions
        group = self.columns.group
        return array("I", [position for position in positions if group[position] in groups])

    def _without(self, order: Order) -> int:
        """How many have no value, and so are the last ones in order."""
        if order is Order.OUTPUT_TOKENS:
            return self.columns.tokens.count(NONE)
        if order is Order.LATENCY:
            return self.columns.milliseconds.count(NONE)
        return self.columns.number.count(UNPLACED) if order is Order.LINE else 0

    def place_of_number(self, number: int, view: Sequence[int], *, descending: bool) -> int:
        """Where in a view in order of lines the request of that number stands, or the next one that is there."""
        numbers = self.columns.number
        if not descending:
            return bisect_left(view, number, key=numbers.__getitem__)
        return bisect_left(
            view, -number, key=lambda position: -numbers[position] if numbers[position] != UNPLACED else 1
        )


VIEWS_MAX = 4


def _reversed(positions: Sequence[int], last: int) -> Sequence[int]:
    if not last:
        return positions[::-1]
    known = len(positions) - last
    return array("I", [*reversed(positions[:known]), *positions[known:]])


def _known(value: int) -> int | None:
    return None if value == NONE else value
