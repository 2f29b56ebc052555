"""Amounts on the command line: prices (`--price IN,OUT`), money, seconds."""

import math
from typing import Any

import click

from slackwater.core.accounts.price import AMOUNT_DECIMALS, PRICE_DECIMALS, read_price

# How many of the units that amounts are counted in are in one of those that prices are.
UNIT: int = 10 ** (AMOUNT_DECIMALS - PRICE_DECIMALS)


# Longer than anybody waits: about thirty years.
SECONDS_MAX = 1e9


class Seconds(click.FloatRange):
    """A time in seconds. Python's `nan` is a float that no range refuses."""

    def __init__(self, least: float, *, min_open: bool = False) -> None:
        super().__init__(least, SECONDS_MAX, min_open=min_open)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Reads it. Fails as click does."""
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return seconds


def price_pair(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """For a million tokens of input and of output, in millionths of the currency."""
    if text is None:
        return None
    given = text.split(",")
    try:
        if len(given) != 2:
            raise ValueError("write it like 2.50,10.00: for a million tokens of input, and of output")
        return read_price(given[0]), read_price(given[1])
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def amount(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """An amount as it is counted: core/accounts/price.py."""
    if text is None:
        return None
    try:
        return read_price(text) * UNIT
    except ValueError as error:
        raise click.BadParameter(str(error).replace("a price", "an amount")) from error
