"""What is read of an engine's metrics page, of several engines and versions, whatever else is on it."""

import random
from pathlib import Path

import pytest

from slackwater.adapters.modelled_engine.metrics_page import page
from slackwater.adapters.modelled_engine.shipped import profile_named
from slackwater.core.engine_model import EngineModel
from slackwater.core.sending.engine_counters import Counters
from slackwater.core.sending.metrics_page import PAGE_BYTES_MAX, counters_in

SAMPLES = Path(__file__).parents[1] / "samples" / "metrics"


def sample(name: str) -> bytes:
    """A page of tests/samples/metrics."""
    return (SAMPLES / f"{name}.txt").read_bytes()


SAID = {
    # Two engines (data parallel): what they do is summed, steps and cache are averaged.
    "vllm-new": Counters(
        running=7.0,
        waiting=2.0,
        kv=0.375,
        steps=1500.0,
        step_tokens=60_000.0,
        generated=21_000.0,
        token_seconds=420.0,
        token_gaps=20_500.0,
        kv_tokens=19_136.0,
        block_tokens=16,
    ),
    "vllm-v0": Counters(
        running=3.0,
        waiting=1.0,
        kv=0.42,
        steps=10.0,
        step_tokens=1500.0,
        generated=500.0,
        token_seconds=12.5,
        token_gaps=490.0,
        kv_tokens=9168.0,
        block_tokens=16,
    ),
    "sglang": Counters(
        running=162.0,
        waiting=2826.0,
        kv=0.28,
        step_tokens=8_128_902.0 + 7_557_572.0,
        generated=7_557_572.0,
        token_seconds=866_964.5791549598,
        token_gaps=7_400_757.0,
        looked_up=8_128_902.0,
        found=0.0,
    ),
    "sglang-ranks": Counters(
        running=14.0, waiting=2.0, kv=0.5, step_tokens=900.0 + 4000.0, generated=4000.0, kv_tokens=100_000.0
    ),
    "llamacpp": Counters(running=1.0, waiting=3.0, kv=0.42, steps=125.0, step_tokens=16_185.0 + 394.0, generated=394.0),
    "tgi": Counters(
        running=5.0,
        waiting=3.0,
        steps=4650.0,
        step_tokens=19_200.0 + 4500.0,
        generated=4500.0,
        token_seconds=3.0,
        token_gaps=150.0,
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_what_a_page_says(name: str) -> None:
    """Each engine's own names, in the spellings of its versions."""
    assert counters_in(sample(name)) == SAID[name]


@pytest.mark.parametrize("name", SAID)
def test_the_rest_of_a_page_does_not_matter(name: str) -> None:
    """Comments, other programs' metrics and names that only begin like ours change nothing, wherever they stand."""
    noise = b'python_gc_objects_total{generation="0"} 1\n# TYPE vllm:num_requests_running gauge\nhttp_requests 9\n'
    longer = sample(name).replace(b"\n", b"_and_more 77\n", 1)
    assert counters_in(noise + sample(name) + longer.split(b"\n", 1)[0] + b"\n") == SAID[name]
    assert counters_in(sample(name).replace(b"\n", b"\n\n# a comment\n")) == SAID[name]
    assert counters_in(sample(name).replace(b"\n", b"\r\n")) == SAID[name]


@pytest.mark.parametrize(
    "page", [b"", b"{}", b"<html>vllm:num_requests_running 1</html>", b"\x00\xff" * 999, b"up 1\n"]
)
def test_no_page_of_an_engine(page: bytes) -> None:
    """Whatever somebody else answers at that path."""
    assert counters_in(page) is None


@pytest.mark.parametrize("value", [b"NaN", b"+Inf", b"-1", b"many", b""])
def test_what_is_no_number(value: bytes) -> None:
    """It is not there: without the requests that run it is no page, and anything else is unknown."""
    assert counters_in(b"vllm:num_requests_running " + value + b"\n") is None
    found = counters_in(b"vllm:num_requests_running 1\nvllm:kv_cache_usage_perc " + value + b"\n")
    assert found == Counters(running=1.0)


def test_labels_may_hold_anything() -> None:
    """The name of a model may have braces, quotes, blanks and what looks like a value."""
    page = rb'vllm:num_requests_running{model_name="a}b \" 7",engine="0"} 4.0' + b"\n"
    assert counters_in(page) == Counters(running=4.0)


def test_a_page_that_is_cut_off_anywhere() -> None:
    """Never an exception, and never more than the whole page says."""
    page = sample("vllm-new")
    for end in range(len(page)):
        found = counters_in(page[:end])
        assert found is None or found.running <= 7.0


def test_a_huge_page_is_read_to_a_bound() -> None:
    """What stands behind it is not seen, and neither is a name that is repeated without end."""
    filler = b"x 1\n" * (PAGE_BYTES_MAX // 4)
    assert counters_in(filler + b"vllm:num_requests_running 1\n") is None
    found = counters_in(b"vllm:num_requests_running 1\n" * 100_000)
    assert found is not None
    assert found.running <= 4096


@pytest.mark.parametrize("seed", range(20))
def test_damaged_pages(seed: int) -> None:
    """Bytes that have changed make another page or none, and no exception."""
    chance = random.Random(seed)
    for name in SAID:
        page = bytearray(sample(name))
        for _ in range(40):
            page[chance.randrange(len(page))] = chance.randrange(256)
        found = counters_in(bytes(page))
        assert found is None or found.running >= 0.0


def test_our_own_model_says_what_is_read() -> None:
    """The page of `sim-engine` is one of vLLM's."""
    found = counters_in(page(EngineModel(profile_named("h100-8b")), name="m").encode())
    assert found is not None
    assert None not in (found.kv, found.steps, found.step_tokens, found.generated, found.token_gaps, found.kv_tokens)
