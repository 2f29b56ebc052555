"""`[billing]` and `[[prices]]`: what completed work costs."""

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from slackwater.core.accounts.price import Price, read_price

CURRENCY = re.compile(r"[A-Z]{3}")
# Of a price, in the order of the fields.
KINDS = ("input", "cached_input", "output")


class BillingConfig(Struct, frozen=True, kw_only=True):
    """`[billing]`: how the prices of `[[prices]]` are applied."""

    batch_discount: int = 50
    """Per cent that work in batches is cheaper than the prices say."""


class PriceConfig(Struct, frozen=True, kw_only=True):
    """`[[prices]]`: what a model costs. A batch keeps the price at which it was accepted, whatever is written here later."""

    model: str
    """The `model` of deployments that have this price; `*` is for all that have none of their own."""
    input: str
    """For a million input tokens, as text such as `"2.50"`, with up to six decimals."""
    output: str
    """For a million output tokens; reasoning tokens are among them."""
    cached_input: str | None = None
    """For a million input tokens that a cache answered; by default the same as for the others."""
    currency: str = "USD"
    """Three letters."""


def faults_of_prices(billing: BillingConfig, prices: Sequence[PriceConfig]) -> Iterator[str]:
    """What is wrong with the two sections, a sentence each."""
    if not 0 <= billing.batch_discount <= 100:
        yield f"[billing]: batch_discount must be between 0 and 100 per cent, not {billing.batch_discount}"
    seen: set[str] = set()
    for price in prices:
        where = f"price of '{price.model}'"
        if price.model in seen:
            yield f"{where}: is written twice; one per model"
        seen.add(price.model)
        if CURRENCY.fullmatch(price.currency) is None:
            yield f"{where}: currency must be three capital letters, such as USD, not '{price.currency}'"
        for kind in KINDS:
            text = getattr(price, kind)
            try:
                if text is not None:
                    read_price(text)
            except ValueError as error:
                yield f"{where}: {kind}: {error}"


def price_list(billing: BillingConfig, prices: Sequence[PriceConfig]) -> dict[str, Price]:
    """The checked prices by model."""
    return {
        price.model: Price(
            currency=price.currency,
            input=read_price(price.input),
            cached_input=read_price(price.input if price.cached_input is None else price.cached_input),
            output=read_price(price.output),
            discount=billing.batch_discount,
        )
        for price in prices
    }
