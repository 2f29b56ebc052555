"""What a policy can see and do: at its true delay, and nothing beyond what a gateway over HTTP has."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from benchmarks.coserving.families import FAMILIES, OFF, policy_of
from benchmarks.coserving.frontier import Point, best_along, best_of, kept
from benchmarks.coserving.gateway import VirtualGateway, first_of
from benchmarks.coserving.kernel import Kernel
from benchmarks.coserving.measuring import measure
from benchmarks.coserving.policy import NETWORK_SECONDS, Gateway, Policy, Prompt, Usage
from benchmarks.coserving.scenarios import BY_NAME
from benchmarks.coserving.virtual_engine import VirtualEngine
from benchmarks.coserving.workload import BatchRequest, online

from slackwater.adapters.modelled_engine.shipped import profile_named
from slackwater.core.engine_model import EngineModel

PROFILE = profile_named("a100-8b")
Told = list[tuple[float, str, object]]


class Scripted(Policy):
    """Writes down what it is told, and does what it is given to do at the start."""

    def __init__(self, begin: Callable[[Gateway], None]) -> None:
        self.told: Told = []
        self._begin = begin

    def start(self, gateway: Gateway) -> None:
        self._begin(gateway)

    def on_first(self, prompt: Prompt, now: float) -> None:
        self.told.append((now, "first", 1))

    def on_chunk(self, prompt: Prompt, now: float, tokens: int) -> None:
        self.told.append((now, "chunk", tokens))

    def on_done(self, prompt: Prompt, now: float, usage: Usage) -> None:
        self.told.append((now, "done", usage))

    def on_slice(self, prompt: Prompt, now: float, usage: Usage) -> None:
        self.told.append((now, "slice", usage))

    def on_metrics(self, now: float, samples: dict[str, float]) -> None:
        self.told.append((now, "metrics", samples))


def play(
    begin: Callable[[Kernel, Gateway], None], *, output: int = 5, until: float = 60.0
) -> tuple[Told, VirtualGateway]:
    kernel = Kernel()
    engine = VirtualEngine(kernel, EngineModel(PROFILE))
    numbers = iter(range(1, 1000))

    def backlog() -> BatchRequest:
        name = f"b{next(numbers)}"
        return BatchRequest(name, 1000, output, 4000, ((name, 1000),))

    policy = Scripted(lambda gateway: begin(kernel, gateway))
    gateway = VirtualGateway(kernel, engine, policy, backlog)
    kernel.run(until)
    assert engine.model.memory.held == 0
    return policy.told, gateway


def test_chunks_come_a_network_later() -> None:
    """A streamed request's chunks are the engine's steps, each 3 ms after its end, as the request was 3 ms on its way."""
    told, _ = play(lambda _, gateway: gateway.send(gateway.take(), stream=True))
    assert [what for _, what, _ in told] == ["first", "chunk", "chunk", "chunk", "chunk", "done"]
    prefill = PROFILE.step_time.seconds(tokens=1000, context=0, pairs=1000 * 500.0, sequences=1)
    assert told[0][0] == pytest.approx(2 * NETWORK_SECONDS + prefill)
    gap = PROFILE.step_time.seconds(tokens=1, context=1001, pairs=0.0, sequences=1)
    assert told[1][0] - told[0][0] == pytest.approx(gap)
    assert told[-1][2] == Usage(1000, 0, 5)


def test_what_is_not_streamed_says_nothing_before_its_end() -> None:
    """Only `on_done`."""
    told, gateway = play(lambda _, gateway: gateway.send(gateway.take()))
    assert [what for _, what, _ in told] == ["done"]
    assert (gateway.tally.requests, gateway.tally.tokens) == (1, 1005)


def test_a_slice_makes_its_prompt_a_hit() -> None:
    """After a slice of 520 tokens the whole blocks of it, 512 tokens, are found."""

    def begin(kernel: Kernel, gateway: Gateway) -> None:
        prompt = gateway.take()
        gateway.send_slice(prompt, 520)
        kernel.at(5.0, gateway.send, prompt)

    told, gateway = play(begin)
    assert [(what, usage) for _, what, usage in told] == [("slice", Usage(520, 0, 1)), ("done", Usage(1000, 512, 5))]
    assert gateway.tally.tokens == 1005


@pytest.mark.parametrize("keep", [True, False])
def test_an_aborted_request_is_next(keep: bool) -> None:
    """It is taken before others; with `keep` its streamed tokens have become prompt, otherwise they are counted as waste."""
    again: list[Prompt] = []

    def begin(kernel: Kernel, gateway: Gateway) -> None:
        prompt = gateway.take()
        gateway.send(prompt, stream=True)

        def stop() -> None:
            gateway.abort(prompt, keep=keep)
            again.append(gateway.take())
            gateway.send(again[0])

        kernel.at(1.0, stop)

    told, gateway = play(begin, output=200)
    received = sum(what in ("first", "chunk") for _, what, _ in told)
    assert received > 50
    kept = received if keep else 0
    assert again == [Prompt("b1", 1000 + kept, 4000 - kept)]
    assert gateway.tally.requests == 1
    assert gateway.tally.tokens == 1200
    assert (gateway.tally.wasted_tokens <= 1) == keep


def test_a_scrape_is_as_old_as_its_way_back() -> None:
    """The page is made 3 ms after it was asked for and comes 3 ms later, with vLLM's names."""
    told, _ = play(lambda _, gateway: gateway.scrape())
    (now, what, samples) = told[0]
    assert (now, what) == (pytest.approx(2 * NETWORK_SECONDS), "metrics")
    assert isinstance(samples, dict)
    assert samples["vllm:num_requests_running"] == 0
    assert samples['vllm:time_to_first_token_seconds_bucket{le="0.1"}'] == 0


def test_first_of_cuts_the_last_segment() -> None:
    """A slice shares the segments that it has whole, and a part of the next."""
    assert first_of((("a", 100), ("b", 50)), 120) == (("a", 100), ("b", 20))


def test_a_run_is_a_pure_function() -> None:
    """The same cell twice gives the same figures, whatever the policy, and every policy does some work."""
    short = replace(BY_NAME["S4-onoff"], seconds=150)
    for family in (OFF, *FAMILIES.values()):
        one, other = (measure(short, policy_of(family, family.settings[0], short), seed=3) for _ in range(2))
        assert one == other
        assert (one["batch_tok_s"] > 0) == (family is not OFF)


def test_a_path_is_straight_between_settings() -> None:
    """The best within limits lies between two settings where one keeps them and the next does not."""
    off, four, eight = Point(0, 1.0, 0.02), Point(400, 1.1, 0.03), Point(800, 1.3, 0.05)
    assert best_along(off, [four, eight], (1.2001, 0.0401)) == pytest.approx(600)
    assert best_along(off, [four, eight], (0.9, 0.04)) == 0


def test_where_there_is_no_path_a_setting_counts() -> None:
    """The best that was tried and keeps the limits; one that has to keep them by itself and does not has nothing."""
    points = [Point(400, 1.1, 0.03), Point(800, 1.3, 0.05)]
    assert best_of(points, (1.2, 0.04)) == 400
    assert best_of(points, (1.0, 0.04)) == 0
    assert kept(points[1], (1.28, 0.05)) == 800
    assert kept(points[1], (1.2, 0.05)) == 0


def test_another_seed_is_another_part_of_the_trace() -> None:
    """At the same rate: seed 0 is its beginning, others begin elsewhere, and the beginning follows the end."""
    first, other = (online("azure-conv", 5.53, 3600, seed=seed) for seed in (0, 1))
    assert first[0] == (0.0, 374, 44)
    assert other[0].at == 0.0
    assert other[0] != first[0]
    assert len(other) == pytest.approx(len(first), rel=0.02)
    assert all(sooner.at <= later.at for sooner, later in zip(other, other[1:], strict=False))
