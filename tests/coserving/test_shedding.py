"""The law that takes back: only while others wait, and within its budget."""

from dataclasses import replace

from benchmarks.coserving.measuring import measure
from benchmarks.coserving.scenarios import BY_NAME
from benchmarks.coserving.shedding import shedding


def test_without_a_budget_nothing_is_taken_back() -> None:
    """With one, some requests are, and little of what was generated is thrown away."""
    short = replace(BY_NAME["S4-onoff"], seconds=400)
    without, within = (measure(short, shedding("gentle", short.slo, share=share), seed=1) for share in (0.0, 0.05))
    assert (without["aborts"], without["wasted_tokens"]) == (0, 0)
    assert within["aborts"] > 0
    assert within["wasted_tokens"] < 0.05 * within["batch_tok_s"] * short.seconds
