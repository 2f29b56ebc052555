"""What a resource has used: completed work and what it cost, as JSON or CSV, and how much of its quotas is taken."""

from collections.abc import AsyncIterator, Iterable

import msgspec
from msgspec import UNSET, Struct
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from slackwater.api import audit, objects, wire
from slackwater.api.batches import find_batch
from slackwater.api.context import Context, context_of
from slackwater.api.operation import Operation, Parameter, limit, text
from slackwater.core.accounts.cost import Charge, GroupBy, UsageEntry, charges
from slackwater.core.accounts.days import day_of, first_of_month, read_day, written_day
from slackwater.core.accounts.price import PRICE_DECIMALS, Price, written
from slackwater.core.accounts.resource import Role
from slackwater.core.accounts.tables import table_line
from slackwater.core.accounts.usage import Usage
from slackwater.core.errors import InvalidRequest

DAYS_MAX = 400
ROWS_MAX = 10_000
# Days that are in memory at once while a CSV is written.
CSV_DAYS = 7
CSV_ROWS_MAX = 2**31
# In the order of their columns. A caller sees one resource.
GROUPS = (GroupBy.DAY, GroupBy.DEPLOYMENT, GroupBy.MODEL)
FIGURES = ("requests", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "currency", "cost")


class _Asked(Struct, frozen=True):
    """A period, both days included, and what is to be kept apart."""

    first: int
    last: int
    by: tuple[GroupBy, ...]


async def usage(request: Request) -> Response:
    """Completed work by day, deployment and model, and what it cost; JSON, or CSV for whoever asks for that."""
    context, asked = context_of(request), _asked(request)
    if _wants_csv(request):
        headers = {"Content-Disposition": 'attachment; filename="usage.csv"'}
        return StreamingResponse(_csv(context, asked), 200, headers, "text/csv; charset=utf-8")
    entries = await _entries(context, asked.first, asked.last, asked.by, limit=ROWS_MAX + 1)
    if len(entries) > ROWS_MAX:
        raise InvalidRequest(
            f"The answer would have more than {ROWS_MAX:,} rows. Ask for fewer days, group by less, or ask for CSV.",
            param="group_by",
        )
    total = charges(UsageEntry(price=each.price, requests=each.requests, usage=each.usage) for each in entries)
    report = objects.UsageReport(
        start=written_day(asked.first),
        end=written_day(asked.last),
        group_by=[group.value for group in asked.by],  # type: ignore[misc]
        data=[_row(charge, context.resource) for charge in charges(entries)],
        total=[_row(charge, context.resource) for charge in total],
    )
    return wire.json_response(report)


async def batch_cost(request: Request) -> Response:
    """What a batch has cost so far. Only completed lines cost anything."""
    batch = await find_batch(context_of(request), request.path_params["batch_id"])
    (charge,) = charges([UsageEntry(price=batch.price, requests=batch.counts.completed, usage=batch.usage)])
    price = None if batch.price is None else _price(batch.price)
    return wire.json_response(objects.BatchCost(batch_id=batch.id, price=price, usage=_row(charge, batch.resource)))


async def quotas(request: Request) -> Response:
    """What is taken of each quota: the enqueued tokens of every deployment, and the files of either kind."""
    context = context_of(request)
    value = [
        _quota(
            f"OpenAI.{deployment.sku}.{deployment.name}",
            f"Enqueued tokens - {deployment.name}",
            await context.ledger.enqueued_tokens(deployment.key),
            deployment.enqueued_token_limit,
        )
        for deployment in context.deployments()
    ]
    counts, limits = await context.ledger.file_counts(context.resource), context.intake.limits
    value.append(_quota("OpenAI.Files.Lasting", "Files without expiry", counts.lasting, limits.lasting or None))
    value.append(_quota("OpenAI.Files.Expiring", "Files with expiry", counts.expiring, limits.expiring or None))
    return wire.json_response(objects.QuotaUsages(value=value))


def _quota(name: str, people_say: str, taken: int, limit: int | None) -> objects.QuotaUsage:
    return objects.QuotaUsage(
        name=objects.QuotaName(value=name, localizedValue=people_say), currentValue=taken, limit=limit
    )


def _asked(request: Request) -> _Asked:
    today = day_of(context_of(request).clock.now())
    last = _read_day(request, "end", today)
    first = _read_day(request, "start", first_of_month(last))
    if not first <= last < first + DAYS_MAX:
        raise InvalidRequest(
            f"'start' must not be after 'end', and not more than {DAYS_MAX} days before it.", param="start"
        )
    names = request.query_params.get("group_by", "day,deployment")
    wanted = {name.strip() for name in names.split(",")} - {""}
    unknown = wanted - {group.value for group in GROUPS}
    if unknown:
        raise InvalidRequest(
            f"Invalid value for 'group_by': '{min(unknown)[:40]}'. Possible are day, deployment and model, with commas.",
            param="group_by",
        )
    return _Asked(first, last, tuple(group for group in GROUPS if group.value in wanted))


def _read_day(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        return read_day(text)
    except ValueError as error:
        raise InvalidRequest(f"Invalid value for '{name}': {error}.", param=name) from error


def _wants_csv(request: Request) -> bool:
    form = request.query_params.get("format")
    if form not in (None, "json", "csv"):
        raise InvalidRequest(f"Invalid value for 'format': expected json or csv, got '{form[:40]}'.", param="format")
    accepted = request.headers.get("accept", "")
    return form == "csv" or (form is None and "text/csv" in accepted and "json" not in accepted)


async def _entries(context: Context, first: int, last: int, by: Iterable[GroupBy], *, limit: int) -> list[UsageEntry]:
    return await context.ledger.usage(
        resource=context.resource, first_day=first, last_day=last, by=tuple(by), limit=limit
    )


def _row(charge: Charge, resource: str) -> objects.UsageRow:
    usage: Usage = charge.usage
    return objects.UsageRow(
        day=UNSET if charge.day is None else written_day(charge.day),
        # What the ledger calls a deployment begins with its resource; users write the rest.
        deployment=UNSET if charge.deployment is None else charge.deployment.removeprefix(f"{resource}/"),
        model=UNSET if charge.model is None else charge.model,
        requests=charge.requests,
        input_tokens=usage.input_tokens,
        cached_tokens=usage.cached_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        currency=charge.currency,
        cost=None if charge.amount is None else written(charge.amount),
    )


def _price(price: Price) -> objects.PriceObject:
    return objects.PriceObject(
        currency=price.currency,
        input=written(price.input, decimals=PRICE_DECIMALS),
        cached_input=written(price.cached_input, decimals=PRICE_DECIMALS),
        output=written(price.output, decimals=PRICE_DECIMALS),
        batch_discount=price.discount,
    )


async def _csv(context: Context, asked: _Asked) -> AsyncIterator[str]:
    """The same rows, a few days at a time where days are kept apart."""
    columns = [group.value for group in asked.by] + list(FIGURES)
    yield table_line(columns)
    step = CSV_DAYS if GroupBy.DAY in asked.by else DAYS_MAX
    for first in range(asked.first, asked.last + 1, step):
        last = min(first + step - 1, asked.last)
        entries = await _entries(context, first, last, asked.by, limit=CSV_ROWS_MAX)
        rows = [msgspec.to_builtins(_row(charge, context.resource)) for charge in charges(entries)]
        yield "".join(table_line([row[column] for column in columns]) for row in rows)


TAG = "Accounts"


def _day(name: str, description: str) -> Parameter:
    return Parameter(name=name, description=description, schema={"type": "string", "format": "date"})


ACCOUNTS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/usage",
        handler=usage,
        name="get_usage",
        tag=TAG,
        summary="Read what was completed and what it cost, by day, deployment and model",
        parameters=(
            _day("start", "The first day, in UTC; by default the first of the month of `end`."),
            _day("end", "The last day; by default today."),
            Parameter(
                name="group_by",
                description="What to keep apart: `day`, `deployment`, `model`, with commas between them.",
                schema={"type": "string", "default": "day,deployment"},
            ),
            Parameter(
                name="format",
                description="`csv` for a table, as `Accept: text/csv` asks for too.",
                schema={"enum": ["json", "csv"], "default": "json"},
            ),
        ),
        answer=objects.UsageReport,
        answer_also=("text/csv",),
        errors=(400,),
    ),
    Operation(
        method="GET",
        path="/batches/{batch_id}/cost",
        handler=batch_cost,
        name="get_batch_cost",
        tag=TAG,
        summary="Read what a batch has cost so far",
        answer=objects.BatchCost,
        errors=(404,),
    ),
    Operation(
        method="GET",
        path="/usages",
        handler=quotas,
        name="list_quota_usages",
        tag=TAG,
        summary="Read how much of each quota is taken, in the shape of Azure's control plane",
        answer=objects.QuotaUsages,
    ),
    Operation(
        method="GET",
        path="/audit",
        handler=audit.list_entries,
        name="list_audit_entries",
        tag=TAG,
        summary="Read who did what, oldest first unless asked otherwise",
        parameters=(
            limit(100, audit.PAGE_MAX),
            Parameter(
                name="after",
                description="The `last_id` of the page before.",
                schema={"type": "string", "pattern": "^[0-9]{1,18}$"},
            ),
            text("order", "By their numbers: `desc` is newest first.", enum=["asc", "desc"], default="asc"),
            text("who", "Only entries whose `who` contains this text.", maxLength=audit.TEXT_MAX),
            text("action", "Only entries whose `action` contains this text.", maxLength=audit.TEXT_MAX),
            text("target", "Only entries whose `target` contains this text.", maxLength=audit.TEXT_MAX),
        ),
        answer=objects.AuditPage,
        errors=(400, 403),
        needs=Role.ADMIN,
    ),
)
