"""A member that stops itself inside a transaction, with rows locked that everybody needs. It is woken from outside.

python -m tests.cluster.stops_inside ADDRESS NAME
"""

import asyncio
import os
import signal
import sys

from slackwater.adapters.sql.db import Db
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.cli.process import leave_at_once
from slackwater.core.errors import Buried
from slackwater.core.members import Member
from slackwater.pipeline.membership import Membership


async def story(address: str, name: str) -> None:
    ledger = SqlLedger.connect(address, member=Member(id=name, host="", version=""))
    assert ledger.presence is not None
    membership = Membership(ledger, ledger.presence, news=lambda: None)
    await membership.start(buried=leave_at_once)
    (shard,) = await ledger.claim_shards(["batch-0"], owner=f"{name}-0", now=0.0, lease_seconds=900.0)

    def stop(db: Db) -> None:
        # Nothing ends it by itself.
        db.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        db.execute("UPDATE batch SET completed = completed + 1")
        db.execute("UPDATE shard SET rank = rank + 1 WHERE idx = ?", (shard.index,))
        os.kill(os.getpid(), signal.SIGSTOP)

    try:
        await ledger.sql.write(stop, fenced=True)
    except Buried:
        # Its presence says so, and ends it.
        await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(story(sys.argv[1], sys.argv[2]))
