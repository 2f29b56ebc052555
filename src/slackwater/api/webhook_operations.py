"""The operations of webhooks. The vendors have them at two places; both places are served in both families."""

from collections.abc import Iterator

from slackwater.api import objects, webhooks
from slackwater.api.dialects import AZURE_V1, OPENAI
from slackwater.api.operation import AFTER, Operation, limit

NOT_DATED = (AZURE_V1.name, OPENAI.name)
PAGES = (limit(20, webhooks.LIST_MAX), AFTER)


def _operations(place: str, names: str) -> Iterator[Operation]:
    """Every operation below `place`; `names` comes into the operations' names, each of which there is once."""
    tag, families = "Webhooks", NOT_DATED
    endpoints = f"{place}/webhook_endpoints"
    one = endpoints + "/{webhook_endpoint_id}"
    yield Operation(
        method="POST",
        path=endpoints,
        handler=webhooks.create,
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
        handler=webhooks.list_endpoints,
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
        handler=webhooks.get_endpoint,
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
        handler=webhooks.update,
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
        handler=webhooks.delete,
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
        handler=webhooks.rotate_secret,
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
        handler=webhooks.test,
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
        handler=webhooks.deliveries,
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
        handler=webhooks.event_types,
        name=f"list_{names}webhook_event_types",
        tag=tag,
        summary="List the events that webhooks can hear of",
        answer=objects.WebhookEventTypes,
        families=families,
    )


WEBHOOK_OPERATIONS = (*_operations("", ""), *_operations("/dashboard", "dashboard_"))
