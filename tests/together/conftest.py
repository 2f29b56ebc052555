"""A ledger for several servers."""

from collections.abc import Iterator

import pytest

from tests.postgresql import Databases


@pytest.fixture
def address(postgresql: Databases) -> Iterator[str]:
    """A ledger with nothing in it."""
    taken = postgresql.take()
    yield taken
    postgresql.give_back(taken)
