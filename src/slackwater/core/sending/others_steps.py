"""What others' steps were in the last hour in which any of them were there, and what they would have been without us.

The latter follows from what a step costs (`step_model`), which is learned: what is known after an hour says more of the first
minute than what was known then. So what is kept of each second is what was seen, and what follows is computed anew now and then.
"""

from collections import deque
from dataclasses import dataclass, field

from slackwater.core.sending.step_model import StepModel

# A second of others is one sample. So many are kept, and one counts half as much as another that is so much younger.
SAMPLE_SECONDS, KEPT, HALF_LIFE_SECONDS = 1.0, 3600, 3600.0
# Everything is computed anew after one more sample for so many that there are.
ANEW_SAMPLES = 64
# The shares of steps that are asked for.
USUAL, SLOW, SLOWEST = 0.5, 0.95, 0.99
Quantiles = dict[float, float]


@dataclass(slots=True)
class OthersSteps:
    """Those at one engine. Times are seconds; each step counts for as many of others as were in it."""

    seconds: float = 0.0
    """For how long others were seen in all."""
    alone: Quantiles = field(default_factory=dict)
    """Quantiles of what the steps would have been without us; empty before there were any."""
    felt: Quantiles = field(default_factory=dict)
    """The same of what they were, since `begin_anew`."""
    unfelt: Quantiles = field(default_factory=dict)
    """What those would have been without us."""
    # The step, how many of ours ran, how many tokens of ours were read in a step, and the weight.
    _samples: deque[tuple[float, float, float, float]] = field(default_factory=lambda: deque(maxlen=KEPT))
    _now: list[float] = field(default_factory=lambda: [0.0] * 4)
    _now_seconds: float = 0.0
    _new: int = 0
    # So many of the last samples are what is asked of `felt`.
    _since: int = 0

    def begin_anew(self) -> None:
        """What is felt from now on is another thing. What steps are without us stays."""
        self._since = 0
        self._now, self._now_seconds = [0.0] * 4, 0.0
        self.felt, self.unfelt = {}, {}

    def seen(
        self, felt: float, *, running: float, prefilled: float, tokens: float, seconds: float, model: StepModel
    ) -> None:
        """For so long a step took `felt`, with so many requests and tokens of prompts of ours, and made others so many tokens."""
        self.seconds += seconds
        self._now_seconds += seconds
        for place, value in enumerate((felt, running, prefilled, 1.0)):
            self._now[place] += tokens * value
        if self._now_seconds < SAMPLE_SECONDS and self.alone:
            return
        weight = self._now[3]
        self._samples.append((self._now[0] / weight, self._now[1] / weight, self._now[2] / weight, weight))
        self._now, self._now_seconds = [0.0] * 4, 0.0
        self._new += 1
        self._since = min(KEPT, self._since + 1)
        if not self.felt or self._new * ANEW_SAMPLES >= len(self._samples):
            self._new = 0
            self._compute(model)

    def _compute(self, model: StepModel) -> None:
        keep, age = 0.5 ** (SAMPLE_SECONDS / HALF_LIFE_SECONDS), 1.0
        felt, alone = [], []
        for step, running, prefilled, weight in reversed(self._samples):
            weight *= age
            age *= keep
            own = model.each * running + model.token * prefilled
            felt.append((step, weight))
            alone.append((model.alone(step, own=own), weight))
        self.felt, self.unfelt = quantiles(felt[: self._since]), quantiles(alone[: self._since])
        self.alone = quantiles(alone)


def quantiles(values: list[tuple[float, float]]) -> Quantiles:
    """Below which value so much of the weight is, of values with their weights."""
    values = sorted(values)
    total = sum(weight for _, weight in values)
    found: Quantiles = {}
    left, shares = 0.0, [USUAL, SLOW, SLOWEST]
    for value, weight in values:
        left += weight
        while shares and left >= shares[0] * total:
            found[shares.pop(0)] = value
    return found
