"""The part of the SQL ledger that knows what waits: batches for room under the quota, shards for a rank."""

from collections.abc import Sequence

from slackwater.adapters.sql.base import SqlPart
from slackwater.adapters.sql.db import Db
from slackwater.core.quota.enqueued import WaitingBatch
from slackwater.ports import OpenBatch, Waiting

# Of each deployment, so many batches are let in at once: few enough to be read in no time where none of them can be.
WAITING_PAGE = 25
# Batches that get their ranks in one round.
UNRANKED_PAGE = 100


class SqlQueue(SqlPart):
    """The methods of the port that concern quota and scheduling."""

    # Quota

    async def waiting(self) -> list[Waiting]:
        def work(db: Db) -> list[Waiting]:
            return [
                Waiting(deployment=row["deployment"], batches=self._oldest_of(db, row["deployment"]), held=row["held"])
                for row in self._sql.all(db, "waiting_deployments", {})
            ]

        return await self._sql.database.read(work)

    def _oldest_of(self, db: Db, deployment: str) -> list[WaitingBatch]:
        rows = self._sql.all(db, "waiting", {"deployment": deployment, "limit": WAITING_PAGE})
        return [WaitingBatch(id=row["id"], enqueued_tokens=row["enqueued_tokens"]) for row in rows]

    async def enqueued_tokens(self, deployment: str) -> int:
        return await self._sql.look_number("enqueued_tokens", {"deployment": deployment})

    async def counted_tokens(self, deployment: str) -> int:
        return await self._sql.look_number("counted_tokens", {"deployment": deployment})

    # Scheduling

    async def unranked(self) -> list[OpenBatch]:
        def work(db: Db) -> list[OpenBatch]:
            return [
                OpenBatch(
                    batch_id=row["id"],
                    deployment=row["deployment"],
                    shards=row["shards"],
                )
                for row in self._sql.all(db, "unranked", {"limit": UNRANKED_PAGE})
            ]

        return await self._sql.database.read(work)

    async def rank_shards(self, batch_id: str, ranks: Sequence[float]) -> None:
        def work(db: Db) -> None:
            row = self._sql.one(db, "batch", {"id": batch_id})
            if row is not None:
                db.executemany(
                    self._sql.text("rank_shard"), [(rank, row["seq"], index) for index, rank in enumerate(ranks)]
                )
                self._sql.run(db, "mark_ranked", {"seq": row["seq"]})

        await self._sql.write(work)
