"""Contracts of the ledger on PostgreSQL: each test has a database with nothing in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from tests.postgresql import Databases


class OnPostgresql:
    """Opens the ledger of a place: the same again within a test, and another one for every test."""

    @pytest.fixture(autouse=True)
    def _databases(self, postgresql: Databases) -> Iterator[None]:
        self.databases = postgresql
        self.addresses: dict[Path, str] = {}
        yield
        for address in self.addresses.values():
            postgresql.give_back(address)

    def address(self, place: Path) -> str:
        """The database of a place."""
        if place not in self.addresses:
            self.addresses[place] = self.databases.take()
        return self.addresses[place]

    def open(self, place: Path) -> SqlLedger:
        """A ledger with its threads, as a service has it."""
        return SqlLedger.connect(self.address(place))
