"""Makes results durable in groups: bytes into the batch's logs first, then one transaction that names them.

A result counts, is shown and is never asked for again from the moment that this transaction commits. The ledger refuses
what comes under an old epoch, so a worker that was written off can never add a line. Before: the lanes. After: finalizer.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import reduce
from operator import attrgetter, or_

from msgspec import Struct
from zlib_ng.zlib_ng import crc32

from slackwater.core.accounts.usage import Usage
from slackwater.core.batch import RequestCounts
from slackwater.core.sending.budget import Budget
from slackwater.core.sending.checksums import packed
from slackwater.core.sending.request import Outcome, Result
from slackwater.pipeline.sending.lease import Cause, Lease
from slackwater.ports import BlobLog, BlobRange, BlobStore, Clock, Ledger, Segment
from slackwater.telemetry import DeploymentMeter, counters, event, meters

# Bytes of a batch's results that the ledger keeps itself, so that nobody waits until their logs are synced.
KEPT_BYTES = 64 << 10
# So much of a large result is summed up at a time: about a millisecond.
SUMMED_BYTES = 4 << 20

# Looked at for every result.
_COMPLETED = Outcome.COMPLETED
_TEXT, _LINE, _USAGE = attrgetter("text"), attrgetter("line"), attrgetter("usage")
_MODEL, _REGION, _MENDED = attrgetter("model"), attrgetter("region"), attrgetter("mended")
_INPUT, _CACHED = attrgetter("input_tokens"), attrgetter("cached_tokens")
_OUTPUT, _REASONING = attrgetter("output_tokens"), attrgetter("reasoning_tokens")


class Pending:
    """Results of one shard that are not durable yet. They are added up when they are committed, not one by one."""

    __slots__ = ("completed", "elsewhere", "failed", "large", "size")

    def __init__(self) -> None:
        # One list for each of the two files, in the order in which they came.
        self.completed: list[Result] = []
        self.failed: list[Result] = []
        # Bytes of all of them, and of the large ones, which have places of their own in the memory budget.
        self.size = self.elsewhere = 0
        # Whether any of them is in pieces.
        self.large = False

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.completed) + len(self.failed)

    def append(self, later: "Pending") -> None:
        """Takes over what came later; used when a commit has to be tried again."""
        self.completed += later.completed
        self.failed += later.failed
        self.size += later.size
        self.elsewhere += later.elsewhere
        self.large = self.large or later.large

    def let_go(self) -> None:
        """The results are durable, or somebody else's: their bytes go, and then their places in the budget."""
        held = [result.held for result in (*self.completed, *self.failed) if result.held is not None]
        self.completed.clear()
        self.failed.clear()
        for each in held:
            each.release()

    def texts(self, results: list[Result]) -> list[bytes]:
        """The lines of one of the two lists; large ones in pieces."""
        if not self.large:
            return list(map(_TEXT, results))
        return [part for result in results for part in (result.parts or (result.text,))]

    async def checksums(self, results: list[Result]) -> bytes:
        """Those of the same lines."""
        if not self.large:
            return packed(list(map(crc32, map(_TEXT, results))))
        return packed([await _summed(result.parts or (result.text,)) for result in results])

    async def segment(
        self, lease: Lease, output: BlobRange | None, error: BlobRange | None, *, keeps: bool = False
    ) -> Segment:
        """What the ledger is to know of them, and with `keeps` the lines themselves.

        Passes of their own, each of which is one quick thing for every result: there are thousands a second, and what is mapped
        takes no step of the interpreter.
        """
        shard, completed = lease.shard, self.completed
        every = [*completed, *self.failed]
        # Only what was completed is accounted for.
        usages = list(filter(None, map(_USAGE, completed)))
        return Segment(
            batch_id=shard.batch_id,
            index=shard.index,
            epoch=shard.epoch,
            output=output,
            error=error,
            done=reduce(or_, map((1).__lshift__, map(_LINE, every)), 0).to_bytes((shard.lines + 7) // 8, "little"),
            counts=RequestCounts(completed=len(completed), failed=len(self.failed)),
            usage=Usage(
                input_tokens=sum(map(_INPUT, usages)),
                cached_tokens=sum(map(_CACHED, usages)),
                output_tokens=sum(map(_OUTPUT, usages)),
                reasoning_tokens=sum(map(_REASONING, usages)),
            ),
            model=next(filter(None, map(_MODEL, every)), None),
            regions=tuple(sorted(set(map(_REGION, every)) - {""})),
            mended=sum(map(_MENDED, completed)),
            output_checksums=await self.checksums(completed),
            error_checksums=await self.checksums(self.failed),
            output_text=b"".join(self.texts(self.completed)) if keeps else b"",
            error_text=b"".join(self.texts(self.failed)) if keeps else b"",
            ends=lease.committed + self.count == shard.lines,
        )


async def _summed(parts: Sequence[bytes]) -> int:
    """The checksum of a large line, made a piece at a time, so that everybody has a turn in between."""
    checksum = 0
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(view), SUMMED_BYTES):
            checksum = crc32(view[start : start + SUMMED_BYTES], checksum)
            await asyncio.sleep(0)
    return checksum


def _noted(lease: Lease) -> None:
    lease.cause = lease.cause or Cause.FENCED


class _Logs(Struct):
    """The two growing blobs of a batch; opened when first needed."""

    output: BlobLog | None = None
    error: BlobLog | None = None
    kept: int = 0
    """Bytes of their lines that the ledger keeps."""


class Journal:
    """Collects results of a worker's leases and commits them together."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: BlobStore,
        clock: Clock,
        *,
        owner: str,
        lease_seconds: float,
        meter: DeploymentMeter | None = None,
        budget: Budget | None = None,
        fenced: Callable[[Lease], None] | None = None,
        heard: Callable[[str, Sequence[Result], int], None] | None = None,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        """`owner` names this worker's incarnation; no other may ever have used it, because log keys are made of it.

        What waits to be committed is counted in the `budget`. `fenced` ends the work on a shard that somebody else has now; by
        default, that is noted on its lease. `heard` is told of results of a batch that have become durable: those that were
        completed, and how many failed; it must not wait. So many bytes of a batch's first results are kept by the ledger and
        not synced.
        """
        self._kept_bytes = kept_bytes
        (budget or Budget()).watch(self)
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._meter = meter or DeploymentMeter()
        self._fenced = fenced or _noted
        self._heard = heard
        self._pending: dict[Lease, Pending] = {}
        self._logs: dict[str, _Logs] = {}
        self._log_number = 0
        self.size = self._elsewhere = 0
        self.tokens_read = 0
        """Input tokens of the requests that have been answered and are durable."""

    @property
    def bytes_held(self) -> int:
        """Bytes of results that are not durable yet, but for large ones, which have places of their own."""
        return self.size - self._elsewhere

    def add(self, lease: Lease, result: Result) -> None:
        """Takes a result. It is not durable before the next `commit` has returned."""
        pending = self._pending.get(lease)
        if pending is None:
            pending = self._pending[lease] = Pending()
        size = self._add_large(pending, result) if result.parts else len(result.text)
        (pending.completed if result.outcome is _COMPLETED else pending.failed).append(result)
        pending.size += size
        lease.unjournaled += 1
        self.size += size

    def _add_large(self, pending: Pending, result: Result) -> int:
        pending.large = True
        size = result.size
        if result.held is not None:
            pending.elsewhere += size
            self._elsewhere += size
        return size

    async def commit(self) -> int:
        """Makes everything durable that was added before the call; returns how many results that were.

        Raises StorageFull where there is no room: the results stay, and commit may be called again. One that is cancelled
        goes on to its end first: what it took is durable then, or back among what waits.
        """
        commit = asyncio.ensure_future(self._commit())
        try:
            return await asyncio.shield(commit)
        except asyncio.CancelledError:
            while not commit.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait((commit,))
            # Nobody is left to hear of a failure.
            commit.exception()
            raise

    async def _commit(self) -> int:
        taken, self._pending = self._pending, {}
        if not taken:
            return 0
        begun = self._clock.monotonic()
        # Which batches have had no result before: none that has a log here, nor one of which somebody had results.
        first = {
            lease.shard.batch_id: lease.shard.batch_created_at
            for lease in taken
            if lease.shard.batch_unbegun and lease.shard.batch_id not in self._logs
        }
        try:
            segments = await self._write(taken)
            fenced = await self._ledger.commit_segments(
                list(segments.values()), now=self._clock.now(), lease_seconds=self._lease_seconds
            )
        except BaseException:
            self._put_back(taken)
            raise
        refused = set(fenced)
        committed = 0
        for lease, pending in taken.items():
            lines = pending.count
            lease.unjournaled -= lines
            if (lease.shard.batch_id, lease.shard.index, lease.shard.epoch) in refused:
                self._fenced(lease)
                event("shard_fenced", batch=lease.shard.batch_id, shard=lease.shard.index, epoch=lease.shard.epoch)
            else:
                lease.committed += lines
                lease.ended = segments[lease].ends
                committed += lines
                self._count(segments[lease], pending.size, first.pop(lease.shard.batch_id, None))
                if self._heard is not None:
                    self._heard(lease.shard.batch_id, pending.completed, len(pending.failed))
            self._let_go(pending)
        counters["results_journaled"] += committed
        meters.commit_seconds.observe(self._clock.monotonic() - begun)
        return committed

    def _count(self, segment: Segment, size: int, created_at: int | None) -> None:
        """Results have become durable; with `created_at`, they are the first ones of a batch that was created then."""
        meter, usage = self._meter, segment.usage
        meter.completed += segment.counts.completed
        meter.failed += segment.counts.failed
        meter.read += usage.input_tokens
        self.tokens_read += usage.input_tokens
        meter.cached += usage.cached_tokens
        meter.written += usage.output_tokens
        meter.reasoning += usage.reasoning_tokens
        meters.journal_bytes += size
        if created_at is not None:
            meters.first_result_seconds.observe(self._clock.now() - created_at)

    async def _write(self, taken: dict[Lease, Pending]) -> dict[Lease, Segment]:
        """Appends the lines to the logs of their batches, the lines of a shard side by side, and says where they lie."""
        by_batch: dict[str, list[Lease]] = {}
        for lease in taken:
            by_batch.setdefault(lease.shard.batch_id, []).append(lease)
        segments: dict[Lease, Segment] = {}
        for batch_id, leases in by_batch.items():
            logs = self._logs.setdefault(batch_id, _Logs())
            kept = logs.kept + sum(taken[lease].size for lease in leases)
            # The first results of a batch, and all of a small one, wait for one fsync less, and for two less for the names of
            # their logs: the transaction that names them has them in it.
            keeps = kept <= self._kept_bytes
            outputs = await self._append(
                batch_id,
                "output",
                [taken[lease].texts(taken[lease].completed) for lease in leases],
                durable=not keeps,
            )
            errors = await self._append(
                batch_id, "error", [taken[lease].texts(taken[lease].failed) for lease in leases], durable=not keeps
            )
            for lease, output, error in zip(leases, outputs, errors, strict=True):
                segments[lease] = await taken[lease].segment(lease, output, error, keeps=keeps)
            if keeps:
                logs.kept = kept
        return segments

    async def _append(
        self, batch_id: str, kind: str, parts: list[list[bytes]], *, durable: bool
    ) -> list[BlobRange | None]:
        if not any(parts):
            return [None] * len(parts)
        written = await (await self._log(batch_id, kind)).append(
            [text for part in parts for text in part], durable=durable
        )
        ranges: list[BlobRange | None] = []
        offset = written.offset
        for part in parts:
            length = sum(map(len, part))
            ranges.append(BlobRange(key=written.key, offset=offset, length=length) if part else None)
            offset += length
        return ranges

    async def _log(self, batch_id: str, kind: str) -> BlobLog:
        logs = self._logs.setdefault(batch_id, _Logs())
        log: BlobLog | None = getattr(logs, kind)
        if log is None:
            self._log_number += 1
            log = await self._blobs.open_log(f"logs/{batch_id}/{self._owner}-{self._log_number}.{kind}")
            setattr(logs, kind, log)
        return log

    def _put_back(self, taken: dict[Lease, Pending]) -> None:
        for lease, later in self._pending.items():
            if lease in taken:
                taken[lease].append(later)
            else:
                taken[lease] = later
        self._pending = taken

    def drop(self) -> None:
        """Lets go of what could not be made durable before the end: it will be asked for again."""
        for pending in self._pending.values():
            self._let_go(pending)
        self._pending = {}

    def _let_go(self, pending: Pending) -> None:
        self.size -= pending.size
        self._elsewhere -= pending.elsewhere
        pending.let_go()

    async def close_logs(self, *, keep: set[str]) -> None:
        """Closes the logs of batches that have no open lease here any more."""
        for batch_id in [batch_id for batch_id in self._logs if batch_id not in keep]:
            logs = self._logs.pop(batch_id)
            for log in (logs.output, logs.error):
                if log is not None:
                    await log.close()
