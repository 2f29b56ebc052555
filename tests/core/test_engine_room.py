"""What of an engine's slots and cache is left to others, on engines that have few of them and say so nowhere."""

import pytest

from slackwater.core.sending.cache_reserve import AGAIN_SECONDS, LEAST, LOWERED_SECONDS, MOST, CacheReserve
from slackwater.core.sending.engine_counters import Counters
from slackwater.core.sending.pacing import FOREVER, Pacer
from slackwater.core.sending.slots import LOOKS, SLOTS_USUAL, SURE_SECONDS, Slots


def seen(
    slots: Slots, looks: list[tuple[float, float]], *, kv: float = 0.2, prompts: float = 0.1, now: float = 0.0
) -> float:
    """The number after these looks at what runs and what waits."""
    for number, (running, waiting) in enumerate(looks):
        slots.seen(running, waiting, kv=kv, prompts=prompts, now=now + 0.5 * number)
    return slots.number


@pytest.mark.parametrize("number", [1.0, 8.0, 16.0, 512.0])
def test_as_many_as_run_while_others_wait(number: float) -> None:
    """And always as many: one that has just ended is no news."""
    looks = [(number - (place == 2 and number > 1), 3.0) for place in range(LOOKS)]
    assert seen(Slots(), looks[:-1]) == max(SLOTS_USUAL, number)
    assert seen(Slots(), looks) == number


@pytest.mark.parametrize(
    ("looks", "more"),
    [
        ([(8.0, 0.0)] * 20, {}),
        ([(8.0, 2.0), (8.0, 2.0), (8.0, 0.0)] * 6, {}),
        ([(2.0, 4.0), (5.0, 4.0), (9.0, 4.0), (14.0, 4.0)] * 5, {}),
        ([(2.0 + place, 4.0) for place in range(20)], {}),
        ([(8.0, 2.0)] * 20, {"kv": 0.95}),
        ([(3.0, 2.0)] * 20, {"prompts": 0.9}),
        ([(8.0, 2.0)] * 20, {"prompts": 0.0}),
    ],
)
def test_other_reasons_to_wait(looks: list[tuple[float, float]], more: dict[str, float]) -> None:
    """Nobody waits, or not for long; more and more run; the cache is full; long prompts are read; nothing is begun."""
    assert seen(Slots(), looks, **more) == SLOTS_USUAL


def test_a_number_that_was_wrong() -> None:
    """More run than there were to be: at once. Nobody sees it again: it grows, faster each time, up to the usual."""
    slots = Slots()
    assert seen(slots, [(8.0, 3.0)] * LOOKS) == 8.0
    assert seen(slots, [(20.0, 0.0)], now=10.0) == 20.0
    slots = Slots()
    seen(slots, [(8.0, 3.0)] * LOOKS)
    numbers = [seen(slots, [(2.0, 0.0)], now=(SURE_SECONDS + 5.0) * (count + 1)) for count in range(10)]
    assert numbers[:4] == [9.0, 11.0, 15.0, 23.0]
    assert numbers[-1] >= SLOTS_USUAL
    seen(slots, [(8.0, 3.0)] * LOOKS, now=9000.0)
    slots.forget()
    assert slots.number == SLOTS_USUAL


@pytest.mark.parametrize(
    ("number", "left", "spare"), [(1, 1, 1), (2, 1, 1), (8, 2, 1), (16, 4, 1), (64, 16, 2), (256, 32, 8)]
)
def test_what_is_left_to_others(number: int, left: int, spare: int) -> None:
    """A quarter of the slots while they are there, 32 at most, and one at least of several for whoever comes first.

    Where nothing runs, one of ours may: also at an engine with a single slot.
    """
    for shared, kept in ((True, left), (False, spare)):
        slots = Slots()
        slots.number = float(number)
        used = 0
        while slots.free(float(used), shared=shared) >= 1.0:
            used += 1
        assert used == max(1, number - kept), shared


def test_an_engine_with_eight_slots_keeps_some_free() -> None:
    """Nothing waits any more once its number is known, and with others there two slots are theirs."""
    pacer, out, others, steps = Pacer(), 0, 1.0, 0.0
    pacer.slots.number = 8.0
    for number in range(1, 200):
        steps += 40.0
        running = min(8.0, out + others)
        counters = Counters(
            running=running, waiting=out + others - running, steps=steps, generated=steps, step_tokens=steps
        )
        pacer.looked(counters, in_flight=out, now=0.5 * number)
        while pacer.admits(out, 10.0, 0.5 * number) != FOREVER:
            pacer.read(pacer.sent(10.0, 0.5 * number))
            out += 1
        assert out + others <= 6.0


def test_a_cache_that_was_full() -> None:
    """More of it is left free each time, to a bound, and slowly less again; only while others are there, and some is ours."""
    reserve, now = CacheReserve(), 100.0
    for ours, shared in ((False, True), (True, False)):
        reserve.seen(0.99, ours=ours, shared=shared, now=now)
        assert reserve.left == LEAST
    for _ in range(20):
        now += AGAIN_SECONDS + 1.0
        reserve.seen(0.99, ours=True, shared=True, now=now)
        before = reserve.left
        reserve.seen(0.99, ours=True, shared=True, now=now + 1.0)
        assert reserve.left == before
    assert reserve.left == MOST
    reserve.seen(0.5, ours=True, shared=False, now=now)
    assert reserve.left == LEAST
    for _ in range(100):
        now += LOWERED_SECONDS + 1.0
        reserve.seen(0.5, ours=True, shared=True, now=now)
    assert reserve.left == LEAST
