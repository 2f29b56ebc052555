"""The part of the SQL ledger that workers use: claims, leases, segments. Every write is fenced by the shard's epoch."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from slackwater.adapters.sql.rows import file_row, joined, range_record, range_row
from slackwater.adapters.sql.sqlite import Database
from slackwater.core.accounts.days import day_of
from slackwater.core.accounts.usage import Usage
from slackwater.core.batch import RequestCounts, Status
from slackwater.core.errors import QuotaExceeded
from slackwater.core.files.file import File, FileLimits, Purpose
from slackwater.ports import LeaseState, Segment, Shard, UnfinishedShard

T = TypeVar("T")


class SqlWork:
    """Statements by name, and the methods of the port that concern shards."""

    def __init__(self, database: Database, queries: Any) -> None:
        self._database = database
        self._reader = database.reader
        self._texts: dict[str, str] = {}
        self._queries = queries

    def _sql(self, name: str) -> str:
        text = self._texts.get(name)
        if text is None:
            text = self._texts[name] = getattr(self._queries, name).sql
        return text

    def _one(self, db: sqlite3.Connection, name: str, values: dict[str, Any]) -> sqlite3.Row | None:
        row: sqlite3.Row | None = db.execute(self._sql(name), values).fetchone()
        return row

    def _all(self, db: sqlite3.Connection, name: str, values: dict[str, Any]) -> list[sqlite3.Row]:
        return db.execute(self._sql(name), values).fetchall()

    def _number(self, db: sqlite3.Connection, name: str, values: dict[str, Any]) -> int:
        row = self._one(db, name, values)
        assert row is not None, f"{name} always has a row"
        number: int = row[0]
        return number

    def _run(self, db: sqlite3.Connection, name: str, values: dict[str, Any]) -> int:
        """Runs a statement and returns how many rows it changed."""
        return db.execute(self._sql(name), values).rowcount

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._database.write(work)

    def _add_file(self, db: sqlite3.Connection, file: File, limits: FileLimits) -> None:
        """Adds a file's row, where its kind has room. Part of a transaction, so two at once cannot both be the last."""
        if file.purpose is not Purpose.BATCH_OUTPUT:
            name, most, kind, advice = (
                ("lasting_files", limits.lasting, "without expiry", "Delete files, or give them an expiry.")
                if file.expires_at is None
                else ("expiring_files", limits.expiring, "with expiry", "Delete files, or wait until some expire.")
            )
            if most and self._number(db, name, {"resource": file.resource}) >= most:
                raise QuotaExceeded(f"The quota for files {kind} is reached. The maximum is {most}. {advice}")
        self._run(db, "add_file", file_row(file))

    async def claim_shard(
        self, deployments: Sequence[str], *, owner: str, now: float, lease_seconds: float
    ) -> Shard | None:
        def work(db: sqlite3.Connection) -> Shard | None:
            for deployment in deployments:
                row = self._one(
                    db,
                    "claim_shard",
                    {"deployment": deployment, "owner": owner, "lease_until": now + lease_seconds},
                )
                if row is None:
                    continue
                batch = self._one(db, "batch_by_seq", {"seq": row["batch_seq"]})
                assert batch is not None, "a shard has a batch"
                return Shard(
                    batch_id=batch["id"],
                    index=row["idx"],
                    epoch=row["epoch"],
                    offset=row["offset_"],
                    length=row["length"],
                    lines=row["lines"],
                    done=row["done"],
                    input_blob=batch["input_blob"],
                    endpoint=batch["dispatch_endpoint"],
                    deployment=row["deployment"],
                    batch_created_at=batch["created_at"],
                    batch_unbegun=not batch["completed"] + batch["failed"],
                )
            return None

        return await self._write(work)

    async def renew_leases(self, owner: str, *, now: float, lease_seconds: float) -> list[LeaseState]:
        def work(db: sqlite3.Connection) -> list[LeaseState]:
            self._run(db, "renew_leases", {"owner": owner, "lease_until": now + lease_seconds})
            rows = self._all(db, "leases", {"owner": owner, "in_progress": Status.IN_PROGRESS.value})
            return [
                LeaseState(batch_id=row[0], index=row[1], epoch=row[2], mine=True, stop=bool(row[3])) for row in rows
            ]

        return await self._write(work)

    async def commit_segments(
        self, segments: Sequence[Segment], *, now: float, lease_seconds: float
    ) -> list[tuple[str, int]]:
        def work(db: sqlite3.Connection) -> list[tuple[str, int]]:
            return [
                (segment.batch_id, segment.index)
                for segment in segments
                if not self._commit(db, segment, now=now, lease_until=now + lease_seconds)
            ]

        return await self._write(work)

    def _commit(self, db: sqlite3.Connection, segment: Segment, *, now: float, lease_until: float) -> bool:
        shard = self._one(db, "held_shard", {"id": segment.batch_id, "idx": segment.index, "epoch": segment.epoch})
        if shard is None:
            return False
        before, more = int.from_bytes(shard["done"], "little"), int.from_bytes(segment.done, "little")
        assert not before & more, f"a line of shard {segment.index} of {segment.batch_id} would be written twice"
        place = {"batch_seq": shard["batch_seq"], "idx": segment.index}
        done = (before | more).to_bytes((shard["lines"] + 7) // 8, "little")
        self._run(db, "mark_done", place | {"done": done, "lease_until": lease_until})
        results = {
            "batch_seq": shard["batch_seq"],
            "completed": segment.counts.completed,
            "failed": segment.counts.failed,
            "input_tokens": segment.usage.input_tokens,
            "cached_tokens": segment.usage.cached_tokens,
            "output_tokens": segment.usage.output_tokens,
            "reasoning_tokens": segment.usage.reasoning_tokens,
            "model": segment.model,
            "at": int(now),
        }
        self._run(db, "add_results", results)
        if segment.counts.completed:
            # After the batch's own sums, because its first answer gives the model.
            self._run(db, "add_usage", results | {"day": day_of(now)})
        for region in segment.regions:
            self._run(db, "add_region", {"batch_seq": shard["batch_seq"], "region": region})
        self._record(db, segment, place | {"epoch": segment.epoch})
        return True

    def _record(self, db: sqlite3.Connection, segment: Segment, place: dict[str, Any]) -> None:
        """Names the ranges: in the shard's last row if they continue it, so that rows stay few, else in a new one."""
        last = self._one(db, "last_segment", place)
        if last is not None:
            output_continues, output = joined(range_record(last, "output"), segment.output)
            error_continues, error = joined(range_record(last, "error"), segment.error)
            if output_continues and error_continues:
                ranges = range_row("output", output) | range_row("error", error)
                self._run(db, "extend_segment", ranges | {"seq": last["seq"]})
                return
        ranges = range_row("output", segment.output) | range_row("error", segment.error)
        self._run(db, "add_segment", place | ranges)

    async def finish_shard(self, batch_id: str, index: int, *, epoch: int) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            shard = self._one(db, "held_shard", {"id": batch_id, "idx": index, "epoch": epoch})
            if shard is None:
                return False
            lines = int.from_bytes(shard["done"], "little").bit_count()
            assert lines == shard["lines"], f"shard {index} of {batch_id} is not done: {lines} of {shard['lines']}"
            self._run(db, "set_shard_state", {"batch_seq": shard["batch_seq"], "idx": index, "state": "done"})
            return True

        return await self._write(work)

    async def release_shard(self, batch_id: str, index: int, *, epoch: int) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            row = self._one(db, "shard_batch_status", {"id": batch_id, "idx": index, "epoch": epoch})
            if row is None:
                return False
            self._free(db, row["batch_seq"], index, row["status"])
            return True

        return await self._write(work)

    def _free(self, db: sqlite3.Connection, batch_seq: int, index: int, status: str) -> None:
        state = "queued" if status == Status.IN_PROGRESS.value else "stopped"
        self._run(db, "set_shard_state", {"batch_seq": batch_seq, "idx": index, "state": state})

    async def release_leases(self, *, now: float, dead_owners_except: str | None = None) -> int:
        values = {"now": now, "survivor": dead_owners_except}
        if not await self._database.read(lambda db: self._all(db, "lost_leases", values)):
            return 0

        def work(db: sqlite3.Connection) -> int:
            rows = self._all(db, "lost_leases", values)
            for row in rows:
                self._free(db, row["batch_seq"], row["idx"], row["status"])
            return len(rows)

        return await self._write(work)

    async def segments(self, batch_id: str, *, after: int = 0, limit: int = 1000) -> list[tuple[int, Segment]]:
        """The newest row may grow while the batch runs; all others are final."""
        rows = await self._database.read(
            lambda db: self._all(db, "segments", {"id": batch_id, "after": after, "limit": limit})
        )
        return [
            (
                row["seq"],
                Segment(
                    batch_id=batch_id,
                    index=row["idx"],
                    epoch=row["epoch"],
                    output=range_record(row, "output"),
                    error=range_record(row, "error"),
                    done=b"",
                    counts=RequestCounts(),
                    usage=Usage(),
                ),
            )
            for row in rows
        ]

    async def unfinished_shards(self, batch_id: str) -> list[UnfinishedShard]:
        rows = await self._database.read(lambda db: self._all(db, "unfinished_shards", {"id": batch_id}))
        return [
            UnfinishedShard(
                index=row["idx"], offset=row["offset_"], length=row["length"], lines=row["lines"], done=row["done"]
            )
            for row in rows
        ]
