"""Batches in short, for pages that show many of them and ask often."""

from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import objects, wire
from slackwater.api.batches import METADATA_PAIRS
from slackwater.api.context import context_of, principal_of, query_after, query_integer
from slackwater.api.deployment_status import shown_waiting_on
from slackwater.core.accounts.cost import cost_of
from slackwater.core.accounts.price import written
from slackwater.core.accounts.resource import Role
from slackwater.core.batch import MOMENT, TERMINAL, Batch, Status
from slackwater.core.errors import InvalidRequest
from slackwater.core.sending.deployment import key_of
from slackwater.core.watching.standings import Out
from slackwater.ports import OverviewRow

SEARCH_LENGTH_MAX = 200


async def batch_overview(request: Request) -> Response:
    """A page of batches, newest first, and how many there are of each status."""
    context, parameters = context_of(request), request.query_params
    limit = query_integer(request, "limit", default=20, least=1, most=100)
    search = parameters.get("search", "").strip()
    if len(search) > SEARCH_LENGTH_MAX:
        raise InvalidRequest(
            f"Invalid 'search': expected at most {SEARCH_LENGTH_MAX} characters, but got {len(search)}.", param="search"
        )
    deployment = parameters.get("deployment")
    found = await context.ledger.batch_overview(
        resource=context.resource,
        statuses=_statuses(parameters.get("status", "")),
        deployment=key_of(context.resource, deployment) if deployment else None,
        with_failures=_with_failures(parameters.get("with_failures", "false")),
        search=search,
        metadata=_metadata(request),
        after=query_after(request),
        limit=limit + 1,
    )
    rows = found.rows[:limit]
    waits = [await context.watch.waiting_on(row.batch, queued=row.queue_position is not None) for row in rows]
    everything = principal_of(request).may(Role.ADMIN)
    page = objects.BatchOverviewPage(
        data=[
            _row(row, shown_waiting_on(waiting, everything=everything), context.watch.out(row.batch))
            for row, waiting in zip(rows, waits, strict=True)
        ],
        has_more=len(found.rows) > limit,
        counts={status.value: count for status, count in found.counts.items()},
        completed_with_failures=found.completed_with_failures,
    )
    return wire.json_response(page)


def _statuses(text: str) -> set[Status]:
    """Some statuses with commas between them; none is all."""
    names = {name.strip() for name in text.split(",")} - {""}
    known = {status.value for status in Status}
    if unknown := names - known:
        raise InvalidRequest(
            f"Invalid value for 'status': '{min(unknown)[:40]}'. Possible are {', '.join(sorted(known))}, with commas.",
            param="status",
        )
    return {Status(name) for name in names}


def _metadata(request: Request) -> list[tuple[str, str]]:
    """Keys and values of `metadata[KEY]=VALUE`, as often as it is given."""
    given = [(name, value) for name, value in request.query_params.multi_items() if name.startswith("metadata")]
    if len(given) > METADATA_PAIRS:
        raise InvalidRequest(
            f"Too many pairs of 'metadata': a batch has at most {METADATA_PAIRS}, but {len(given)} were given.",
            param="metadata",
        )
    for name, _ in given:
        if not (name.startswith("metadata[") and name.endswith("]")):
            raise InvalidRequest(f"Unknown parameter: '{name[:40]}'. Write metadata[KEY]=VALUE.", param="metadata")
    return [(name.removeprefix("metadata[").removesuffix("]"), value) for name, value in given]


def _with_failures(text: str) -> bool:
    if text not in ("true", "false"):
        raise InvalidRequest(
            f"Invalid value for 'with_failures': '{text[:40]}'. Possible are true and false.", param="with_failures"
        )
    return text == "true"


def _row(row: OverviewRow, waiting_on: objects.WaitingOn | None, out: Out | None) -> objects.BatchOverviewRow:
    batch = row.batch
    cost, currency = cost_so_far(batch)
    return objects.BatchOverviewRow(
        id=batch.id,
        status=batch.status.value,
        created_at=batch.created_at,
        ended_at=getattr(batch, MOMENT[batch.status]) if batch.status in TERMINAL else None,
        endpoint=batch.endpoint,
        deployment=deployment_name(batch),
        model=batch.model,
        input_file_id=batch.input_file_id or None,
        filename=row.filename if batch.storage is None else batch.storage.input_url.rpartition("/")[2],
        counts=counts_of(batch),
        input_tokens=batch.usage.input_tokens,
        output_tokens=batch.usage.output_tokens,
        enqueued_tokens=batch.enqueued_tokens,
        cost=cost,
        currency=currency,
        queue_position=row.queue_position,
        error=batch.errors[0].message if batch.errors else None,
        waiting_on=waiting_on,
        requests_out=None if out is None else out.in_flight,
        quiet_since=None if out is None else out.quiet_since,
        metadata=batch.metadata,
    )


def counts_of(batch: Batch) -> objects.RequestCountsObject:
    """The counts of a batch on the wire."""
    counts = batch.counts
    return objects.RequestCountsObject(total=counts.total, completed=counts.completed, failed=counts.failed)


def deployment_name(batch: Batch) -> str | None:
    """The deployment of a batch, as its users write it."""
    return None if batch.deployment is None else batch.deployment.removeprefix(f"{batch.resource}/")


def cost_so_far(batch: Batch) -> tuple[str | None, str | None]:
    """What a batch has cost, and in which currency; neither where it has no price."""
    if batch.price is None:
        return None, None
    return written(cost_of(batch.usage, batch.price)), batch.price.currency
