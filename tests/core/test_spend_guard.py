"""What may be spent is never exceeded by more than what one request costs above the mean, times what is out."""

import random

import pytest

from slackwater.core.accounts.usage import Usage
from slackwater.core.sending.spend_guard import FIRST, SpendGuard


def guard(amount_max: int) -> SpendGuard:
    """A token costs one."""
    return SpendGuard(amount_max, lambda usage: usage.input_tokens + usage.output_tokens)


def test_few_go_before_a_price_is_known() -> None:
    """Then as many as there is money for, those that are out included."""
    each = guard(1000)
    assert [each.admits(out) for out in (0, FIRST - 1, FIRST)] == [True, True, False]
    each.heard(Usage(input_tokens=60, output_tokens=40))
    assert each.admits(8)
    assert not each.admits(9)


def test_what_was_spent_before_counts() -> None:
    """A run that goes on has no more than the rest."""
    each = guard(1000)
    each.begin(spent=900, answered=9)
    assert each.admits(0)
    assert not each.admits(1)
    each.heard(Usage(input_tokens=100))
    assert not each.admits(0)


@pytest.mark.parametrize("seed", range(10))
def test_the_bound(seed: int) -> None:
    """Calls of any length and order: at the end nothing is out, and not much more is spent than may be."""
    chance = random.Random(seed)
    each, out, spent, slots = guard(50_000), 0, 0, 64
    while True:
        if out < slots and each.admits(out) and chance.random() < 0.8:
            out += 1
        elif out:
            out -= 1
            tokens = chance.randint(50, 150)
            spent += tokens
            each.heard(Usage(input_tokens=tokens))
        elif not each.admits(0):
            break
    assert 49_000 <= spent <= 51_000
