"""Prices and costs: nothing is rounded, and parts add up to their sum."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.accounts.cost import UsageEntry, charges, cost_of, price_of
from slackwater.core.accounts.price import Price, read_price, written
from slackwater.core.accounts.usage import Usage

tokens = st.integers(0, 10**9)
usages = st.builds(
    lambda fresh, cached, output, reasoning: Usage(
        input_tokens=fresh + cached, cached_tokens=cached, output_tokens=output, reasoning_tokens=reasoning
    ),
    tokens,
    tokens,
    tokens,
    tokens,
)
money = st.integers(0, 10**9)
prices = st.builds(
    Price,
    input=money,
    cached_input=money,
    output=money,
    discount=st.integers(0, 100),
    currency=st.sampled_from(("USD", "EUR")),
)


@given(st.lists(usages), prices, st.integers(0, 20))
def test_the_cost_of_the_sum_is_the_sum_of_the_costs(lines: list[Usage], price: Price, cut: int) -> None:
    """Whichever way lines are grouped on their way, they cost the same to the last digit."""
    groups = [sum(lines[:cut], Usage()), sum(lines[cut:], Usage())]
    assert sum(cost_of(group, price) for group in groups) == sum(cost_of(line, price) for line in lines)


@given(usages, st.decimals(0, 1000, places=6), st.decimals(0, 1000, places=4), st.integers(0, 100))
def test_what_a_price_means(usage: Usage, for_input: Decimal, for_output: Decimal, discount: int) -> None:
    """A price is per million tokens, cached ones have their own, and the discount is taken off all of it."""
    price = Price(
        input=read_price(str(for_input)),
        cached_input=read_price("0.5"),
        output=read_price(f"{for_output:f}"),
        discount=discount,
    )
    fresh = usage.input_tokens - usage.cached_tokens
    whole = fresh * for_input + usage.cached_tokens * Decimal("0.5") + usage.output_tokens * for_output
    assert Decimal(written(cost_of(usage, price))) == whole * (100 - discount) / 100 / 10**6


def test_a_batch_at_half_price() -> None:
    """1,000 tokens read (200 of them from a cache) and 500 written, at 2.50, 1.25 and 10.00 less 50 %."""
    price = Price(input=2_500_000, cached_input=1_250_000, output=10_000_000, discount=50)
    usage = Usage(input_tokens=1_000, cached_tokens=200, output_tokens=500)
    assert written(cost_of(usage, price)) == "0.003625"


@pytest.mark.parametrize(
    ("text", "millionths"), [("2.50", 2_500_000), ("0", 0), ("15", 15_000_000), (" 0.000001 ", 1), ("0.0375", 37_500)]
)
def test_prices_as_people_write_them(text: str, millionths: int) -> None:
    """Whole numbers and up to six decimals."""
    assert read_price(text) == millionths


@pytest.mark.parametrize("text", ["", "-1", "1e3", "2,50", "0.0000001", "NaN", ".5", "5.", "1_000", "٣", "1" * 10])
def test_what_is_no_price(text: str) -> None:
    """Nothing is guessed, and nothing is rounded."""
    with pytest.raises(ValueError, match="is not a price"):
        read_price(text)


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0.00"), (1, "0.00000000000001"), (10**14, "1.00"), (125 * 10**12, "1.25"), (-(10**13), "-0.10")],
)
def test_amounts_as_people_read_them(amount: int, text: str) -> None:
    """Every digit, no exponent, and two decimals at least."""
    assert written(amount) == text


def test_a_model_without_a_price_of_its_own() -> None:
    """It has the price for any model, where there is one."""
    own, other = Price(input=1, cached_input=1, output=1), Price(input=2, cached_input=2, output=2)
    assert price_of("a", {"a": own, "*": other}) is own
    assert price_of("b", {"a": own, "*": other}) is other
    assert price_of("b", {"a": own}) is None


@given(st.lists(st.tuples(st.none() | prices, usages, st.sampled_from((None, 1, 2)))))
def test_charges_keep_everything(given_entries: list[tuple[Price | None, Usage, int | None]]) -> None:
    """Requests, tokens and money per day and currency are those of the entries; what has no price costs nothing known."""
    entries = [UsageEntry(day=day, price=price, requests=1, usage=usage) for price, usage, day in given_entries]
    summed = charges(entries)
    assert len({(charge.day, charge.currency) for charge in summed}) == len(summed)
    assert sum((charge.usage for charge in summed), Usage()) == sum((entry.usage for entry in entries), Usage())
    assert sum(charge.requests for charge in summed) == len(entries)
    for charge in summed:
        mine = [
            entry
            for entry in entries
            if entry.day == charge.day and (entry.price.currency if entry.price else None) == charge.currency
        ]
        priced = [cost_of(entry.usage, entry.price) for entry in mine if entry.price is not None]
        assert charge.amount == (sum(priced) if charge.currency else None)
