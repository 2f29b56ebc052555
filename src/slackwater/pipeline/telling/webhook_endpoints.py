"""Endpoints of webhooks as users keep them: create, change, change the secret, send a test. After: the deliverer."""

import secrets
import uuid
from collections.abc import Callable
from functools import partial

from slackwater.core.accounts.resource import DEFAULT
from slackwater.core.errors import InvalidRequest, NotFound, SendFailed
from slackwater.core.outside.destinations import off
from slackwater.core.telling.webhooks import (
    SECRET_BYTES,
    Delivery,
    EventType,
    Secret,
    WebhookEndpoint,
    body_of,
    headers_of,
    rotated,
    secret_of,
    updated,
)
from slackwater.ports import Clock, Sender, WebhookLedger
from slackwater.telemetry import event

# Of one resource. Every one of them costs a row for each batch that ends.
ENDPOINTS_MAX = 100
# What a test is about: no batch has such an id.
SAMPLE_BATCH = "batch_test"


def new_endpoint_id() -> str:
    """An id that nobody guesses."""
    return f"whe_{uuid.uuid4().hex}"


class WebhookEndpoints:
    """The endpoints of one resource; those of others are as if they did not exist."""

    def __init__(
        self,
        ledger: WebhookLedger,
        clock: Clock,
        *,
        sender: Sender | None,
        resource: str = DEFAULT,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """Without a `sender`, webhooks are turned off, and so are changes that would promise some."""
        self._ledger = ledger
        self._resource = resource
        self._clock = clock
        self._sender = sender
        self._wake = wake

    def check(self) -> None:
        """Raises Forbidden where webhooks are turned off."""
        if self._sender is None:
            raise off()

    async def get(self, endpoint_id: str) -> WebhookEndpoint:
        """One endpoint. Raises NotFound."""
        endpoint = await self._ledger.webhook_endpoint(endpoint_id, resource=self._resource)
        if endpoint is None:
            raise _unknown(endpoint_id)
        return endpoint

    async def page(self, *, after: str | None, limit: int) -> list[WebhookEndpoint]:
        """The next endpoints, newest first. Raises InvalidRequest for an unknown `after`."""
        return await self._ledger.webhook_endpoints(resource=self._resource, after=after, limit=limit)

    async def deliveries(self, endpoint_id: str, *, after: str | None, limit: int) -> list[Delivery]:
        """The next deliveries to an endpoint, newest first. Raises NotFound, and InvalidRequest for an unknown `after`."""
        await self.get(endpoint_id)
        return await self._ledger.webhook_deliveries(endpoint_id, after=after, limit=limit)

    async def create(self, *, name: str, url: str, event_types: tuple[EventType, ...]) -> WebhookEndpoint:
        """A new endpoint with a new secret. Raises Forbidden, InvalidRequest and QuotaExceeded."""
        host, now = self._host(url), int(self._clock.now())
        endpoint = WebhookEndpoint(
            id=new_endpoint_id(),
            resource=self._resource,
            name=name,
            url=url,
            event_types=event_types,
            secrets=(Secret(text=_new_secret()),),
            created_at=now,
            updated_at=now,
        )
        await self._ledger.add_webhook_endpoint(endpoint, most=ENDPOINTS_MAX)
        event("webhook_endpoint_created", endpoint=endpoint.id, resource=self._resource, host=host)
        return endpoint

    async def update(
        self,
        endpoint_id: str,
        *,
        name: str | None,
        url: str | None,
        event_types: tuple[EventType, ...] | None,
        enabled: bool = True,
    ) -> WebhookEndpoint:
        """The endpoint with what is given; unless it is to be turned off, it is sent to again, and at once.

        Raises Forbidden, InvalidRequest and NotFound.
        """
        self.check()
        if url is not None:
            self._host(url)
        now = self._clock.now()
        change = partial(updated, name=name, url=url, event_types=event_types, enabled=enabled, now=int(now))
        endpoint = await self._ledger.change_webhook_endpoint(
            endpoint_id, resource=self._resource, change=change, hasten_to=now
        )
        if endpoint is None:
            raise _unknown(endpoint_id)
        event("webhook_endpoint_updated", endpoint=endpoint_id, resource=self._resource)
        self._wake()
        return endpoint

    async def rotate(self, endpoint_id: str, *, keep_old: bool) -> WebhookEndpoint:
        """The endpoint with a new secret; with `keep_old`, deliveries are signed with the old one as well for a day."""
        self.check()
        change = partial(rotated, secret=_new_secret(), keep_old=keep_old, now=int(self._clock.now()))
        endpoint = await self._ledger.change_webhook_endpoint(endpoint_id, resource=self._resource, change=change)
        if endpoint is None:
            raise _unknown(endpoint_id)
        event("webhook_secret_rotated", endpoint=endpoint_id, resource=self._resource, keep_old=keep_old)
        return endpoint

    async def delete(self, endpoint_id: str) -> None:
        """Forgets the endpoint and what waits for it. Raises NotFound."""
        if not await self._ledger.delete_webhook_endpoint(endpoint_id, resource=self._resource):
            raise _unknown(endpoint_id)
        event("webhook_endpoint_deleted", endpoint=endpoint_id, resource=self._resource)

    async def test(self, endpoint_id: str, event_type: EventType) -> int:
        """Sends a sample at once, signed as every delivery, and returns the status that was answered.

        It is counted nowhere. Raises Forbidden, NotFound, and InvalidRequest where nothing was answered.
        """
        if self._sender is None:
            raise off()
        endpoint = await self.get(endpoint_id)
        now = int(self._clock.now())
        sample = Delivery(
            id=f"wh_{uuid.uuid4().hex}",
            event_id=f"evt_{uuid.uuid4().hex}",
            endpoint_id=endpoint_id,
            type=event_type,
            batch_id=SAMPLE_BATCH,
            created_at=now,
        )
        body = body_of(sample)
        headers = headers_of(sample.id, body, endpoint.secrets, now=now)
        try:
            status = await self._sender.post(endpoint.url, headers=headers, body=body)
        except SendFailed as failed:
            raise InvalidRequest(f"The endpoint did not answer the test. {failed.message}") from failed
        event("webhook_tested", endpoint=endpoint_id, resource=self._resource, status=status)
        return status

    def _host(self, url: str) -> str:
        if self._sender is None:
            raise off()
        return self._sender.check(url)


def _unknown(endpoint_id: str) -> NotFound:
    """The error for an endpoint that is not there, or not the caller's."""
    return NotFound(f"No such webhook endpoint: {endpoint_id[:80]}", param="id")


def _new_secret() -> str:
    return secret_of(secrets.token_bytes(SECRET_BYTES))
