"""The part of the SQL ledger that knows what waits: batches for room under the quota, shards for a rank."""

import sqlite3
from collections.abc import Sequence

from slackwater.adapters.sql.base import SqlPart
from slackwater.adapters.sql.rows import batch_record
from slackwater.core.batch import Batch
from slackwater.ports import OpenBatch, Waiting


class SqlQueue(SqlPart):
    """The methods of the port that concern quota and scheduling."""

    # Quota

    async def waiting(self) -> list[Waiting]:
        def work(db: sqlite3.Connection) -> list[Waiting]:
            by_deployment: dict[str, list[Batch]] = {}
            for row in self._sql.all(db, "waiting", {}):
                by_deployment.setdefault(row["deployment"], []).append(batch_record(row))
            return [
                Waiting(deployment=name, batches=batches, held=self._sql.number(db, "held", {"deployment": name}))
                for name, batches in by_deployment.items()
            ]

        return await self._sql.database.read(work)

    async def enqueued_tokens(self, deployment: str) -> int:
        return self._sql.number(self._sql.reader, "enqueued_tokens", {"deployment": deployment})

    async def counted_tokens(self, deployment: str) -> int:
        return self._sql.number(self._sql.reader, "counted_tokens", {"deployment": deployment})

    # Scheduling

    async def unranked(self) -> list[OpenBatch]:
        def work(db: sqlite3.Connection) -> list[OpenBatch]:
            return [
                OpenBatch(
                    batch_id=row["id"],
                    deployment=row["deployment"],
                    shards=row["shards"],
                    virtual_time=float(self._sql.number(db, "virtual_time", {"deployment": row["deployment"]})),
                )
                for row in self._sql.all(db, "unranked", {})
            ]

        return await self._sql.database.read(work)

    async def rank_shards(self, batch_id: str, ranks: Sequence[float]) -> None:
        def work(db: sqlite3.Connection) -> None:
            row = self._sql.one(db, "batch", {"id": batch_id})
            if row is not None:
                db.executemany(
                    self._sql.text("rank_shard"), [(rank, row["seq"], index) for index, rank in enumerate(ranks)]
                )

        await self._sql.write(work)
