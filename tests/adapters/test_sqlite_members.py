"""The SQLite ledger keeps the Ledger's promises about members, although nobody is one of it but in tests."""

from pathlib import Path

from slackwater.adapters.sql.ledger import SqlLedger
from tests.adapters.member_contract import MemberContract


class TestInMemory(MemberContract):
    """On the caller's thread, as simulations have it."""

    def open(self, place: Path) -> SqlLedger:
        return SqlLedger.open(":memory:")
