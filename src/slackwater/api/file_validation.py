"""Validates an input file without making a batch of it: what is wrong, where, whether it fits, and about what it costs."""

import math

from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import objects, wire
from slackwater.api.bodies import read_body
from slackwater.api.context import context_of, dialect_of
from slackwater.core.accounts.price import written
from slackwater.core.errors import NotFound
from slackwater.core.input.excerpt import Excerpt
from slackwater.pipeline.input.file_checks import Check


async def validate(request: Request) -> Response:
    """What validation finds in a file. Nothing is changed, and a file that is not valid is a good answer."""
    context, dialect = context_of(request), dialect_of(request)
    body = await read_body(request, objects.ValidateFile, optional=True)
    file_id = request.path_params["file_id"]
    file = await context.ledger.file(file_id)
    if file is None:
        raise NotFound(f"There is no file '{file_id[:80]}'.", param="id")
    check = await context.file_checks.check(file, family=dialect.policies.validation, endpoint=body.endpoint)
    return wire.json_response(_validation(file.id, check))


def _validation(file_id: str, check: Check) -> objects.FileValidation:
    scan, room, price = check.scan, check.room, check.price
    cost = check.input_cost
    return objects.FileValidation(
        file_id=file_id,
        valid=not scan.errors,
        endpoint=check.endpoint,
        deployment=scan.deployment,
        model=None if check.deployment is None else check.deployment.model,
        requests=scan.total,
        tokens=scan.tokens,
        error_count=scan.error_count,
        errors=[
            objects.FileValidationError(
                code=error.code,
                message=error.message,
                line=error.line,
                param=error.param,
                excerpt=_excerpt(excerpt),
            )
            for error, excerpt in zip(scan.errors, check.excerpts, strict=True)
        ],
        quota=None
        if room is None
        else objects.ValidationQuota(held=room.held, limit=room.limit, fits=room.fits, waits=room.waits),
        estimated_cost=None
        if cost is None or price is None
        else objects.EstimatedCost(input=written(cost), currency=price.currency),
        estimated_time=None
        if (pace := check.pace) is None
        else objects.EstimatedTime(
            tokens_per_second=round(pace.tokens_per_second, 1),
            seconds=math.ceil(scan.tokens / pace.tokens_per_second),
            tokens_ahead=pace.tokens_ahead,
            seconds_ahead=math.ceil(pace.tokens_ahead / pace.tokens_per_second),
        ),
    )


def _excerpt(excerpt: Excerpt | None) -> objects.ExcerptObject | None:
    return None if excerpt is None else objects.ExcerptObject(text=excerpt.text, start=excerpt.start, end=excerpt.end)
