"""Batches: create, get, list, cancel (spec section 3)."""

from hashlib import blake2b
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import wire
from slackwater.api.bodies import name_of_type, read_body
from slackwater.api.context import Context, context_of, dialect_of, query_after, query_integer
from slackwater.api.dialects import Dialect
from slackwater.api.objects import ExpiresAfter, NewBatch
from slackwater.api.odata import FILTER, ORDERBY, read_query
from slackwater.core.batch import Batch, Policies, Status
from slackwater.core.errors import InvalidRequest
from slackwater.core.watching.standings import WaitingOn
from slackwater.pipeline.admission import Admitted, Order, unknown_batch
from slackwater.ports import IdempotencyKey

METADATA_PAIRS, METADATA_KEY, METADATA_VALUE = 16, 64, 512
KEY_LENGTH_MAX = 255


async def create(request: Request) -> Response:
    """Creates a batch. What is wrong with the input file's content shows later, on the batch."""
    dialect = dialect_of(request)
    body = await read_body(request, NewBatch)
    check_storage(body)
    order = Order(
        input_file_id=body.input_file_id or "",
        endpoint=body.endpoint,
        completion_window=body.completion_window,
        metadata=checked_metadata(body.metadata),
        input_blob=body.input_blob or "",
        output_folder="" if body.output_folder is None else body.output_folder.url,
    )
    policies = policies_of(dialect, body.output_expires_after)
    # As it was digested before there were storages: a key outlives a version.
    asked = [order.input_file_id, order.endpoint, order.completion_window, order.metadata]
    asked += [order.input_blob, order.output_folder] if order.input_blob else []
    key = idempotency_key(request, body.idempotency_key, "create", asked, policies)
    return await admitted_response(request, await admit(request, order, policies, key))


def check_storage(body: NewBatch) -> None:
    """Raises InvalidRequest where a batch is of a file and of a blob, of neither, or has what batches of blobs cannot have."""
    if body.input_blob is None and body.output_folder is None:
        if body.input_file_id is None:
            raise InvalidRequest(
                "Missing required parameter: 'input_file_id'.", code="missing_required_parameter", param="input_file_id"
            )
        return
    for name, value in (("input_blob", body.input_blob), ("output_folder", body.output_folder)):
        if value is None:
            raise InvalidRequest(
                f"Missing required parameter: '{name}'. 'input_blob' and 'output_folder' go together.",
                code="missing_required_parameter",
                param=name,
            )
    for name, given, why in (
        ("input_file_id", body.input_file_id, "send one of the two"),
        ("metadata", body.metadata, "leave it out"),
        (
            "output_expires_after",
            body.output_expires_after,
            "the results are in your storage, and so are rules for them",
        ),
    ):
        if given:
            raise InvalidRequest(f"'{name}' cannot be combined with 'input_blob': {why}.", param=name)


async def admit(request: Request, order: Order, policies: Policies, key: IdempotencyKey | None) -> Admitted:
    """Makes the batch, or finds the one that this key has made before."""
    context, dialect = context_of(request), dialect_of(request)
    return await context.admission.create(
        order,
        batch_id=dialect.new_batch_id(),
        endpoint=dialect.endpoint(order.endpoint),
        policies=policies,
        fail_fast=dialect.fail_fast,
        key=key,
    )


async def admitted_response(request: Request, admitted: Admitted) -> Response:
    """The answer with a batch that was made now, or before."""
    context, dialect = context_of(request), dialect_of(request)
    headers = await _token_headers(context, dialect, admitted.batch)
    if admitted.repeated:
        headers["idempotent-replayed"] = "true"
    return wire.json_response(wire.batch_object(admitted.batch), headers=headers)


def policies_of(dialect: Dialect, output_expires_after: ExpiresAfter | None) -> Policies:
    """How the family treats a batch, with the caller's own wish for its results."""
    if output_expires_after is None:
        return dialect.policies
    return msgspec.structs.replace(dialect.policies, output_expires_seconds=output_expires_after.seconds)


def idempotency_key(request: Request, in_body: str | None, *asked: Any) -> IdempotencyKey | None:
    """The key that the caller gave in the header or in the body, with a digest of what was asked for; None without one."""
    given = request.headers.get("idempotency-key", "").strip() or in_body
    if given is None:
        return None
    if len(given) > KEY_LENGTH_MAX:
        raise InvalidRequest(
            f"The idempotency key has {len(given)} characters; use at most {KEY_LENGTH_MAX}.", param="idempotency_key"
        )
    digest = blake2b(msgspec.json.encode(asked, order="sorted"), digest_size=16).hexdigest()
    return IdempotencyKey(key=given, digest=digest)


async def _token_headers(context: Context, dialect: Dialect, batch: Batch) -> dict[str, str]:
    """Azure's two quota headers (spec 3.1), where the file's first lines say which deployment it is for."""
    key = batch.deployment
    if not dialect.token_headers or key is None:
        return {}
    limits = {deployment.key: deployment.enqueued_token_limit for deployment in context.deployments()}
    return wire.token_headers(dialect, held=await context.ledger.enqueued_tokens(key), limit=limits.get(key))


def checked_metadata(value: dict[str, Any] | None) -> dict[str, str] | None:
    """A checked `metadata`: at most 16 pairs of short strings (spec 3.1; texts as OpenAI writes them, 7.3)."""
    if value is None:
        return None
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


async def find_batch(context: Context, batch_id: str) -> Batch:
    """A batch that the caller may see. Raises NotFound."""
    batch = await context.ledger.batch(batch_id)
    if batch is None:
        raise unknown_batch(batch_id)
    return batch


async def get_batch(request: Request) -> Response:
    """One batch, as it is now."""
    context = context_of(request)
    batch = await find_batch(context, request.path_params["batch_id"])
    regions = await context.ledger.batch_regions(batch.id)
    # Headers, because the object has the vendors' keys and no others.
    headers = {"slackwater-regions": ", ".join(regions)} if regions else {}
    if batch.status is Status.VALIDATING:
        position = await context.ledger.queue_position(batch.id)
        if position is not None:
            headers["slackwater-queue-position"] = str(position)
    if (waiting_on := await context.watch.waiting_on(batch)) is not None:
        headers["slackwater-waiting-on"] = _waiting_on(waiting_on)
    return wire.json_response(wire.batch_object(batch), headers=headers)


def _waiting_on(waiting_on: WaitingOn) -> str:
    """For programs: the state, and what else there is, without words of anybody's."""
    parts = [waiting_on.health.value, f"what={waiting_on.what}"]
    moments = (("since", waiting_on.since), ("until", waiting_on.until))
    return "; ".join([*parts, *(f"{name}={moment}" for name, moment in moments if moment is not None)])


async def list_batches(request: Request) -> Response:
    """A page of batches, newest first, or as `$filter` and `$orderby` say (in every family; spec 3.5)."""
    parameters = request.query_params
    limit = query_integer(request, "limit", default=20, least=1, most=100)
    query = read_query(parameters.getlist(FILTER), parameters.getlist(ORDERBY))
    batches = await context_of(request).ledger.batches(query, after=query_after(request), limit=limit + 1)
    return wire.json_response(wire.batch_list(batches[:limit], has_more=len(batches) > limit))


async def cancel(request: Request) -> Response:
    """Cancels a batch: calls in flight are aborted, finished results are kept. The body is not read (spec 1.5)."""
    batch = await context_of(request).admission.cancel(request.path_params["batch_id"])
    return wire.json_response(wire.batch_object(batch))
