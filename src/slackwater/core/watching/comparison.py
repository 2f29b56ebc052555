"""Two jobs line by line: which requests both have, and whether they got the same answer."""

from array import array
from enum import StrEnum

from msgspec import Struct, field

from slackwater.core.watching.result_entries import NONE
from slackwater.core.watching.result_index import ANSWERED, ResultIndex


class Show(StrEnum):
    """Which lines of two jobs are wanted."""

    ALL = "all"
    """Those that differ first, then those that only one job has, then those that are the same."""
    DIFFERENT = "different"
    SAME = "same"
    ONLY_HERE = "only_here"
    ONLY_THERE = "only_there"


class Pairs(Struct):
    """Positions in two indexes, side by side. NONE where a job has no result of that request."""

    here: "array[int]" = field(default_factory=lambda: array("I"))
    there: "array[int]" = field(default_factory=lambda: array("I"))

    def add(self, here: int, there: int) -> None:
        """Adds a line."""
        self.here.append(here)
        self.there.append(there)

    def __len__(self) -> int:
        return len(self.here)


class Comparison(Struct):
    """The lines of two jobs. Each list is in the order of the first job's input."""

    different: Pairs = field(default_factory=Pairs)
    same: Pairs = field(default_factory=Pairs)
    only_here: Pairs = field(default_factory=Pairs)
    only_there: Pairs = field(default_factory=Pairs)

    def wanted(self, show: Show, *, offset: int, limit: int) -> list[tuple[int | None, int | None]]:
        """Some of the lines that are wanted."""
        lists = {
            Show.ALL: [self.different, self.only_here, self.only_there, self.same],
            Show.DIFFERENT: [self.different],
            Show.SAME: [self.same],
            Show.ONLY_HERE: [self.only_here],
            Show.ONLY_THERE: [self.only_there],
        }[show]
        found: list[tuple[int | None, int | None]] = []
        for pairs in lists:
            begin, end = min(offset, len(pairs)), min(offset + limit - len(found), len(pairs))
            for here, there in zip(pairs.here[begin:end], pairs.there[begin:end], strict=True):
                found.append((None if here == NONE else here, None if there == NONE else there))
            offset = max(0, offset - len(pairs))
        return found

    def total(self, show: Show) -> int:
        """How many lines are wanted."""
        if show is Show.ALL:
            return len(self.different) + len(self.same) + len(self.only_here) + len(self.only_there)
        pairs: Pairs = getattr(self, show.value)
        return len(pairs)


def are_same(here: ResultIndex, one: int, there: ResultIndex, two: int) -> bool:
    """Whether two results are the same answer, or failed with the same code."""
    mine, theirs = here.columns, there.columns
    return mine.answer[one] == theirs.answer[two] and (mine.group[one] == ANSWERED) == (theirs.group[two] == ANSWERED)


def compare(here: ResultIndex, there: ResultIndex) -> Comparison:
    """Lines belong together by `custom_id`. Two answers are the same where their texts are; two errors, by their codes."""
    found = Comparison()
    ids, ids_there = here.columns.id, there.columns.id
    others = dict(zip(ids_there, range(len(there)), strict=False))
    for position in here.positions_by("line"):
        other = others.pop(ids[position], None)
        if other is None:
            found.only_here.add(position, NONE)
        else:
            (found.same if are_same(here, position, there, other) else found.different).add(position, other)
    for position in there.positions_by("line"):
        if others.get(ids_there[position]) == position:
            found.only_there.add(NONE, position)
    return found
