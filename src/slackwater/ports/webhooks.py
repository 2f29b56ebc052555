"""What the ledger knows of webhooks, and who sends them."""

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from msgspec import Struct

from slackwater.core.telling.webhooks import Delivery, Outcome, WebhookEndpoint


class DueDelivery(Struct, frozen=True, kw_only=True):
    """A delivery that is to be tried now, and where it goes."""

    delivery: Delivery
    endpoint: WebhookEndpoint


class WebhookLedger(Protocol):
    """The part of the ledger that concerns webhooks. What ends a batch writes its deliveries, in the same transaction."""

    async def add_webhook_endpoint(self, endpoint: WebhookEndpoint, *, most: int) -> None:
        """Adds an endpoint. Raises QuotaExceeded where its resource would have more than `most`."""
        ...

    async def webhook_endpoint(self, endpoint_id: str, *, resource: str) -> WebhookEndpoint | None: ...
    async def webhook_endpoints(self, *, resource: str, after: str | None, limit: int) -> list[WebhookEndpoint]:
        """A page of a resource's endpoints, newest first, behind the endpoint `after`. Raises InvalidRequest."""
        ...

    async def change_webhook_endpoint(
        self,
        endpoint_id: str,
        *,
        resource: str,
        change: Callable[[WebhookEndpoint], WebhookEndpoint],
        hasten_to: float | None = None,
    ) -> WebhookEndpoint | None:
        """What the pure function `change` makes of an endpoint, in one transaction; None if it is unknown.

        With `hasten_to`, whatever waits for it is due then.
        """
        ...

    async def delete_webhook_endpoint(self, endpoint_id: str, *, resource: str) -> bool:
        """Forgets an endpoint and its deliveries. False if it is unknown."""
        ...

    async def next_delivery(self, *, now: float, skip: Collection[str] = ()) -> DueDelivery | None:
        """The delivery that has been due longest, to an endpoint that may be sent to now and whose id is not in `skip`.

        What waits for that endpoint is this member's duty from now on, where there are members.
        """
        ...

    async def record_delivery(self, delivery_id: str, outcome: Outcome) -> bool:
        """What a try made of a delivery and of its endpoint, in one transaction.

        False if the delivery is gone, has ended, or this try has been recorded: nothing is changed then.
        """
        ...

    async def webhook_deliveries(self, endpoint_id: str, *, after: str | None, limit: int) -> list[Delivery]:
        """A page of an endpoint's deliveries, newest first, behind the delivery `after`. Raises InvalidRequest."""
        ...

    async def end_overdue_deliveries(self, *, created_by: int, now: int, limit: int) -> int:
        """Ends deliveries of that moment or earlier as dead, unless nothing has been tried since; returns how many."""
        ...

    async def forget_deliveries(self, *, ended_by: int, limit: int) -> int:
        """Forgets deliveries that ended at that moment or earlier; returns how many."""
        ...


class Sender(Protocol):
    """Posts to URLs of a user's choice, within what the operator allows."""

    def check(self, url: str) -> str:
        """The host of a URL, for the log: the URL itself may carry a secret. Raises InvalidRequest."""
        ...

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> int:
        """The status that was answered. Raises SendFailed where nothing was, and what `check` raises."""
        ...
