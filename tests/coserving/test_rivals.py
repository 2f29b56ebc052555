"""The rivals that were written from what others have published do what that says."""

from collections.abc import Callable
from itertools import count

import pytest
from benchmarks.coserving.adaptive_drr import BOUNDS, RUNGS, AdaptiveDrr
from benchmarks.coserving.policy import Policy, Prompt, Usage
from benchmarks.coserving.rivals import KV, WAITING
from benchmarks.coserving.saturate import FIRST, STEP, Saturate


class Endless:
    """A gateway that only counts; prompts are as long as `length` says."""

    def __init__(self, length: Callable[[int], int] = lambda number: 100) -> None:
        self.out: list[Prompt] = []
        self.ever: list[int] = []
        self._numbers = count(1)
        self._length = length

    def now(self) -> float:
        return 0.0

    def take(self) -> Prompt:
        number = next(self._numbers)
        return Prompt(f"b{number}", self._length(number), 4000)

    def send(self, prompt: Prompt, *, stream: bool = False) -> None:
        self.out.append(prompt)
        self.ever.append(prompt.prompt_tokens)

    def send_slice(self, prompt: Prompt, tokens: int) -> None:
        raise AssertionError("no rival has slices")

    def abort(self, prompt: Prompt, *, keep: bool = False) -> None:
        raise AssertionError("no rival aborts")

    def give_back(self, prompt: Prompt) -> None:
        raise AssertionError("no rival gives back")

    def scrape(self) -> None: ...

    def wake_at(self, moment: float) -> None: ...


def answer(gateway: Endless, policy: Policy, number: int, now: float, tokens: int = 100) -> None:
    """The oldest so many that are out are answered."""
    done, gateway.out = gateway.out[:number], gateway.out[number:]
    for prompt in done:
        policy.on_done(prompt, now, Usage(prompt.prompt_tokens, 0, tokens))


def look(policy: Saturate, now: float, *, waiting: float = 0.0, kv: float = 0.1) -> str:
    policy.on_metrics(now, {WAITING: waiting, KV: kv})
    return policy.why


def saturated() -> tuple[Saturate, Endless]:
    policy, gateway = Saturate(), Endless()
    policy.start(gateway)
    return policy, gateway


def test_saturate_grows_on_completions_only() -> None:
    """Sixteen are out at first, whatever the page says, until as many have come back; then it doubles."""
    policy, gateway = saturated()
    assert look(policy, 2.0) == "hold"
    assert len(gateway.out) == FIRST
    answer(gateway, policy, FIRST, 3.0)
    assert look(policy, 4.0) == "growth"
    assert len(gateway.out) == 2 * FIRST


@pytest.mark.parametrize(
    ("waiting", "kv", "why", "window"),
    [(0, 0.9, "KV pressure", 8), (17, 0.1, "queue", 8), (17, 0.95, "KV pressure", 8)],
)
def test_saturate_cuts(waiting: float, kv: float, why: str, window: int) -> None:
    """Halved on KV pressure, eight fewer on a queue; then nothing until what was out before is through."""
    policy, gateway = saturated()
    answer(gateway, policy, 8, 1.0)
    assert look(policy, 2.0, waiting=waiting, kv=kv) == why
    assert policy.window == window
    assert look(policy, 4.0, waiting=50, kv=1.0) == "after a cut"
    assert policy.window == window


def test_saturate_does_not_take_a_cold_queue_for_one() -> None:
    """Before the first completion an engine queues all that was sent at once."""
    policy, _ = saturated()
    assert look(policy, 2.0, waiting=40) == "hold"


def test_saturate_cuts_when_nothing_comes_any_more() -> None:
    """A full window and no completion for three ticks, or three latencies; never before the first."""
    policy, gateway = saturated()
    for tick in range(1, 20):
        look(policy, 2.0 * tick)
    assert policy.window == FIRST
    answer(gateway, policy, 4, 39.0)
    seen = [look(policy, 2.0 * tick) for tick in range(20, 200)]
    assert seen[:10] == ["hold"] * 10
    assert seen.count("stall") == 1
    assert policy.window == FIRST // 2


def test_saturate_probes_a_plateau_and_goes_back() -> None:
    """The same tokens a second however many are out: after four such looks eight more, and back."""
    policy, gateway = saturated()
    seen = []
    for tick in range(1, 60):
        # As many tokens a second as before, however many are out.
        answer(gateway, policy, len(gateway.out), 2.0 * tick - 1, tokens=max(1, 6400 // len(gateway.out) - 100))
        before = policy.window
        seen.append((look(policy, 2.0 * tick), policy.window - before))
    assert ("probe", STEP) in seen
    assert ("back", -STEP) in seen
    probes = [tick for tick, each in enumerate(seen) if each == ("probe", STEP)]
    assert len(probes) >= 2
    assert probes[1] - probes[0] > 8, "each probe that brought nothing is waited for longer"


def of_two_sizes(number: int) -> int:
    return 3200 if number % 2 else 300


def test_adaptive_drr_shares_tokens_between_classes() -> None:
    """Without congestion small and large requests get as many tokens, so many more small ones go."""
    policy, gateway = AdaptiveDrr(60), Endless(of_two_sizes)
    policy.start(gateway)
    small = sum(prompt.prompt_tokens == 300 for prompt in gateway.out)
    assert len(gateway.out) == 60
    assert small > 3 * (60 - small)


def test_adaptive_drr_defers_large_ones_in_overload() -> None:
    """When answers come much slower than the best, no large one is sent beside others, and small ones go on."""
    policy, gateway = AdaptiveDrr(8), Endless(of_two_sizes)
    policy.start(gateway)
    for second in range(1, 5):
        answer(gateway, policy, 4, float(second))
    assert policy.severity < min(RUNGS)
    assert max(gateway.ever) > BOUNDS[-1]
    sent = []
    for second in range(1, 20):
        there = len(gateway.out) - 1
        answer(gateway, policy, 1, 100.0 * second)
        if policy.severity >= min(RUNGS):
            sent += [prompt.prompt_tokens for prompt in gateway.out[there:]]
    assert policy.severity == 1.0
    assert len(sent) > 5
    assert set(sent) == {300}
