"""Endpoints of webhooks (spec 10), and what became of the deliveries to them."""

import math
from collections.abc import Iterator

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import objects, wire
from slackwater.api.bodies import read_body
from slackwater.api.context import context_of, dialect_of, query_after, query_integer
from slackwater.api.dialects import AZURE_V1, OPENAI, Dialect
from slackwater.api.operation import AFTER, Operation, limit
from slackwater.core.errors import InvalidRequest
from slackwater.core.telling.webhooks import Delivery, DeliveryState, EventType, WebhookEndpoint

LIST_MAX = 100


async def create(request: Request) -> Response:
    """Adds an endpoint. Its secret is in this answer, and in no later one."""
    webhooks = context_of(request).webhooks
    # Said first: where webhooks are off, no body can be right.
    webhooks.check()
    body = await read_body(request, objects.NewWebhookEndpoint)
    endpoint = await webhooks.create(name=body.name, url=body.url, event_types=_event_types(body.event_types))
    return wire.json_response(_endpoint_object(endpoint, dialect_of(request), with_secret=True))


async def list_endpoints(request: Request) -> Response:
    """A page of endpoints, newest first."""
    limit = query_integer(request, "limit", default=20, least=1, most=LIST_MAX)
    found = await context_of(request).webhooks.page(after=query_after(request), limit=limit + 1)
    data = [_endpoint_object(endpoint, dialect_of(request)) for endpoint in found[:limit]]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    page = objects.WebhookEndpointList(data=data, first_id=first, last_id=last, has_more=len(found) > limit)
    return wire.json_response(page)


async def get_endpoint(request: Request) -> Response:
    """One endpoint."""
    endpoint = await context_of(request).webhooks.get(request.path_params["webhook_endpoint_id"])
    return wire.json_response(_endpoint_object(endpoint, dialect_of(request)))


async def update(request: Request) -> Response:
    """Changes what is given."""
    webhooks = context_of(request).webhooks
    webhooks.check()
    body = await read_body(request, objects.ChangedWebhookEndpoint)
    endpoint = await webhooks.update(
        request.path_params["webhook_endpoint_id"],
        name=body.name,
        url=body.url,
        event_types=None if body.event_types is None else _event_types(body.event_types),
        enabled=body.enabled,
    )
    return wire.json_response(_endpoint_object(endpoint, dialect_of(request)))


async def delete(request: Request) -> Response:
    """Forgets an endpoint, and what waits for it."""
    endpoint_id = request.path_params["webhook_endpoint_id"]
    await context_of(request).webhooks.delete(endpoint_id)
    name = f"{dialect_of(request).webhook_object}.deleted"
    return wire.json_response(objects.WebhookEndpointDeleted(id=endpoint_id, object=name, deleted=True))


async def rotate_secret(request: Request) -> Response:
    """Gives an endpoint a new secret; without a body, the old one ends at once."""
    webhooks = context_of(request).webhooks
    webhooks.check()
    body = await read_body(request, objects.RotateWebhookSecret, optional=True)
    endpoint = await webhooks.rotate(
        request.path_params["webhook_endpoint_id"], keep_old=body.keep_old_secret_active_for_24_hours
    )
    return wire.json_response(_endpoint_object(endpoint, dialect_of(request), with_secret=True))


async def test(request: Request) -> Response:
    """Sends a sample at once, and says what the endpoint answered."""
    webhooks = context_of(request).webhooks
    webhooks.check()
    body = await read_body(request, objects.TestWebhookEndpoint)
    endpoint_id = request.path_params["webhook_endpoint_id"]
    status = await webhooks.test(endpoint_id, EventType(body.event_type))
    tested = objects.WebhookEndpointTested(
        object=f"{dialect_of(request).webhook_object}.test",
        event_type=body.event_type,
        status_code=status,
        success=True,
        webhook_endpoint_id=endpoint_id,
    )
    return wire.json_response(tested)


async def deliveries(request: Request) -> Response:
    """A page of what was sent to an endpoint, or is to be, newest first (an extension of ours)."""
    limit = query_integer(request, "limit", default=20, least=1, most=LIST_MAX)
    endpoint_id = request.path_params["webhook_endpoint_id"]
    after = query_after(request)
    found = await context_of(request).webhooks.deliveries(endpoint_id, after=after, limit=limit + 1)
    data = [_delivery_object(delivery, dialect_of(request)) for delivery in found[:limit]]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    page = objects.WebhookDeliveryList(data=data, first_id=first, last_id=last, has_more=len(found) > limit)
    return wire.json_response(page)


async def event_types(request: Request) -> Response:
    """All that there is to hear of."""
    return wire.json_response(objects.WebhookEventTypes(data=[kind.value for kind in EventType]))


def _event_types(given: list[objects.WebhookEvent]) -> tuple[EventType, ...]:
    if not given:
        raise InvalidRequest("'event_types' is empty: name at least one event.", param="event_types")
    return tuple(dict.fromkeys(EventType(name) for name in given))


def _endpoint_object(
    endpoint: WebhookEndpoint, dialect: Dialect, *, with_secret: bool = False
) -> objects.WebhookEndpointObject:
    shown = objects.WebhookEndpointObject(
        id=endpoint.id,
        object=dialect.webhook_object,
        name=endpoint.name,
        url=endpoint.url,
        event_types=[kind.value for kind in endpoint.event_types],
        created_at=endpoint.created_at,
        updated_at=endpoint.updated_at,
        signing_secret_hint=endpoint.hint,
        status=endpoint.state,
        last_success_at=endpoint.last_success_at,
        last_failure_at=endpoint.last_failure_at,
        last_failure=endpoint.last_failure,
    )
    if with_secret:
        return msgspec.structs.replace(shown, signing_secret=endpoint.secrets[0].text)
    return shown


def _delivery_object(delivery: Delivery, dialect: Dialect) -> objects.WebhookDeliveryObject:
    return objects.WebhookDeliveryObject(
        id=delivery.id,
        object=f"{dialect.webhook_object}.delivery",
        event_id=delivery.event_id,
        event_type=delivery.type.value,
        batch_id=delivery.batch_id,
        created_at=delivery.created_at,
        state=delivery.state.value,
        tries=delivery.tries,
        last_status_code=delivery.last_status,
        last_failure=delivery.last_failure,
        next_try_at=math.ceil(delivery.due_at) if delivery.state is DeliveryState.PENDING else None,
        ended_at=delivery.ended_at,
    )


NOT_DATED = (AZURE_V1.name, OPENAI.name)
PAGES = (limit(20, LIST_MAX), AFTER)


def _operations(place: str, names: str) -> Iterator[Operation]:
    """Every operation below `place`; `names` comes into the operations' names, each of which there is once."""
    tag, families = "Webhooks", NOT_DATED
    endpoints = f"{place}/webhook_endpoints"
    one = endpoints + "/{webhook_endpoint_id}"
    yield Operation(
        method="POST",
        path=endpoints,
        handler=create,
        name=f"create_{names}webhook_endpoint",
        tag=tag,
        summary="Add an endpoint that hears how batches end",
        body=objects.NewWebhookEndpoint,
        answer=objects.WebhookEndpointObject,
        errors=(400, 403, 413),
        families=families,
    )
    yield Operation(
        method="GET",
        path=endpoints,
        handler=list_endpoints,
        name=f"list_{names}webhook_endpoints",
        tag=tag,
        summary="List webhook endpoints, newest first",
        parameters=PAGES,
        answer=objects.WebhookEndpointList,
        errors=(400,),
        families=families,
    )
    yield Operation(
        method="GET",
        path=one,
        handler=get_endpoint,
        name=f"get_{names}webhook_endpoint",
        tag=tag,
        summary="Get a webhook endpoint",
        answer=objects.WebhookEndpointObject,
        errors=(404,),
        families=families,
    )
    yield Operation(
        method="POST",
        path=one,
        handler=update,
        name=f"update_{names}webhook_endpoint",
        tag=tag,
        summary="Change a webhook endpoint",
        body=objects.ChangedWebhookEndpoint,
        answer=objects.WebhookEndpointObject,
        errors=(400, 403, 404, 413),
        families=families,
    )
    yield Operation(
        method="DELETE",
        path=one,
        handler=delete,
        name=f"delete_{names}webhook_endpoint",
        tag=tag,
        summary="Delete a webhook endpoint, and what waits for it",
        answer=objects.WebhookEndpointDeleted,
        errors=(404,),
        families=families,
    )
    yield Operation(
        method="POST",
        path=f"{one}/rotate_secret",
        handler=rotate_secret,
        name=f"rotate_{names}webhook_secret",
        tag=tag,
        summary="Change the secret that deliveries are signed with",
        body=objects.RotateWebhookSecret,
        body_optional=True,
        answer=objects.WebhookEndpointObject,
        errors=(400, 403, 404, 413),
        families=families,
    )
    yield Operation(
        method="POST",
        path=f"{one}/test",
        handler=test,
        name=f"test_{names}webhook_endpoint",
        tag=tag,
        summary="Send a sample at once, and say what was answered",
        body=objects.TestWebhookEndpoint,
        answer=objects.WebhookEndpointTested,
        errors=(400, 403, 404, 413),
        families=families,
    )
    yield Operation(
        method="GET",
        path=f"{one}/deliveries",
        handler=deliveries,
        name=f"list_{names}webhook_deliveries",
        tag="Extensions",
        summary="List what was sent to a webhook endpoint, or is to be, newest first",
        parameters=PAGES,
        answer=objects.WebhookDeliveryList,
        errors=(400, 404),
        families=families,
    )
    yield Operation(
        method="GET",
        path=f"{place}/webhook_event_types",
        handler=event_types,
        name=f"list_{names}webhook_event_types",
        tag=tag,
        summary="List the events that webhooks can hear of",
        answer=objects.WebhookEventTypes,
        families=families,
    )


WEBHOOK_OPERATIONS = (*_operations("", ""), *_operations("/dashboard", "dashboard_"))
