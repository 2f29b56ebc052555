"""The Ledger on SQL: the life of batches here, shards in work.py, files in files.py, and so on: a module for each
part of the port. One method, one transaction.

The text of every statement is in queries.sql; which status follows which comes from core/batch.py.
"""

import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path

import aiosql

from slackwater.adapters.sql.deployments import SqlDeployments
from slackwater.adapters.sql.files import SqlFiles
from slackwater.adapters.sql.imports import SqlImports
from slackwater.adapters.sql.keys import SqlKeys
from slackwater.adapters.sql.lists import SqlLists
from slackwater.adapters.sql.overview import SqlOverview
from slackwater.adapters.sql.queue import SqlQueue
from slackwater.adapters.sql.readings import SqlReadings
from slackwater.adapters.sql.rows import batch_record, batch_row, file_row, text_of
from slackwater.adapters.sql.sessions import SqlSessions
from slackwater.adapters.sql.sqlite import SEARCH_STEPS, Database
from slackwater.adapters.sql.uploads import SqlUploads
from slackwater.adapters.sql.usage import SqlUsage
from slackwater.adapters.sql.webhooks import SqlWebhooks
from slackwater.core.accounts.price import Price
from slackwater.core.batch import MOMENT, NEXT, Batch, BatchError, Event, Status, can
from slackwater.core.errors import Conflict
from slackwater.core.files.file import File
from slackwater.ports import IdempotencyKey, NewShard

QUERIES = aiosql.from_path(Path(__file__).parent / "queries.sql", "sqlite3", mandatory_parameters=False)


def _first(rows: list[sqlite3.Row], skip: Collection[str]) -> sqlite3.Row | None:
    """The first row of a batch that is not to be skipped."""
    return next((row for row in rows if row["id"] not in skip), None)


class SqlLedger(
    SqlFiles,
    SqlQueue,
    SqlUploads,
    SqlImports,
    SqlLists,
    SqlOverview,
    SqlWebhooks,
    SqlKeys,
    SqlSessions,
    SqlUsage,
    SqlDeployments,
    SqlReadings,
):
    """Durable facts in a SQLite database."""

    @classmethod
    def open(cls, path: Path | str, *, inline: bool = False, search_steps: int = SEARCH_STEPS) -> "SqlLedger":
        """Opens or makes the database. `inline` runs everything on the caller's thread (simulation, `:memory:`).

        Raises DataDirectoryError where a newer version has been.
        """
        inline = inline or str(path) == ":memory:"
        return cls(Database(path, inline=inline, search_steps=search_steps), QUERIES)

    @classmethod
    def look(cls, path: Path) -> "SqlLedger":
        """Opens a database to read it, also one that a server has open. Raises DataDirectoryError where it cannot."""
        return cls(Database(path, inline=True, read_only=True), QUERIES)

    async def close(self) -> None:
        await self._database.close()

    @property
    def refuses_writes(self) -> bool:
        """Whether the last write failed for a reason that is the database's or the disk's."""
        return self._database.refuses_writes

    async def try_write(self) -> None:
        """Writes something that means nothing. Raises what a write raises; else the ledger refuses no more."""
        await self._database.try_write()

    # Batches

    async def add_batch(self, batch: Batch, *, key: IdempotencyKey | None = None) -> Batch:
        def work(db: sqlite3.Connection) -> Batch:
            earlier = None if key is None else self._batch_of_key(db, key)
            if earlier is not None:
                return earlier
            self._run(db, "add_batch", batch_row(batch, key))
            self._add_text(db, batch)
            return batch

        return await self._write(work)

    async def batch_of_key(self, key: IdempotencyKey) -> Batch | None:
        return self._batch_of_key(self._reader, key)

    def _batch_of_key(self, db: sqlite3.Connection, key: IdempotencyKey) -> Batch | None:
        row = self._one(db, "batch_of_key", {"key": key.key, "resource": key.resource})
        if row is None:
            return None
        if row["idempotency_digest"] != key.digest:
            raise Conflict(
                f"The idempotency key '{key.key[:80]}' was used for another request (batch {row['id']}). "
                "Use a new key for a new request."
            )
        return batch_record(row)

    async def batch(self, batch_id: str) -> Batch | None:
        row = self._one(self._reader, "batch", {"id": batch_id})
        return None if row is None else batch_record(row)

    async def request_cancel(self, batch_id: str, *, now: int) -> Batch | None:
        def work(db: sqlite3.Connection) -> Batch | None:
            row = self._one(db, "batch", {"id": batch_id})
            if row is None:
                return None
            if can(Status(row["status"]), Event.CANCEL_REQUESTED):
                self._move(db, row, Event.CANCEL_REQUESTED, now=now, stage="ending")
                row = self._one(db, "batch", {"id": batch_id})
                assert row is not None, "the row was there in this transaction"
            return batch_record(row)

        return await self._write(work)

    def _move(self, db: sqlite3.Connection, row: sqlite3.Row, event: Event, *, now: int, stage: str) -> None:
        """The next status by the table, its moment, and an end to queued shards where the batch is ending."""
        status = NEXT[Status(row["status"])][event]
        self._run(db, "move_batch", {"seq": row["seq"], "status": status.value, "stage": stage})
        moment = MOMENT[status]
        # The name comes from a table of ours, never from a user.
        db.execute(f"UPDATE batch SET {moment} = ? WHERE seq = ?", (now, row["seq"]))  # noqa: S608
        if stage == "ending":
            self._run(db, "stop_shards", {"seq": row["seq"]})

    # Validation

    async def next_to_validate(self, *, skip: Collection[str] = ()) -> Batch | None:
        values = {"validating": Status.VALIDATING.value, "limit": len(skip) + 1}
        row = _first(await self._database.read(lambda db: self._all(db, "next_to_validate", values)), skip)
        return None if row is None else batch_record(row)

    async def accept_batch(
        self,
        batch_id: str,
        *,
        deployment: str,
        endpoint: str,
        total: int,
        tokens: int,
        shards: Sequence[NewShard],
        price: Price | None = None,
    ) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            row = self._one(db, "batch", {"id": batch_id})
            if row is None or not self._run(
                db,
                "accept_batch",
                {
                    "id": batch_id,
                    "deployment": deployment,
                    "endpoint": endpoint,
                    "total": total,
                    "tokens": tokens,
                    "price": None if price is None else text_of(price),
                    "validating": Status.VALIDATING.value,
                },
            ):
                return False
            db.executemany(
                self._sql("add_shard"),
                [
                    (row["seq"], index, deployment, shard.offset, shard.length, shard.lines, shard.tokens)
                    for index, shard in enumerate(shards)
                ],
            )
            return True

        return await self._write(work)

    async def reject_batch(self, batch_id: str, *, errors: Sequence[BatchError], now: int) -> bool:
        values = {
            "id": batch_id,
            "errors": text_of(list(errors)),
            "now": now,
            "failed": Status.FAILED.value,
            "validating": Status.VALIDATING.value,
        }

        def work(db: sqlite3.Connection) -> bool:
            rejected = bool(self._run(db, "reject_batch", values))
            if rejected:
                self._announce(db, batch_id, Status.FAILED, now=now)
            return rejected

        return await self._write(work)

    # Ending

    async def begin_finalizing(self, *, now: int, skip: Collection[str] = ()) -> Batch | None:
        values = {"in_progress": Status.IN_PROGRESS.value, "limit": len(skip) + 1}

        def look(db: sqlite3.Connection) -> tuple[sqlite3.Row | None, sqlite3.Row | None]:
            return _first(self._all(db, "exhausted", values), skip), _first(self._all(db, "ending", values), skip)

        # Looked at without a write transaction first: most steps find nothing.
        if not any(await self._database.read(look)):
            return None

        def work(db: sqlite3.Connection) -> Batch | None:
            exhausted, ending = look(db)
            if exhausted is not None:
                self._move(db, exhausted, Event.EXHAUSTED, now=now, stage="ending")
                ending = self._one(db, "batch", {"id": exhausted["id"]})
            return None if ending is None else batch_record(ending)

        return await self._write(work)

    async def publish_files(self, batch_id: str, *, output: File | None, error: File | None, now: int) -> Batch | None:
        def work(db: sqlite3.Connection) -> Batch | None:
            row = self._one(db, "batch", {"id": batch_id})
            if row is None or row["stage"] != "ending":
                return None
            for file in (output, error):
                if file is not None:
                    self._run(db, "add_file", file_row(file))
            ids = {"output": output.id if output else None, "error": error.id if error else None}
            self._run(db, "set_files", ids | {"seq": row["seq"]})
            status = Status(row["status"])
            if status is Status.CANCELLING:
                event = Event.PUBLISHED_CANCELLED
            else:
                # A batch that ends with lines that never ran, and was not cancelled, ran out of time.
                unfinished = self._all(db, "unfinished_shards", {"id": batch_id})
                never_ran = unfinished or row["total"] == 0
                event = Event.PUBLISHED_EXPIRED if never_ran else Event.PUBLISHED
            self._move(db, row, event, now=now, stage="ended")
            self._run(db, "forget_shards", {"seq": row["seq"]})
            self._run(db, "forget_segments", {"seq": row["seq"]})
            ended = self._one(db, "batch", {"id": batch_id})
            assert ended is not None, "the row was there in this transaction"
            self._announce(db, batch_id, Status(ended["status"]), now=now)
            return batch_record(ended)

        return await self._write(work)

    async def elapse_windows(self, *, now: int) -> list[str]:
        if not await self._database.read(lambda db: self._all(db, "elapsed", {"now": now})):
            return []

        def work(db: sqlite3.Connection) -> list[str]:
            rows = self._all(db, "elapsed", {"now": now})
            for row in rows:
                self._move(db, row, Event.WINDOW_ELAPSED, now=now, stage="ending")
            return [row["id"] for row in rows]

        return await self._write(work)
