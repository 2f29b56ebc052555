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


def measure(
    scenario: Scenario,
    policy: Policy,
    *,
    seed: int = 0,
    queueing: Queueing = Queueing.FCFS,
    warm_up: float = WARM_UP_SECONDS,
) -> Figures:
    """What online users and the batch get. Times are in seconds."""
    kernel = Kernel()
    engine = VirtualEngine(kernel, EngineModel(profile_named(scenario.profile), queueing=queueing))
    traffic = offer(kernel, engine, arrivals_of(scenario, seed))
    gateway = VirtualGateway(kernel, engine, policy, Backlog(scenario.batch, seed=seed + 1))
    kernel.run(warm_up)
    before, busy, steps = replace(gateway.tally), engine.model.counters.busy_seconds, engine.model.counters.steps
    kernel.run(scenario.seconds)
    counters = engine.model.counters
    return {
        **batch_figures(before, gateway.tally, scenario.seconds - warm_up),
        **online_figures(traffic, warm_up, scenario.seconds - LAST_SECONDS),
        "preemptions": counters.preemptions,
        "step_seconds": (counters.busy_seconds - busy) / max(1, counters.steps - steps),
    }


def measure_oracle(scenario: Scenario, cap: float, *, seed: int = 0) -> Figures:
    """The same with a scheduler inside the engine that keeps steps under `cap` seconds where online work lets it."""
    kernel = Kernel()
    model = CoScheduler(profile_named(scenario.profile), Backlog(scenario.batch, seed=seed + 1), cap=cap)
    engine = VirtualEngine(kernel, model)
    traffic = offer(kernel, engine, arrivals_of(scenario, seed))

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


def offer(kernel: Kernel, engine: VirtualEngine, arrivals: Sequence[Arrival]) -> list[EngineRequest]:
    """Has the arrivals come to the engine, each in its moment. They do not pass through the gateway."""
    traffic = []
    for number, arrival in enumerate(arrivals):
        name = f"online {number}"
        segments = ((name, arrival.prompt_tokens),)
        request = EngineRequest(
            id=name, prompt_tokens=arrival.prompt_tokens, output_tokens=arrival.output_tokens, segments=segments
        )
        kernel.at(arrival.at, engine.submit, request)
        request.arrived_at = arrival.at
        traffic.append(request)
    return traffic


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
