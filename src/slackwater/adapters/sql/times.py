"""The part of the SQL ledger that remembers when it was served."""

from slackwater.adapters.sql.base import SqlPart
from slackwater.ports import WallTime


class SqlTimes(SqlPart):
    """The methods of the port that concern the time of day."""

    async def wall_time(self) -> WallTime:
        row = await self._sql.look_one("wall_time", {})
        assert row is not None, "the row is made with the table"
        return WallTime(*row)

    async def note_alive(self, now: float, *, expire_from: float) -> None:
        await self._sql.write(lambda db: self._sql.run(db, "note_alive", {"now": now, "expire_from": expire_from}))
