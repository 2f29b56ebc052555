"""How long an engine's step may be while others use it, by what their steps were and would have been without us.

The target is what others are used to (the median of their step without us, `step_model`), and a part of the way from there to
the slowest they may see. Not all of it, because what is out when more of them come stays for some seconds. How large that part
is, is a rule of the operating point, and moves slowly with how much slower others' steps really were.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from slackwater.core.sending.spread import Spread
from slackwater.core.sending.step_model import StepModel

# Whoever waits for an answer feels the mean of so many steps.
ANSWER_TOKENS = 100.0
# The shares of others' steps that are compared with what they would be without us, and how slowly the room follows.
FELT = (0.95, 0.99)
ROOM_SECONDS, ROOM_LEAST, ROOM_MAX, SHORT_MIN = 3600.0, 0.1, 1.0, -2.0
# Until others were seen for long, their slowest steps are taken to be this much slower than usual ones: less as time goes on.
WIDE, NEW_SECONDS = 0.8, 120.0
# Where a few of their steps are very slow, the way to these ends at so many usual ones: who comes for the first token waits, too.
STEEP = 3.0


class Point(StrEnum):
    """What the operator wants of an engine that others use, too."""

    STRICT = "strict"
    GENTLE = "gentle"
    SLO = "slo"
    FULL = "full"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class Rule:
    """Others' slowest steps may be `limit` times what they would be without us; `room` is the part of the way from their usual
    step to that by which the step is let grow at first."""

    limit: float
    room: float


RULES: Mapping[Point, Rule] = MappingProxyType(
    {Point.STRICT: Rule(1.05, 0.01), Point.GENTLE: Rule(1.25, 0.5), Point.SLO: Rule(1.25, 0.55)}
)


@dataclass(slots=True)
class StepTarget:
    """That of one engine. All times are seconds."""

    point: Point = Point.GENTLE
    slo: float | None = None
    """The time between tokens that others may see at their slowest, for `Point.SLO`."""
    room: float = 0.0
    """The part of the way that is used now; 0.0 before others were seen."""
    felt: float = 0.0
    """The step as somebody feels it who waits for an answer: the mean of the last hundred or so. Read it beside `alone`."""
    alone: float | None = None
    """What it would be without us, as somebody feels it who waits for an answer."""
    _alone: Spread = field(default_factory=Spread)
    _felt: Spread = field(default_factory=Spread)
    _felt_steps: float = 0.0
    _seen_seconds: float = 0.0
    _own_step: float = 0.0

    def aim_for(self, point: Point, slo: float | None) -> None:
        """Another operating point from now on. What is known of others' steps stays."""
        self.point, self.slo, self.room = point, slo, 0.0

    @property
    def slower(self) -> float | None:
        """How many times slower others' slow steps were than they would have been without us, over their last hour or so.

        None before there were any.
        """
        ratios = [
            felt / alone
            for share in FELT
            if (felt := self._felt.quantile(share)) is not None and (alone := self._alone.quantile(share)) is not None
        ]
        return sum(ratios) / len(ratios) if ratios else None

    @property
    def slower_most(self) -> float | None:
        """How many times slower the point allows. None before others were seen, and where it looks at no steps."""
        slowest = self._alone.quantile(0.99)
        if slowest is None or self.point not in RULES:
            return None
        return self._limit(slowest) / slowest

    def seen(self, step: float, model: StepModel, *, own: float, others: float, steps: float) -> None:
        """So many steps of that time have been, `own` of it ours, while so many requests of others ran."""
        # Until an answer has been written it is the mean of what there was: one long step is not remembered as what is usual.
        self._felt_steps = min(ANSWER_TOKENS, self._felt_steps + steps)
        smooth = min(1.0, steps / self._felt_steps)
        self.felt += smooth * (step - self.felt)
        self._own_step += smooth * (own - self._own_step)
        self.alone = model.alone(self.felt, own=self._own_step)
        if others > 0.5 and self._felt_steps >= ANSWER_TOKENS:
            seconds = step * steps
            self._alone.add(self.alone, others * seconds, seconds=seconds)
            self._felt.add(self.felt, others * seconds, seconds=seconds)
            self._seen_seconds += seconds

    def after(self, seconds: float) -> float | None:
        """How long a step may be, where so much time has passed since the last answer. None before others were seen.

        Only for the points that have a rule.
        """
        rule = RULES[self.point]
        usual, slowest = self._alone.quantile(0.5), self._alone.quantile(0.99)
        if usual is None or slowest is None:
            return None
        promised = self.slo if self.point is Point.SLO and self.slo is not None else 0.0
        limit = self._limit(slowest)
        may = limit / slowest
        # Bounded, because an hour must not be decided by its first minute, in which they came to an engine full of ours.
        short = max(SHORT_MIN, (may - (self.slower or 1.0)) / (may - 1.0))
        room = (self.room or rule.room) + rule.room * short * seconds / ROOM_SECONDS
        self.room = max(ROOM_LEAST * rule.room, min(ROOM_MAX, room))
        unseen = usual * (1.0 + WIDE * NEW_SECONDS / (NEW_SECONDS + self._seen_seconds))
        end = max(promised, min(STEEP * usual, max(limit, rule.limit * unseen)))
        return min(limit, usual + self.room * (end - usual))

    def _limit(self, slowest: float) -> float:
        """What others may see at their slowest, where that would be `slowest` without us."""
        limit = RULES[self.point].limit * slowest
        return limit if self.point is not Point.SLO or self.slo is None else max(limit, self.slo)
