"""A member that is stopped inside a transaction: what it has locked is free with its burial, and nothing of it counts."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.members import Member
from slackwater.pipeline.membership import Membership
from tests.adapters.asked_postgresql import rows
from tests.adapters.ledger_contract import claimed, segment, started
from tests.postgresql import Databases

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(120)]


@pytest.fixture
def address(postgresql: Databases) -> str:
    """A ledger with nothing in it."""
    return postgresql.new()


def test_what_a_stopped_one_has_locked(address: str) -> None:
    """Others wait for it until it is buried, and not for longer, although its transaction never ends."""

    async def others(zombie: "subprocess.Popen[bytes]") -> None:
        ledger = SqlLedger.connect(address, member=Member(id="other", host="", version=""))
        assert ledger.presence is not None
        membership = Membership(ledger, ledger.presence, news=lambda: None)
        await membership.start(buried=os.abort)
        # Another shard of the same batch, whose row is locked.
        claiming = asyncio.create_task(claimed(ledger, owner="other-0"))
        async with asyncio.timeout(60):
            while len(await ledger.members()) > 1:
                await membership.step()
                await asyncio.sleep(0.05)
        assert await ledger.commit_segments([segment(await claiming, 0)], now=1.0, lease_seconds=9.0) == []
        assert (await claimed(ledger, owner="other-0")).epoch == 2
        zombie.send_signal(signal.SIGCONT)
        assert await asyncio.to_thread(zombie.wait, 20) == 1
        assert rows(address, "SELECT completed FROM batch") == [(1,)]
        await ledger.close()

    async def prepare() -> None:
        ledger = SqlLedger.connect(address)
        await started(ledger, shards=(1, 1))
        await ledger.close()

    asyncio.run(prepare())
    zombie = subprocess.Popen([sys.executable, "-m", "tests.cluster.stops_inside", address, "zombie"])
    assert os.WIFSTOPPED(os.waitpid(zombie.pid, os.WUNTRACED)[1])
    assert rows(address, "SELECT owner FROM shard WHERE state = 'running'") == [("zombie-0",)]
    asyncio.run(others(zombie))
