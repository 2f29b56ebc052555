"""The part of the SQL ledger that an operator watches. It runs where searches run: neither work nor the event loop waits."""

from slackwater.adapters.sql.base import SqlPart
from slackwater.adapters.sql.db import Db
from slackwater.core.batch import TERMINAL
from slackwater.ports import OpenReading, PausesReading, Readings


class SqlReadings(SqlPart):
    """The methods of the port for monitoring."""

    async def readings(self, *, now: int) -> Readings:
        def work(db: Db) -> Readings:
            open_ = [OpenReading(**dict(row)) for row in self._sql.all(db, "open_readings", {"now": now})]
            totals = {row["status"]: row["batches"] for row in self._sql.all(db, "ended_readings", {})}
            pending = self._sql.one(db, "pending_reading", {})
            assert pending is not None, "a count always has a row"
            return Readings(
                open=open_,
                ended={status.value: totals.get(status.value, 0) for status in sorted(TERMINAL)},
                webhooks_pending=pending["deliveries"],
                webhook_pending_since=pending["since"],
                paused=[PausesReading(**dict(row)) for row in self._sql.all(db, "pause_readings", {})],
            )

        return await self._sql.database.search(work)
