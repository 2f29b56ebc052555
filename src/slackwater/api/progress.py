"""How a batch gets on, for pages that ask every few seconds."""

from collections.abc import Callable, Mapping, Sequence
from math import ceil

from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import objects, wire
from slackwater.api.batches import find_batch
from slackwater.api.context import context_of, principal_of
from slackwater.api.deployment_status import shown_waiting_on
from slackwater.api.overview import cost_so_far, counts_of, deployment_name
from slackwater.core.accounts.resource import Role
from slackwater.core.batch import Batch, Status
from slackwater.core.watching.batch_history import SECONDS, TOKENS, BatchHistory, bars, quantile
from slackwater.core.watching.progress import time_left


async def get_progress(request: Request) -> Response:
    """Counts, rates and the time that is left."""
    batch = await find_batch(context_of(request), request.path_params["batch_id"])
    return wire.json_response(await shown_progress(request, batch))


async def get_history(request: Request) -> Response:
    """How it went, step by step."""
    context = context_of(request)
    batch = await find_batch(context, request.path_params["batch_id"])
    history = await context.ledger.batch_history(batch.id) or BatchHistory()
    return wire.json_response(
        objects.BatchHistoryObject(
            batch_id=batch.id,
            step=history.step,
            data=[
                objects.BatchHistoryPoint(
                    at=place * history.step,
                    completed=step.completed,
                    failed=step.failed,
                    output_tokens=step.output_tokens,
                )
                for place, step in sorted(history.steps.items())
            ],
            latency_seconds=_spread(history.seconds, SECONDS, shown=lambda seconds: round(seconds, 3)),
            # Nothing has half a token.
            answer_tokens=_spread(history.tokens, TOKENS, shown=ceil),
        )
    )


def _spread(
    counts: Mapping[int, int], bounds: Sequence[float], *, shown: Callable[[float], float]
) -> objects.Spread | None:
    if not counts:
        return None
    p50, p90, p99 = (shown(quantile(counts, part, bounds=bounds) or 0.0) for part in (0.5, 0.9, 0.99))
    return objects.Spread(
        count=sum(counts.values()),
        p50=p50,
        p90=p90,
        p99=p99,
        data=[
            objects.SpreadBar(above=round(bar.above, 3), upto=round(bar.upto, 3), count=bar.count)
            for bar in bars(counts, bounds=bounds)
        ],
    )


async def shown_progress(request: Request, batch: Batch) -> objects.BatchProgress:
    """How a batch gets on, on the wire."""
    context = context_of(request)
    running = batch.status is Status.IN_PROGRESS
    rates = context.progress.rates(batch.id) if running else None
    counts = batch.counts
    left = time_left(counts.total - counts.completed - counts.failed, rates)
    cost, currency = cost_so_far(batch)
    position = await context.ledger.queue_position(batch.id) if batch.status is Status.VALIDATING else None
    waiting_on = await context.watch.waiting_on(batch, queued=position is not None)
    out = context.watch.out(batch)
    return objects.BatchProgress(
        batch_id=batch.id,
        status=batch.status.value,
        queue_position=position,
        counts=counts_of(batch),
        input_tokens=batch.usage.input_tokens,
        output_tokens=batch.usage.output_tokens,
        cached_tokens=batch.usage.cached_tokens,
        cost=cost,
        currency=currency,
        requests_per_second=None if rates is None else round(rates.requests_per_second, 3),
        tokens_per_second=None if rates is None else round(rates.tokens_per_second, 1),
        seconds_left=None if left is None else left.seconds,
        seconds_left_range=None if left is None else [left.low, left.high],
        waiting_on=shown_waiting_on(waiting_on, everything=principal_of(request).may(Role.ADMIN)),
        requests_out=None if out is None else out.in_flight,
        quiet_since=None if out is None else out.quiet_since,
        answers_mended=batch.answers_mended,
        first_result_at=batch.first_result_at,
        deployment=deployment_name(batch),
        model=batch.model,
        kept_until=context.retention.batch_goes_at(context.resource, batch.ended_at),
        regions=await context.ledger.batch_regions(batch.id),
    )
