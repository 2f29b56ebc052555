"""Lines of CSV, and days."""

import csv
import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.accounts.days import day_of, first_of_month, read_day, written_day
from slackwater.core.accounts.tables import FORMULA, table_line

# A line of CSV is text; a lone carriage return or a NUL is nobody's deployment.
cells = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))


@given(st.lists(cells | st.integers() | st.none(), min_size=1))
def test_a_line_is_read_back(values: list[str | int | None]) -> None:
    """Whatever is in a cell, a CSV reader finds it there, and no cell begins a formula."""
    (read,) = csv.reader(io.StringIO(table_line(values), newline=""), strict=True)
    for value, cell in zip(values, read, strict=True):
        assert cell.removeprefix("'") == ("" if value is None else str(value)).removeprefix("'")
        assert not (isinstance(value, str) and cell.startswith(FORMULA))


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))
def test_days_are_those_of_utc(moment: datetime) -> None:
    """Written as the calendar has them, and read back."""
    day = day_of(moment.timestamp())
    assert written_day(day) == moment.date().isoformat()
    assert read_day(written_day(day)) == day
    assert written_day(first_of_month(day)) == moment.date().replace(day=1).isoformat()


@pytest.mark.parametrize(
    "text", ["2025-02-29", "2025-1-1", "20250101", "2025-W01-1", "2025-01-01T00:00", "", "٢٠٢٥-٠١-٠١"]
)
def test_what_is_no_day(text: str) -> None:
    """One spelling, and only days that there are."""
    with pytest.raises(ValueError, match="expected a day such as"):
        read_day(text)
