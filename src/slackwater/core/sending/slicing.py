"""Whether prompts go in slices (`slices`): what an engine's cache has shown of it, and what a backend has refused."""

import math

# What did not work is not tried again for so long: the engine may have been replaced by then.
WHOLE_SECONDS = 3600.0
# So many tokens that must be in the cache by what we sent say whether they are; less than this share of them are not.
EXPECTED_TOKENS, FOUND_MIN = 20_000.0, 0.3
# What was long ago counts less: half after so many tokens more.
MEMORY_TOKENS = 200_000.0
# A prompt goes in so many slices at most: each of them is tokenized from its beginning.
SLICES_MAX = 64
# A rest that is little larger than a slice goes with the request itself.
REST = 1.5


class CacheEffect:
    """Whether an engine finds in its cache what our slices have left there. Moments are monotonic, counts are tokens."""

    __slots__ = ("_expected", "_found", "_none_until")

    def __init__(self) -> None:
        self._expected = self._found = 0.0
        self._none_until = 0.0

    def none(self, now: float) -> bool:
        """Whether slices have been without effect."""
        return now < self._none_until

    def seen(self, expected: float, found: float, now: float) -> bool:
        """So many tokens must have been found since the last time, and so many were, by anybody. Returns whether that is news:
        there is no effect.
        """
        keep = max(0.0, 1.0 - expected / MEMORY_TOKENS)
        self._expected = self._expected * keep + expected
        self._found = self._found * keep + found
        if not expected or self._expected < EXPECTED_TOKENS or self._found >= FOUND_MIN * self._expected:
            return False
        self._expected = self._found = 0.0
        self._none_until = now + WHOLE_SECONDS
        return True


class SliceRefusals:
    """Where a backend takes no part of a request that it takes whole: many templates want a user's words at the end."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def takes(self, role: str, now: float) -> bool:
        """Whether a slice that ends in words of that role may be sent."""
        return now >= self._until.get(role, 0.0)

    def refused(self, role: str, now: float) -> None:
        """A slice that ended so was refused, and its request was not."""
        self._until[role] = now + WHOLE_SECONDS


def slice_of(tokens: float, size: int) -> int:
    """How much of a prompt of so many tokens goes at once where `size` of them may be read, 0 for all: a multiple of it where
    the prompt is very long. 0 where it goes whole.
    """
    if not size or tokens <= REST * size:
        return 0
    size *= max(1, math.ceil(tokens / size / SLICES_MAX))
    return size


def next_cut(sent: float, tokens: float, size: int) -> float | None:
    """How much of a prompt of so many tokens the next slice has, after one with `sent`; None where the rest goes whole.

    `size` is how many tokens may be read at once, 0 for all of them.
    """
    size = slice_of(tokens, size)
    if not size or sent + REST * size >= tokens:
        return None
    return sent + size
