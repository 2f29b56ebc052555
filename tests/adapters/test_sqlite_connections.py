"""Connections in the embedded ledger."""

import asyncio
from pathlib import Path

import msgspec

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.ports import Ledger
from tests.adapters.connection_contract import STORED, ConnectionContract


class TestOnDisk(ConnectionContract):
    """In a file."""

    def open(self, place: Path) -> Ledger:
        return SqlLedger.open(place / "ledger.sqlite")


def test_what_was_taken_away_is_not_in_the_file(tmp_path: Path) -> None:
    """Neither a key that was replaced, nor one that was sealed anew, nor one that was removed."""
    path = tmp_path / "ledger.sqlite"

    async def story() -> None:
        ledger = SqlLedger.open(path)
        first, second = "1.a." + "F" * 4_000, "1.a." + "G" * 300
        for number in range(8):
            await ledger.put_connection(msgspec.structs.replace(STORED, name=f"c{number}", sealed=first))
        for number in range(4):
            await ledger.put_connection(msgspec.structs.replace(STORED, name=f"c{number}", sealed=second))
        for each in await ledger.connections():
            assert await ledger.reseal_connection(each, sealed="1.b.H")
            assert await ledger.remove_connection(msgspec.structs.replace(each, sealed="1.b.H")) == []
        assert await ledger.connections() == []
        await ledger.close()

    asyncio.run(story())
    data = path.read_bytes()
    assert not any(each * 40 in data for each in (b"F", b"G", b"H"))
