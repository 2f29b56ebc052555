"""Reads an input file once and makes either shards and a token count of it, or a list of everything that is wrong.

The reading runs in an Offload, so a long file stalls neither the API nor dispatch, and needs no worker. Before: admission.
After: enqueuer.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from slackwater.core.batch import Batch, BatchError
from slackwater.core.deployment import Deployment
from slackwater.core.quota import over_limit
from slackwater.core.tokens import TokenCounter
from slackwater.core.validation import Rules
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
            await self._ledger.reject_batch(batch.id, errors=scan.errors, now=int(self._clock.now()))
            event("batch_rejected", batch=batch.id, errors=scan.error_count, first=scan.errors[0].code)
            return Pace.BUSY
        name = self._accept_any or scan.deployment
        assert name is not None, "a file without errors names a model"
        error = over_limit(scan.tokens, limit=deployments[name].enqueued_token_limit, deployment=name)
        if error is not None:
            await self._ledger.reject_batch(batch.id, errors=[error], now=int(self._clock.now()))
            event("batch_rejected", batch=batch.id, errors=1, first=error.code)
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
        error = BatchError(code="invalid_request", message=message)
        await self._ledger.reject_batch(batch.id, errors=[error], now=int(self._clock.now()))
        event("batch_rejected", batch=batch.id, errors=1, first=error.code)

    def _rules(self, batch: Batch, deployments: dict[str, Deployment]) -> Rules:
        return Rules(
            family=batch.policies.validation,
            endpoint=batch.endpoint,
            deployments=None if self._accept_any else frozenset(deployments),
            lines_max=self._lines_max,
            errors_max=self._errors_max,
        )
