"""Online arrivals and batch requests of the scenarios, drawn with numpy so that a seed means the same for every policy."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np

from slackwater.adapters.modelled_engine.shipped import trace_named
from slackwater.core.engine_model import Arrival, Segment, Trace, arrivals_of

Chance = np.random.Generator


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A request of the backlog. How long its answer is, is for the engine to know."""

    id: str
    prompt_tokens: int
    output_tokens: int
    max_tokens: int
    segments: tuple[Segment, ...]


# Medians of prompt and answer; both are lognormal with a sigma of 0.6.
MEDIANS = {"balanced": (800, 200), "classify": (600, 8), "summarize": (3000, 200), "generate": (200, 600)}
SIGMA, PROMPT_MIN, PROMPT_MAX, OUTPUT_MAX = 0.6, 16, 12000, 4000
DRAWN_AT_ONCE = 4096
GOLDEN = 0.618033988749895


class Backlog:
    """Batch requests of a kind, without end. Those of two backlogs are others where these have another `name`."""

    def __init__(self, kind: str, *, seed: int, name: str = "b") -> None:
        self._medians = MEDIANS[kind]
        self._chance = np.random.default_rng(seed)
        self._drawn: list[tuple[int, int]] = []
        self._count = 0
        self._name = name

    def __call__(self) -> BatchRequest:
        if not self._drawn:
            prompt, output = self._medians
            prompts = self._chance.lognormal(np.log(prompt), SIGMA, DRAWN_AT_ONCE)
            outputs = self._chance.lognormal(np.log(output), SIGMA, DRAWN_AT_ONCE)
            lengths = (np.clip(prompts, PROMPT_MIN, PROMPT_MAX), np.clip(outputs, 1, OUTPUT_MAX))
            self._drawn = list(zip(*(values.astype(int).tolist() for values in lengths), strict=True))
        prompt, output = self._drawn.pop()
        self._count += 1
        name = f"{self._name}{self._count}"
        return BatchRequest(name, prompt, output, OUTPUT_MAX, ((name, prompt),))


def online(kind: str, rate: float, seconds: float, *, seed: int, **shape: float) -> list[Arrival]:
    """Arrivals within `seconds` at a mean of `rate` a second:

    azure-conv, azure-code  the trace itself, stretched to the rate, with its bursts; from its beginning with seed 0, from another
                            moment with each other seed;
    onoff                   `hi` times the rate for about `on_s` seconds, `lo` times for about `off_s`;
    diurnal                 between `lo` and `hi` times the rate, with a period of `period` seconds.

    The last two draw lengths from azure-conv.
    """
    if kind.startswith("azure-"):
        trace = _begun_elsewhere(trace_named(kind), seed)
        return list(takewhile(lambda arrival: arrival.at < seconds, arrivals_of(trace, rate=rate)))
    chance = np.random.default_rng(seed)
    times = {"onoff": _on_off, "diurnal": _diurnal}[kind](chance, rate, seconds, **shape)
    return list(_with_lengths(times, chance))


def _begun_elsewhere(trace: Trace, seed: int) -> Trace:
    """The trace from another moment on, with its beginning behind its end. Moments of successive seeds lie far apart."""
    begin = int(len(trace.arrivals) * (seed * GOLDEN % 1))
    shift = trace.arrivals[begin].at
    later = [arrival._replace(at=arrival.at - shift) for arrival in trace.arrivals[begin:]]
    sooner = [arrival._replace(at=arrival.at - shift + trace.seconds) for arrival in trace.arrivals[:begin]]
    return Trace((*later, *sooner))


def _on_off(chance: Chance, rate: float, seconds: float, *, on_s: float, off_s: float, hi: float, lo: float) -> Any:
    parts, begin, on = [], 0.0, False
    while begin < seconds:
        length = chance.exponential(on_s if on else off_s)
        count = chance.poisson(rate * (hi if on else lo) * length)
        parts.append(begin + np.sort(chance.random(count) * length))
        begin += length
        on = not on
    times = np.concatenate(parts)
    return times[times < seconds]


def _diurnal(chance: Chance, rate: float, seconds: float, *, lo: float, hi: float, period: float) -> Any:
    count = chance.poisson(rate * hi * seconds)
    times = np.sort(chance.random(count) * seconds)
    kept = (lo + (hi - lo) * 0.5 * (1 - np.cos(2 * np.pi * times / period))) / hi
    return times[chance.random(count) < kept]


def _with_lengths(times: Any, chance: Chance) -> Iterator[Arrival]:
    trace = trace_named("azure-conv").arrivals
    for time, index in zip(times.tolist(), chance.integers(0, len(trace), len(times)).tolist(), strict=True):
        yield trace[index]._replace(at=time)
