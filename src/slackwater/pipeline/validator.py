"""Reads an input file once and makes either shards and a token count of it, or a list of everything that is wrong.

The reading runs in an Offload, so a long file stalls neither the API nor dispatch, and needs no worker. Before: admission.
After: enqueuer.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from slackwater.core.batch import Batch, BatchError
from slackwater.core.deployment import Deployment
from slackwater.core.line_judge import Rules
from slackwater.core.quota import refusal
from slackwater.core.tokens import TokenCounter
from slackwater.pipeline.input_scan import SHARD_LINES_MAX, scan_input
from slackwater.pipeline.loops import Pace
from slackwater.ports import BlobStore, Clock, Ledger, Offload
from slackwater.telemetry import event

# How often a scan may fail for reasons that are not the file's (its process died, the disk failed) before the batch does.
STUMBLES_MAX = 3


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
        lines_max: int = 100_000,
        embedding_inputs_max: int = 50_000,
        errors_max: int = 100,
        shard_lines_max: int = SHARD_LINES_MAX,
    ) -> None:
        """`accept_any` takes every model name and sends all to that one deployment (the command line without a server)."""
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._offload = offload
        self._deployments = deployments
        self._counter = counter
        self._accept_any = accept_any
        self._lines_max = lines_max
        self._embedding_inputs_max = embedding_inputs_max
        self._errors_max = errors_max
        self._shard_lines_max = shard_lines_max
        self._stumbles: dict[str, int] = {}

    async def step(self) -> Pace:
        """Validates the oldest batch that waits for it."""
        # A file that the scan stumbled over waits until the others are through.
        batch = await self._ledger.next_to_validate(skip=self._stumbles) or await self._ledger.next_to_validate()
        if batch is None:
            return Pace.IDLE
        deployments = {deployment.name: deployment for deployment in self._deployments()}
        try:
            scan = await self._offload.run(
                partial(scan_input, shard_lines_max=self._shard_lines_max),
                self._blobs,
                batch.input_blob,
                self._rules(batch, deployments),
                self._counter,
            )
        except FileNotFoundError:
            # Deleted between the look at the file and the creation of the batch.
            await self._give_up(batch, f"The input file '{batch.input_file_id}' has been deleted. Upload it again.")
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
        if scan.errors:
            await self._reject(batch, scan.errors, count=scan.error_count)
            return Pace.BUSY
        name = self._accept_any or scan.deployment
        assert name is not None, "a file without errors names a model"
        # Estimates of those that come after it must not keep it out.
        held = await self._ledger.counted_tokens(name)
        error = refusal(scan.tokens, deployment=deployments[name], held=held, family=batch.policies.validation)
        if error is not None:
            await self._reject(batch, [error], count=1)
            return Pace.BUSY
        # False: the batch was cancelled meanwhile, and there is nothing to do.
        if await self._ledger.accept_batch(
            batch.id,
            deployment=name,
            endpoint=scan.endpoint,
            total=scan.total,
            tokens=scan.tokens,
            shards=scan.shards,
        ):
            event("batch_validated", batch=batch.id, requests=scan.total, tokens=scan.tokens, shards=len(scan.shards))
        return Pace.BUSY

    async def _give_up(self, batch: Batch, message: str) -> None:
        self._stumbles.pop(batch.id, None)
        await self._reject(batch, [BatchError(code="invalid_request", message=message)], count=1)

    async def _reject(self, batch: Batch, errors: list[BatchError], *, count: int) -> None:
        """The batch fails, and with it go the bytes of an input file that was deleted meanwhile."""
        await self._ledger.reject_batch(batch.id, errors=errors, now=int(self._clock.now()))
        event("batch_rejected", batch=batch.id, errors=count, first=errors[0].code)
        if not await self._ledger.blob_in_use(batch.input_blob):
            await self._blobs.delete(batch.input_blob)

    def _rules(self, batch: Batch, deployments: dict[str, Deployment]) -> Rules:
        return Rules(
            family=batch.policies.validation,
            endpoint=batch.endpoint,
            deployments=None if self._accept_any else {name: each.capabilities for name, each in deployments.items()},
            lines_max=self._lines_max,
            embedding_inputs_max=self._embedding_inputs_max,
            errors_max=self._errors_max,
        )
