"""Reads an input file once and makes either shards and a token count of it, or a list of everything that is wrong.

A small file is read here, in pieces of a millisecond; any other in an Offload, so that it stalls neither the API nor dispatch.
Several are read at once, and small ones never wait for large ones. The turn goes round the tenants, and in each the oldest is
first: whoever has two hundred batches, or one of 200 MB, keeps nobody else waiting. Where there is room, a batch starts
with the same transaction that accepts it. Before: admission. After: enqueuer, or the worker.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TypeVar

import msgspec

from slackwater.core.accounts.price import Price
from slackwater.core.batch import Batch, BatchError, Stage
from slackwater.core.errors import NoRoom, StorageTrouble
from slackwater.core.input.line_judge import InputLimits, Rules
from slackwater.core.input.tokens import QuickCounter, TokenCounter
from slackwater.core.members import Duty
from slackwater.core.quota.dynamic import Allowance
from slackwater.core.quota.enqueued import fits, refusal, was_let_in
from slackwater.core.sending.deployment import Capabilities, Deployment, WhenFull
from slackwater.core.sending.rereading import Rereading
from slackwater.core.sending.scheduling import SHARD_BYTES_MAX, rank_shards
from slackwater.pipeline.input.input_scan import SHARD_LINES_MAX, ReadTooLong, Scan, scan_input
from slackwater.pipeline.input.small_files import scan_small
from slackwater.pipeline.loops import Pace
from slackwater.pipeline.sending.shard_lines import Damaged
from slackwater.ports import SMALL_INPUT_BYTES, BlobStore, Clock, Ledger, Offload, Span, SpanKind, Start, Tracing
from slackwater.telemetry import event, meters, origin_of

T = TypeVar("T")
C = TypeVar("C")
# How often a scan may fail for reasons that are not the file's (its process died, the disk failed) before the batch does.
STUMBLES_MAX = 3
# How much of a processor one file may take: so many seconds, and one more for each so many bytes. The dearest lines that are
# known take a tenth of that.
READ_SECONDS = 60.0
BYTES_A_SECOND = 1 << 20
# And how long, by the clock, in multiples of that, before it is tried anew: it waits for a disk, a store or a processor, which
# is no fault of the file's.
PATIENCE = 10
# Of a batch that an older version made.
UNKNOWN_BYTES = 1 << 30
# Small files that are read beside each other. Their batches become durable together.
SMALL_AT_ONCE = 16
USUAL_LIMITS = InputLimits()


def _nobody(stage: Stage, deployment: str) -> None:
    """Wakes nobody."""


class Validator:
    """Validates waiting batches: one per step, or some small ones."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: BlobStore,
        clock: Clock,
        offload: Offload,
        *,
        deployments: Callable[[], Iterable[Deployment]],
        counter: TokenCounter | Mapping[str, TokenCounter] | None,
        quick_counter: QuickCounter | Mapping[str, QuickCounter] | None = None,
        accept_any: str | None = None,
        limits: InputLimits = USUAL_LIMITS,
        shard_lines_max: int = SHARD_LINES_MAX,
        shard_bytes_of: Callable[[Batch], int] = lambda batch: SHARD_BYTES_MAX,
        price_of: Callable[[str], Price | None] = lambda model: None,
        allowance: Callable[[Deployment], Awaitable[Allowance]] | None = None,
        limit_of: Callable[[str], Awaitable[int | None]] | None = None,
        moved: Callable[[Stage, str], None] = _nobody,
        tracing: Tracing | None = None,
        current: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`accept_any` takes every model name and sends all to that one deployment (the command line without a server).

        `shard_bytes_of` says how large the shards of a batch are to be: the work of a while.
        `price_of` says what a model costs now; a batch keeps the price at which it was accepted.
        `allowance` says what a deployment may hold now; without it, that is its limit. `counter` may be one per tokenizer.
        `quick_counter` counts the tokens of small files; without it, there are none that are read here.
        `limit_of` says how many enqueued tokens a deployment, by its key, may hold; without it, no batch starts here.
        `current` returns when `deployments` says what there is now, where another server may change that; None: nobody else does.
        `moved` hears of each batch that was: whether it waits now, has started or has ended, and the key of its deployment.
        """
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._offload = offload
        self._deployments = deployments
        self._counter = counter
        self._quick_counter = quick_counter
        self._accept_any = accept_any
        self._limits = limits
        self._shard_lines_max = shard_lines_max
        self._shard_bytes_of = shard_bytes_of
        self._price_of = price_of
        self._allowance = allowance
        self._limit_of = limit_of
        self._moved = moved
        self._tracing = tracing
        self._current = current
        self._stumbles: dict[str, int] = {}
        # Files that the disk did not give.
        self._unread: dict[str, Rereading] = {}
        # What is being validated now, and small files that have more in them than is read here.
        self._in_hand: set[str] = set()
        self._dense: set[str] = set()
        # Who had the last turn, apart for small files.
        self._last = {True: "", False: ""}

    def at_rest(self) -> bool:
        """Whether no batch waits for its next try, or for the other kind of step: whoever makes one says so."""
        return not (self._stumbles or self._unread or self._dense)

    async def step(self) -> Pace:
        """Validates the next batch. May be called again while it goes on: then for another one."""
        batch = await self._next(small=False)
        if batch is None:
            return Pace.IDLE
        return await self._take(batch)

    async def step_small(self) -> Pace:
        """Validates the next batches with small files, some at once."""
        batches: list[Batch] = []
        try:
            while len(batches) < SMALL_AT_ONCE and (batch := await self._next(small=True)) is not None:
                batches.append(batch)
        except BaseException:
            # Nobody would ever take again what is in hand.
            for each in batches:
                await self._let_go(each)
            raise
        if not batches:
            return Pace.IDLE
        outcomes = await asyncio.gather(*map(self._take, batches), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        # Where all have stumbled, the next try can wait.
        return Pace.BUSY if Pace.BUSY in outcomes else Pace.IDLE

    async def _next(self, *, small: bool) -> Batch | None:
        """The batch whose turn it is. It is in hand from now on."""
        # A file that the scan stumbled over waits until the others are through, one that could not be read until the disk
        # has had a while.
        now = self._clock.monotonic()
        waiting = {key for key, each in self._unread.items() if now < each.until} | self._in_hand
        if small:
            waiting |= self._dense
        last = self._last[small]
        batch = await self._ledger.next_to_validate(after=last, skip={*self._stumbles, *waiting}, small=small)
        batch = batch or await self._ledger.next_to_validate(after=last, skip=waiting, small=small)
        if batch is not None:
            self._last[small] = batch.resource
            self._in_hand.add(batch.id)
        return batch

    async def _take(self, batch: Batch) -> Pace:
        begun = self._clock.monotonic()
        span = self._span(batch)
        try:
            return await self._validate(batch, span)
        except BaseException as error:
            if span is not None:
                span.fail(type(error).__name__)
            raise
        finally:
            await self._let_go(batch)
            meters.validation_seconds.observe(self._clock.monotonic() - begun)
            if span is not None:
                span.end()

    async def _let_go(self, batch: Batch) -> None:
        try:
            await self._ledger.end_duty(Duty.VALIDATE, batch.id)
        finally:
            self._in_hand.discard(batch.id)

    def _span(self, batch: Batch) -> Span | None:
        """Part of the call that made the batch, where that one is traced."""
        if self._tracing is None:
            return None
        attributes = {"slackwater.batch.id": batch.id, "slackwater.resource": batch.resource}
        return self._tracing.begin("validate", SpanKind.INTERNAL, parent=origin_of(batch.id), attributes=attributes)

    async def _validate(self, batch: Batch, span: Span | None) -> Pace:
        if self._current is not None:
            await self._current()
        deployments = self._deployments_of(batch)
        try:
            scan = await self._scan(batch, deployments)
            await self._compare(batch, scan)
        except FileNotFoundError:
            # Deleted between the look at the file and the creation of the batch.
            gone = (
                "copy of the input blob is gone"
                if batch.storage
                else f"input file '{batch.input_file_id}' has been deleted"
            )
            await self._give_up(batch, f"The {gone}. {_again(batch)}")
            return Pace.BUSY
        except ReadTooLong as late:
            event("scan_too_long", level=logging.ERROR, batch=batch.id, cpu_seconds=late.seconds)
            await self._give_up(
                batch,
                f"Validating the input file took more than {late.seconds:,.0f} seconds of a processor. "
                "Split it into several files.",
            )
            return Pace.BUSY
        except StorageTrouble:
            # Nothing is known of the file while nobody can be asked for it.
            raise
        except OSError as fault:
            reading = self._unread.setdefault(batch.id, Rereading())
            last = reading.failed(damaged=isinstance(fault, Damaged), now=self._clock.monotonic())
            meters.damage_seen["input"] += 1
            event(
                "input_unreadable",
                level=logging.ERROR if last else logging.WARNING,
                batch=batch.id,
                tries=reading.tries,
                error=repr(fault),
            )
            if last:
                await self._give_up(batch, f"The input file could not be read. {_again(batch)}")
            return Pace.BUSY
        except Exception as fault:
            stumbles = self._stumbles[batch.id] = self._stumbles.get(batch.id, 0) + 1
            event("scan_failed", level=logging.ERROR, batch=batch.id, time=stumbles, error=repr(fault))
            if stumbles >= STUMBLES_MAX:
                await self._give_up(
                    batch, "The input file could not be validated because of a fault in the batch service."
                )
                return Pace.BUSY
            return Pace.IDLE
        self._forget(batch)
        if span is not None:
            span.note({"slackwater.batch.requests": scan.total, "slackwater.batch.tokens": scan.tokens})
            if scan.errors:
                span.fail(scan.errors[0].code)
        if scan.errors:
            await self._reject(batch, scan.errors, count=scan.error_count)
            return Pace.BUSY
        name = self._accept_any or scan.deployment
        assert name is not None, "a file without errors names a model"
        # Estimates of those that come after it must not keep it out.
        key = deployments[name].key
        error = await self._no_room(batch, deployments[name], scan.tokens)
        if error is not None:
            await self._reject(batch, [error], count=1)
            return Pace.BUSY
        if name not in self._deployments_of(batch):
            # It went while the file was read. The next look says so.
            return Pace.BUSY
        start: Start | None = None
        if self._limit_of is not None:
            limit = await self._limit_of(key)
            start = Start(limit=limit, ranks=rank_shards(len(scan.shards)), now=int(self._clock.now()))
        token_limit = None
        if deployments[name].when_full is WhenFull.FAIL and not was_let_in(batch, deployments[name]):
            token_limit = await self._limit_of_now(deployments[name])
        try:
            stage = await self._ledger.accept_batch(
                batch.id,
                deployment=key,
                endpoint=scan.endpoint,
                total=scan.total,
                tokens=scan.tokens,
                shards=scan.shards,
                price=self._price_of(deployments[name].model),
                start=start,
                token_limit=token_limit,
                stored=name if deployments[name].made else None,
            )
        except NoRoom:
            # Another one was quicker. What is said of it is found out once more.
            error = await self._no_room(batch, deployments[name], scan.tokens)
            if error is not None:
                await self._reject(batch, [error], count=1)
            return Pace.BUSY
        # None: the batch was cancelled meanwhile, and there is nothing to do; or its deployment has gone, as the next look says.
        if stage is not None:
            event("batch_validated", batch=batch.id, requests=scan.total, tokens=scan.tokens, shards=len(scan.shards))
            if stage is Stage.RUNNING:
                event("batch_enqueued", batch=batch.id, deployment=key, tokens=scan.tokens)
            self._moved(stage, key)
        return Pace.BUSY

    async def _compare(self, batch: Batch, scan: Scan) -> None:
        """Raises Damaged where other bytes were read than were uploaded, or brought. Of a file that is deleted nobody knows."""
        if batch.storage is not None:
            if (scan.size, scan.checksum) != (batch.input_bytes, batch.storage.checksum):
                raise Damaged(f"{batch.input_blob} is not what was brought")
            return
        file = await self._ledger.file(batch.input_file_id)
        if file is not None and not scan.is_of(file):
            raise Damaged(f"{batch.input_blob} is not what was uploaded")

    async def _scan(self, batch: Batch, deployments: dict[str, Deployment]) -> Scan:
        rules, bytes_max = self._rules(batch, deployments), self._shard_bytes_of(batch)
        if (
            self._quick_counter is not None
            and 0 < batch.input_bytes <= SMALL_INPUT_BYTES
            and batch.id not in self._dense
        ):
            quick = self._counters_of(self._quick_counter, deployments.values())
            scan = await scan_small(
                self._blobs,
                batch.input_blob,
                rules,
                quick,
                shard_lines_max=self._shard_lines_max,
                shard_bytes_max=bytes_max,
            )
            if scan is not None:
                return scan
            self._dense.add(batch.id)
        seconds = READ_SECONDS + (batch.input_bytes or UNKNOWN_BYTES) / BYTES_A_SECOND
        reading = asyncio.ensure_future(
            self._offload.run(
                partial(
                    scan_input,
                    shard_lines_max=self._shard_lines_max,
                    shard_bytes_max=bytes_max,
                    cpu_seconds=seconds,
                ),
                self._blobs,
                batch.input_blob,
                rules,
                None if self._counter is None else self._counters_of(self._counter, deployments.values()),
            )
        )
        return await within(self._clock, PATIENCE * seconds, reading)

    def _forget(self, batch: Batch) -> None:
        self._stumbles.pop(batch.id, None)
        self._unread.pop(batch.id, None)
        self._dense.discard(batch.id)

    def _deployments_of(self, batch: Batch) -> dict[str, Deployment]:
        """Those that the batch may be on, by the names that its lines have: what is being deleted takes nothing new."""
        return {
            each.name: each
            for each in self._deployments()
            if each.resource == batch.resource and (each.deleted_at is None or batch.created_at <= each.deleted_at)
        }

    async def _no_room(self, batch: Batch, deployment: Deployment, tokens: int) -> BatchError | None:
        """Why so many tokens find no room; None where they do."""
        held = await self._ledger.counted_tokens(deployment.key)
        family = batch.policies.validation
        if not deployment.dynamic_quota or self._allowance is None:
            let_in = was_let_in(batch, deployment)
            return refusal(tokens, deployment=deployment, held=held, family=family, let_in=let_in)
        allowance = await self._allowance(deployment)
        error = refusal(tokens, deployment=deployment, held=held, family=family, limit_now=allowance.limit)
        if not fits(tokens, limit=allowance.configured, held=held):
            event(
                "dynamic_quota",
                batch=batch.id,
                deployment=deployment.key,
                admitted=error is None,
                tokens=tokens,
                held=held,
                limit=allowance.configured,
                limit_now=allowance.limit,
                tokens_per_second=round(allowance.tokens_per_second, 1),
                seconds_left=round(allowance.seconds_left),
            )
        return error

    async def _limit_of_now(self, deployment: Deployment) -> int | None:
        """What a deployment may hold at this moment."""
        if not deployment.dynamic_quota or self._allowance is None:
            return deployment.enqueued_token_limit
        return (await self._allowance(deployment)).limit

    async def _give_up(self, batch: Batch, message: str) -> None:
        self._forget(batch)
        await self._reject(batch, [BatchError(code="invalid_request", message=message)], count=1)

    async def _reject(self, batch: Batch, errors: list[BatchError], *, count: int) -> None:
        """The batch fails, and with it go the bytes of an input file that was deleted meanwhile."""
        now = self._clock.now()
        # Another server may have come to something before, where this one had lost its turn.
        if await self._ledger.reject_batch(batch.id, errors=errors, now=int(now)):
            meters.batch_ended("failed", created_at=batch.created_at, expires_at=batch.expires_at, now=now)
            self._moved(Stage.ENDED, batch.deployment or "")
            event("batch_rejected", batch=batch.id, errors=count, first=errors[0].code)
        if not await self._ledger.blob_in_use(batch.input_blob):
            await self._blobs.delete(batch.input_blob)

    def _counters_of(self, counter: C | Mapping[str, C], deployments: Iterable[Deployment]) -> C | Mapping[str, C]:
        """Who counts for these deployments, by the names that their users write."""
        if not isinstance(counter, Mapping):
            return counter
        return {each.name: counter[each.tokenizer] for each in deployments if each.tokenizer in counter}

    def _rules(self, batch: Batch, deployments: dict[str, Deployment]) -> Rules:
        return Rules(
            family=batch.policies.validation,
            endpoint=batch.endpoint,
            deployments=None if self._accept_any else {name: _offers(each) for name, each in deployments.items()},
            **msgspec.structs.asdict(self._limits),
        )


def _again(batch: Batch) -> str:
    """What is to be done where its bytes are lost."""
    return "Upload it again." if batch.storage is None else "Make another batch of the blob."


def _offers(deployment: Deployment) -> Capabilities:
    return msgspec.structs.replace(deployment.capabilities, sku=deployment.sku)


async def within(clock: Clock, seconds: float, work: asyncio.Future[T]) -> T:
    """What the work brings; TimeoutError, and the work has been cancelled, where it takes longer than that."""
    sleeping = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((work, sleeping), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise TimeoutError(f"nothing came of it in {seconds:,.0f} s")
    finally:
        sleeping.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait((work,))
