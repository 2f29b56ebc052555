"""Prices and amounts of money, as whole numbers: nothing is ever rounded, so parts always add up to their sum.

A price is a whole number of millionths of the currency per million tokens. With a discount in whole per cent, what one token
costs is then a whole number of the unit that amounts are counted in here: 10^-14 of the currency.
"""

import re

from msgspec import Struct

PRICE_DECIMALS = 6
# Six for the price, six for the million that it is for, two for the per cent of the discount.
AMOUNT_DECIMALS = 14
WRITTEN = re.compile(r"(\d{1,9})(?:\.(\d{1,6}))?", re.ASCII)


class Price(Struct, frozen=True, kw_only=True):
    """What a million tokens of each kind cost, in millionths of the currency, and the discount for batches in per cent."""

    currency: str = "USD"
    input: int
    cached_input: int
    output: int
    discount: int = 0

    def amount(self, *, input_tokens: int, cached_tokens: int, output_tokens: int) -> int:
        """What so many tokens cost, in 10^-14 of the currency. The cached ones are among the input tokens."""
        listed = (
            (input_tokens - cached_tokens) * self.input
            + cached_tokens * self.cached_input
            + output_tokens * self.output
        )
        return listed * (100 - self.discount)


def read_price(text: str) -> int:
    """Millionths of the currency from a price as people write it, such as `2.50`. Raises ValueError with what is wrong."""
    match = WRITTEN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"'{text[:40]}' is not a price; write it like \"2.50\", with up to {PRICE_DECIMALS} decimals")
    whole, decimals = match.groups()
    return int(whole + (decimals or "").ljust(PRICE_DECIMALS, "0"))


def written(amount: int, *, decimals: int = AMOUNT_DECIMALS) -> str:
    """An amount as a decimal number of the currency: every digit that there is, and at least two decimals."""
    whole, part = divmod(abs(amount), 10**decimals)
    shown = f"{part:0{decimals}d}".rstrip("0").ljust(2, "0")
    return f"{'-' if amount < 0 else ''}{whole}.{shown}"
