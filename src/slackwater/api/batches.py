"""Batches: create, get, list, cancel (spec section 3), and the results of a batch while it runs (ours)."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from slackwater.api import wire
from slackwater.api.context import (
    Context,
    context_of,
    dialect_of,
    name_of_type,
    query_integer,
    read_json,
    required_text,
)
from slackwater.api.dialects import Dialect
from slackwater.api.expiry import expiry_of_json
from slackwater.core.batch import Batch, Policies
from slackwater.core.errors import InvalidRequest, NotFound
from slackwater.pipeline.admission import Order
from slackwater.ports import BlobRange

METADATA_PAIRS, METADATA_KEY, METADATA_VALUE = 16, 64, 512
PIECE = 1 << 20


async def create(request: Request) -> Response:
    """Creates a batch. What is wrong with the input file's content shows later, on the batch."""
    context, dialect = context_of(request), dialect_of(request)
    body = await read_json(request)
    order = Order(
        input_file_id=required_text(body, "input_file_id"),
        endpoint=required_text(body, "endpoint"),
        completion_window=required_text(body, "completion_window"),
        metadata=_metadata(body.get("metadata")),
    )
    batch = await context.admission.create(
        order,
        batch_id=dialect.new_batch_id(),
        endpoint=dialect.endpoint(order.endpoint),
        policies=_policies(dialect, body),
    )
    return wire.json_response(wire.batch_object(batch), headers=await _token_headers(context, dialect))


def _policies(dialect: Dialect, body: dict[str, Any]) -> Policies:
    seconds = expiry_of_json(body.get("output_expires_after"), "output_expires_after")
    if seconds is None:
        return dialect.policies
    return msgspec.structs.replace(dialect.policies, output_expires_seconds=seconds)


async def _token_headers(context: Context, dialect: Dialect) -> dict[str, str]:
    """Azure's two quota headers, where there is one deployment that they can be about (spec 3.1).

    Which deployment the file is for is known only after validation; with several, nothing true can be said yet.
    """
    deployments = context.deployments()
    if not dialect.token_headers or len(deployments) != 1:
        return {}
    deployment = deployments[0]
    headers = {"deployment-enqueued-tokens": str(await context.ledger.enqueued_tokens(deployment.name))}
    if deployment.enqueued_token_limit is not None:
        headers["deployment-maximum-enqueued-tokens"] = str(deployment.enqueued_token_limit)
    return headers


def _metadata(value: Any) -> dict[str, str] | None:
    """A checked `metadata`: at most 16 pairs of short strings (spec 3.1; texts as OpenAI writes them, 7.3)."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidRequest(
            f"Invalid type for 'metadata': expected an object, but got {name_of_type(value)} instead.",
            code="invalid_type",
            param="metadata",
        )
    if len(value) > METADATA_PAIRS:
        raise InvalidRequest(
            f"Invalid 'metadata': too many properties. Expected an object with at most {METADATA_PAIRS} properties, "
            f"but got an object with {len(value)} properties instead.",
            code="object_above_max_properties",
            param="metadata",
        )
    for key, text in value.items():
        param = f"metadata.{key[:METADATA_KEY]}"
        if not isinstance(text, str):
            raise InvalidRequest(
                f"Invalid type for '{param}': expected a string, but got {name_of_type(text)} instead.",
                code="invalid_type",
                param=param,
            )
        for what, length, most in (("key", len(key), METADATA_KEY), ("value", len(text), METADATA_VALUE)):
            if length > most:
                raise InvalidRequest(
                    f"Invalid '{param}': the {what} is too long. Expected at most {most} characters, but got {length}.",
                    code="string_above_max_length",
                    param=param,
                )
    return value


async def _find(context: Context, batch_id: str) -> Batch:
    batch = await context.ledger.batch(batch_id)
    if batch is None:
        raise NotFound(f"No batch found with id '{batch_id[:80]}'.")
    return batch


async def get_batch(request: Request) -> Response:
    """One batch, as it is now."""
    return wire.json_response(wire.batch_object(await _find(context_of(request), request.path_params["batch_id"])))


async def list_batches(request: Request) -> Response:
    """A page of batches, newest first."""
    limit = query_integer(request, "limit", default=20, least=1, most=100)
    batches = await context_of(request).ledger.batches(after=request.query_params.get("after"), limit=limit + 1)
    shown = [wire.batch_object(batch) for batch in batches[:limit]]
    return wire.json_response(wire.list_object(shown, has_more=len(batches) > limit))


async def cancel(request: Request) -> Response:
    """Cancels a batch: calls in flight are aborted, finished results are kept. The body is not read (spec 1.5)."""
    batch = await context_of(request).admission.cancel(request.path_params["batch_id"])
    return wire.json_response(wire.batch_object(batch))


async def results(request: Request) -> Response:
    """The lines of a batch that are journaled so far, of both files, as JSON Lines (an extension of ours).

    `after` is what the header `slackwater-results-cursor` of an earlier answer said: only lines that came since are sent,
    each once. The order is that of completion. Once the batch has ended, its files have everything.
    """
    context = context_of(request)
    batch = await _find(context, request.path_params["batch_id"])
    seen = _read_cursor(request.query_params.get("after", ""))
    if batch.terminal:
        raise NotFound(f"The batch has ended as '{batch.status.value}'; download its output file and its error file.")
    ranges = await _ranges_since(context, batch.id, seen)
    headers = {"slackwater-results-cursor": _write_cursor(seen)}
    return StreamingResponse(_read(context, ranges), 200, headers, "application/jsonl")


async def _ranges_since(context: Context, batch_id: str, seen: dict[str, int]) -> list[BlobRange]:
    """The ranges that were committed behind the offsets in `seen`, which is brought up to date.

    A log only grows, and its ranges are committed in the order in which they were appended, so one offset per log says all.
    """
    ranges: list[BlobRange] = []
    ends = dict(seen)
    sequence = 0
    while page := await context.ledger.segments(batch_id, after=sequence):
        for sequence, segment in page:  # noqa: B007 - the last one is the cursor of the next page
            for part in (segment.output, segment.error):
                if part is None:
                    continue
                name = part.key.rpartition("/")[2]
                start, end = max(part.offset, seen.get(name, 0)), part.offset + part.length
                if start < end:
                    ranges.append(BlobRange(key=part.key, offset=start, length=end - start))
                    ends[name] = max(ends.get(name, 0), end)
    seen.update(ends)
    return ranges


def _write_cursor(seen: dict[str, int]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(seen)).decode().rstrip("=")


def _read_cursor(text: str) -> dict[str, int]:
    if not text:
        return {}
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=dict[str, int])
    except (ValueError, msgspec.MsgspecError) as error:
        raise InvalidRequest(
            "'after' must be the slackwater-results-cursor of an earlier answer, or absent.", param="after"
        ) from error


async def _read(context: Context, ranges: list[BlobRange]) -> AsyncIterator[bytes]:
    for part in ranges:
        async for piece in context.blobs.stream(part.key, offset=part.offset, length=part.length):
            yield piece
