"""The results of a batch as a table: pages in any order, a search in them, two batches side by side, and all of it as a file."""

import base64
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from slackwater.api import objects, wire
from slackwater.api.batches import find_batch
from slackwater.api.context import context_of, query_integer
from slackwater.core.errors import InvalidRequest
from slackwater.core.sending.request import Outcome
from slackwater.core.watching.comparison import Show
from slackwater.core.watching.result_index import Order, Wanted
from slackwater.core.watching.result_rows import Row
from slackwater.core.watching.text_search import Needle
from slackwater.pipeline.watching.looking_through import Place
from slackwater.pipeline.watching.result_export import Format, Selection
from slackwater.pipeline.watching.result_search import Cursor

LIMIT_MAX = 200
OFFSET_MAX = 2**40
TEXT_LENGTH_MAX = 500
CODE_LENGTH_MAX = 200
CURSOR_LENGTH_MAX = 200
_cursor = msgspec.json.Decoder(Cursor)
Choice = TypeVar("Choice", bound=StrEnum)


async def get_table(request: Request) -> Response:
    """A page of the table."""
    context, given = context_of(request), request.query_params
    limit = query_integer(request, "limit", default=50, least=1, most=LIMIT_MAX)
    offset = query_integer(request, "offset", default=0, least=0, most=OFFSET_MAX)
    order, descending = _choice(given, "order", Order.ARRIVAL), _flag(given, "descending")
    wanted = _wanted(request)
    line = None
    if "line" in given:
        line = query_integer(request, "line", default=1, least=1, most=OFFSET_MAX)
        if order is not Order.LINE:
            raise InvalidRequest("'line' goes with 'order=line' only.", param="line")
        if "offset" in given:
            raise InvalidRequest("Give 'offset' or 'line', not both.", param="line")
    batch = await find_batch(context, request.path_params["batch_id"])
    page = await context.result_tables.page(
        batch, order=order, descending=descending, wanted=wanted, offset=offset, line=line, limit=limit
    )
    rows = [objects.BatchResult(**_shown(row)) for row in page.rows]
    return wire.json_response(
        objects.BatchResultTable(data=rows, offset=page.offset, total=page.total, ready=page.ready)
    )


async def search(request: Request) -> Response:
    """What is found in one go, and where the next one begins."""
    context = context_of(request)
    limit = query_integer(request, "limit", default=50, least=1, most=LIMIT_MAX)
    needle, places, wanted = _needle(request), _places(request), _wanted(request)
    if needle is None:
        raise InvalidRequest("Missing required parameter: 'text'.", code="missing_required_parameter", param="text")
    after = _read_cursor(request.query_params.get("after", ""))
    batch = await find_batch(context, request.path_params["batch_id"])
    page = await context.result_search.search(batch, needle, places=places, wanted=wanted, after=after, limit=limit)
    data = [
        objects.FoundBatchResult(
            **_shown(row),
            found_in=row.found_in,  # type: ignore[arg-type]
            excerpt=objects.ExcerptObject(text=row.found.text, start=row.found.start, end=row.found.end),
        )
        for row in page.rows
        if row.found is not None
    ]
    return wire.json_response(
        objects.BatchResultSearch(
            data=data,
            has_more=page.next is not None,
            next=None if page.next is None else _write_cursor(page.next),
            stopped=page.stopped,  # type: ignore[arg-type]
            results_searched=page.results,
            results=page.results_total,
            input_bytes_searched=page.prompts_bytes,
            input_bytes=batch.input_bytes or None,
            input_gone=page.prompts_gone,
            passed_over=page.passed_over,
        )
    )


async def compare(request: Request) -> Response:
    """This batch beside another one of the same resource."""
    context, given = context_of(request), request.query_params
    limit = query_integer(request, "limit", default=50, least=1, most=LIMIT_MAX)
    offset = query_integer(request, "offset", default=0, least=0, most=OFFSET_MAX)
    show = _choice(given, "show", Show.ALL)
    if not given.get("with"):
        raise InvalidRequest("Missing required parameter: 'with'.", code="missing_required_parameter", param="with")
    batch = await find_batch(context, request.path_params["batch_id"])
    other = await find_batch(context, given["with"])
    if other.id == batch.id:
        raise InvalidRequest("A batch cannot be compared with itself.", param="with")
    page = await context.result_comparisons.page(batch, other, show=show, offset=offset, limit=limit)
    data = []
    for pair in page.pairs:
        here = None if pair.here is None else objects.BatchResult(**_shown(pair.here))
        there = None if pair.there is None else objects.BatchResult(**_shown(pair.there))
        one = here or there
        assert one is not None, "a line is one of either batch"
        data.append(objects.BatchResultPair(custom_id=one.custom_id, same=pair.same, here=here, there=there))
    return wire.json_response(
        objects.BatchComparison(data=data, offset=page.offset, total=page.total, counts=page.counts)
    )


async def export(request: Request) -> Response:
    """All rows of the table, or all that a search finds, as a file."""
    context, given = context_of(request), request.query_params
    form, formulas = _choice(given, "format", Format.CSV), _flag(given, "formulas")
    selection = Selection(
        order=_choice(given, "order", Order.ARRIVAL),
        descending=_flag(given, "descending"),
        wanted=_wanted(request),
        needle=_needle(request),
        places=_places(request),
    )
    batch = await find_batch(context, request.path_params["batch_id"])
    # What is refused is refused before the first byte.
    await context.result_tables.index_of(batch)
    pieces = context.result_export.pieces(batch, selection, form, formulas=formulas)
    headers = {
        "Content-Disposition": wire.disposition(f"{batch.id}_results.{form.value}"),
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }
    media = "text/csv; charset=utf-8" if form is Format.CSV else "application/jsonl"
    return StreamingResponse(pieces, 200, headers, media)


def _shown(row: Row) -> dict[str, Any]:
    short = row.short
    return {
        "custom_id": short.custom_id,
        "line": row.line,
        "outcome": row.outcome.value,
        "status_code": short.status_code,
        "code": short.code,
        "message": short.message,
        "answer": short.answer,
        "input_tokens": short.input_tokens,
        "output_tokens": short.output_tokens,
        "latency_seconds": row.seconds,
    }


def _choice(given: Mapping[str, str], name: str, default: Choice) -> Choice:
    kind, text = type(default), given.get(name)
    if text is None:
        return default
    try:
        return kind(text)
    except ValueError:
        possible = ", ".join(kind)
        raise InvalidRequest(
            f"Invalid value for '{name}': '{text[:40]}'. Possible are {possible}.", param=name
        ) from None


def _flag(given: Mapping[str, str], name: str) -> bool:
    text = given.get(name, "false")
    if text not in ("true", "false"):
        raise InvalidRequest(f"Invalid value for '{name}': expected true or false, got '{text[:40]}'.", param=name)
    return text == "true"


def _wanted(request: Request) -> Wanted:
    given = request.query_params
    outcome, code = given.get("outcome"), given.get("code")
    if outcome is not None and outcome not in list(Outcome):
        raise InvalidRequest(
            f"Invalid value for 'outcome': '{outcome[:40]}'. Possible are completed and failed.", param="outcome"
        )
    failed = None if outcome is None else outcome == Outcome.FAILED.value
    status = None
    if "status_code" in given:
        status = query_integer(request, "status_code", default=0, least=100, most=999)
        if code is None:
            raise InvalidRequest("'status_code' goes with 'code', as in the groups of errors.", param="status_code")
    if code is not None:
        if len(code) > CODE_LENGTH_MAX:
            raise InvalidRequest(f"Invalid 'code': expected at most {CODE_LENGTH_MAX} characters.", param="code")
        if failed is False:
            raise InvalidRequest("'code' is of errors, and 'outcome' asks for answers.", param="code")
        failed = True
    return Wanted(failed, code, status)


def _needle(request: Request) -> Needle | None:
    text = request.query_params.get("text", "")
    if len(text) > TEXT_LENGTH_MAX:
        raise InvalidRequest(
            f"Invalid 'text': expected at most {TEXT_LENGTH_MAX} characters, but got {len(text)}.", param="text"
        )
    needle = Needle.of(text)
    return needle if needle.text.strip() else None


def _places(request: Request) -> frozenset[Place]:
    text = request.query_params.get("in")
    if not text:
        return frozenset(Place)
    names = text.split(",")
    if not set(names) <= set(Place):
        possible = ", ".join(Place)
        raise InvalidRequest(
            f"Invalid value for 'in': '{text[:40]}'. Possible are {possible}, with commas between them.", param="in"
        )
    return frozenset(Place(name) for name in names)


def _write_cursor(cursor: Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def _read_cursor(text: str) -> Cursor | None:
    if not text:
        return None
    try:
        if len(text) > CURSOR_LENGTH_MAX:
            raise ValueError("no cursor is that long")
        cursor = _cursor.decode(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
    except (ValueError, msgspec.MsgspecError):
        cursor = None
    if cursor is None or not 0 <= cursor.at < 1 << 62:
        raise InvalidRequest("'after' must be the 'next' of an earlier answer, or absent.", param="after")
    return cursor
