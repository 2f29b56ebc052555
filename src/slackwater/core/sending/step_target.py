"""How long an engine's step may be while others use it, by what their steps were and would have been without us.

The target is what others are used to (the median of their step without us, `step_model`), and a part of the way from there to
the slowest they may see. Not all of it, because what is out when more of them come stays for some seconds. How large that part
is, is a rule of the operating point, and moves slowly with how much slower others' steps really were.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from slackwater.core.sending.others_steps import SLOW, SLOWEST, USUAL, OthersSteps
from slackwater.core.sending.step_model import StepModel

# Whoever waits for an answer feels the mean of so many steps.
ANSWER_TOKENS = 100.0
# How slowly the room follows what others felt: it is taken away sooner than given.
LARGER_SECONDS, SMALLER_SECONDS = 3600.0, 1800.0
ROOM_LEAST, ROOM_MAX, SHORT_MIN, EASE_LEAST = 0.1, 1.0, -2.0, 0.2
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
    {Point.STRICT: Rule(1.05, 0.02), Point.GENTLE: Rule(1.25, 0.48), Point.SLO: Rule(1.25, 0.5)}
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
    others: OthersSteps = field(default_factory=OthersSteps)
    _felt_steps: float = 0.0
    # What of the steps that are felt is ours: requests that run, and tokens of prompts.
    _running: float = 0.0
    _prefilled: float = 0.0

    def aim_for(self, point: Point, slo: float | None) -> None:
        """Another operating point from now on. What is known of others' steps stays."""
        self.point, self.slo, self.room = point, slo, 0.0
        self.others.begin_anew()

    def forget(self) -> None:
        """Others are at another engine now."""
        self.others, self.room, self.alone = OthersSteps(), 0.0, None
        self.felt = self._felt_steps = self._running = self._prefilled = 0.0

    @property
    def slower(self) -> float | None:
        """How many times slower others' slow steps were than they would have been without us, over their last hour or so, or
        since the point was another. None before there were any.
        """
        felt, alone = self.others.felt, self.others.unfelt
        return sum(felt[share] / alone[share] for share in (SLOW, SLOWEST)) / 2 if felt else None

    @property
    def slower_most(self) -> float | None:
        """How many times slower the point allows. None before others were seen, and where it looks at no steps."""
        slowest = self.others.alone.get(SLOWEST)
        if slowest is None or self.point not in RULES:
            return None
        return self._limit(slowest) / slowest

    def seen(
        self, step: float, model: StepModel, *, running: float, prefilled: float, others: float, steps: float
    ) -> None:
        """So many steps took so long each, with that many requests and tokens of prompts of ours, and requests of others."""
        # Until an answer has been written it is the mean of what there was: one long step is not remembered as what is usual.
        self._felt_steps = min(ANSWER_TOKENS, self._felt_steps + steps)
        smooth = min(1.0, steps / self._felt_steps)
        self.felt += smooth * (step - self.felt)
        self._running += smooth * (running - self._running)
        self._prefilled += smooth * (prefilled - self._prefilled)
        self.alone = model.alone(self.felt, own=model.each * self._running + model.token * self._prefilled)
        if others > 0.5 and self._felt_steps >= ANSWER_TOKENS:
            self.others.seen(
                self.felt,
                running=self._running,
                prefilled=self._prefilled,
                tokens=others * steps,
                seconds=step * steps,
                model=model,
            )

    def after(self, seconds: float) -> float | None:
        """How long a step may be, where so much time has passed since the last answer. None before others were seen.

        Only for the points that have a rule.
        """
        rule = RULES[self.point]
        if not self.others.alone:
            return None
        usual, slowest = self.others.alone[USUAL], self.others.alone[SLOWEST]
        promised = self.slo if self.point is Point.SLO and self.slo is not None else 0.0
        limit = self._limit(slowest)
        may = limit / slowest
        # Bounded, because an hour must not be decided by its first minute, in which they came to an engine full of ours.
        slower = self.slower or 1.0
        short = max(SHORT_MIN, (may - slower) / (may - 1.0))
        slowly = LARGER_SECONDS if short > 0.0 else SMALLER_SECONDS
        room = (self.room or rule.room) + rule.room * short * seconds / slowly
        self.room = max(ROOM_LEAST * rule.room, min(ROOM_MAX, room))
        unseen = usual * (1.0 + WIDE * NEW_SECONDS / (NEW_SECONDS + self.others.seconds))
        end = max(promised, min(STEEP * usual, max(limit, rule.limit * unseen)))
        # Where they feel more than that the way is shorter at once, and is itself again as soon as they do not.
        ease = 1.0 if slower <= may else max(EASE_LEAST, (may - 1.0) / (slower - 1.0))
        return min(limit, usual + ease * self.room * (end - usual))

    def _limit(self, slowest: float) -> float:
        """What others may see at their slowest, where that would be `slowest` without us."""
        limit = RULES[self.point].limit * slowest
        return limit if self.point is not Point.SLO or self.slo is None else max(limit, self.slo)
