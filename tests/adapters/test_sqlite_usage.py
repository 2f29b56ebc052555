"""Accounts in SQLite."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from hypothesis import settings

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.accounts.usage import Usage
from slackwater.core.errors import InvalidRequest
from slackwater.ports import AuditSearch, Ledger
from tests.adapters.claiming import claim
from tests.adapters.usage_contract import BEGIN, CHEAP, END, EVERYTHING, UsageContract, accepted, entry, results
from tests.adapters.usage_machine import UsageMachine
from tests.chosen import examples


class TestOnDisk(UsageContract):
    """With its writer thread, as a service has it."""

    def open(self, place: Path) -> Ledger:
        return SqlLedger.open(place / "ledger.sqlite")


class TestInMemory(UsageContract):
    """On the caller's thread, as simulations have it."""

    def open(self, place: Path) -> Ledger:
        return SqlLedger.open(":memory:")


class SqliteMachine(UsageMachine):
    """In memory, because it plays thousands of steps."""

    def open(self) -> Ledger:
        return SqlLedger.open(":memory:")


TestMachine = SqliteMachine.TestCase
TestMachine.settings = settings(max_examples=examples(100), stateful_step_count=30)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit SET who = 'nobody'", "DELETE FROM audit", "INSERT OR REPLACE INTO audit SELECT * FROM audit"],
)
def test_the_database_refuses_to_change_the_audit_log(tmp_path: Path, statement: str) -> None:
    """Not only our code leaves what was written alone."""

    async def write() -> None:
        ledger = SqlLedger.open(tmp_path / "l")
        for at in (1, 2):
            await ledger.add_audit(entry(at))
        # What was trimmed once opens the door to nothing that is younger.
        assert await ledger.trim_audit(before=2, limit=9) == 1
        await ledger.close()

    asyncio.run(write())
    with sqlite3.connect(tmp_path / "l") as database:
        with pytest.raises(sqlite3.IntegrityError, match="only ever added to"):
            database.execute(statement)


def test_too_much_usage_is_refused_in_time(tmp_path: Path) -> None:
    """A search through accounts has a bound, and the answer says what to ask for instead."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "l", search_steps=100)
        for number in range(30):
            await accepted(ledger, number, lines=1, price=CHEAP, deployment=f"d{number}")
            shard = await claim(ledger, f"d{number}", owner="w", now=0, seconds=9)
            assert shard is not None
            await ledger.commit_segments([results(shard, {0: Usage()})], now=0, lease_seconds=9)
        with pytest.raises(InvalidRequest, match="fewer days"):
            await ledger.usage(resource=None, first_day=BEGIN, last_day=END, by=EVERYTHING, limit=9)
        await ledger.close()

    asyncio.run(story())


def test_too_long_a_search_of_the_audit_log_is_refused_in_time(tmp_path: Path) -> None:
    """A search has a bound, and the answer says what to do; pages without a search look at no more than they return."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "l", search_steps=100)
        for at in range(300):
            await ledger.add_audit(entry(at))
        with pytest.raises(InvalidRequest, match="found sooner"):
            await ledger.audit(resource="default", limit=9, descending=True, search=AuditSearch(who="nobody"))
        newest = await ledger.audit(resource="default", limit=2, descending=True)
        assert [each.at for each in newest] == [299, 298]
        await ledger.close()

    asyncio.run(story())
