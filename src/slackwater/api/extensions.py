"""What neither vendor has (docs/api.md, "Extensions"): the results of a batch while it runs, and another try of what failed."""

import base64
from collections.abc import AsyncIterator

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from slackwater.api.batches import admit, admitted_response, checked_metadata, find_batch, idempotency_key, policies_of
from slackwater.api.bodies import read_body
from slackwater.api.context import Context, context_of, dialect_of
from slackwater.api.objects import RetryBatch
from slackwater.core.errors import InvalidRequest, NotFound
from slackwater.pipeline.admission import Order
from slackwater.ports import BlobRange

RETRY_OF = "retry_of"


async def retry(request: Request) -> Response:
    """Makes a new batch of the lines of an ended one that failed or never ran.

    Its metadata has the first one's id under `retry_of`. The input is a new file, so the batches do not depend on each other.
    """
    context, dialect = context_of(request), dialect_of(request)
    body = await read_body(request, RetryBatch, optional=True)
    batch = await find_batch(context, request.path_params["batch_id"])
    policies = policies_of(dialect, body.output_expires_after)
    key = idempotency_key(request, body.idempotency_key, "retry", batch.id, body.metadata, policies)
    given = (batch.metadata or {}) if body.metadata is None else body.metadata
    metadata = checked_metadata(given | {RETRY_OF: batch.id})
    earlier = None if key is None else await context.ledger.batch_of_key(key)
    input_file_id = batch.input_file_id if earlier is None else earlier.input_file_id
    if earlier is None:
        input_file_id = await context.retries.input_of(
            batch, expires_seconds=dialect.batch_file_lifetime, limits=context.intake.limits
        )
    order = Order(
        input_file_id=input_file_id,
        endpoint=batch.endpoint,
        completion_window=batch.completion_window,
        metadata=metadata,
    )
    used_file_id = None
    try:
        admitted = await admit(request, order, policies, key)
        used_file_id = admitted.batch.input_file_id
    finally:
        # A file that was made for this batch alone goes with it: where it was refused, and where another call under the
        # same key was first.
        if earlier is None and input_file_id not in (batch.input_file_id, used_file_id):
            await context.intake.forget(input_file_id)
    return await admitted_response(request, admitted)


async def results(request: Request) -> Response:
    """The lines of a batch that are journaled so far, of both files, as JSON Lines (an extension of ours).

    `after` is what the header `slackwater-results-cursor` of an earlier answer said: only lines that came since are sent,
    each once. The order is that of completion. Once the batch has ended, its files have everything.
    """
    context = context_of(request)
    batch = await find_batch(context, request.path_params["batch_id"])
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
