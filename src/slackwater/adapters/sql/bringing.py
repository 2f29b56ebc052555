"""The part of the SQL ledger that knows batches whose input is to be copied from a storage of its user's."""

from collections.abc import Collection

from slackwater.adapters.sql.base import SqlBase, SqlPart
from slackwater.adapters.sql.batches import SqlBatches
from slackwater.adapters.sql.db import Db
from slackwater.adapters.sql.duties import Duties
from slackwater.adapters.sql.rows import batch_record, text_of
from slackwater.core.batch import Batch, Event, UserStorage
from slackwater.core.members import Duty


class SqlBringing(SqlPart):
    """The methods of the port that concern them."""

    def __init__(self, base: SqlBase, batches: SqlBatches, duties: Duties) -> None:
        super().__init__(base)
        self._batches = batches
        self._duties = duties

    async def next_to_bring(self, *, skip: Collection[str] = (), busy: Collection[str] = ()) -> Batch | None:
        # No name of a resource has a space in it.
        names = f" {' '.join(sorted(busy))} "
        return await self._duties.next(
            # Whose input is to come is not to be validated: it is the same work, which goes on behind it.
            Duty.VALIDATE,
            lambda passed: self._next_to_bring(names, passed),
            lambda found: {"thing": found.id},
            skip=skip,
            stands="still_to_bring",
        )

    async def _next_to_bring(self, busy: str, skip: Collection[str]) -> Batch | None:
        for names in (busy, ""):
            rows = await self._sql.look_all("next_to_bring", {"busy": names, "limit": len(skip) + 1})
            if (row := next((row for row in rows if row["id"] not in skip), None)) is not None:
                return batch_record(row)
        return None

    async def finish_bringing(
        self, batch_id: str, *, blob: str, size: int, storage: UserStorage, deployment: str | None, tokens: int
    ) -> bool:
        def work(db: Db) -> bool:
            row = self._sql.one(db, "batch", {"id": batch_id})
            if row is None or not self._batches.move_batch(db, row, Event.BROUGHT, now=0):
                return False
            values = {"seq": row["seq"], "blob": blob, "size": size, "deployment": deployment, "tokens": tokens}
            self._sql.run(db, "keep_brought", values | {"storage": text_of(storage)})
            return True

        return await self._sql.write(work)
