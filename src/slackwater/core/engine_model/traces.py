"""Arrivals of online traffic, after a recorded trace: when requests come, with how long a prompt and how long an answer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Arrival(NamedTuple):
    """One request of a trace; `at` is in seconds from its beginning."""

    at: float
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Trace:
    """A recorded trace, in order of time."""

    arrivals: tuple[Arrival, ...]

    @property
    def seconds(self) -> float:
        """From its beginning to its last arrival."""
        return self.arrivals[-1].at

    @property
    def rate(self) -> float:
        """Requests a second, on the mean."""
        return len(self.arrivals) / self.seconds


def trace_from(text: str) -> Trace:
    """A trace from three lines of numbers with commas between: milliseconds since the arrival before, tokens of prompts, tokens
    of answers. Raises ValueError for anything else."""
    gaps, prompts, outputs = ([int(word) for word in line.split(",")] for line in text.strip().splitlines())
    arrivals = []
    milliseconds = 0
    for gap, prompt, output in zip(gaps, prompts, outputs, strict=True):
        milliseconds += gap
        arrivals.append(Arrival(milliseconds / 1e3, max(1, prompt), max(1, output)))
    return Trace(tuple(arrivals))


def arrivals_of(trace: Trace, *, rate: float) -> Iterator[Arrival]:
    """The trace without end, slowed down or sped up to `rate` requests a second, so that its bursts stay what they are."""
    stretch = trace.rate / rate
    length = trace.seconds * stretch
    turn = 0
    while True:
        for arrival in trace.arrivals:
            yield arrival._replace(at=arrival.at * stretch + turn * length)
        turn += 1
