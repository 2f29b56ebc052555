"""The part of the SQL ledger that is for people who watch: lists of batches in short, queues, and what is new in logs.

A page of a list is the end of a range of an index (migration 12), merged where several statuses are asked for. What no index
can say, such as a text inside a name, is looked for batch by batch from the newest on, in a table that is made for it; that
has a bound too (sqlite.py).
"""

import heapq
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from slackwater.adapters.sql.base import SqlPart, slow
from slackwater.adapters.sql.db import Db, Row, SearchTooLong
from slackwater.adapters.sql.lists import EXPRESSIONS
from slackwater.adapters.sql.rows import batch_record, text_of
from slackwater.core.batch import Batch, Stage, Status
from slackwater.core.errors import InvalidRequest
from slackwater.core.sending.request import Outcome
from slackwater.core.watching.listing import Field
from slackwater.ports import BatchDone, BlobRange, DeploymentLoad, NewResults, Overview, OverviewRow

LAST = 2**62
# Further than this nobody counts those that have completed with failures: a list is asked for every two seconds.
FAILURES_COUNTED_MAX = 10_000
TOO_LONG = (
    "Too many batches would have to be looked at for this page. Search for something newer, or look through the batches of one "
    "deployment or status."
)


class SqlOverview(SqlPart):
    """The methods of the port that concern watching."""

    async def batch_overview(
        self,
        *,
        resource: str,
        statuses: Collection[Status] = (),
        deployment: str | None = None,
        with_failures: bool = False,
        search: str = "",
        metadata: Sequence[tuple[str, str]] = (),
        after: str | None = None,
        limit: int,
    ) -> Overview:
        def work(db: Db) -> Overview:
            before = LAST
            if after is not None:
                cursor = self._sql.one(db, "batch", {"id": after})
                if cursor is None or cursor["resource"] != resource:
                    raise InvalidRequest(f"after: there is no batch '{after[:80]}'", param="after")
                before = cursor["seq"]
            # Those with failures have an index by status only.
            wanted: list[Status | None] = [*sorted(set(statuses) or (Status if with_failures else ()))]
            asked = _Asked(resource, deployment, search.casefold(), tuple(metadata), failed=with_failures)
            runs = [_run(db, asked, status, before=before, limit=limit) for status in wanted or [None]]
            seqs = list(heapq.merge(*runs, reverse=True))[:limit]
            counts = self._sql.all(db, "batch_counts", {"resource": resource})
            return Overview(
                rows=self._overview_rows(db, seqs),
                counts={Status(row["status"]): row["batches"] for row in counts},
                completed_with_failures=self._sql.number(
                    db, "completed_with_failures", {"resource": resource, "most": FAILURES_COUNTED_MAX}
                ),
            )

        try:
            return await self._sql.database.search(work)
        except SearchTooLong as error:
            # A page of an index looks at no more than it has. Texts are gone through, and so are the batches of a deployment.
            if not search and not metadata and (deployment is None or not (statuses or with_failures)):
                raise slow(error) from error
            param = "search" if search else "metadata" if metadata else "status"
            raise InvalidRequest(TOO_LONG, param=param) from error

    def add_text(self, db: Db, batch: Batch) -> None:
        """What a new batch is found by. Part of the transaction that adds it."""
        file = self._sql.one(db, "file", {"id": batch.input_file_id})
        name = "" if file is None else file["filename"]
        if batch.storage is not None:
            name = batch.storage.input_url.rpartition("/")[2]
        lines = [batch.id, name, *(batch.metadata or {}).values()]
        self._sql.run(db, "add_batch_text", {"id": batch.id, "text": "\n".join(lines).casefold()})

    def _overview_rows(self, db: Db, seqs: list[int]) -> list[OverviewRow]:
        rows = self._sql.all(db, "overview_rows", {"seqs": text_of(seqs)})
        positions = self._positions(db, [row for row in reversed(rows) if row["stage"] == Stage.WAITING])
        return [
            OverviewRow(batch=batch_record(row), filename=row["filename"], queue_position=positions.get(row["seq"]))
            for row in rows
        ]

    def _positions(self, db: Db, rows: list[Row]) -> dict[int, int]:
        """The places of waiting batches, which come oldest first: whoever waits in between is counted once, by the index."""
        positions: dict[int, int] = {}
        last: dict[str, tuple[int, int]] = {}
        for row in rows:
            name, seq = row["deployment"], row["seq"]
            first, position = last.get(name, (0, 1))
            position += self._sql.number(db, "waiting_between", {"deployment": name, "first": first, "end": seq})
            positions[seq] = position
            last[name] = seq, position
        return positions

    async def queue_position(self, batch_id: str) -> int | None:
        row = await self._sql.look_one("queue_position", {"id": batch_id})
        return None if row is None else int(row[0])

    async def batches_at_work(self, *, limit: int) -> list[BatchDone]:
        # Asked every second, and never in a hurry.
        rows = await self._sql.search(lambda db: self._sql.all(db, "batches_at_work", {"limit": limit}))
        return [BatchDone(*row) for row in rows]

    async def deployment_load(self, deployment: str) -> DeploymentLoad:
        rows = await self._sql.look_all("deployment_load", {"deployment": deployment})
        by_waiting = {bool(row["waits"]): (row["batches"], row["tokens"]) for row in rows}
        waiting, others = by_waiting.get(True, (0, 0)), by_waiting.get(False, (0, 0))
        return DeploymentLoad(
            open_batches=waiting[0] + others[0], held=others[1], waiting_batches=waiting[0], waiting=waiting[1]
        )

    async def deployments_at_work(self) -> set[str]:
        return {row["deployment"] for row in await self._sql.look_all("deployments_at_work", {})}

    async def shard_sizes(self, batch_id: str) -> list[int]:
        rows = await self._sql.search(lambda db: self._sql.all(db, "shard_sizes", {"id": batch_id}))
        return [row["lines"] for row in rows]

    async def results_behind(
        self, batch_id: str, *, seen: Mapping[str, int], outcomes: Collection[Outcome], limit: int
    ) -> list[NewResults]:
        values = {
            "id": batch_id,
            "seen": text_of(seen),
            "completed": Outcome.COMPLETED in outcomes,
            "failed": Outcome.FAILED in outcomes,
            "limit": limit,
        }
        return _merged(await self._sql.search(lambda db: self._sql.all(db, "results_behind", values)))


def _merged(rows: list[Row]) -> list[NewResults]:
    """One order for the runs of all logs. Of a log the bytes decide: a row may have grown after a later one was made."""
    placed: list[tuple[int, int, Row]] = []
    key, latest = None, 0
    for number, row in enumerate(rows):
        latest = max(latest, row["seq"]) if row["key"] == key else row["seq"]
        key = row["key"]
        placed.append((latest, number, row))
    results: list[NewResults] = []
    for _, _, row in sorted(placed, key=lambda each: each[:2]):
        outcome, start, finish = Outcome(row["outcome"]), row["start"], row["finish"]
        last = results[-1].range if results else None
        if last is not None and last.key == row["key"] and last.offset + last.length == start:
            joined = msgspec.structs.replace(last, length=last.length + finish - start)
            results[-1] = NewResults(outcome=outcome, range=joined)
        else:
            results.append(
                NewResults(outcome=outcome, range=BlobRange(key=row["key"], offset=start, length=finish - start))
            )
    return results


class _Asked(Struct, frozen=True):
    """Which batches, whatever their status. `search` is in small letters; of `metadata`, keys and values, all count."""

    resource: str
    deployment: str | None
    search: str
    metadata: tuple[tuple[str, str], ...]
    failed: bool = False


def _run(db: Db, asked: _Asked, status: Status | None, *, before: int, limit: int) -> list[int]:
    """The newest batches of one status, or of any, behind a cursor."""
    # Deployments are many and small, statuses few and large.
    index = "batch_newest" if status is None else "batch_with_failures" if asked.failed else "batch_newest_of_status"
    table = f"batch INDEXED BY {'batch_newest_of_deployment' if asked.deployment is not None else index}"
    conditions = ""
    values: list[Any] = []
    if status is not None:
        conditions += " AND status = ?"
        values.append(status.value)
    if asked.deployment is not None:
        conditions += " AND deployment = ?"
        values.append(asked.deployment)
    if asked.failed:
        conditions += " AND failed > 0"
    for pair in asked.metadata:
        conditions += f" AND {EXPRESSIONS[Field.METADATA]} = ?"
        values += pair
    if asked.search or asked.metadata:
        # A value is in the text, too: so the rows of `batch` are read of few, and each only once.
        texts = [text for text in (asked.search, *(value.casefold() for _, value in asked.metadata)) if text]
        table = "batch_text AS found"
        if conditions:
            conditions = f" AND EXISTS (SELECT 1 FROM batch WHERE batch.seq = found.seq{conditions})"  # noqa: S608
        conditions = " AND instr(text, ?)" * len(texts) + conditions
        values = texts + values
    query = f"SELECT seq FROM {table} WHERE resource = ? AND seq < ?{conditions} ORDER BY seq DESC LIMIT ?"  # noqa: S608
    return [row[0] for row in db.execute(query, (asked.resource, before, *values, limit))]
