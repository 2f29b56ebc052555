"""What servers on one PostgreSQL tell each other: numbers of what has changed, hints, and how each of them gets on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psycopg
import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from tests.adapters.together_contract import TogetherContract, heard, of
from tests.postgresql import Databases

pytestmark = pytest.mark.postgresql


@pytest.fixture
def address(postgresql: Databases) -> Iterator[str]:
    """A ledger with nothing in it."""
    taken = postgresql.take()
    yield taken
    postgresql.give_back(taken)


def play(address: str, story: Callable[..., Awaitable[None]], *, servers: int = 2) -> None:
    """Runs a story with the ledgers of several servers."""

    async def main() -> None:
        ledgers = [SqlLedger.connect(address) for _ in range(servers)]
        try:
            async with asyncio.timeout(60):
                await story(*ledgers)
        finally:
            await asyncio.gather(*(each.close() for each in ledgers))

    asyncio.run(main())


class PairStage:
    """Two servers on a database."""

    def __init__(self, address: str) -> None:
        self._address = address

    def play(self, story: Callable[..., Awaitable[None]]) -> None:
        play(self._address, story)

    def stop_listening(self) -> None:
        with psycopg.connect(self._address, autocommit=True) as db:
            ended = db.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                "WHERE application_name = 'slackwater listener' AND datname = current_database()"
            ).fetchall()
        assert ended == [(True,)]

    def execute(self, statement: str) -> list[Any]:
        with psycopg.connect(self._address, autocommit=True) as db:
            found = db.execute(statement.encode())
            return found.fetchall() if found.description else []


class TestTogether(TogetherContract):
    """What every ledger of several servers promises."""

    @pytest.fixture
    def stage(self, address: str) -> PairStage:
        return PairStage(address)


def test_a_word_is_heard_by_those_of_the_same_ledger(address: str) -> None:
    """Another schema of the database is another ledger."""

    async def story(one: SqlLedger, other: SqlLedger) -> None:
        words = await heard(other)
        with psycopg.connect(address, autocommit=True) as db:
            db.execute("SELECT pg_notify('slackwater', 'elsewhere asked')")
            db.execute("SELECT pg_notify('slackwater', '')")
        await of(one).say("public is a word, too")
        assert await words.get() == "public is a word, too"

    play(address, story)
