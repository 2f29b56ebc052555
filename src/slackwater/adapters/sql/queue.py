"""The part of the SQL ledger that knows what waits: batches for room under the quota, shards for a rank."""

import sqlite3
from collections.abc import Sequence

from slackwater.adapters.sql.rows import batch_record
from slackwater.adapters.sql.work import SqlWork
from slackwater.core.batch import Batch, Status
from slackwater.ports import OpenBatch, Waiting


class SqlQueue(SqlWork):
    """The methods of the port that concern quota and scheduling."""

    # Quota

    async def waiting(self) -> list[Waiting]:
        def work(db: sqlite3.Connection) -> list[Waiting]:
            by_deployment: dict[str, list[Batch]] = {}
            for row in self._all(db, "waiting", {"validating": Status.VALIDATING.value}):
                by_deployment.setdefault(row["deployment"], []).append(batch_record(row))
            return [
                Waiting(deployment=name, batches=batches, held=self._number(db, "held", {"deployment": name}))
                for name, batches in by_deployment.items()
            ]

        return await self._database.read(work)

    async def enqueue(self, batch_ids: Sequence[str], *, now: int) -> None:
        statuses = {"in_progress": Status.IN_PROGRESS.value, "validating": Status.VALIDATING.value, "now": now}

        def work(db: sqlite3.Connection) -> None:
            for batch_id in batch_ids:
                self._run(db, "enqueue", statuses | {"id": batch_id})

        await self._write(work)

    async def enqueued_tokens(self, deployment: str) -> int:
        return self._number(self._reader, "enqueued_tokens", {"deployment": deployment})

    async def counted_tokens(self, deployment: str) -> int:
        return self._number(self._reader, "counted_tokens", {"deployment": deployment})

    # Scheduling

    async def unranked(self) -> list[OpenBatch]:
        def work(db: sqlite3.Connection) -> list[OpenBatch]:
            return [
                OpenBatch(
                    batch_id=row["id"],
                    deployment=row["deployment"],
                    shards=row["shards"],
                    virtual_time=float(self._number(db, "virtual_time", {"deployment": row["deployment"]})),
                )
                for row in self._all(db, "unranked", {})
            ]

        return await self._database.read(work)

    async def rank_shards(self, batch_id: str, ranks: Sequence[float]) -> None:
        def work(db: sqlite3.Connection) -> None:
            row = self._one(db, "batch", {"id": batch_id})
            if row is not None:
                db.executemany(self._sql("rank_shard"), [(rank, row["seq"], index) for index, rank in enumerate(ranks)])

        await self._write(work)
