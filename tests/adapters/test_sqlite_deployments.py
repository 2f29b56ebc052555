"""The SQLite ledger keeps the Ledger's promises about deployments."""

from pathlib import Path

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.ports import Ledger
from tests.adapters.deployment_contract import DeploymentContract


class TestOnDisk(DeploymentContract):
    """With its writer thread, as a service has it."""

    def open(self, place: Path) -> Ledger:
        return SqlLedger.open(place / "ledger.sqlite")


class TestInMemory(DeploymentContract):
    """On the caller's thread, as simulations have it."""

    def open(self, place: Path) -> Ledger:
        return SqlLedger.open(":memory:")
