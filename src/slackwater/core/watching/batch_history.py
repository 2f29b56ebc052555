"""How a batch went: how many of its requests ended when, how long calls took, and how many tokens answers had.

Everything here can be added up, whoever saw it: a step of time that has become too short for a long batch is doubled, and
calls and answers are counted between bounds. So a history has a largest size, whatever the batch has. It is a picture: what a
batch counts and costs is said by its own sums.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import repeat
from operator import attrgetter

from msgspec import Struct, field

from slackwater.core.sending.request import Result

# The first is a second; a step is doubled until the whole has no more of them. The longest is nine hours: six weeks together.
STEPS_MAX = 120
STEP_MAX = 2**15
# Each is a fifth more than the one before: seconds from a millisecond to four hours, tokens from 1 to a million.
SECONDS = tuple(0.001 * 2 ** (place / 4) for place in range(96))
TOKENS = tuple(float(2 ** (place / 4)) for place in range(81))
# Bars that somebody can tell apart.
BARS_MAX = 24

_SECONDS, _USAGE, _OUTPUT = attrgetter("seconds"), attrgetter("usage"), attrgetter("output_tokens")


class Step(Struct, array_like=True):
    """What ended in one step of time."""

    completed: int = 0
    failed: int = 0
    output_tokens: int = 0

    def add(self, other: "Step") -> None:
        """Takes in another one."""
        self.completed += other.completed
        self.failed += other.failed
        self.output_tokens += other.output_tokens


class BatchHistory(Struct):
    """The history of a batch, or what is new of it."""

    step: int = 1
    """Seconds, a power of two."""
    steps: dict[int, Step] = field(default_factory=dict)
    """By their beginnings, seconds since 1970, divided by `step`."""
    seconds: dict[int, int] = field(default_factory=dict)
    """How many calls that brought an answer took how long, by places in SECONDS: above the bound before, up to this one."""
    tokens: dict[int, int] = field(default_factory=dict)
    """How many answers had how many tokens, by places in TOKENS; of those that say so."""

    def hear(self, completed: Sequence[Result], failed: int, *, at: int) -> None:
        """Results that became durable at a moment: a few passes over all of them, which take no step of the interpreter each."""
        usages = list(filter(None, map(_USAGE, completed)))
        written = list(map(_OUTPUT, usages))
        self._add(at // self.step, Step(len(completed), failed, sum(written)))
        _count(self.seconds, Counter(map(bisect_left, repeat(SECONDS), filter(None, map(_SECONDS, completed)))))
        _count(self.tokens, Counter(map(bisect_left, repeat(TOKENS), filter(None, written))))

    def take(self, other: "BatchHistory") -> None:
        """Adds what somebody else has seen."""
        while self.step < other.step:
            self._double()
        for place, step in other.steps.items():
            self._add(place * other.step // self.step, step)
        _count(self.seconds, other.seconds)
        _count(self.tokens, other.tokens)

    def _add(self, place: int, step: Step) -> None:
        first = place not in self.steps
        self.steps.setdefault(place, Step()).add(step)
        if first:
            self._bound()

    def _bound(self) -> None:
        while max(self.steps) - min(self.steps) >= STEPS_MAX and self.step < STEP_MAX:
            self._double()
        # A clock that is off by years: what was before stands at the beginning of what can be shown.
        begin = max(self.steps) - STEPS_MAX + 1
        for place in [each for each in self.steps if each < begin]:
            self.steps.setdefault(begin, Step()).add(self.steps.pop(place))

    def _double(self) -> None:
        self.step *= 2
        steps: dict[int, Step] = {}
        for place, step in self.steps.items():
            steps.setdefault(place // 2, Step()).add(step)
        self.steps = steps


def _count(counts: dict[int, int], more: Mapping[int, int]) -> None:
    for place, count in more.items():
        counts[place] = counts.get(place, 0) + count


class Bar(Struct, frozen=True):
    """How many values were above one bound and up to another."""

    above: float
    upto: float
    count: int


def quantile(counts: Mapping[int, int], part: float, *, bounds: Sequence[float]) -> float | None:
    """The value that this part of them (0 to 1) does not exceed, guessed between two bounds; None without any."""
    wanted, seen = part * sum(counts.values()), 0
    for place in sorted(counts):
        count = counts[place]
        if seen + count >= wanted:
            low, high = _between(place, place, bounds)
            return low + (high - low) * max(0.0, wanted - seen) / count
        seen += count
    return None


def bars(counts: Mapping[int, int], *, bounds: Sequence[float], most: int = BARS_MAX) -> list[Bar]:
    """The same as a picture: at most so many bars beside each other, those in between that have none included."""
    if not counts:
        return []
    first, last = min(counts), max(counts)
    width = -(-(last - first + 1) // most)
    return [
        Bar(*_between(begin, end, bounds), sum(counts.get(place, 0) for place in range(begin, end + 1)))
        for begin, end in ((begin, min(last, begin + width - 1)) for begin in range(first, last + 1, width))
    ]


def _between(first: int, last: int, bounds: Sequence[float]) -> tuple[float, float]:
    """The bounds around some places; beyond the last one only that is known."""
    return bounds[first - 1] if first else 0.0, bounds[min(last, len(bounds) - 1)]
