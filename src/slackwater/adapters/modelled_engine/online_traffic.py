"""Online users of a modelled engine, who come from inside: when they come, and how they were served."""

import asyncio
import random
from collections import deque
from collections.abc import Iterator
from typing import Any

from slackwater.adapters.modelled_engine.shipped import TRACES, trace_named
from slackwater.core.engine_model import Arrival, EngineRequest, arrivals_of
from slackwater.core.errors import ConfigError

KINDS = (*TRACES, "poisson")
RATE_MAX = 1000.0
# Percentiles are of the latest requests: of some hours at any rate that an engine can serve.
KEPT = 100_000
# Answers of fewer tokens say little about the time of one.
PACED_TOKENS_MIN = 5
PERCENTS = (50, 95, 99)


def online_arrivals(word: str, *, seed: int) -> Iterator[Arrival]:
    """Arrivals of `KIND:RATE`, such as azure-conv:3.0, without end, in seconds of the engine. Raises ConfigError."""
    kind, _, number = word.partition(":")
    try:
        rate = float(number)
    except ValueError:
        rate = 0.0
    if kind not in KINDS or not 0 < rate <= RATE_MAX:
        raise ConfigError(
            [
                f"online traffic is KIND:RATE, KIND one of {', '.join(KINDS)}, RATE requests a second above 0, not {word!r}"
            ]
        )
    return _poisson(rate, seed) if kind == "poisson" else arrivals_of(trace_named(kind), rate=rate)


def _poisson(rate: float, seed: int) -> Iterator[Arrival]:
    """Requests that know nothing of each other, with the lengths of azure-conv."""
    chance = random.Random(seed)
    lengths = trace_named("azure-conv").arrivals
    at = 0.0
    while True:
        at += chance.expovariate(rate)
        yield chance.choice(lengths)._replace(at=at)


class OnlineTraffic:
    """Hands out who has come, and remembers how it went. Moments are those of the wall: `speed` times as fast as the engine's."""

    def __init__(self, arrivals: Iterator[Arrival], *, speed: float, begin: float) -> None:
        """`begin` is the moment at which the first of them are on their way."""
        self._arrivals, self._speed, self._begin = arrivals, speed, begin
        self._next = next(arrivals)
        self._count = 0
        self._out: dict[str, EngineRequest] = {}
        self._firsts: deque[float] = deque(maxlen=KEPT)
        self._paces: deque[float] = deque(maxlen=KEPT)
        self._finished = self._lost = 0
        self._ended = asyncio.Event()

    @property
    def next_at(self) -> float:
        """When the next one comes."""
        return self._begin + self._next.at / self._speed

    def come(self, now: float) -> Iterator[tuple[float, EngineRequest]]:
        """Who has come by now, each with its moment."""
        while self.next_at <= now:
            at, arrival = self.next_at, self._next
            self._next = next(self._arrivals)
            self._count += 1
            name = f"online {self._count}"
            request = EngineRequest(
                id=name,
                prompt_tokens=arrival.prompt_tokens,
                output_tokens=arrival.output_tokens,
                segments=((name, arrival.prompt_tokens),),
            )
            self._out[name] = request
            yield at, request

    def ended(self, request: EngineRequest) -> None:
        """A request has been answered; one that is not of these is passed over."""
        if self._out.pop(request.id, None) is None:
            return
        self._finished += 1
        self._one_less()
        assert request.first_token_at is not None
        assert request.finished_at is not None
        self._firsts.append((request.first_token_at - request.arrived_at) * self._speed)
        if request.output_tokens >= PACED_TOKENS_MIN:
            pace = (request.finished_at - request.first_token_at) / (request.output_tokens - 1)
            self._paces.append(pace * self._speed)

    def lost(self, request: EngineRequest) -> None:
        """The engine has died with it, or was down when it came."""
        if self._out.pop(request.id, None) is not None:
            self._lost += 1
            self._one_less()

    def _one_less(self) -> None:
        self._ended.set()
        self._ended = asyncio.Event()

    async def until(self, count: int) -> None:
        """Returns when so many have been answered or lost."""
        while self._finished + self._lost < count:
            await self._ended.wait()

    def report(self) -> dict[str, Any]:
        """How it went so far. Times are in seconds of the engine, whatever the time scale; null where nothing is known yet."""
        return {
            "requests": self._count,
            "finished": self._finished,
            "lost": self._lost,
            "ttft_seconds": _percentiles(self._firsts),
            "tpot_seconds": _percentiles(self._paces),
        }


def _percentiles(values: deque[float]) -> dict[str, float | None]:
    ordered = sorted(values)
    found = {}
    for percent in PERCENTS:
        place = (len(ordered) - 1) * percent / 100
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        value = ordered[low] + (ordered[high] - ordered[low]) * (place - low) if ordered else None
        found[f"p{percent}"] = None if value is None else round(value, 6)
    return found
