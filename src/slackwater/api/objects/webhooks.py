"""Who wants to hear of the ends of batches, and what was sent to them."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from slackwater.api.objects.times import Moment

WebhookEvent = Literal["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"]


class NewWebhookEndpoint(Struct, frozen=True, kw_only=True):
    """An endpoint that is to hear how batches end (spec 10)."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    url: str
    """Where events are posted to; https."""
    event_types: list[WebhookEvent]
    """What it is to hear of."""


class ChangedWebhookEndpoint(Struct, frozen=True, kw_only=True):
    """What is to be different; the rest stays. An endpoint that was disabled or left alone is sent to again."""

    name: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    url: str | None = None
    event_types: list[WebhookEvent] | None = None
    """All that it is to hear of from now on."""
    enabled: bool = True
    """False turns it off: nothing is sent to it, and it never hears of what happens meanwhile (an extension)."""


class RotateWebhookSecret(Struct, frozen=True, kw_only=True):
    """How a secret is changed."""

    keep_old_secret_active_for_24_hours: bool = False
    """Deliveries are signed with both for a day, so that receivers can change over."""


class TestWebhookEndpoint(Struct, frozen=True, kw_only=True):
    """Which event to send a sample of."""

    event_type: WebhookEvent


class WebhookEndpointObject(Struct, frozen=True, kw_only=True):
    """An endpoint, and how it is doing."""

    id: str
    object: Literal["webhook_endpoint", "webhook.endpoint"]
    """The second one in Azure v1."""
    name: str
    url: str
    event_types: list[WebhookEvent]
    created_at: Moment
    updated_at: Moment
    """When its settings or its secret were changed last."""
    signing_secret: str | UnsetType = UNSET
    """What deliveries are signed with; only in the answers of create and rotate_secret."""
    signing_secret_hint: str
    """Its end, to know it by."""
    status: Literal["active", "failing", "disabled"]
    """`failing`: the last try failed. `disabled`: it answered 410 or was turned off; nothing is sent until it is changed."""
    last_success_at: Moment | None
    last_failure_at: Moment | None
    last_failure: str | None
    """Why the last try that failed did."""


class WebhookEndpointList(Struct, frozen=True, kw_only=True):
    """A page of endpoints. The next one is asked for with `after=last_id`."""

    object: Literal["list"] = "list"
    data: list[WebhookEndpointObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class WebhookEndpointDeleted(Struct, frozen=True, kw_only=True):
    """An endpoint is gone."""

    id: str
    object: str
    """`webhook_endpoint.deleted`; in Azure v1 `webhook.endpoint.deleted`."""
    deleted: bool


class WebhookEndpointTested(Struct, frozen=True, kw_only=True):
    """What an endpoint answered to a test."""

    object: str
    """`webhook_endpoint.test`; in Azure v1 `webhook.endpoint.test`."""
    event_type: WebhookEvent
    status_code: int
    success: bool
    """Whether there was an answer; it always is true here."""
    webhook_endpoint_id: str


class WebhookEventTypes(Struct, frozen=True, kw_only=True):
    """All that there is to hear of."""

    object: Literal["list"] = "list"
    data: list[WebhookEvent]


class WebhookDeliveryObject(Struct, frozen=True, kw_only=True):
    """One event on its way to one endpoint."""

    id: str
    """What the receiver sees as `webhook-id`."""
    object: str
    """`webhook_endpoint.delivery`; in Azure v1 `webhook.endpoint.delivery`."""
    event_id: str
    event_type: WebhookEvent
    batch_id: str
    created_at: Moment
    state: Literal["pending", "delivered", "dead"]
    """`dead`: given up, after 72 hours or because the endpoint answered 410."""
    tries: int
    last_status_code: int | None
    """What was answered to the last try; null where nothing was."""
    last_failure: str | None
    next_try_at: Moment | None
    ended_at: Moment | None


class WebhookDeliveryList(Struct, frozen=True, kw_only=True):
    """A page of deliveries. The next one is asked for with `after=last_id`."""

    object: Literal["list"] = "list"
    data: list[WebhookDeliveryObject]
    first_id: str | None
    last_id: str | None
    has_more: bool
