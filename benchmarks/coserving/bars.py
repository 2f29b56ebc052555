"""The further bars of sending: what a mean over a quarter of an hour does not show.

    python benchmarks/coserving/bars.py [--only bursty,step,agentic,ramp,hindsight] [--policies slackwater,...] [--seeds N]

The last is what our law reaches with the best target of each scenario, from run.py's cells. Each other is a function of
something that makes a policy, and of seeds. Figures that begin with `x_` are ratios to the same arrivals without a batch. As in
run.py all of it is virtual time on the product's model of an engine.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from benchmarks.coserving.adaptive_drr import AdaptiveDrr
from benchmarks.coserving.cells import Cells
from benchmarks.coserving.hindsight import OURS, say, summary_of
from benchmarks.coserving.measuring import Figures, Play, measure, measure_oracle, online_figures, requests_of
from benchmarks.coserving.policy import Policy
from benchmarks.coserving.product import product
from benchmarks.coserving.rivals import Aimd, Fixed, TotalCap, WaitingGate
from benchmarks.coserving.run import table_of
from benchmarks.coserving.saturate import Saturate
from benchmarks.coserving.scenarios import BY_NAME, SCENARIOS, Scenario

from slackwater.adapters.modelled_engine.shipped import trace_named
from slackwater.core.engine_model import EngineRequest

Make = Callable[[], Policy]
# A cap that binds nobody: all that is left over.
NO_CAP_SECONDS = 0.3
QUIET_RATE, STEP = 0.5, 12


def bursty(make: Make, seeds: Iterable[int] = (0,), *, scenario: Scenario = BY_NAME["S5-code-burst"]) -> Figures:
    """Bursts of online traffic and idle gaps between them: the share of everything that is left over, not of the oracle's.

    `leftover`: 0 to 1; `x_ttft_p99`, `x_tpot_p99`.
    """
    rows = []
    for seed in seeds:
        off, on = (measure(scenario, policy, seed=seed) for policy in (Policy(), make()))
        most = measure_oracle(scenario, NO_CAP_SECONDS, seed=seed)["batch_tok_s"]
        rows.append(
            {
                "leftover": on["batch_tok_s"] / most,
                **{f"x_{key}": on[key] / off[key] for key in ("ttft_p99", "tpot_p99")},
            }
        )
    return _mean(rows)


def step(make: Make, seeds: Iterable[int] = range(5), *, quiet_seconds: float = 3600.0) -> Figures:
    """After an hour with half a request a second twelve times as many come, for 90 seconds, to an A100.

    `x_ttft_p95`: over those that come within the first ten seconds, of all seeds together; `x_tpot_p95`: over the whole burst;
    `batch_tok_s`: in the hour before.
    """
    burst = quiet_seconds, quiet_seconds + 90.0
    firsts: dict[bool, list[float]] = {True: [], False: []}
    paces: dict[bool, list[float]] = {True: [], False: []}
    rates = []
    for seed in seeds:
        for on in (False, True):
            play = Play("a100-8b", requests_of(_step_arrivals(burst, seed)), make() if on else Policy(), seed=seed + 4)
            play.until(burst[0])
            if on:
                rates.append(play.gateway.tally.tokens / quiet_seconds)
            play.until(burst[1] + 60)
            seen = [request for request in play.traffic if burst[0] <= request.arrived_at < burst[1]]
            firsts[on] += [_ttft(request) for request in seen if request.arrived_at < burst[0] + 10]
            paces[on] += [pace for request in seen if (pace := _tpot(request)) is not None]
    ratio = {
        name: float(np.percentile(values[True], 95) / np.percentile(values[False], 95))
        for name, values in (("x_ttft_p95", firsts), ("x_tpot_p95", paces))
    }
    return {**ratio, "batch_tok_s": sum(rates) / len(rates)}


def _step_arrivals(burst: tuple[float, float], seed: int) -> list[Any]:
    chance = np.random.default_rng(seed)
    trace = trace_named("azure-conv").arrivals
    arrivals = []
    at = 0.0
    while True:
        rate = QUIET_RATE * (STEP if burst[0] <= at < burst[1] else 1)
        gap = float(chance.exponential(1 / rate))
        # A gap that reaches over the beginning of the burst ends there, or the burst would begin late.
        at = burst[0] if at < burst[0] <= at + gap else at + gap
        if at >= burst[1] + 30:
            return arrivals
        arrivals.append(trace[int(chance.integers(0, len(trace)))]._replace(at=at))


def agentic(make: Make, seeds: Iterable[int] = (0,), *, seconds: float = 1800.0) -> Figures:
    """Agents on an H100: a session begins with 50,000 tokens that nobody has in a cache, and goes on with twenty turns that send
    everything again and 2,000 tokens more. The cache is what they live by, and a batch can push it out.

    `hits` and `hits_off`: share of online prompt tokens found, with a batch and without; `x_ttft_p50`, `x_ttft_p99`,
    `x_tpot_p99`; `batch_tok_s`.
    """
    rows = []
    for seed in seeds:
        figures: list[Figures] = []
        for policy in (Policy(), make()):
            play = Play("h100-8b", _sessions(seconds, seed), policy, seed=seed)
            play.until(seconds)
            seen = [request for request in play.traffic if request.first_token_at is not None]
            hits = sum(request.cached_tokens for request in seen) / sum(request.prompt_tokens for request in seen)
            online = online_figures(play.traffic, 60.0, seconds - 30)
            figures.append({**online, "hits": hits, "batch_tok_s": play.gateway.tally.tokens / seconds})
        off, on = figures
        ratios = {f"x_{key}": on[key] / off[key] for key in ("ttft_p50", "ttft_p99", "tpot_p99")}
        rows.append({"hits": on["hits"], "hits_off": off["hits"], **ratios, "batch_tok_s": on["batch_tok_s"]})
    return _mean(rows)


CONTEXT, TURNS, TURN_TOKENS, ANSWER, TURN_SECONDS, SESSION_SECONDS = 50_000, 20, 2_000, 300, 8.0, 120.0


def _sessions(seconds: float, seed: int) -> list[tuple[float, EngineRequest]]:
    chance = np.random.default_rng(seed)
    found = []
    for session in range(int(seconds / SESSION_SECONDS) + 1):
        # Not at random: where more sessions meet than the cache holds, all lose everything, with a batch or without.
        at, context = SESSION_SECONDS * (session + 0.5 * float(chance.random())), CONTEXT
        for turn in range(TURNS):
            output = int(np.clip(chance.lognormal(np.log(ANSWER), 0.6), 20, 2000))
            request = EngineRequest(
                id=f"session {session} turn {turn}",
                prompt_tokens=context,
                output_tokens=output,
                segments=((f"session {session}", context),),
            )
            found.append((at, request))
            context += output + TURN_TOKENS
            at += TURN_SECONDS + float(chance.exponential(TURN_SECONDS))
    return sorted(((at, request) for at, request in found if at < seconds), key=lambda entry: entry[0])


def ramp(make: Make, seeds: Iterable[int] = range(3), *, seconds: float = 240.0) -> Figures:
    """An idle A100: how soon a policy has 90 % of the requests in it that it comes to in the end.

    `seconds_to_90`: until as many run as 90 % of the mean of the last minute; `end_running`: that mean. Tokens would say little:
    prompts alone, of which there are many at the beginning, are computed quickly.
    """
    rows = []
    for seed in seeds:
        play = Play("a100-8b", [], make(), seed=seed)
        marks = []
        for half in range(1, int(2 * seconds) + 1):
            play.until(half / 2)
            marks.append(len(play.model.running))
        end = sum(marks[-120:]) / 120
        reached = next(index for index, running in enumerate(marks) if running >= 0.9 * end)
        rows.append({"seconds_to_90": (reached + 1) / 2, "end_running": end})
    return _mean(rows)


def _ttft(request: EngineRequest) -> float:
    assert request.first_token_at is not None
    return request.first_token_at - request.arrived_at


def _tpot(request: EngineRequest) -> float | None:
    if request.finished_at is None or request.first_token_at is None or request.output_tokens < 5:
        return None
    return (request.finished_at - request.first_token_at) / (request.output_tokens - 1)


def _mean(rows: Sequence[Figures]) -> Figures:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


BARS: dict[str, Callable[..., Figures]] = {"bursty": bursty, "step": step, "agentic": agentic, "ramp": ramp}
RIVALS: dict[str, Make] = {
    "fixed 16": lambda: Fixed(16),
    "fixed 64": lambda: Fixed(64),
    "aimd 2": lambda: Aimd(2.0),
    "total cap 64": lambda: TotalCap(64),
    "waiting gate 16": lambda: WaitingGate(16),
    "saturate": Saturate,
    "adaptive drr 32": lambda: AdaptiveDrr(32),
    "slackwater": lambda: product("gentle", 0.05),
    "whole law": lambda: product("gentle", 0.05, whole=True),
}


def _hindsight() -> None:
    cells = Cells()
    try:
        rows = [row for scenario in SCENARIOS for row in table_of(cells, scenario, 0, (OURS,))]
    finally:
        cells.save()
    say(summary_of(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", default=",".join(BARS), help=f"of {', '.join(BARS)}, hindsight")
    parser.add_argument("--policies", default=",".join(RIVALS), help=f"of {', '.join(RIVALS)}")
    parser.add_argument("--seeds", type=int, metavar="N", help="how many  [default: each bar's own]")
    options = parser.parse_args()
    for name in options.only.split(","):
        if name == "hindsight":
            _hindsight()
            continue
        print(f"\n{name}: {BARS[name].__doc__.splitlines()[0]}")
        for rival in options.policies.split(","):
            make = RIVALS[rival]
            figures = BARS[name](make, range(options.seeds)) if options.seeds else BARS[name](make)
            print(f"  {rival:16s}" + "   ".join(f"{key} {value:.4g}" for key, value in figures.items()), flush=True)


if __name__ == "__main__":
    main()
