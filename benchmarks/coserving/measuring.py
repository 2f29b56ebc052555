"""One cell of the benchmark: a scenario under a policy. A pure function of the scenario, the policy and the seed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from benchmarks.coserving.gateway import Tally, VirtualGateway
from benchmarks.coserving.kernel import Kernel
from benchmarks.coserving.oracle import CoScheduler
from benchmarks.coserving.policy import Policy
from benchmarks.coserving.scenarios import LAST_SECONDS, WARM_UP_SECONDS, Scenario
from benchmarks.coserving.virtual_engine import VirtualEngine
from benchmarks.coserving.workload import Backlog, online

from slackwater.adapters.modelled_engine.shipped import profile_named
from slackwater.core.engine_model import Arrival, EngineModel, EngineRequest, Queueing

Figures = dict[str, Any]
# Answers of fewer tokens say little about the time of one.
TPOT_TOKENS_MIN = 5
WAKE_SECONDS = 0.25


class Play:
    """An engine with its online traffic and a policy, in virtual time. `until` goes on to a moment."""

    def __init__(
        self,
        profile: str,
        arrivals: Sequence[tuple[float, EngineRequest]],
        policy: Policy,
        *,
        batch: str = "balanced",
        seed: int = 0,
        queueing: Queueing = Queueing.FCFS,
    ) -> None:
        self.kernel = Kernel()
        self.model = EngineModel(profile_named(profile), queueing=queueing)
        engine = VirtualEngine(self.kernel, self.model)
        self.traffic = offer(self.kernel, engine, arrivals)
        self.gateway = VirtualGateway(self.kernel, engine, policy, Backlog(batch, seed=seed + 1))
        self.until = self.kernel.run


def measure(
    scenario: Scenario,
    policy: Policy,
    *,
    seed: int = 0,
    queueing: Queueing = Queueing.FCFS,
    warm_up: float = WARM_UP_SECONDS,
) -> Figures:
    """What online users and the batch get. Times are in seconds."""
    arrivals = requests_of(arrivals_of(scenario, seed))
    play = Play(scenario.profile, arrivals, policy, batch=scenario.batch, seed=seed, queueing=queueing)
    counters = play.model.counters
    play.until(warm_up)
    before, busy, steps = replace(play.gateway.tally), counters.busy_seconds, counters.steps
    play.until(scenario.seconds)
    return {
        **batch_figures(before, play.gateway.tally, scenario.seconds - warm_up),
        **online_figures(play.traffic, warm_up, scenario.seconds - LAST_SECONDS),
        "preemptions": counters.preemptions,
        "step_seconds": (counters.busy_seconds - busy) / max(1, counters.steps - steps),
    }


def measure_oracle(scenario: Scenario, cap: float, *, seed: int = 0) -> Figures:
    """The same with a scheduler inside the engine that keeps steps under `cap` seconds where online work lets it."""
    kernel = Kernel()
    model = CoScheduler(profile_named(scenario.profile), Backlog(scenario.batch, seed=seed + 1), cap=cap)
    engine = VirtualEngine(kernel, model)
    traffic = offer(kernel, engine, requests_of(arrivals_of(scenario, seed)))

    def wake() -> None:
        engine.wake()
        kernel.at(kernel.now + WAKE_SECONDS, wake)

    kernel.at(0.0, wake)
    kernel.run(WARM_UP_SECONDS)
    before = Tally(requests=model.batch_requests, tokens=model.batch_tokens)
    kernel.run(scenario.seconds)
    after = Tally(requests=model.batch_requests, tokens=model.batch_tokens)
    return {
        **batch_figures(before, after, scenario.seconds - WARM_UP_SECONDS),
        **online_figures(traffic, WARM_UP_SECONDS, scenario.seconds - LAST_SECONDS),
    }


def arrivals_of(scenario: Scenario, seed: int) -> list[Arrival]:
    """The scenario's online traffic."""
    kind, rate = scenario.load
    return online(kind, rate, scenario.seconds, seed=seed, **scenario.shape)


def requests_of(arrivals: Sequence[Arrival]) -> list[tuple[float, EngineRequest]]:
    """Each arrival as a request that shares its prompt with no other, with its moment."""
    found = []
    for number, arrival in enumerate(arrivals):
        name = f"online {number}"
        segments = ((name, arrival.prompt_tokens),)
        request = EngineRequest(
            id=name, prompt_tokens=arrival.prompt_tokens, output_tokens=arrival.output_tokens, segments=segments
        )
        found.append((arrival.at, request))
    return found


def offer(
    kernel: Kernel, engine: VirtualEngine, arrivals: Sequence[tuple[float, EngineRequest]]
) -> list[EngineRequest]:
    """Has the requests come to the engine, each in its moment. They do not pass through the gateway."""
    for at, request in arrivals:
        kernel.at(at, engine.submit, request)
        request.arrived_at = at
    return [request for _, request in arrivals]


def batch_figures(before: Tally, after: Tally, seconds: float) -> Figures:
    """Rates of finished batch work."""
    return {
        "batch_tok_s": (after.tokens - before.tokens) / seconds,
        "batch_req_s": (after.requests - before.requests) / seconds,
        "aborts": after.aborts - before.aborts,
        "slices": after.slices - before.slices,
        "wasted_tokens": after.wasted_tokens - before.wasted_tokens,
    }


def online_figures(traffic: Sequence[EngineRequest], begin: float, end: float) -> Figures:
    """Percentiles over the requests that arrived between two moments: to the first token, and for each token after it."""
    seen = [request for request in traffic if begin <= request.arrived_at < end]
    firsts = [request.first_token_at - request.arrived_at for request in seen if request.first_token_at is not None]
    paces = [
        (request.finished_at - request.first_token_at) / (request.output_tokens - 1)
        for request in seen
        if request.finished_at is not None and request.first_token_at is not None
        if request.output_tokens >= TPOT_TOKENS_MIN
    ]
    figures: Figures = {"online": len(seen), "online_done": sum(request.finished_at is not None for request in seen)}
    for name, values in (("ttft", firsts), ("tpot", paces)):
        for percent in (50, 95, 99):
            figures[f"{name}_p{percent}"] = float(np.percentile(values, percent)) if values else float("nan")
    return figures
