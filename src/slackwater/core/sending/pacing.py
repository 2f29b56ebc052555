"""How many requests an engine is given that others use too: so many that their tokens come hardly later.

What is held is the time of a step, because everybody's next token waits for it. The target is made of what a step would be
without us (`step_model`), as it was at the others' busiest moments: what they bear then, they may bear at any time. Below the
target the window grows, above it is cut, and where others wait for capacity nothing new is sent at all.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from slackwater.core.sending.engine_counters import Between, Counters, between, restarted
from slackwater.core.sending.step_model import StepModel

FOREVER = math.inf


class Point(StrEnum):
    """What the operator wants of an engine."""

    STRICT = "strict"
    GENTLE = "gentle"
    SLO = "slo"
    FULL = "full"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a point makes of the others' step: `factor` times its `quantile` over the last hour."""

    factor: float
    quantile: float


RULES: Mapping[Point, Rule] = MappingProxyType(
    {
        Point.STRICT: Rule(0.95, 0.85),
        Point.GENTLE: Rule(1.0, 0.95),
        Point.SLO: Rule(0.6, 0.99),
    }
)
FIRST_WINDOW = 4.0
# Others are there for so long after the last of them was seen.
OTHERS_SECONDS = 5.0
# Cuts go on at most so often: what was cut has to be seen before more is.
CUT_MIN, CUT_MAX = 0.8, 0.99
GROW = 0.08
# The share of the engine's time that our prompts may take, and how it moves.
PROMPTS_FIRST, PROMPTS_MIN, PROMPTS_MAX, PROMPTS_STEP = 2.0, 1.0, 8.0, 0.25
PROMPT_TOKENS = 768
# A stream is listened to for so long, and so many of its chunks, before what they say is believed.
LISTEN_SECONDS, LISTEN_CHUNKS = 0.2, 8
# Without a stream for so long, what the metrics page says moves the window.
DEAF_SECONDS = 1.0
SLICE_MIN, SLICE_MAX = 128, 1024
# Of the cache, what is left to others; and of its slots.
KV_LEFT, SLOTS_LEFT = 0.10, 32
# What a token of a prompt costs, until it is known.
TOKEN_SECONDS = 70e-6
SMOOTH = 0.5
OUTER_Q, OUTER_SECONDS, ROOM_MIN, ROOM_MAX = 0.95, 60.0, 0.3, 2.5
# An answer of others is about so long.
ANSWER_TOKENS = 100.0
PROMPT_MEMORY, ALONE_MEMORY = 2.0, 1.0
SPREAD_BINS, SPREAD_LEAST, SPREAD_GROWTH = 400, 1e-3, 1.02
SPREAD_HALF_LIFE = 3600.0


class Spread:
    """Steps that others would have had without us, weighted by how many of them there were; what is old counts less."""

    def __init__(self) -> None:
        self._bins = [0.0] * SPREAD_BINS
        self._total = 0.0

    def add(self, value: float, weight: float, seconds: float) -> None:
        """So much weight more for a value; the rest is `seconds` older now."""
        keep = 0.5 ** (seconds / SPREAD_HALF_LIFE)
        self._bins = [each * keep for each in self._bins]
        place = int(math.log(max(value, SPREAD_LEAST) / SPREAD_LEAST) / math.log(SPREAD_GROWTH))
        self._bins[min(place, SPREAD_BINS - 1)] += weight
        self._total = self._total * keep + weight

    def quantile(self, share: float) -> float | None:
        """The value below which so much of the weight is."""
        if self._total <= 0.0:
            return None
        left = share * self._total
        for place, weight in enumerate(self._bins):
            left -= weight
            if left <= 0.0:
                return float(SPREAD_LEAST * SPREAD_GROWTH ** (place + 0.5))
        return SPREAD_LEAST * SPREAD_GROWTH**SPREAD_BINS


@dataclass(slots=True)
class Pacer:
    """The window of one engine. It is told what happens, and asked before each request.

    Moments are seconds of one clock that never goes back. `most` is the operator's limit of requests out.
    """

    point: Point = Point.GENTLE
    most: int = 256
    slo: float | None = None
    """Seconds between tokens that others may see at their slowest, for `Point.SLO`."""
    slots_max: float = 256.0
    """What the engine runs at once."""
    window: float = FIRST_WINDOW
    prompts: float = PROMPTS_FIRST
    step: float | None = None
    """The time of a step now, smoothed."""
    alone: float | None = None
    """What it would be without us."""
    target: float | None = None
    frozen: bool = False
    """Whether nothing new is sent because others wait, or the cache is nearly full."""
    others: float = 0.0
    model: StepModel = field(default_factory=StepModel)
    spread: Spread = field(default_factory=Spread)
    felt: Spread = field(default_factory=Spread)
    room: float = 0.6
    _aimed_at: float = 0.0
    _felt: float = 0.0
    _last: Counters | None = None
    _looked_at: float = 0.0
    _others_at: float = -OTHERS_SECONDS
    _climbing: bool = True
    reading: int = 0
    """How many of our prompts the engine has not read to their end."""
    slices: bool = False
    block: int = 16
    _reading_tokens: float = 0.0
    _gap_seconds: float = 0.0
    _gap_tokens: int = 0
    _listened_at: float = 0.0
    _heard_at: float = -FOREVER
    _slots_left: float = FOREVER
    _kv_sent: float = 0.0
    _prefilled: float = 0.0
    _sent_tokens: float = 0.0
    _out: float = 0.0

    def admits(self, in_flight: int, tokens: float, now: float) -> float:
        """Whether a request with a prompt of so many tokens may go: 0.0, or FOREVER for not before something else happens."""
        if self.frozen or in_flight >= min(self.most, int(self.window)) or self._slots_left < 1.0:
            return FOREVER
        if self._kv_sent + tokens > self._kv_room():
            return FOREVER
        prompts = self.prompts
        if self.reading and (
            self.reading >= int(prompts) or self._reading_tokens + self.chunk(tokens) > PROMPT_TOKENS * prompts
        ):
            return FOREVER
        return 0.0

    def chunk(self, tokens: float) -> float:
        """How much of a prompt goes at once."""
        size = self.slice
        return size if size and tokens > 1.5 * size else tokens

    @property
    def slice(self) -> int:
        """Longer prompts go in slices of so many tokens; 0 where they go whole."""
        if not self.slices or self.target is None or self.target == FOREVER:
            return 0
        token = self.model.token or TOKEN_SECONDS
        block = self.block
        return int(max(SLICE_MIN, min(SLICE_MAX, self.target / 2 / token))) // block * block

    def sent(self, tokens: float, now: float) -> float:
        """A request with so many tokens in its prompt has gone. Returns what `read` is to be told."""
        self._slots_left -= 1.0
        self._kv_sent += tokens
        self._sent_tokens += tokens
        self.reading += 1
        chunk = self.chunk(tokens)
        self._reading_tokens += chunk
        return chunk

    def read(self, chunk: float) -> None:
        """The prompt of a request has been read by the engine: its first token has come, or all of it."""
        self.reading -= 1
        self._reading_tokens -= chunk

    def reading_seconds(self, chunk: float) -> float:
        """How long the engine probably takes to read so much of a prompt, where nobody says when it has."""
        return 2.0 * (self.step or 0.0) + 1.5 * chunk * (self.model.token or TOKEN_SECONDS)

    def blind(self, now: float) -> None:
        """The engine's counters cannot be read: half the window, until they can again."""
        if self._last is not None:
            self._last, self._climbing = None, True
            self.window = max(1.0, self.window / 2)

    def gap(self, seconds: float, tokens: int, *, in_flight: int, now: float) -> None:
        """The next chunk of one of our streams, after so long and with so many tokens."""
        self._gap_seconds += seconds
        self._gap_tokens += tokens
        if now - self._listened_at >= LISTEN_SECONDS and self._gap_tokens >= LISTEN_CHUNKS:
            step = self._gap_seconds / self._gap_tokens
            self._listened_at, self._heard_at = now, now
            self._gap_seconds, self._gap_tokens = 0.0, 0
            self.step = step if self.step is None else self.step + SMOOTH * (step - self.step)
            self._move(float(in_flight), now)

    def looked(self, counters: Counters, *, in_flight: int, now: float) -> None:
        """The engine's counters, as they were at `now`, and how many requests of ours were out."""
        last, self._last = self._last, counters
        seconds, self._looked_at = now - self._looked_at, now
        self._out, before = float(in_flight), self._out
        others = max(0.0, counters.running + counters.waiting - in_flight)
        self.others = others
        if others > 0.5:
            self._others_at = now
        self._slots_left = self.slots_max - SLOTS_LEFT - counters.running - counters.waiting
        self._kv_sent = 0.0
        self.frozen = (others > 1.0 and counters.waiting > 1.0) or (counters.kv or 0.0) > 1.0 - KV_LEFT
        if last is None or seconds <= 0.0:
            return
        if restarted(last, counters):
            self.window, self._climbing, self.step = FIRST_WINDOW, True, None
            return
        self._hear(between(last, counters, seconds), last, counters, (before + in_flight) / 2, now)

    def _kv_room(self) -> float:
        last = self._last
        if last is None or last.kv is None or last.kv_tokens is None:
            return FOREVER
        return (1.0 - KV_LEFT - last.kv) * last.kv_tokens

    def _hear(self, passed: Between, last: Counters, counters: Counters, ours: float, now: float) -> None:
        sent, self._sent_tokens = self._sent_tokens, 0.0
        running = (last.running + counters.running) / 2
        if passed.step is None or running < 0.5:
            return
        steps = passed.seconds / passed.step
        others = max(0.0, running - ours)
        self.model.learn(passed.step, running=running, prefilled=passed.prefilled / steps, seconds=passed.seconds)
        deaf = now - self._heard_at > DEAF_SECONDS
        if deaf:
            self.step = passed.step if self.step is None else self.step + SMOOTH * (passed.step - self.step)
        assert self.step is not None, "a step has been seen"
        theirs = max(0.0, passed.prefilled - sent) / passed.seconds
        self._prefilled += min(1.0, passed.seconds / PROMPT_MEMORY) * (theirs - self._prefilled)
        if others > 0.5:
            alone = self.model.alone(self.step, others=others, prefilled_per_second=self._prefilled)
            share = min(1.0, passed.seconds / alone / ANSWER_TOKENS)
            self.alone = alone if self.alone is None else self.alone + share * (alone - self.alone)
            self.spread.add(self.alone, others * passed.seconds, passed.seconds)
            self._felt += min(1.0, steps / ANSWER_TOKENS) * (passed.step - self._felt)
            self.felt.add(self._felt, others * passed.seconds, passed.seconds)
        self._aim(now)
        if deaf:
            self._move(ours, now)

    def _aim(self, now: float) -> None:
        if self.point is Point.FULL or now - self._others_at > OTHERS_SECONDS:
            self.target = FOREVER
            return
        rule = RULES[self.point]
        usual, slowest = self.spread.quantile(0.5), self.spread.quantile(0.99)
        if usual is None or slowest is None:
            self.target = None
            return
        limit = rule.factor * slowest
        if self.point is Point.SLO and self.slo is not None:
            limit = max(limit, self.slo)
        felt, alone = self.felt.quantile(OUTER_Q), self.spread.quantile(OUTER_Q)
        most = rule.quantile * (limit / slowest - 1.0)
        if felt and alone and most > 0.0:
            self.room += (now - self._aimed_at) / OUTER_SECONDS * (1.0 + most - felt / alone) / most
            self.room = max(ROOM_MIN, min(ROOM_MAX, self.room))
        self._aimed_at = now
        self.target = usual + self.room * (limit - slowest)

    def _move(self, ours: float, now: float) -> None:
        step, target = self.step, self.target
        assert step is not None, "a step has been seen"
        if target is None:
            return
        if step > target:
            ratio = target / step
            cut = max(CUT_MIN, min(CUT_MAX, 1.0 - 0.5 * (1.0 - ratio)))
            self.window = max(1.0, min(self.window, ours + 1.0) * cut)
            self.prompts = max(PROMPTS_MIN, self.prompts - PROMPTS_STEP)
            self._climbing = False
        elif ours < 0.85 * int(self.window):
            if step < 0.9 * target:
                self.prompts = min(PROMPTS_MAX, self.prompts + PROMPTS_STEP)
        else:
            ease = 1.0 if target == FOREVER else min(1.0, (target - step) / (0.25 * target))
            grow = self.window if self._climbing and step < 0.7 * target else max(0.5, GROW * self.window)
            self.window = min(float(self.most), self.window + grow * ease)
