"""The part of the SQL ledger that workers use: claims, leases, segments. Every write is fenced by the shard's epoch."""

from collections.abc import Sequence
from typing import Any

from slackwater.adapters.sql.base import SqlPart
from slackwater.adapters.sql.db import Db, Row
from slackwater.adapters.sql.rows import joined, range_record, range_row, text_of
from slackwater.core.accounts.days import day_of
from slackwater.core.accounts.usage import Usage
from slackwater.core.batch import RequestCounts, Stage, Status
from slackwater.ports import BlobRange, LeaseState, QueuedBatch, Segment, Shard, UnfinishedShard

# A lease is renewed when less than this part of it is left. So a worker that stops dead is known to have done so after this
# part of a lease at the earliest.
RENEWED_BELOW = 2 / 3
# A row of segments is extended until it has checksums of so many bytes: each time all of them are written anew.
EXTENDED_BELOW = 512


def _places(input_blob: str, row: Row) -> tuple[BlobRange, ...]:
    """Where the lines of a shard lie: in one stretch, as validation cut it."""
    return (BlobRange(key=input_blob, offset=row["offset_"], length=row["length"]),)


def _unfinished(row: Row) -> UnfinishedShard:
    return UnfinishedShard(
        index=row["idx"],
        places=_places(row["input_blob"], row),
        lines=row["lines"],
        done=row["done"],
        checksums=row["checksums"],
    )


def _since(batch: Row) -> int:
    """When a batch was let in."""
    since: int | None = batch["in_progress_at"]
    return batch["created_at"] if since is None else since


def _left(batch: Row, ended: int) -> float:
    """Input tokens of the lines of a batch that have no result yet, where so many have one."""
    left: float = batch["enqueued_tokens"] * (batch["total"] - ended) / max(batch["total"], 1)
    return left


def _claimed(batch: Row, row: Row) -> Shard:
    """The row of a shard that was just claimed, and that of its batch."""
    ended = batch["completed"] + batch["failed"]
    return Shard(
        batch_id=batch["id"],
        index=row["idx"],
        epoch=row["epoch"],
        places=_places(batch["input_blob"], row),
        lines=row["lines"],
        tokens=row["tokens"],
        done=row["done"],
        endpoint=batch["dispatch_endpoint"],
        deployment=row["deployment"],
        batch_left=_left(batch, ended),
        batch_since=_since(batch),
        batch_queued=bool(row["more"]),
        batch_created_at=batch["created_at"],
        batch_unbegun=not ended,
        checksums=row["checksums"],
    )


class SqlShards(SqlPart):
    """The methods of the port that concern shards."""

    async def queued_batches(self, deployment: str, *, after: int, limit: int = 500) -> list[QueuedBatch]:
        values = {"deployment": deployment, "after": after, "limit": limit}
        rows = await self._sql.look_all("queued_batches", values)
        return [
            QueuedBatch(
                number=row["queued_number"],
                batch_id=row["id"],
                left=_left(row, row["ended"]),
                lines=row["total"] - row["ended"],
                since=_since(row),
            )
            for row in rows
        ]

    async def claimable_batches(self, batch_ids: Sequence[str]) -> frozenset[str]:
        if not self._sql.database.writes_alone:
            return frozenset()
        rows = await self._sql.look_all("claimable_batches", {"ids": text_of(list(batch_ids))})
        return frozenset(row["id"] for row in rows)

    async def claim_shards(
        self, batch_ids: Sequence[str], *, owner: str, now: float, lease_seconds: float, most: int | None = None
    ) -> list[Shard]:
        ids, lease_until = list(dict.fromkeys(batch_ids)), now + lease_seconds
        if self._sql.database.writes_alone:
            values = {
                "ids": text_of(ids),
                "owner": owner,
                "lease_until": lease_until,
                "most": len(ids) if most is None else most,
            }
            rows = await self._sql.database.write_alone("claim_shards", values, again="claimed_shards")
            return [_claimed(row, row) for row in rows]

        def work(db: Db) -> list[Shard]:
            shards: list[Shard] = []
            for batch_id in ids:
                if len(shards) == most:
                    break
                batch = self._sql.one(db, "batch_to_claim", {"id": batch_id})
                if batch is None:
                    continue
                place = {"batch_seq": batch["seq"], "owner": owner, "lease_until": lease_until}
                if (row := self._sql.one(db, "claim_shard", place)) is not None:
                    shards.append(_claimed(batch, row))
            return shards

        # Whoever has claimed is as dead after a power cut as the claim, or has an epoch that no later claim has; and no result
        # is durable without it.
        return await self._sql.write(work, durable=False, fenced=True)

    async def renew_leases(
        self, leases: Sequence[tuple[str, int, int]], *, now: float, lease_seconds: float
    ) -> list[LeaseState]:
        held = text_of([list(lease) for lease in leases])

        def look(db: Db) -> list[Row]:
            return self._sql.all(db, "held_leases", {"leases": held})

        def renew(db: Db) -> list[Row]:
            until = now + lease_seconds
            renewed = []
            for row in look(db):
                place = {"batch_seq": row["batch_seq"], "idx": row["idx"], "epoch": row["epoch"]}
                if self._sql.run(db, "renew_lease", place | {"lease_until": until}):
                    renewed.append(row)
            return renewed

        rows = await self._sql.database.look(look)
        # Most heartbeats come long before a lease is over, and write nothing.
        if any(row["lease_until"] < now + RENEWED_BELOW * lease_seconds for row in rows):
            rows = await self._sql.write(renew, durable=False, fenced=True)
        return [
            LeaseState(
                batch_id=row["id"],
                index=row["idx"],
                epoch=row["epoch"],
                stop=row["stage"] != Stage.RUNNING,
                expired=row["status"] == Status.FINALIZING,
                paused=bool(row["paused"]),
            )
            for row in rows
        ]

    async def commit_segments(
        self, segments: Sequence[Segment], *, now: float, lease_seconds: float
    ) -> list[tuple[str, int, int]]:
        def work(db: Db) -> list[tuple[str, int, int]]:
            refused, results, usages = [], [], []
            # Always in the same order: all shards, which are this worker's alone, then what others write to, too: batches by id,
            # then the account. So two who commit beside each other do not wait for each other in a circle.
            for segment in sorted(segments, key=lambda each: (each.batch_id, each.index)):
                added = self._commit(db, segment, now=now, lease_until=now + lease_seconds)
                if added is None:
                    refused.append((segment.batch_id, segment.index, segment.epoch))
                else:
                    results.append(added)
            for segment, values in results:
                self._sql.run(db, "add_results", values)
                for region in segment.regions:
                    self._sql.run(db, "add_region", {"batch_seq": values["batch_seq"], "region": region})
                if segment.counts.completed:
                    usages.append(values | {"day": day_of(now)})
            # After the batches' own sums, because the first answer of each gives its model.
            if self._sql.member is not None and len(usages) > 1:
                usages.sort(key=lambda each: tuple(self._sql.one(db, "account_of", each) or ()))
            for values in usages:
                self._sql.run(db, "add_usage", values)
            return refused

        return await self._sql.write(work, fenced=True)

    def _commit(
        self, db: Db, segment: Segment, *, now: float, lease_until: float
    ) -> tuple[Segment, dict[str, Any]] | None:
        """Records the lines of a shard, and returns what is to be added to its batch; None where the epoch is another one."""
        shard = self._sql.one(db, "held_shard", {"id": segment.batch_id, "idx": segment.index, "epoch": segment.epoch})
        if shard is None:
            return None
        before, more = int.from_bytes(shard["done"], "little"), int.from_bytes(segment.done, "little")
        assert not before & more, f"a line of shard {segment.index} of {segment.batch_id} would be written twice"
        place = {"batch_seq": shard["batch_seq"], "idx": segment.index}
        done = (before | more).to_bytes((shard["lines"] + 7) // 8, "little")
        if segment.ends:
            assert int.from_bytes(done, "little").bit_count() == shard["lines"], (
                f"a line of {segment.batch_id} is missing"
            )
            self._sql.run(db, "end_shard", place | {"done": done})
        else:
            self._sql.run(db, "mark_done", place | {"done": done, "lease_until": lease_until})
        results = {
            "batch_seq": shard["batch_seq"],
            "completed": segment.counts.completed,
            "failed": segment.counts.failed,
            "input_tokens": segment.usage.input_tokens,
            "cached_tokens": segment.usage.cached_tokens,
            "output_tokens": segment.usage.output_tokens,
            "reasoning_tokens": segment.usage.reasoning_tokens,
            "mended": segment.mended,
            "model": segment.model,
            "at": int(now),
        }
        self._record(db, segment, place | {"epoch": segment.epoch}, first=not before)
        for where, text in ((segment.output, segment.output_text), (segment.error, segment.error_text)):
            if where is not None and text:
                kept = {"batch_seq": shard["batch_seq"], "key": where.key, "offset": where.offset, "text": text}
                self._sql.run(db, "keep_text", kept)
        return segment, results

    def _record(self, db: Db, segment: Segment, place: dict[str, Any], *, first: bool) -> None:
        """Names the ranges: in the shard's last row if they continue it and it is short, so that rows are few, else in a new one.

        Where they are its `first`, there is none.
        """
        last = None if first else self._sql.one(db, "last_segment", place)
        checksums = {"output_checksums": segment.output_checksums, "error_checksums": segment.error_checksums}
        if last is not None and len(last["output_checksums"]) + len(last["error_checksums"]) < EXTENDED_BELOW:
            output_continues, output = joined(range_record(last, "output"), segment.output)
            error_continues, error = joined(range_record(last, "error"), segment.error)
            if output_continues and error_continues:
                ranges = range_row("output", output) | range_row("error", error)
                checksums = {name: last[name] + more for name, more in checksums.items()}
                self._sql.run(db, "extend_segment", ranges | checksums | {"seq": last["seq"]})
                return
        ranges = range_row("output", segment.output) | range_row("error", segment.error)
        self._sql.run(db, "add_segment", place | ranges | checksums)

    async def finish_shard(self, batch_id: str, index: int, *, epoch: int) -> bool:
        def work(db: Db) -> bool:
            shard = self._sql.one(db, "held_shard", {"id": batch_id, "idx": index, "epoch": epoch})
            if shard is None:
                return False
            lines = int.from_bytes(shard["done"], "little").bit_count()
            assert lines == shard["lines"], f"shard {index} of {batch_id} is not done: {lines} of {shard['lines']}"
            self._sql.run(db, "set_shard_state", {"batch_seq": shard["batch_seq"], "idx": index, "state": "done"})
            return True

        # Its lines say the same.
        return await self._sql.write(work, durable=False, fenced=True)

    async def release_shard(self, batch_id: str, index: int, *, epoch: int) -> bool:
        def work(db: Db) -> bool:
            row = self._sql.one(db, "shard_batch_stage", {"id": batch_id, "idx": index, "epoch": epoch})
            if row is None:
                return False
            self._free(db, row)
            return True

        return await self._sql.write(work)

    def _free(self, db: Db, row: Row) -> None:
        going_on = "paused" if row["paused"] else "queued"
        state = going_on if row["stage"] == Stage.RUNNING else "stopped"
        self._sql.run(db, "set_shard_state", {"batch_seq": row["batch_seq"], "idx": row["idx"], "state": state})

    async def release_leases(self, *, now: float, dead_owners_except: str | None = None) -> int:
        def look(db: Db) -> list[Row]:
            if dead_owners_except is None:
                return self._sql.all(db, "lost_leases", {"now": now})
            if self._sql.member is not None:
                return self._sql.all(db, "leases_of_no_member", {"now": now})
            return self._sql.all(db, "leases_of_the_dead", {"now": now, "survivor": dead_owners_except})

        if not await self._sql.database.read(look):
            return 0

        def work(db: Db) -> int:
            rows = look(db)
            for row in rows:
                self._free(db, row)
            return len(rows)

        return await self._sql.write(work)

    def free_those_of(self, db: Db, member: str) -> int:
        """Part of the transaction that buries a member: its leases go back; returns how many."""
        rows = self._sql.all(db, "leases_of_member", {"first": f"{member}-", "last": f"{member}."})
        for row in rows:
            self._free(db, row)
        return len(rows)

    async def kept_texts(self, *, after: int = 0, limit: int = 100) -> list[tuple[int, BlobRange, bytes]]:
        values = {"after": after, "limit": limit}
        rows = await self._sql.database.read(lambda db: self._sql.all(db, "kept_texts", values))
        return [
            (row["seq"], BlobRange(key=row["key"], offset=row["offset_"], length=len(row["text"])), row["text"])
            for row in rows
        ]

    async def segments(self, batch_id: str, *, after: int = 0, limit: int = 1000) -> list[tuple[int, Segment]]:
        """The newest row may grow while the batch runs; all others are final."""
        rows = await self._sql.database.read(
            lambda db: self._sql.all(db, "segments", {"id": batch_id, "after": after, "limit": limit})
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
                    output_checksums=row["output_checksums"],
                    error_checksums=row["error_checksums"],
                ),
            )
            for row in rows
        ]

    async def unfinished_shards(self, batch_id: str) -> list[UnfinishedShard]:
        rows = await self._sql.database.read(lambda db: self._sql.all(db, "unfinished_shards", {"id": batch_id}))
        return [_unfinished(row) for row in rows]

    async def shard(self, batch_id: str, index: int) -> UnfinishedShard | None:
        values = {"id": batch_id, "idx": index}
        row = await self._sql.database.read(lambda db: self._sql.one(db, "shard", values))
        return None if row is None else _unfinished(row)
