"""What completed work costs, and how accounts are summed. The ledger counts tokens, per day and at the price that they were
agreed at; money is made of them here, when somebody asks.

What must always hold: the cost of a batch, of a day or of anything else is exactly the sum of the costs of its output lines.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from msgspec import Struct

from slackwater.core.accounts.price import Price
from slackwater.core.accounts.usage import Usage

# The entry of a price list that is for every model without one of its own.
ANY_MODEL = "*"


class GroupBy(StrEnum):
    """What accounts can be kept apart by."""

    RESOURCE = "resource"
    DAY = "day"
    DEPLOYMENT = "deployment"
    MODEL = "model"


class UsageEntry(Struct, frozen=True, kw_only=True):
    """Completed requests and their tokens at one price. What was not asked apart is None. `day` counts from 1970, in UTC."""

    resource: str | None = None
    day: int | None = None
    deployment: str | None = None
    model: str | None = None
    price: Price | None = None
    requests: int
    usage: Usage


class Charge(Struct, frozen=True, kw_only=True):
    """The same over all prices of one currency, and what it costs; without a price, neither currency nor amount."""

    resource: str | None = None
    day: int | None = None
    deployment: str | None = None
    model: str | None = None
    currency: str | None = None
    requests: int
    usage: Usage
    amount: int | None = None


def price_of(model: str, prices: Mapping[str, Price]) -> Price | None:
    """The price of a model: its own, else the one for any model, else none."""
    return prices.get(model) or prices.get(ANY_MODEL)


def cost_of(usage: Usage, price: Price) -> int:
    """What these tokens cost, in 10^-14 of the price's currency."""
    return price.amount(
        input_tokens=usage.input_tokens, cached_tokens=usage.cached_tokens, output_tokens=usage.output_tokens
    )


def charges(entries: Iterable[UsageEntry]) -> list[Charge]:
    """Sums the entries that differ in nothing but their price. Currencies are never added up."""
    sums: dict[tuple[str | None, int | None, str | None, str | None, str | None], Charge] = {}
    for entry in entries:
        currency = None if entry.price is None else entry.price.currency
        key = (entry.resource, entry.day, entry.deployment, entry.model, currency)
        before = sums.get(key)
        amount = None if entry.price is None else cost_of(entry.usage, entry.price)
        sums[key] = Charge(
            resource=entry.resource,
            day=entry.day,
            deployment=entry.deployment,
            model=entry.model,
            currency=currency,
            requests=entry.requests + (before.requests if before else 0),
            usage=entry.usage + (before.usage if before else Usage()),
            amount=amount if before is None or amount is None else amount + (before.amount or 0),
        )
    return list(sums.values())
