"""The janitor of the audit log, over a real ledger, with a clock that is set by hand."""

import asyncio

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.pipeline.ending.janitor import AUDIT_ROUND, AuditJanitor
from slackwater.pipeline.loops import Pace
from tests.adapters.usage_contract import entry
from tests.pipeline.upload_world import Watch

DAY = 86_400


def test_what_is_older_than_it_is_kept_goes() -> None:
    """An entry stays for as many days as the operator has said, to the second; a long log goes in rounds."""

    async def story() -> None:
        ledger, watch = SqlLedger.open(":memory:"), Watch()
        janitor = AuditJanitor(ledger, watch, keep_days=30)
        made = int(watch.now())
        for at in (made, made, made + 1):
            await ledger.add_audit(entry(at))
        for seconds, left in ((30 * DAY, 3), (1, 1), (1, 0)):
            await watch.sleep(seconds)
            while await janitor.step() is Pace.BUSY:
                pass
            assert len(await ledger.audit(resource=None, limit=9)) == left
        for _ in range(AUDIT_ROUND + 1):
            await ledger.add_audit(entry(made))
        assert [await janitor.step() for _ in range(3)] == [Pace.BUSY, Pace.BUSY, Pace.IDLE]
        await ledger.close()

    asyncio.run(story())
