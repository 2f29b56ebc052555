"""The Ledger on SQL: files and batches here, shards in sql_work.py, uploads in sql_uploads.py, lists of batches in
sql_lists.py. One method, one transaction.

The text of every statement is in queries.sql; which status follows which comes from core/batch.py.
"""

import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path

import aiosql

from slackwater.adapters.sql_deployments import SqlDeployments
from slackwater.adapters.sql_imports import SqlImports
from slackwater.adapters.sql_keys import SqlKeys
from slackwater.adapters.sql_lists import SqlLists
from slackwater.adapters.sql_rows import batch_record, batch_row, file_record, file_row, text_of
from slackwater.adapters.sql_uploads import SqlUploads
from slackwater.adapters.sql_usage import SqlUsage
from slackwater.adapters.sql_webhooks import SqlWebhooks
from slackwater.adapters.sqlite import SEARCH_STEPS, Database
from slackwater.core.batch import MOMENT, NEXT, Batch, BatchError, Event, Status, can
from slackwater.core.errors import Conflict, InvalidRequest
from slackwater.core.file import File, FileLimits, Purpose
from slackwater.core.price import Price
from slackwater.core.resource import DEFAULT
from slackwater.ports import NO_LIMITS, IdempotencyKey, NewShard, OpenBatch, Waiting

QUERIES = aiosql.from_path(Path(__file__).parent / "queries.sql", "sqlite3", mandatory_parameters=False)
LAST = 2**62
# As many as a list may have: whoever walks through one and deletes everything never loses the way.
DELETED_KEPT = 20_000


def _first(rows: list[sqlite3.Row], skip: Collection[str]) -> sqlite3.Row | None:
    """The first row of a batch that is not to be skipped."""
    return next((row for row in rows if row["id"] not in skip), None)


class SqlLedger(SqlUploads, SqlImports, SqlLists, SqlWebhooks, SqlKeys, SqlUsage, SqlDeployments):
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

    # Files

    async def add_file(self, file: File, *, limits: FileLimits = NO_LIMITS) -> None:
        await self._write(lambda db: self._add_file(db, file, limits))

    async def file(self, file_id: str) -> File | None:
        row = self._one(self._reader, "file", {"id": file_id})
        return None if row is None else file_record(row)

    async def files(
        self,
        *,
        purpose: Purpose | None,
        after: str | None,
        limit: int,
        descending: bool,
        now: int,
        resource: str = DEFAULT,
    ) -> list[File]:
        db = self._reader
        cursor = None
        if after is not None:
            row = self._one(db, "file_seq", {"id": after, "resource": resource})
            if row is None:
                raise InvalidRequest(f"after: there is no file '{after}'", param="after")
            cursor = row["seq"]
        wanted = {
            "purpose": None if purpose is None else purpose.value,
            "limit": limit,
            "now": now,
            "resource": resource,
        }
        if descending:
            rows = self._all(db, "files_descending", wanted | {"before": LAST if cursor is None else cursor})
        else:
            rows = self._all(db, "files_ascending", wanted | {"after": -1 if cursor is None else cursor})
        return [file_record(row) for row in rows]

    async def delete_file(self, file_id: str) -> File | None:
        def work(db: sqlite3.Connection) -> sqlite3.Row | None:
            self._run(db, "remember_deleted", {"id": file_id})
            self._run(db, "forget_deleted", {"kept": DELETED_KEPT})
            return self._one(db, "delete_file", {"id": file_id})

        row = await self._write(work)
        return None if row is None else file_record(row)

    async def blob_in_use(self, key: str) -> bool:
        row = await self._database.read(lambda db: self._one(db, "blob_in_use", {"key": key}))
        return bool(row is not None and row[0])

    async def expired_files(self, *, now: int, limit: int) -> list[File]:
        rows = await self._database.read(lambda db: self._all(db, "expired_files", {"now": now, "limit": limit}))
        return [file_record(row) for row in rows]

    # Batches

    async def add_batch(self, batch: Batch, *, key: IdempotencyKey | None = None) -> Batch:
        def work(db: sqlite3.Connection) -> Batch:
            earlier = None if key is None else self._batch_of_key(db, key)
            if earlier is not None:
                return earlier
            self._run(db, "add_batch", batch_row(batch, key))
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
