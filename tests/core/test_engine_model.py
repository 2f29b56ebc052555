"""The model of an inference engine: its memory is accounted for, its tokens too, and its steps take what they should."""

import random
import tomllib
from pathlib import Path

import pytest

from slackwater.adapters.modelled_engine.shipped import PROFILES, profile_named
from slackwater.core.engine_model import (
    Arrival,
    EngineModel,
    EngineRequest,
    Profile,
    Queueing,
    State,
    Trace,
    arrivals_of,
    profile_from,
    trace_from,
)
from slackwater.core.engine_model.step_time import table_between
from slackwater.core.errors import ConfigError

A100 = profile_named("a100-8b")


def profile(*, kv_tokens: int = 430_000, max_num_seqs: int = 256) -> Profile:
    return Profile(
        name="small",
        about="-",
        source="-",
        licence="-",
        kv_tokens=kv_tokens,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=2048,
        step_time=A100.step_time,
    )


def asking(name: str, prompt: int = 100, output: int = 10, *, priority: int = 0) -> EngineRequest:
    return EngineRequest(
        id=name, prompt_tokens=prompt, output_tokens=output, segments=((name, prompt),), priority=priority
    )


def step(model: EngineModel, now: float) -> float:
    """One step; returns when it ended."""
    seconds = model.begin_step(now)
    assert seconds is not None
    model.end_step(now + seconds)
    return now + seconds


def drain(model: EngineModel, now: float = 0.0) -> float:
    """Steps until nothing is left to do."""
    while (seconds := model.begin_step(now)) is not None:
        now += seconds
        model.end_step(now)
    return now


@pytest.mark.parametrize("aborts", [False, True])
@pytest.mark.parametrize("kv_tokens", [430_000, 30_000, 9_000])
@pytest.mark.parametrize("queueing", Queueing)
def test_memory_returns_to_zero(queueing: Queueing, kv_tokens: int, aborts: bool) -> None:
    """Whatever comes, is aborted or pushed out: in the end nothing is held, and each request has all of its tokens."""
    chance = random.Random(f"{queueing} {kv_tokens} {aborts}")
    model = EngineModel(profile(kv_tokens=kv_tokens, max_num_seqs=64), queueing=queueing)
    requests, coming = [], []
    for number in range(300):
        prompt, output = chance.randint(20, 3000), chance.randint(1, 300)
        segments = (
            ((f"shared {chance.randint(0, 5)}", 256), (number, prompt - 256)) if prompt > 300 else ((number, prompt),)
        )
        request = EngineRequest(
            id=str(number),
            prompt_tokens=prompt,
            output_tokens=output,
            segments=segments,
            priority=chance.randint(0, 1),
        )
        requests.append(request)
        coming.append((chance.random() * 60, number, request))
    coming.sort()
    leaving = [(at + chance.random() * 8, request) for at, _, request in coming if aborts and chance.random() < 0.3]
    now, generated = 0.0, 0
    while coming or now < 70 or model.running or model.waiting:
        while coming and coming[0][0] <= now:
            model.submit(coming.pop(0)[2], now)
        seconds = model.begin_step(now)
        for at, request in list(leaving):
            # Also while a step goes on.
            if at <= now and request.state is not State.NEW:
                model.abort(request)
                leaving.remove((at, request))
        now += seconds or 0.05
        if seconds is not None:
            model.end_step(now)
        memory = model.memory
        assert 0 <= memory.held <= kv_tokens + 64
        assert memory.held + memory.idle <= kv_tokens + 64
    for request in requests:
        generated += request.generated
        assert request.state in (State.FINISHED, State.ABORTED)
        if request.state is State.FINISHED:
            assert request.generated == request.output_tokens
            assert request.first_token_at is not None
            assert request.finished_at is not None
            assert request.arrived_at < request.first_token_at <= request.finished_at
    assert model.memory.held == 0
    assert model.counters.generated_tokens == generated
    assert model.counters.finished + model.counters.aborted == len(requests)
    assert (model.counters.preemptions > 0) == (kv_tokens < 100_000)


def test_a_single_stream_takes_a_step_for_each_token() -> None:
    """Prefill is one step of the whole prompt; then each token is a step that reads the context so far."""
    model = EngineModel(A100)
    request = asking("only", 100, 101)
    model.submit(request, 0.0)
    drain(model)
    cost = A100.step_time
    assert request.first_token_at == pytest.approx(cost.seconds(tokens=100, context=0, pairs=100 * 50.0, sequences=1))
    expected = sum(cost.seconds(tokens=1, context=context, pairs=0.0, sequences=1) for context in range(101, 201))
    assert request.finished_at is not None
    assert request.finished_at - request.first_token_at == pytest.approx(expected)
    assert expected / 100 == pytest.approx(0.0114, rel=0.02)


def test_a_long_prompt_goes_in_pieces_beside_decodes() -> None:
    """A step holds max_num_batched_tokens at most, and decodes come first."""
    model = EngineModel(A100)
    short, long = asking("short", 10, 50), asking("long", 5000, 5)
    model.submit(short, 0.0)
    now = step(model, 0.0)
    model.submit(long, now)
    for _ in range(2):
        now = step(model, now)
    assert long.computed == 2 * (2048 - 1)
    assert model.generated(short) == 3
    drain(model, now)
    assert model.counters.prefilled_tokens == 5010


def test_a_shared_prefix_is_computed_once() -> None:
    """The second request with the same first segment computes the rest alone, also while the first one still runs."""
    model = EngineModel(A100)
    one, two = (
        EngineRequest(id=name, prompt_tokens=1000, output_tokens=50, segments=(("shared", 960), (name, 40)))
        for name in ("one", "two")
    )
    model.submit(one, 0.0)
    now = step(model, 0.0)
    model.submit(two, now)
    now = step(model, now)
    assert two.cached_tokens == 960
    # Held once: 960 shared, 40 and some generated of each.
    assert model.memory.held == 960 + 40 + 2 + 40 + 1
    drain(model, now)
    assert model.counters.prefilled_tokens == 1040
    assert model.memory.idle == 960 + 2 * 40 + 2 * 49


def test_without_a_prefix_cache_nothing_stays() -> None:
    """Each prompt is computed anew, and nothing idles in memory."""
    model = EngineModel(A100, prefix_cache=False)
    for name in ("one", "two"):
        model.submit(EngineRequest(id=name, prompt_tokens=100, output_tokens=2, segments=(("same", 100),)), 0.0)
        drain(model)
    assert (model.counters.cached_tokens, model.counters.prefilled_tokens, model.memory.idle) == (0, 200, 0)


@pytest.mark.parametrize(
    ("queueing", "running"),
    [(Queueing.FCFS, ["a", "b"]), (Queueing.PRIORITY, ["a", "b"]), (Queueing.PREEMPT, ["a", "urgent"])],
)
def test_only_one_way_of_queueing_displaces(queueing: Queueing, running: list[str]) -> None:
    """With both slots taken, one of better priority waits, also with vLLM's priority; SGLang's pushes out the last one."""
    model = EngineModel(profile(max_num_seqs=2), queueing=queueing)
    for name in ("a", "b", "c"):
        model.submit(asking(name, priority=1), 0.0)
    now = step(model, 0.0)
    model.submit(asking("urgent"), now)
    now = step(model, now)
    assert list(model.running) == running
    waiting = model.waiting.next()
    assert waiting is not None
    assert waiting.id == {Queueing.FCFS: "c", Queueing.PRIORITY: "urgent", Queueing.PREEMPT: "b"}[queueing]
    drain(model, now)
    assert model.counters.finished == 4


def test_a_preempted_request_goes_on_where_it_was() -> None:
    """It computes its prompt and what it had generated again, and no token is told of twice."""
    model = EngineModel(profile(kv_tokens=400))
    one, two = asking("one", 150, 100), asking("two", 150, 100)
    model.submit(one, 0.0)
    model.submit(two, 0.0)
    drain(model)
    assert two.preemptions > 0
    assert one.preemptions == 0
    assert (one.generated, two.generated, model.counters.generated_tokens) == (100, 100, 200)


def test_those_who_left_are_forgotten() -> None:
    """Aborted long before their ends, thousands of requests leave nothing behind, in time."""
    model = EngineModel(A100)
    now = 0.0
    for number in range(5000):
        request = asking(str(number), 16, 1_000_000)
        model.submit(request, now)
        now = step(model, now)
        model.abort(request)
    assert len(model._ends) <= 1002
    assert model.memory.idle <= A100.kv_tokens


def test_death_loses_everything() -> None:
    """All requests are lost, the step that was going on ends in nothing, and it comes back empty."""
    model = EngineModel(profile(max_num_seqs=1))
    model.submit(asking("runs"), 0.0)
    model.submit(asking("waits"), 0.0)
    now = step(model, 0.0)
    model.begin_step(now)
    lost = model.die()
    assert [(request.id, request.state, request.generated) for request in lost] == [
        ("runs", State.LOST, 1),
        ("waits", State.LOST, 0),
    ]
    assert model.end_step(now) is None
    assert model.begin_step(now) is None
    assert (model.memory.held, model.memory.idle, model.counters.steps) == (0, 0, 0)
    model.submit(asking("after"), now)
    drain(model, now)
    assert model.counters.finished == 1


def test_a_table_is_straight_between_points_and_never_falls() -> None:
    """Between points on a line, past the last in proportion, and a smaller time for more tokens is an error of measurement."""
    table = table_between([1, 3, 4], [2.0, 4.0, 3.0], last=8)
    assert table == (0.0, 2.0, 3.0, 4.0, 4.0, 4.0, 4.5, 5.25, 6.0)


def test_arrivals_keep_the_rate_and_never_end() -> None:
    """A trace is stretched to a rate, and begins anew at its end."""
    trace = trace_from("0,1000,3000\n10,20,30\n1,2,3\n")
    assert trace == Trace((Arrival(0.0, 10, 1), Arrival(1.0, 20, 2), Arrival(4.0, 30, 3)))
    arrivals = arrivals_of(trace, rate=0.375)
    assert [next(arrivals).at for _ in range(5)] == [0.0, 2.0, 8.0, 8.0, 10.0]


@pytest.mark.parametrize("name", PROFILES)
def test_shipped_profiles_are_read(name: str) -> None:
    """Each says where its numbers come from and under which licence."""
    found = profile_named(name)
    assert found.name == name
    assert "vidur" in found.source
    assert found.licence == "MIT"


def test_the_documented_profile_is_one() -> None:
    """The form in docs/sim-engine.md is read."""
    page = (Path(__file__).parents[2] / "docs/sim-engine.md").read_text("utf-8")
    found = profile_from(tomllib.loads(page.partition("```toml\n")[2].partition("```")[0]))
    assert (found.name, found.kv_tokens) == ("my-engine", 430_000)


def test_every_fault_of_a_profile_is_said() -> None:
    """At once, with the place, what is expected and what was found."""
    with pytest.raises(ConfigError) as caught:
        profile_from(
            {
                "name": "mine",
                "about": "",
                "licence": "-",
                "capacity": {"kv_tokens": 0, "max_num_seqs": 8, "max_num_batched_tokens": 4, "max_model_len": 1},
                "seconds": {"per_step": 3.0, "per_sequence": 0, "per_context_token": "1e-7"},
                "linear": {"tokens": [1, 4, 2], "milliseconds": [1.0, 2.0]},
                "speed": 1,
            }
        )
    assert caught.value.faults == [
        "about is missing: a text is expected",
        "source is missing: a text is expected",
        "capacity.kv_tokens must be a whole number of 1 or more, not 0",
        "seconds.per_step must be a number of seconds, 0 or more and below 1, not 3.0",
        "seconds.per_context_token must be a number of seconds, 0 or more and below 1, not '1e-7'",
        "seconds.per_attention_pair must be a number of seconds, 0 or more and below 1; it is missing",
        "speed is not known; there are name, about, source, licence, capacity, seconds, linear",
        "capacity.max_model_len is not known; there are kv_tokens, max_num_seqs, max_num_batched_tokens",
        "linear.tokens and linear.milliseconds must be of one length; they have 3 and 2 entries",
        "linear.tokens must be whole numbers that rise",
    ]
