"""The parts of a modelled engine that need no server: prompts, online users, the metrics page."""

from itertools import islice

import pytest
from prometheus_client.parser import text_string_to_metric_families

from slackwater.adapters.modelled_engine.metrics_page import page, samples
from slackwater.adapters.modelled_engine.online_traffic import OnlineTraffic, online_arrivals
from slackwater.adapters.modelled_engine.prompts import Refused, asked_of, segments_of, tokens_of
from slackwater.adapters.modelled_engine.shipped import TRACES, profile_named, trace_named
from slackwater.adapters.modelled_engine.timed_engine import at_speed
from slackwater.core.engine_model import EngineModel, EngineRequest, State

A100 = profile_named("a100-8b")


def blocks(prompt: bytes, *, salt: bytes = b"", unique: str = "mine") -> tuple[tuple[object, int], ...]:
    return segments_of(prompt, block_tokens=16, salt=salt, unique=unique)


def test_prompts_share_whole_blocks_alone() -> None:
    """Two that begin alike share the blocks before the first byte that differs; the last tokens are nobody else's."""
    one, two = blocks(b"a" * 64 * 3 + b"bcd"), blocks(b"a" * 64 * 2 + b"b" * 64 + b"bcd", unique="other")
    assert [tokens for _, tokens in one] == [16, 16, 16, 1]
    assert [a == b for a, b in zip(one, two, strict=True)] == [True, True, False, False]
    # The same bytes behind others are another block.
    assert not {key for key, _ in blocks(b"x" + b"a" * 255)[:-1]} & {key for key, _ in one}
    assert blocks(b"a" * 200, salt=b"team")[0] != one[0]


@pytest.mark.parametrize("length", [1, 4, 63, 64, 65, 128, 1000])
def test_segments_are_the_whole_prompt(length: int) -> None:
    """Their tokens are the prompt's, and one at least is left to compute."""
    found = blocks(b"a" * length)
    assert sum(tokens for _, tokens in found) == tokens_of(b"a" * length)
    assert found[-1][0] == "mine"
    assert found[-1][1] >= 1


def test_a_conversation_goes_on_with_its_prefix() -> None:
    """What the first messages were is found again when another one follows; the role of who answers comes last."""
    first = asked_of(b'{"messages": [{"role": "user", "content": "Hello"}]}', chat=True).prompts[0]
    more = b'{"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]}'
    assert asked_of(more, chat=True).prompts[0].startswith(first.removesuffix(b"<|assistant|>\n"))


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"prompt": ""}', b'{"prompt": []}', b'{"prompt": [1, "a"]}', b'{"prompt": "a", "n": 0}']
)
def test_what_is_no_completion(body: bytes) -> None:
    """It is refused with a reason."""
    with pytest.raises(Refused):
        asked_of(body, chat=False)


def test_the_page_and_its_samples_agree() -> None:
    """What the benchmark's policies are shown is what stands on the page."""
    model = EngineModel(A100)
    for number in range(300):
        segments = (("shared", 160), (number, 40))
        model.submit(EngineRequest(id=str(number), prompt_tokens=200, output_tokens=90, segments=segments), 0.0)
    now = 0.0
    for _ in range(50):
        now += model.begin_step(now) or 0.0
        model.end_step(now)
    shown = {}
    for family in text_string_to_metric_families(page(model, name="any")):
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name not in ("engine", "model_name")}
            said = ",".join(f'{name}="{value}"' for name, value in labels.items())
            shown[sample.name + (f"{{{said}}}" if said else "")] = sample.value
    expected = samples(model)
    assert expected["vllm:num_requests_waiting"] > 0
    assert expected["vllm:prefix_cache_hits_total"] > 0
    assert {name: shown[name] for name in expected} == expected


def test_a_faster_engine_is_the_same_engine() -> None:
    """Ten times the speed is a tenth of every step."""
    step = {"tokens": 700, "context": 90_000, "pairs": 1e6, "sequences": 80}
    expected = A100.step_time.seconds(**step) / 10  # type: ignore[arg-type]
    assert at_speed(A100, 10).step_time.seconds(**step) == pytest.approx(expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [*TRACES, "poisson"])
def test_online_users_come_at_the_rate(kind: str) -> None:
    """On the mean of a whole trace, or of many."""
    count = len(trace_named(kind).arrivals) if kind in TRACES else 20_000
    *_, last = islice(online_arrivals(f"{kind}:3", seed=1), count)
    assert count / last.at == pytest.approx(3, rel=0.03)


def test_online_times_are_the_engines() -> None:
    """At ten times the speed, a tenth of a second on the wall is one of the engine."""
    traffic = OnlineTraffic(online_arrivals("azure-conv:5.530421889573187", seed=0), speed=10, begin=100.0)
    assert traffic.report()["ttft_seconds"] == {"p50": None, "p95": None, "p99": None}
    (at, request), (_, other), *_ = traffic.come(100.5)
    assert at == 100.0
    request.arrived_at, request.first_token_at, request.finished_at = 100.0, 100.1, 100.53
    assert request.output_tokens == 44
    request.state = State.FINISHED
    traffic.ended(request)
    traffic.lost(other)
    report = traffic.report()
    assert (report["finished"], report["lost"]) == (1, 1)
    assert report["ttft_seconds"]["p95"] == pytest.approx(1.0)
    assert report["tpot_seconds"]["p50"] == pytest.approx(0.1)
