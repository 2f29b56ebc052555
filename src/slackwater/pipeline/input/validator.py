"""Reads an input file once and makes either shards and a token count of it, or a list of everything that is wrong.

The reading runs in an Offload, so a long file stalls neither the API nor dispatch, and needs no worker. Before: admission.
After: enqueuer.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial

import msgspec

from slackwater.core.accounts.price import Price
from slackwater.core.batch import Batch, BatchError
from slackwater.core.input.line_judge import InputLimits, Rules
from slackwater.core.input.tokens import TokenCounter
from slackwater.core.quota.dynamic import Allowance
from slackwater.core.quota.enqueued import fits, refusal
from slackwater.core.sending.deployment import Capabilities, Deployment
from slackwater.core.sending.rereading import Rereading
from slackwater.core.sending.scheduling import SHARD_BYTES_MAX
from slackwater.pipeline.input.input_scan import SHARD_LINES_MAX, Scan, scan_input
from slackwater.pipeline.loops import Pace
from slackwater.pipeline.sending.shard_lines import Damaged
from slackwater.ports import BlobStore, Clock, Ledger, Offload, Span, SpanKind, Tracing
from slackwater.telemetry import event, meters, origin_of

# How often a scan may fail for reasons that are not the file's (its process died, the disk failed) before the batch does.
STUMBLES_MAX = 3
USUAL_LIMITS = InputLimits()


class Validator:
    """Validates one waiting batch per step."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: BlobStore,
        clock: Clock,
        offload: Offload,
        *,
        deployments: Callable[[], Iterable[Deployment]],
        counter: TokenCounter | Mapping[str, TokenCounter] | None,
        accept_any: str | None = None,
        limits: InputLimits = USUAL_LIMITS,
        shard_lines_max: int = SHARD_LINES_MAX,
        shard_bytes_of: Callable[[Batch], int] = lambda batch: SHARD_BYTES_MAX,
        price_of: Callable[[str], Price | None] = lambda model: None,
        allowance: Callable[[Deployment], Awaitable[Allowance]] | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """`accept_any` takes every model name and sends all to that one deployment (the command line without a server).

        `shard_bytes_of` says how large the shards of a batch are to be: the work of a while.
        `price_of` says what a model costs now; a batch keeps the price at which it was accepted.
        `allowance` says what a deployment may hold now; without it, that is its limit. `counter` may be one per tokenizer.
        """
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._offload = offload
        self._deployments = deployments
        self._counter = counter
        self._accept_any = accept_any
        self._limits = limits
        self._shard_lines_max = shard_lines_max
        self._shard_bytes_of = shard_bytes_of
        self._price_of = price_of
        self._allowance = allowance
        self._tracing = tracing
        self._stumbles: dict[str, int] = {}
        # Files that the disk did not give.
        self._unread: dict[str, Rereading] = {}

    async def step(self) -> Pace:
        """Validates the oldest batch that waits for it."""
        # A file that the scan stumbled over waits until the others are through, one that could not be read until the disk
        # has had a while.
        now = self._clock.monotonic()
        waiting = {key for key, each in self._unread.items() if now < each.until}
        batch = await self._ledger.next_to_validate(skip={*self._stumbles, *waiting})
        batch = batch or await self._ledger.next_to_validate(skip=waiting)
        if batch is None:
            return Pace.IDLE
        begun = self._clock.monotonic()
        span = self._span(batch)
        try:
            return await self._validate(batch, span)
        except BaseException as error:
            if span is not None:
                span.fail(type(error).__name__)
            raise
        finally:
            meters.validation_seconds.observe(self._clock.monotonic() - begun)
            if span is not None:
                span.end()

    def _span(self, batch: Batch) -> Span | None:
        """Part of the call that made the batch, where that one is traced."""
        if self._tracing is None:
            return None
        attributes = {"slackwater.batch.id": batch.id, "slackwater.resource": batch.resource}
        return self._tracing.begin("validate", SpanKind.INTERNAL, parent=origin_of(batch.id), attributes=attributes)

    async def _validate(self, batch: Batch, span: Span | None) -> Pace:
        deployments = self._deployments_of(batch)
        try:
            scan = await self._offload.run(
                partial(scan_input, shard_lines_max=self._shard_lines_max, shard_bytes_max=self._shard_bytes_of(batch)),
                self._blobs,
                batch.input_blob,
                self._rules(batch, deployments),
                self._counters(deployments.values()),
            )
            await self._compare(batch, scan)
        except FileNotFoundError:
            # Deleted between the look at the file and the creation of the batch.
            await self._give_up(batch, f"The input file '{batch.input_file_id}' has been deleted. Upload it again.")
            return Pace.BUSY
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
                await self._give_up(batch, "The input file could not be read. Upload it again.")
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
        self._stumbles.pop(batch.id, None)
        self._unread.pop(batch.id, None)
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
        # False: the batch was cancelled meanwhile, and there is nothing to do.
        if await self._ledger.accept_batch(
            batch.id,
            deployment=key,
            endpoint=scan.endpoint,
            total=scan.total,
            tokens=scan.tokens,
            shards=scan.shards,
            price=self._price_of(deployments[name].model),
        ):
            event("batch_validated", batch=batch.id, requests=scan.total, tokens=scan.tokens, shards=len(scan.shards))
        return Pace.BUSY

    async def _compare(self, batch: Batch, scan: Scan) -> None:
        """Raises Damaged where other bytes were read than were uploaded. Of a file that is deleted nobody knows."""
        file = await self._ledger.file(batch.input_file_id)
        if file is not None and not scan.is_of(file):
            raise Damaged(f"{batch.input_blob} is not what was uploaded")

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
            return refusal(tokens, deployment=deployment, held=held, family=family)
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

    async def _give_up(self, batch: Batch, message: str) -> None:
        self._stumbles.pop(batch.id, None)
        self._unread.pop(batch.id, None)
        await self._reject(batch, [BatchError(code="invalid_request", message=message)], count=1)

    async def _reject(self, batch: Batch, errors: list[BatchError], *, count: int) -> None:
        """The batch fails, and with it go the bytes of an input file that was deleted meanwhile."""
        now = self._clock.now()
        if await self._ledger.reject_batch(batch.id, errors=errors, now=int(now)):
            meters.batch_ended("failed", created_at=batch.created_at, expires_at=batch.expires_at, now=now)
        event("batch_rejected", batch=batch.id, errors=count, first=errors[0].code)
        if not await self._ledger.blob_in_use(batch.input_blob):
            await self._blobs.delete(batch.input_blob)

    def _counters(self, deployments: Iterable[Deployment]) -> TokenCounter | Mapping[str, TokenCounter] | None:
        """Who counts for these deployments, by the names that their users write."""
        counter = self._counter
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


def _offers(deployment: Deployment) -> Capabilities:
    return msgspec.structs.replace(deployment.capabilities, sku=deployment.sku)
