"""The part of the SQL ledger that knows what operators have paused, and their paces. The pause of a batch changes its shards."""

from collections.abc import Collection

import msgspec

from slackwater.adapters.sql.base import SqlPart
from slackwater.adapters.sql.db import Db, Row
from slackwater.core.batch import Stage
from slackwater.core.sending.pace import SaidPace
from slackwater.core.sending.pause import Pause, Target

# Of these nothing is sent any more.
OVER = frozenset({Stage.ENDING.value, Stage.ENDED.value})


def _record(row: Row) -> Pause:
    return Pause(**(dict(row) | {"what": Target(row["what"])}))


class SqlPauses(SqlPart):
    """The methods of the port that concern pauses."""

    async def pauses(self, what: Collection[Target]) -> list[Pause]:
        rows = [row for each in what for row in await self._sql.look_all("pauses", {"what": each.value})]
        return [_record(row) for row in rows]

    async def pause_of(self, what: Target, target: str) -> Pause | None:
        row = await self._sql.look_one("pause_of", {"what": what.value, "target": target})
        return None if row is None else _record(row)

    async def pause(self, pause: Pause) -> Pause | None:
        def work(db: Db) -> Pause | None:
            if pause.what is Target.BATCH and not self._pause_batch(db, pause.target):
                return None
            self._sql.run(db, "add_pause", msgspec.structs.asdict(pause) | {"what": pause.what.value})
            row = self._sql.one(db, "pause_of", {"what": pause.what.value, "target": pause.target})
            assert row is not None, "it has just been added, or was there"
            return _record(row)

        return await self._sql.write(work)

    def _pause_batch(self, db: Db, batch_id: str) -> bool:
        batch = self._sql.one(db, "batch", {"id": batch_id})
        if batch is None or batch["stage"] in OVER:
            return False
        self._sql.run(db, "mark_paused", {"seq": batch["seq"], "paused": 1})
        self._sql.run(db, "pause_shards", {"seq": batch["seq"]})
        return True

    async def paces(self) -> list[SaidPace]:
        return [SaidPace(**dict(row)) for row in await self._sql.look_all("paces", {})]

    async def set_pace(self, said: SaidPace) -> None:
        await self._sql.write(lambda db: self._sql.run(db, "set_pace", msgspec.structs.asdict(said)))

    async def forget_pace(self, engine: str) -> None:
        await self._sql.write(lambda db: self._sql.run(db, "forget_pace", {"engine": engine}))

    async def resume(self, what: Target, target: str) -> Pause | None:
        def work(db: Db) -> Pause | None:
            values = {"what": what.value, "target": target}
            row = self._sql.one(db, "pause_of", values)
            if row is None:
                return None
            self._sql.run(db, "remove_pause", values)
            if what is Target.BATCH:
                self._resume_batch(db, target)
            return _record(row)

        return await self._sql.write(work)

    def _resume_batch(self, db: Db, batch_id: str) -> None:
        batch = self._sql.one(db, "batch", {"id": batch_id})
        assert batch is not None, "a pause goes with its batch"
        self._sql.run(db, "mark_paused", {"seq": batch["seq"], "paused": 0})
        self._sql.run(db, "resume_shards", {"seq": batch["seq"]})
