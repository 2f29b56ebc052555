"""What others use of a quota, as it was seen in what remains of it: how much on average, and how much that varies."""

import math

# It is forgotten over so many seconds.
MEMORY_SECONDS = 900.0
# Spans over which it is looked how much their use varies: bursts show in the long ones, single requests in the short ones.
SPANS = (4.0, 15.0, 60.0)
# What is believed of that before anything is known, as if it had been seen for a minute: requests that come so far apart.
PRIOR_APART_SECONDS = 10.0
PRIOR_SECONDS = 60.0


class _Span:
    """The variance over spans of one length. `amount` and `seconds` are those of the span that is not over yet."""

    __slots__ = ("amount", "deviations", "seconds", "seen")

    def __init__(self) -> None:
        self.amount = self.seconds = self.deviations = self.seen = 0.0


class OthersUse:
    """Amounts are tokens or requests."""

    __slots__ = ("_amount", "_seconds", "_spans", "known")

    def __init__(self) -> None:
        self._amount = self._seconds = 0.0
        self._spans = tuple(_Span() for _ in SPANS)
        self.known = 0.0
        """For how many seconds it was seen, the forgotten ones included."""

    def add(self, amount: float, seconds: float) -> None:
        """They have used so much in so many seconds."""
        if seconds <= 0.0:
            return
        kept = math.exp(-seconds / MEMORY_SECONDS)
        self._amount = self._amount * kept + amount
        self._seconds = self._seconds * kept + seconds
        self.known += seconds
        mean = self.mean
        for length, span in zip(SPANS, self._spans, strict=True):
            span.amount += amount
            span.seconds += seconds
            if span.seconds >= length:
                kept = math.exp(-span.seconds / MEMORY_SECONDS)
                span.deviations = span.deviations * kept + (span.amount - mean * span.seconds) ** 2
                span.seen = span.seen * kept + span.seconds
                span.amount = span.seconds = 0.0

    def scale(self, ratio: float) -> None:
        """So many times as much of it counts here."""
        self._amount *= ratio
        for span in self._spans:
            span.amount *= ratio
            span.deviations *= ratio * ratio

    @property
    def mean(self) -> float:
        """Per second."""
        return max(0.0, self._amount / self._seconds) if self._seconds else 0.0

    @property
    def variance(self) -> float:
        """Per second: that of so many seconds is so many times as much."""
        prior = self.mean * self.mean * PRIOR_APART_SECONDS
        return max((span.deviations + prior * PRIOR_SECONDS) / (span.seen + PRIOR_SECONDS) for span in self._spans)
