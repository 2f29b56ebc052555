"""What must always hold, looked at while the world runs and once more when it has come to rest."""

import json
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.accounts.cost import GroupBy, cost_of
from slackwater.core.accounts.usage import Usage
from slackwater.core.batch import TERMINAL, Batch, EmptyFiles, Status
from slackwater.core.sending.answer_kinds import Answer
from slackwater.core.sending.answers import read_answer
from slackwater.core.sending.lines import BATCH_CANCELLED, BATCH_EXPIRED
from slackwater.ports import Segment
from tests.simulation.content import Content
from tests.simulation.verdicts import wrong_verdict

if TYPE_CHECKING:
    from tests.simulation.world import World


class Violation(AssertionError):
    """Something happened that must never happen."""


def must(condition: object, what: str) -> None:
    """Raises Violation unless the condition holds."""
    if not condition:
        raise Violation(what)


class Checks:
    """Knows what was asked for, and watches what passes through the doors."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._ledger = world.ledger
        self._expected: dict[str, int] = {}
        # The number of the first line of each shard.
        self._first_lines: dict[str, list[int]] = {}
        self._journaled: dict[str, str] = {}
        self._ended: dict[str, Batch] = {}
        # What all output files say together, in the end.
        self._usage, self._completed, self._cost = Usage(), 0, 0
        self.violations: list[str] = []
        self.sent = 0

    def expect(self, batch: Batch, lines: int) -> None:
        """A batch was asked for; `lines` is 0 where its file is invalid."""
        self._expected[batch.id] = lines

    def note(self, what: str) -> None:
        """A violation in a place from where an exception would not reach the test."""
        self.violations.append(what)

    # While it runs

    def ledger_was_called(self, name: str, arguments: tuple[Any, ...], named: dict[str, Any], result: Any) -> None:
        if name == "accept_batch" and result:
            first_lines, line = [], 0
            for shard in named["shards"]:
                first_lines.append(line)
                line += shard.lines
            self._first_lines[arguments[0]] = first_lines
        elif name == "commit_segments":
            refused = set(result)
            for segment in arguments[0]:
                if (segment.batch_id, segment.index, segment.epoch) not in refused:
                    self._journal(segment)
        elif name == "publish_files" and result is not None:
            if result.id in self._ended:
                self.note(f"{result.id} ended twice")
            self._ended[result.id] = result
        elif name == "reject_batch" and result:
            self._ended[arguments[0]] = _now(self._ledger, arguments[0])

    def _journal(self, segment: Segment) -> None:
        for line in range(len(segment.done) * 8):
            if segment.done[line >> 3] >> (line & 7) & 1:
                text = f"{segment.batch_id}/{self._first_lines[segment.batch_id][segment.index] + line}"
                if text in self._journaled:
                    self.note(f"{text} was journaled twice")
                self._journaled[text] = segment.batch_id

    def request_was_sent(self, text: str, epoch: int) -> None:
        """A line that is journaled may only be sent by somebody who has been written off and does not know it.

        That is told by the epoch under which it is sent, not by who sends: a service that lost a shard and got it again may
        still have calls of its first time there.
        """
        self.sent += 1
        if self.journaled(text) and self.place_of(text)[2] == epoch:
            self.note(f"{text} is journaled and was sent again under the newest epoch of its shard, {epoch}")

    def journaled(self, text: str) -> bool:
        """Whether there is a durable result of a line."""
        return text in self._journaled

    def place_of(self, text: str) -> tuple[str, int, int | None]:
        """Batch, shard and that shard's newest epoch; None where the shard is gone."""
        batch_id, line = text.split("/")
        index = bisect_right(self._first_lines[batch_id], int(line)) - 1
        row = self._ledger.sql.database.reader.execute(
            "SELECT epoch FROM shard JOIN batch ON batch.seq = shard.batch_seq WHERE batch.id = ? AND idx = ?",
            (batch_id, index),
        ).fetchone()
        return batch_id, index, None if row is None else row[0]

    # At rest

    async def at_rest(self, blobs: DiskBlobs) -> None:
        """Every batch has ended, and its files are right."""
        must(not self.violations, "; ".join(self.violations[:3]))
        held = 0
        for batch_id, lines in self._expected.items():
            batch = _now(self._ledger, batch_id)
            must(batch.status in TERMINAL, f"{batch_id} has not ended: {batch.status}")
            must(self._ended.get(batch_id) in (None, batch), f"{batch_id} changed after its end")
            held += 0 if batch.terminal else batch.enqueued_tokens
            if lines == 0:
                allowed = (Status.FAILED, Status.CANCELLED, Status.EXPIRED)
                must(batch.status in allowed, f"{batch_id} has an invalid file and is {batch.status}")
            else:
                must(batch.status is not Status.FAILED, f"{batch_id} is valid and failed: {batch.errors}")
                await self._files(batch, lines, blobs)
        await self._accounts()
        keys = [deployment.key for deployment in self._world.plan.deployments]
        tokens = [await self._ledger.enqueued_tokens(key) for key in keys]
        must(sum(tokens) == held, "tokens are held for batches that have ended")
        for table in ("shard", "segment"):
            left = self._ledger.sql.database.reader.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
            must(left == 0, f"{left} rows of {table} are left")

    async def _accounts(self) -> None:
        """The accounts of all days are the sum over the output lines: requests, tokens, money."""
        entries = await self._ledger.usage(resource=None, first_day=0, last_day=10**6, by=tuple(GroupBy), limit=10**6)
        must(sum((entry.usage for entry in entries), Usage()) == self._usage, f"the days have other usage: {entries}")
        requests, cost = sum(entry.requests for entry in entries), 0
        must(requests == self._completed, f"the days have {requests} requests, the files {self._completed}")
        for entry in entries:
            must(entry.price, f"usage without a price: {entry}")
            cost += cost_of(entry.usage, entry.price) if entry.price else 0
        must(cost == self._cost, f"the days cost {cost}, the lines {self._cost}")

    def _account(self, batch: Batch, output: list[dict[str, Any]]) -> None:
        usage = Usage()
        for line in output:
            read = read_answer(json.dumps(line["response"]["body"]).encode(), path=batch.endpoint.removeprefix("/v1"))
            assert isinstance(read, Answer)
            assert read.usage is not None
            usage += read.usage
            assert batch.price is not None
            self._cost += cost_of(read.usage, batch.price)
        must(batch.usage == usage, f"{batch.id}: its usage is {batch.usage}, that of its lines {usage}")
        self._usage += usage
        self._completed += len(output)

    async def _files(self, batch: Batch, lines: int, blobs: DiskBlobs) -> None:
        output = await self._lines(batch, batch.output_file_id, blobs)
        self._account(batch, output)
        errors = await self._lines(batch, batch.error_file_id, blobs)
        counts = batch.counts
        if counts.total == 0:
            must(batch.status is not Status.COMPLETED, f"{batch.id} completed without a line")
            must(not output and not errors, f"{batch.id} never ran and has lines")
            return
        self._names(batch, output + errors, lines)
        must(len({line["id"] for line in output + errors}) == lines, f"{batch.id}: ids of lines are not unique")
        must(counts.total == lines and counts.completed == len(output), f"{batch.id}: counts {counts}")
        codes = {BATCH_CANCELLED[0], BATCH_EXPIRED[0]}
        never_ran = [line for line in errors if line["error"] and line["error"]["code"] in codes]
        must(counts.failed == len(errors) - len(never_ran), f"{batch.id}: counts {counts}, {len(errors)} error lines")
        code = {Status.CANCELLED: BATCH_CANCELLED[0], Status.EXPIRED: BATCH_EXPIRED[0]}.get(batch.status)
        must(all(line["error"]["code"] == code for line in never_ran), f"{batch.id}: wrong code on what never ran")
        must(batch.status is not Status.COMPLETED or not never_ran, f"{batch.id} completed with lines that never ran")
        for line in errors:
            wrong = wrong_verdict(self._world, batch, line)
            must(not wrong, f"{batch.id}: {line['custom_id']} {wrong}: {line}")
        mended = sum(self._world.lines[_text(line)] is Content.MENDED for line in output)
        must(batch.answers_mended == mended, f"{batch.id}: {batch.answers_mended} answers were mended, not {mended}")
        if batch.policies.empty_files is EmptyFiles.CREATE:
            must(batch.output_file_id and batch.error_file_id, f"{batch.id}: a file is missing")
        moments = [batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at or batch.expired_at]
        known = [moment for moment in moments if moment is not None]
        back = self._world.clock.back
        must(back or known == sorted(known), f"{batch.id}: its moments go back: {known}")

    def _names(self, batch: Batch, lines: list[dict[str, Any]], count: int) -> None:
        """Every line is there once. What cannot be read any more has no name."""
        names = sorted(line["custom_id"] for line in lines)
        wanted = sorted(f"{batch.id}-{number}" for number in range(count))
        if batch.id in self._world.damaged:
            named = [name for name in names if name]
            known = set(named) <= set(wanted) and len(set(named)) == len(named)
            must(known and len(names) == count, f"{batch.id}: {len(names)} lines of {count}, named {named}")
            return
        must(names == wanted, f"{batch.id}: {len(names)} lines of {count}, {len(set(names))} different ones")

    async def _lines(self, batch: Batch, file_id: str | None, blobs: DiskBlobs) -> list[dict[str, Any]]:
        if file_id is None:
            return []
        file = await self._ledger.file(file_id)
        assert file is not None
        data = b"".join([piece async for piece in blobs.stream(file.blob)])
        must(len(data) == file.size, f"{batch.id}: {file.filename} has {len(data)} bytes, its row says {file.size}")
        must(not data or data.endswith(b"\n"), f"{batch.id}: {file.filename} ends inside a line")
        try:
            lines: list[dict[str, Any]] = [json.loads(line) for line in data.splitlines()]
        except ValueError as error:
            raise Violation(f"{batch.id}: {file.filename} has a torn line: {error}") from error
        for line in lines:
            if line["response"] and line["response"]["status_code"] == 200:
                must(
                    line["response"]["body"].get("echo") == _text(line), f"{batch.id}: {line} has another line's answer"
                )
        return lines


def _text(line: dict[str, Any]) -> str:
    """What a line asked."""
    text: str = line["custom_id"].replace("-", "/")
    return text


def _now(ledger: SqlLedger, batch_id: str) -> Batch:
    from slackwater.adapters.sql.rows import batch_record

    row = ledger.sql.one(ledger.sql.database.reader, "batch", {"id": batch_id})
    assert row is not None
    return batch_record(row)
