"""Days, as accounts count them: in UTC, from 1970."""

import re
from datetime import date, timedelta

SECONDS_OF_DAY = 86_400
EPOCH = date(1970, 1, 1)
WRITTEN = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def day_of(moment: float) -> int:
    """The day of a moment."""
    return int(moment // SECONDS_OF_DAY)


def read_day(text: str) -> int:
    """The number of a day that is written like `2026-01-31`. Raises ValueError with what is wrong."""
    try:
        if WRITTEN.fullmatch(text) is None:
            raise ValueError
        return (date.fromisoformat(text) - EPOCH).days
    except ValueError as error:
        raise ValueError(f"expected a day such as 2026-01-31, got '{text[:40]}'") from error


def written_day(day: int) -> str:
    """A day as people write it."""
    return (EPOCH + timedelta(days=day)).isoformat()


def first_of_month(day: int) -> int:
    """The first day of the month that a day is in."""
    return ((EPOCH + timedelta(days=day)).replace(day=1) - EPOCH).days
