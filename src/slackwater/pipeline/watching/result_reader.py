"""Reads the results of a batch page by page, while it runs (out of its logs) and afterwards (out of its two files).

A cursor is an offset for every log or file, so that it says exactly what has been seen, whatever comes behind it. The logs
go when a batch ends; a cursor of that time then begins at the start of the files: nothing is missed, and `custom_id` tells
what came before. Every call has a bound on what it reads; memory does not grow with the batch.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import aclosing

import msgspec
from msgspec import Struct

from slackwater.core.batch import Batch
from slackwater.core.errors import InvalidRequest
from slackwater.core.sending.request import Outcome
from slackwater.core.watching.result_lines import ResultLine, read_custom_id, read_result_line
from slackwater.pipeline import stored_files
from slackwater.ports import BlobRange, BlobStore, Ledger, NewResults

# Bytes that are in memory at once, besides a line that is longer.
PIECE = 1 << 18
# Bytes that one call looks through for lines that a filter lets pass.
LOOK_MAX = 16 << 20
# Runs of lines that one call takes from the ledger. A fast batch has one for each of its shards.
RUNS_MAX = 5_000
EVERY_OUTCOME = frozenset(Outcome)
# How the names of logs end.
LOGS = (".output", ".error")


class Page(Struct, frozen=True, kw_only=True):
    """Some lines in short, and how far they go."""

    lines: list[tuple[Outcome, ResultLine]]
    seen: dict[str, int]
    """The cursor behind them."""
    more: bool
    """Whether there is more already."""


class ResultReader:
    """Reads results of one resource."""

    def __init__(self, ledger: Ledger, blobs: BlobStore) -> None:
        self._ledger = ledger
        self._blobs = blobs

    async def page(
        self,
        batch: Batch,
        *,
        seen: Mapping[str, int],
        limit: int,
        custom_id: str = "",
        outcomes: Collection[Outcome] = EVERY_OUTCOME,
    ) -> Page:
        """The next lines behind a cursor whose id has that text in it, in about the order of completion.

        Nothing is there only where that was so at one moment: whoever hears so of a batch that has ended has seen all of it.
        """
        page = await self._page(batch, seen=seen, limit=limit, custom_id=custom_id, outcomes=outcomes)
        if page.lines or page.more or batch.terminal:
            return page
        # It may have ended since it was looked at, and its logs have gone with that.
        now = await self._ledger.batch(batch.id)
        if now is None or not now.terminal:
            return page
        return await self._page(now, seen=seen, limit=limit, custom_id=custom_id, outcomes=outcomes)

    async def _page(
        self, batch: Batch, *, seen: Mapping[str, int], limit: int, custom_id: str, outcomes: Collection[Outcome]
    ) -> Page:
        wanted = custom_id.casefold()
        lines: list[tuple[Outcome, ResultLine]] = []
        # Logs are gone for good when a batch has ended; a cursor need not carry them on.
        ends = {name: end for name, end in seen.items() if not (batch.terminal and name.endswith(LOGS))}
        looked = 0
        # Where the next line is the first one behind the cursor.
        behind_cursor = {name for name, end in seen.items() if end}
        async with aclosing(self.lines(batch, seen=seen, outcomes=outcomes)) as every:
            async for outcome, name, end, line in every:
                if len(lines) == limit or looked > LOOK_MAX:
                    return Page(lines=lines, seen=ends, more=True)
                ends[name] = end
                looked += len(line)
                try:
                    if not wanted or wanted in read_custom_id(line).casefold():
                        lines.append((outcome, read_result_line(line, failed=outcome is Outcome.FAILED)))
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    if name in behind_cursor:
                        # Lines are written by us: a cursor that somebody has changed leads into the middle of one.
                        message = "'after' must be the 'next' of an earlier answer, or absent."
                        raise InvalidRequest(message, param="after") from error
                    # Damaged on the disk. What becomes of it is said when the batch ends.
                behind_cursor.discard(name)
        return Page(lines=lines, seen=ends, more=False)

    async def lines(
        self, batch: Batch, *, seen: Mapping[str, int], outcomes: Collection[Outcome] = EVERY_OUTCOME
    ) -> AsyncGenerator[tuple[Outcome, str, int, bytes], None]:
        """Every line behind a cursor: what became of it, the name of its log or file, where it ends there, and itself."""
        for run in await self.runs(batch, seen=seen, outcomes=outcomes):
            name = _name(run.range.key)
            try:
                async for end, line in self._read(run.range):
                    yield run.outcome, name, end, line
            except FileNotFoundError:
                # The batch has just ended, or its file was deleted. The next call finds what there is then.
                return

    async def runs(
        self, batch: Batch, *, seen: Mapping[str, int], outcomes: Collection[Outcome] = EVERY_OUTCOME
    ) -> list[NewResults]:
        """Where the lines lie that a cursor has not seen."""
        if not batch.terminal:
            logs = {f"logs/{batch.id}/{name}": offset for name, offset in seen.items()}
            return await self._ledger.results_behind(batch.id, seen=logs, outcomes=outcomes, limit=RUNS_MAX)
        runs: list[NewResults] = []
        for file_id, outcome in ((batch.output_file_id, Outcome.COMPLETED), (batch.error_file_id, Outcome.FAILED)):
            file = None if file_id is None or outcome not in outcomes else await self._ledger.file(file_id)
            if file is None:
                continue
            await stored_files.learn(self._blobs, file)
            start = seen.get(_name(file.blob), 0)
            if start < file.size:
                where = BlobRange(key=file.blob, offset=start, length=file.size - start)
                runs.append(NewResults(outcome=outcome, range=where))
        return runs

    async def _read(self, where: BlobRange) -> AsyncIterator[tuple[int, bytes]]:
        """The lines of a range, each with where it ends. A range begins and ends with a line."""
        position, end, rest = where.offset, where.offset + where.length, b""
        read = position
        while read < end:
            piece = await self._blobs.read(BlobRange(key=where.key, offset=read, length=min(PIECE, end - read)))
            if not piece:
                return
            read += len(piece)
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                position += len(line) + 1
                yield position, line


def _name(key: str) -> str:
    return key.rpartition("/")[2]
