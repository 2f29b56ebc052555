"""The part of the SQL ledger that knows the life of batches. One method here writes stage and status: `move_batch`.

Which standing follows which is in core/batch.py.
"""

from collections.abc import Collection, Sequence
from typing import Any

from slackwater.adapters.sql.base import SqlBase, SqlPart
from slackwater.adapters.sql.db import Db, Row
from slackwater.adapters.sql.duties import Duties
from slackwater.adapters.sql.overview import SqlOverview
from slackwater.adapters.sql.rows import batch_record, batch_row, file_row, text_of
from slackwater.adapters.sql.webhooks import SqlWebhooks
from slackwater.core.accounts.price import Price
from slackwater.core.batch import Batch, BatchError, Event, Stage, Status, UserStorage, move
from slackwater.core.errors import Conflict, NoRoom
from slackwater.core.files.file import File
from slackwater.core.members import Duty
from slackwater.core.quota.enqueued import fits
from slackwater.ports import IdempotencyKey, NewShard, Start


def _first(rows: list[Row], skip: Collection[str]) -> Row | None:
    """The first row of a batch that is not to be skipped."""
    return next((row for row in rows if row["id"] not in skip), None)


class SqlBatches(SqlPart):
    """The methods of the port that concern the life of batches."""

    def __init__(self, base: SqlBase, *, overview: SqlOverview, webhooks: SqlWebhooks, duties: Duties) -> None:
        super().__init__(base)
        self._duties = duties
        self._overview = overview
        self._webhooks = webhooks

    async def add_batch(
        self, batch: Batch, *, key: IdempotencyKey | None = None, token_limit: int | None = None
    ) -> Batch:
        def work(db: Db) -> Batch:
            earlier = None if key is None else self._batch_of_key(db, key)
            if earlier is not None:
                return earlier
            self._find_room(db, "enqueued_tokens", batch.deployment, batch.enqueued_tokens, token_limit)
            self._sql.run(db, "add_batch", batch_row(batch, key))
            self._overview.add_text(db, batch)
            return batch

        return await self._sql.write(work)

    def _find_room(self, db: Db, counted: str, deployment: str | None, tokens: int, limit: int | None) -> None:
        """In the transaction that takes it, so that two who come at once do not find the same room. Raises NoRoom."""
        if limit is None or deployment is None:
            return
        held = self._sql.number(db, counted, {"deployment": deployment})
        if not fits(tokens, limit=limit, held=held):
            raise NoRoom(held)

    async def batch_of_key(self, key: IdempotencyKey) -> Batch | None:
        return await self._sql.database.look(lambda db: self._batch_of_key(db, key))

    def _batch_of_key(self, db: Db, key: IdempotencyKey) -> Batch | None:
        row = self._sql.one(db, "batch_of_key", {"key": key.key, "resource": key.resource})
        if row is None:
            return None
        if row["idempotency_digest"] != key.digest:
            raise Conflict(
                f"The idempotency key '{key.key[:80]}' was used for another request (batch {row['id']}). "
                "Use a new key for a new request."
            )
        return batch_record(row)

    async def batch(self, batch_id: str) -> Batch | None:
        row = await self._sql.look_one("batch", {"id": batch_id})
        return None if row is None else batch_record(row)

    def move_batch(self, db: Db, row: Row, event: Event, *, now: int) -> bool:
        """Moves a batch by the table, and says whether that changed anything: the only writer of stage and status.

        Only where the batch still stands where it stood in `row`, however many there are who want to move it. Where it
        ends, its shards in nobody's hands stop.
        """
        before = Stage(row["stage"])
        step = move(before, Status(row["status"]), event)
        if step is None:
            return False
        # The name of the moment comes from a table of ours, never from a user.
        moment = "" if step.moment is None else f", {step.moment} = :now"
        moved = db.execute(
            f"UPDATE batch SET stage = :stage, status = :status{moment} "  # noqa: S608
            "WHERE seq = :seq AND stage = :stage_before AND status = :status_before",
            {
                "seq": row["seq"],
                "stage": step.stage.value,
                "status": step.status.value,
                "now": now,
                "stage_before": row["stage"],
                "status_before": row["status"],
            },
        ).rowcount
        if moved and step.stage is Stage.ENDING:
            self._sql.run(db, "stop_shards", {"seq": row["seq"]})
        return bool(moved)

    async def request_cancel(self, batch_id: str, *, now: int) -> Batch | None:
        def work(db: Db) -> Batch | None:
            row = self._sql.one(db, "batch", {"id": batch_id})
            if row is not None and self.move_batch(db, row, Event.CANCEL_REQUESTED, now=now):
                row = self._sql.one(db, "batch", {"id": batch_id})
            return None if row is None else batch_record(row)

        return await self._sql.write(work)

    # Validation

    async def next_to_validate(
        self, *, after: str = "", skip: Collection[str] = (), small: bool = False
    ) -> Batch | None:
        return await self._duties.next(
            Duty.VALIDATE,
            lambda passed: self._next_to_validate(after=after, skip=passed, small=small),
            lambda found: {"thing": found.id},
            skip=skip,
            stands="still_to_validate",
        )

    async def _next_to_validate(self, *, after: str, skip: Collection[str], small: bool) -> Batch | None:
        kind = "_small" if small else ""
        values: dict[str, Any] = {"limit": len(skip) + 1, "after": after}
        first: str | None = None
        around = not after
        while True:
            tenant = await self._sql.look_one(f"tenant_to_validate{kind}", values)
            name: str | None = None if tenant is None else tenant[0]
            if name is None and not around:
                around, values["after"] = True, ""
                continue
            if name is None or name == first:
                return None
            first = first or name
            rows = await self._sql.look_all(f"next_to_validate{kind}", values | {"resource": name})
            if (row := _first(rows, skip)) is not None:
                return batch_record(row)
            values["after"] = name

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
        start: Start | None = None,
        token_limit: int | None = None,
        stored: str | None = None,
    ) -> Stage | None:
        def work(db: Db) -> Stage | None:
            self._find_room(db, "counted_tokens", deployment, tokens, token_limit)
            row = self._sql.one(db, "batch", {"id": batch_id})
            if row is not None and stored is not None:
                # Another server may just have removed it, where it knew of no batch on it.
                values = {"resource": row["resource"], "name": stored}
                if self._sql.one(db, "deployment_version", values) is None:
                    return None
            if row is None or not self.move_batch(db, row, Event.VALIDATED, now=0):
                return None
            self._sql.run(
                db,
                "accept_batch",
                {
                    "seq": row["seq"],
                    "deployment": deployment,
                    "endpoint": endpoint,
                    "total": total,
                    "tokens": tokens,
                    "shards": len(shards),
                    "price": None if price is None else text_of(price),
                },
            )
            db.executemany(
                self._sql.text("add_shard"),
                [
                    (
                        row["seq"],
                        index,
                        deployment,
                        shard.offset,
                        shard.length,
                        shard.lines,
                        shard.tokens,
                        shard.checksums,
                    )
                    for index, shard in enumerate(shards)
                ],
            )
            if start is None or not self._starts(db, batch_id, start):
                return Stage.WAITING
            return Stage.RUNNING

        return await self._sql.write(work)

    def _starts(self, db: Db, batch_id: str, start: Start) -> bool:
        """Starts a batch that has just been validated, where nobody waits before it and there is room."""
        row = self._sql.one(db, "batch", {"id": batch_id})
        assert row is not None, "the row was there in this transaction"
        load = self._sql.one(db, "load_of", {"deployment": row["deployment"]})
        assert load is not None, "a sum always has a row"
        if row["paused"] or load["waiting"] > 1:
            return False
        tokens = row["enqueued_tokens"]
        # What is alone starts, also where it was validated under a higher limit: nothing that could end would make room for it.
        if load["held"] and not fits(tokens, limit=start.limit, held=load["held"]):
            return False
        self.move_batch(db, row, Event.ENQUEUED, now=start.now)
        ranks = [(rank, row["seq"], index) for index, rank in enumerate(start.ranks)]
        db.executemany(self._sql.text("rank_shard"), ranks)
        self._sql.run(db, "mark_ranked", {"seq": row["seq"]})
        return True

    async def reject_batch(self, batch_id: str, *, errors: Sequence[BatchError], now: int) -> bool:
        def work(db: Db) -> bool:
            row = self._sql.one(db, "batch", {"id": batch_id})
            if row is None or not self.move_batch(db, row, Event.REJECTED, now=now):
                return False
            self._sql.run(db, "set_errors", {"seq": row["seq"], "errors": text_of(list(errors))})
            self._webhooks.announce(db, batch_id, Status.FAILED, now=now)
            return True

        return await self._sql.write(work)

    # Enqueueing

    async def enqueue(
        self, batch_ids: Sequence[str], *, now: int, deployment: str | None = None, limit: int | None = None
    ) -> list[str]:
        def work(db: Db) -> list[str]:
            started = []
            held = 0 if deployment is None else self._held(db, deployment)
            for batch_id in batch_ids:
                row = self._sql.one(db, "batch", {"id": batch_id})
                if row is None or row["stage"] != Stage.WAITING:
                    continue
                if deployment is not None:
                    # What others have let in since somebody looked counts, too.
                    if held and not fits(row["enqueued_tokens"], limit=limit, held=held):
                        break
                    held += row["enqueued_tokens"]
                if self.move_batch(db, row, Event.ENQUEUED, now=now):
                    started.append(batch_id)
            return started

        return await self._sql.write(work)

    def _held(self, db: Db, deployment: str) -> int:
        load = self._sql.one(db, "load_of", {"deployment": deployment})
        assert load is not None, "a sum always has a row"
        held: int = load["held"]
        return held

    # Ending

    async def begin_finalizing(self, *, now: int, skip: Collection[str] = (), elsewhere: bool = False) -> Batch | None:
        return await self._duties.next(
            Duty.FINALIZE,
            lambda passed: self._begin_finalizing(now=now, skip=passed, elsewhere=elsewhere),
            lambda found: {"thing": found.id},
            skip=skip,
            stands="still_to_end",
        )

    async def _begin_finalizing(self, *, now: int, skip: Collection[str], elsewhere: bool) -> Batch | None:
        values = {"limit": len(skip) + 1, "elsewhere": int(elsewhere)}

        def look(db: Db) -> tuple[Row | None, Row | None]:
            return _first(self._sql.all(db, "exhausted", values), skip), _first(
                self._sql.all(db, "ending", values), skip
            )

        # Looked at without a write transaction first: most steps find nothing.
        if not any(await self._sql.database.look(look)):
            return None

        def work(db: Db) -> Batch | None:
            exhausted, ending = look(db)
            if exhausted is not None:
                self.move_batch(db, exhausted, Event.EXHAUSTED, now=now)
                ending = self._sql.one(db, "batch", {"id": exhausted["id"]})
            return None if ending is None else batch_record(ending)

        # What says that a batch has ended comes behind it, and is durable.
        return await self._sql.write(work, durable=False)

    async def publish_files(
        self,
        batch_id: str,
        *,
        output: File | None,
        error: File | None,
        now: int,
        lost: int = 0,
        storage: UserStorage | None = None,
        errors: Sequence[BatchError] = (),
    ) -> Batch | None:
        def work(db: Db) -> Batch | None:
            row = self._sql.one(db, "batch", {"id": batch_id})
            if row is None or row["stage"] != Stage.ENDING:
                return None
            for file in (output, error):
                if file is not None:
                    # Whatever the record says: results belong to whom the batch does.
                    self._sql.run(db, "add_file", file_row(file) | {"resource": row["resource"]})
            ids = {"output": output.id if output else None, "error": error.id if error else None}
            self._sql.run(db, "set_files", ids | {"seq": row["seq"], "lost": lost})
            if storage is not None:
                self._sql.run(db, "set_storage", {"seq": row["seq"], "storage": text_of(storage)})
            if errors:
                self._sql.run(db, "set_errors", {"seq": row["seq"], "errors": text_of(list(errors))})
            status = Status(row["status"])
            if status is Status.CANCELLING:
                event = Event.PUBLISHED_CANCELLED
            else:
                # A batch that ends with lines that never ran, and was not cancelled, ran out of time.
                unfinished = self._sql.all(db, "unfinished_shards", {"id": batch_id})
                never_ran = unfinished or row["total"] == 0
                event = Event.PUBLISHED_EXPIRED if never_ran else Event.PUBLISHED
            self.move_batch(db, row, event, now=now)
            self._sql.run(db, "forget_shards", {"seq": row["seq"]})
            self._sql.run(db, "forget_segments", {"seq": row["seq"]})
            self._sql.run(db, "forget_texts", {"seq": row["seq"]})
            ended = self._sql.one(db, "batch", {"id": batch_id})
            assert ended is not None, "the row was there in this transaction"
            self._webhooks.announce(db, batch_id, Status(ended["status"]), now=now)
            return batch_record(ended)

        return await self._sql.write(work)

    async def elapse_windows(self, *, now: int) -> list[str]:
        def look(db: Db) -> list[Row]:
            return self._sql.all(db, "elapsed", {"now": now}) + self._sql.all(db, "elapsed_elsewhere", {"now": now})

        if not await self._sql.database.read(look):
            return []

        def work(db: Db) -> list[str]:
            rows = look(db)
            for row in rows:
                self.move_batch(db, row, Event.WINDOW_ELAPSED, now=now)
            return [row["id"] for row in rows]

        return await self._sql.write(work)
