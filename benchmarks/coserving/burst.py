"""What happens while online traffic comes and goes: marks of one run, every half second, for a timeline."""

from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.coserving.measuring import Play, arrivals_of, requests_of
from benchmarks.coserving.product import product
from benchmarks.coserving.scenarios import BY_NAME, Scenario

from slackwater.core.engine_model import State

MARK_SECONDS = 0.5
# Online requests a second are those of so long before and after.
AROUND_SECONDS = 2.0


class Marks(NamedTuple):
    """One moment. Times are seconds."""

    at: float
    online: float
    """Requests a second."""
    window: float
    out: int
    step: float
    """The mean of the last half second; of the moment before where there was none."""
    target: float | None
    alone: float | None
    batch: float
    """Tokens of the batch's answers a second."""


def play_burst(
    scenario: Scenario = BY_NAME["S4-onoff"], *, begin: float = 600.0, seconds: float = 180.0, seed: int = 0
) -> Sequence[Marks]:
    """The product at `gentle` between two moments of a scenario."""
    policy = product("gentle", scenario.slo)
    arrivals = requests_of(arrivals_of(scenario, seed))
    play = Play(scenario.profile, arrivals, policy, batch=scenario.batch, seed=seed)
    moments = [at for at, _ in arrivals]
    counters = play.model.counters
    play.until(begin)
    steps, busy, step = counters.steps, counters.busy_seconds, 0.0
    marks = []
    for number in range(1, int(seconds / MARK_SECONDS) + 1):
        at = begin + number * MARK_SECONDS
        play.until(at)
        passed = counters.steps - steps
        if passed:
            step = (counters.busy_seconds - busy) / passed
        # Each that is decoded gets a token in each step.
        ours = sum(request.priority > 0 and request.state is State.DECODING for request in play.model.running.values())
        marks.append(
            Marks(
                at - begin,
                sum(abs(moment - at) <= AROUND_SECONDS for moment in moments) / (2 * AROUND_SECONDS),
                policy.pacer.window,
                policy.out,
                step,
                policy.pacer.target,
                policy.pacer.aim.alone,
                ours * passed / MARK_SECONDS,
            )
        )
        steps, busy = counters.steps, counters.busy_seconds
    return marks
