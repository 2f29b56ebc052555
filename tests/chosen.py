"""Which cases of a long list a normal run has time for; `make test-long` has the others, and every example of what is drawn."""

import os
from collections.abc import Sequence
from typing import Any

import pytest

# Set by `make test-long`.
THOROUGH = bool(os.environ.get("SLACKWATER_THOROUGH"))


def one_in(share: int, cases: Sequence[Any]) -> list[Any]:
    """Parameters for a test: the first, and one in so many after it; those between are long. The last one is always chosen."""
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=() if number % share == 0 or number == len(cases) - 1 else pytest.mark.long,
        )
        for number, case in enumerate(cases)
    ]


def examples(most: int) -> int:
    """How many examples are drawn: all of them where there is time, else a third."""
    return most if THOROUGH else max(5, most // 3)
