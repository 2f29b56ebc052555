"""The requests of a batch one by one: results in short as they come, one request as a whole, and what went wrong in groups."""

import base64
from typing import Any

import msgspec
from msgspec import Raw
from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import objects, wire
from slackwater.api.batches import find_batch
from slackwater.api.context import context_of, query_integer
from slackwater.core.errors import InvalidRequest, NotFound
from slackwater.core.sending.lines import is_object
from slackwater.core.sending.request import Outcome
from slackwater.pipeline.watching.result_reader import EVERY_OUTCOME

ID_LENGTH_MAX = 4_096
# A cursor has a name for each log of a batch, and every start of the service begins new ones.
CURSOR_LOGS_MAX = 1_000
_cursor = msgspec.json.Decoder(dict[str, int])


async def list_lines(request: Request) -> Response:
    """The next results in short, of a batch that runs or that has ended."""
    context, parameters = context_of(request), request.query_params
    limit = query_integer(request, "limit", default=50, least=1, most=200)
    batch = await find_batch(context, request.path_params["batch_id"])
    page = await context.results.page(
        batch,
        seen=_read_cursor(parameters.get("after", "")),
        limit=limit,
        custom_id=_text(request, "custom_id"),
        outcomes=_outcomes(parameters.get("outcome")),
    )
    data = [
        objects.BatchLine(
            custom_id=line.custom_id,
            outcome=outcome.value,
            status_code=line.status_code,
            code=line.code,
            message=line.message,
            answer=line.answer,
            input_tokens=line.input_tokens,
            output_tokens=line.output_tokens,
        )
        for outcome, line in page.lines
    ]
    return wire.json_response(objects.BatchLineList(data=data, has_more=page.more, next=_write_cursor(page.seen)))


async def get_line(request: Request) -> Response:
    """One request of a batch: what was asked, and what came of it."""
    context = context_of(request)
    batch = await find_batch(context, request.path_params["batch_id"])
    custom_id = _text(request, "custom_id")
    if not custom_id:
        raise InvalidRequest(
            "Missing required parameter: 'custom_id'.", code="missing_required_parameter", param="custom_id"
        )
    found = await context.line_finder.find(batch, custom_id)
    if found.request is None and found.result is None:
        raise NotFound(f"The batch has no request with the custom_id '{custom_id[:80]}'.")
    detail = objects.BatchLineDetail(
        custom_id=custom_id, line=found.line, request=_as_it_is(found.request), result=_as_it_is(found.result)
    )
    return wire.json_response(detail)


async def list_error_groups(request: Request) -> Response:
    """What went wrong so far, grouped by code."""
    context = context_of(request)
    batch = await find_batch(context, request.path_params["batch_id"])
    failed, groups = await context.error_groups.of(batch)
    data = [
        objects.ErrorGroupObject(
            code=group.code,
            status_code=group.status_code,
            count=group.count,
            message=group.message,
            examples=[
                objects.ErrorGroupExample(custom_id=line.custom_id, message=line.message) for line in group.examples
            ],
        )
        for group in groups
    ]
    return wire.json_response(objects.ErrorGroupList(data=data, failed=failed))


def _as_it_is(line: bytes | None) -> Any:
    """A line as it was written, numbers included; None for one that is no JSON object."""
    return Raw(line) if line is not None and is_object(line) else None


def _text(request: Request, name: str) -> str:
    text = request.query_params.get(name, "")
    if len(text) > ID_LENGTH_MAX:
        raise InvalidRequest(
            f"Invalid '{name}': expected at most {ID_LENGTH_MAX} characters, but got {len(text)}.", param=name
        )
    return text


def _outcomes(name: str | None) -> frozenset[Outcome]:
    if name is None:
        return EVERY_OUTCOME
    if name not in list(Outcome):
        raise InvalidRequest(
            f"Invalid value for 'outcome': '{name[:40]}'. Possible are completed and failed.", param="outcome"
        )
    return frozenset({Outcome(name)})


def _write_cursor(seen: dict[str, int]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(seen)).decode().rstrip("=")


def _read_cursor(text: str) -> dict[str, int]:
    try:
        seen = _cursor.decode(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)) if text else {}
    except (ValueError, msgspec.MsgspecError):
        seen = None
    if seen is None or len(seen) > CURSOR_LOGS_MAX or any(not 0 <= offset < 1 << 62 for offset in seen.values()):
        raise InvalidRequest("'after' must be the 'next' of an earlier answer, or absent.", param="after")
    return seen
