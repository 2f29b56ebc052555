"""How a batch gets on, for pages that ask every few seconds."""

from typing import Literal, cast

from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import objects, wire
from slackwater.api.batches import find_batch
from slackwater.api.context import context_of, principal_of
from slackwater.api.deployment_status import shown_name
from slackwater.api.overview import cost_so_far, counts_of, deployment_name
from slackwater.core.accounts.resource import Role
from slackwater.core.batch import Batch, Status
from slackwater.core.watching.progress import time_left

Health = Literal["refusing", "blocked", "down", "paused"]


async def get_progress(request: Request) -> Response:
    """Counts, rates and the time that is left."""
    context = context_of(request)
    batch = await find_batch(context, request.path_params["batch_id"])
    running = batch.status is Status.IN_PROGRESS
    rates = context.progress.rates(batch.id) if running else None
    counts = batch.counts
    left = time_left(counts.total - counts.completed - counts.failed, rates)
    cost, currency = cost_so_far(batch)
    waits = batch.status is Status.VALIDATING
    return wire.json_response(
        objects.BatchProgress(
            batch_id=batch.id,
            status=batch.status.value,
            queue_position=await context.ledger.queue_position(batch.id) if waits else None,
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
            waiting_on=_waiting_on(request, batch) if running else None,
            answers_mended=batch.answers_mended,
            first_result_at=batch.first_result_at,
            deployment=deployment_name(batch),
            model=batch.model,
            regions=await context.ledger.batch_regions(batch.id),
        )
    )


def _waiting_on(request: Request, batch: Batch) -> objects.WaitingOn | None:
    view = context_of(request).watch.waiting_on(batch.deployment or "")
    if view is None:
        return None
    everything = principal_of(request).may(Role.ADMIN)
    return objects.WaitingOn(
        backend=shown_name(view.name, everything=everything),
        health=cast(Health, view.health.value),
        reason=(view.reason or None) if everything else None,
        since=view.since,
        until=view.until,
    )
