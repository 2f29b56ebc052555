"""The further bars: each is a function of a policy, tells policies apart, and is the same again."""

from dataclasses import replace

from benchmarks.coserving.bars import agentic, bursty, ramp, step
from benchmarks.coserving.policy import Policy
from benchmarks.coserving.rivals import Aimd, Fixed
from benchmarks.coserving.scenarios import BY_NAME


def test_more_of_what_is_left_costs_online_users_more() -> None:
    """Sixty-four requests out take more of an engine than four, and its users wait longer."""
    short = replace(BY_NAME["S5-code-burst"], seconds=300)
    few, many = (bursty(lambda limit=limit: Fixed(limit), scenario=short) for limit in (4, 64))
    assert 0 < few["leftover"] < many["leftover"] < 1
    assert few["x_tpot_p99"] < many["x_tpot_p99"]


def test_a_step_without_a_batch_is_the_same_step() -> None:
    """A policy that sends nothing costs nobody anything; one that does, does."""
    off, busy = (step(make, (0,), quiet_seconds=60.0) for make in (Policy, lambda: Fixed(64)))
    assert off == {"x_ttft_p95": 1.0, "x_tpot_p95": 1.0, "batch_tok_s": 0.0}
    assert busy["x_ttft_p95"] > 1.1
    assert busy["x_tpot_p95"] > 1.5


def test_agents_live_by_the_cache() -> None:
    """Without a batch nearly all of what they send is found, and a batch takes some of that away."""
    found = agentic(lambda: Fixed(64), seconds=600.0)
    assert found["hits_off"] > 0.8
    assert found["hits"] <= found["hits_off"]
    assert found["batch_tok_s"] > 0


def test_who_feels_the_way_is_slower_to_arrive() -> None:
    """A fixed number is there at once; AIMD has to climb."""
    fixed, climbing = ramp(lambda: Fixed(32), (0,)), ramp(Aimd, (0,))
    assert fixed["seconds_to_90"] < 5 < 20 < climbing["seconds_to_90"]
