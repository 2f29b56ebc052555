"""The part of the SQL ledger that knows webhooks: endpoints, and the outbox of deliveries to them.

A delivery is added by `announce`, inside the transaction that ends its batch.
"""

from collections.abc import Callable, Collection
from typing import Any

import msgspec

from slackwater.adapters.sql.base import SqlBase, SqlPart
from slackwater.adapters.sql.db import Db, Row
from slackwater.adapters.sql.duties import Duties
from slackwater.adapters.sql.rows import text_of
from slackwater.core.batch import Status
from slackwater.core.errors import InvalidRequest, QuotaExceeded
from slackwater.core.members import Duty
from slackwater.core.telling.webhooks import (
    TYPE_OF_END,
    Delivery,
    DeliveryState,
    EventType,
    Outcome,
    Secret,
    WebhookEndpoint,
    delivery_id,
    event_id,
)
from slackwater.ports import DueDelivery

LAST = 2**62
_event_types = msgspec.json.Decoder(tuple[EventType, ...])
_secrets = msgspec.json.Decoder(tuple[Secret, ...])


def endpoint_row(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """The columns of an endpoint."""
    lists = {"event_types": text_of(endpoint.event_types), "secrets": text_of(endpoint.secrets)}
    return msgspec.structs.asdict(endpoint) | lists


def endpoint_record(row: Row) -> WebhookEndpoint:
    """The endpoint of a row."""
    values = {name: row[name] for name in WebhookEndpoint.__struct_fields__}
    lists = {"event_types": _event_types.decode(row["event_types"]), "secrets": _secrets.decode(row["secrets"])}
    return WebhookEndpoint(**values | lists)


def delivery_record(row: Row) -> Delivery:
    """The delivery of a row."""
    values = {name: row[name] for name in Delivery.__struct_fields__}
    return Delivery(**values | {"type": EventType(row["type"]), "state": DeliveryState(row["state"])})


class SqlWebhooks(SqlPart):
    """The methods of the port that concern webhooks."""

    def __init__(self, base: SqlBase, duties: Duties) -> None:
        super().__init__(base)
        self._duties = duties

    def announce(self, db: Db, batch_id: str, status: Status, *, now: int) -> None:
        """Part of the transaction that ends a batch: one delivery for each endpoint that wants to hear of it."""
        kind = TYPE_OF_END[status]
        event = event_id(batch_id, kind)
        about = {"event_id": event, "type": kind.value, "batch_id": batch_id, "now": now}
        for row in self._sql.all(db, "webhook_listeners", {"batch_id": batch_id, "type": kind.value}):
            ids = {"id": delivery_id(event, row["id"]), "endpoint_id": row["id"]}
            self._sql.run(db, "add_delivery", about | ids)

    async def add_webhook_endpoint(self, endpoint: WebhookEndpoint, *, most: int) -> None:
        def work(db: Db) -> None:
            if self._sql.number(db, "count_webhook_endpoints", {"resource": endpoint.resource}) >= most:
                raise QuotaExceeded(
                    f"There are {most} webhook endpoints already. Delete one, or let one of them hear of more events."
                )
            self._sql.run(db, "add_webhook_endpoint", endpoint_row(endpoint))

        await self._sql.write(work)

    async def webhook_endpoint(self, endpoint_id: str, *, resource: str) -> WebhookEndpoint | None:
        row = await self._sql.look_one("webhook_endpoint", {"id": endpoint_id, "resource": resource})
        return None if row is None else endpoint_record(row)

    async def webhook_endpoints(self, *, resource: str, after: str | None, limit: int) -> list[WebhookEndpoint]:
        before = await self._cursor("webhook_endpoint_seq", after, {"resource": resource})
        wanted = {"resource": resource, "before": before, "limit": limit}
        return [endpoint_record(row) for row in await self._sql.look_all("webhook_endpoints", wanted)]

    async def _cursor(self, name: str, after: str | None, values: dict[str, Any]) -> int:
        if after is None:
            return LAST
        row = await self._sql.look_one(name, values | {"id": after})
        if row is None:
            raise InvalidRequest(f"after: there is no '{after[:80]}' in this list", param="after")
        number: int = row["seq"]
        return number

    async def change_webhook_endpoint(
        self,
        endpoint_id: str,
        *,
        resource: str,
        change: Callable[[WebhookEndpoint], WebhookEndpoint],
        hasten_to: float | None = None,
    ) -> WebhookEndpoint | None:
        def work(db: Db) -> WebhookEndpoint | None:
            row = self._sql.one(db, "webhook_endpoint", {"id": endpoint_id, "resource": resource})
            if row is None:
                return None
            changed = change(endpoint_record(row))
            self._sql.run(db, "change_webhook_endpoint", endpoint_row(changed))
            if hasten_to is not None:
                self._sql.run(db, "hasten_deliveries", {"id": endpoint_id, "now": hasten_to})
            return changed

        return await self._sql.write(work)

    async def delete_webhook_endpoint(self, endpoint_id: str, *, resource: str) -> bool:
        values = {"id": endpoint_id, "resource": resource}
        return bool(await self._sql.write(lambda db: self._sql.run(db, "delete_webhook_endpoint", values)))

    async def next_delivery(self, *, now: float, skip: Collection[str] = ()) -> DueDelivery | None:
        return await self._duties.next(
            Duty.DELIVER,
            lambda passed: self._next_delivery(now=now, skip=passed),
            lambda found: {"thing": found.endpoint.id, "id": found.delivery.id, "tries": found.delivery.tries},
            skip=skip,
            stands="still_to_deliver",
        )

    async def _next_delivery(self, *, now: float, skip: Collection[str]) -> DueDelivery | None:
        row = await self._sql.look_one("next_delivery", {"now": now, "skip": text_of(sorted(skip))})
        if row is None:
            return None
        endpoint = await self._sql.look_one("endpoint_of_delivery", {"endpoint_id": row["endpoint_id"]})
        # It may have been deleted between the two looks, and its delivery with it.
        return (
            None if endpoint is None else DueDelivery(delivery=delivery_record(row), endpoint=endpoint_record(endpoint))
        )

    async def record_delivery(self, delivery_id: str, outcome: Outcome) -> bool:
        values = msgspec.structs.asdict(outcome) | {"id": delivery_id, "state": outcome.state.value}

        def work(db: Db) -> bool:
            row = self._sql.one(db, "record_delivery", values)
            if row is None:
                return False
            known = values | {"endpoint_id": row["endpoint_id"]}
            delivered = outcome.state is DeliveryState.DELIVERED
            self._sql.run(db, "endpoint_answered" if delivered else "endpoint_failed", known)
            if outcome.gone:
                self._sql.run(db, "end_deliveries", known)
            return True

        return await self._sql.write(work)

    async def webhook_deliveries(self, endpoint_id: str, *, after: str | None, limit: int) -> list[Delivery]:
        before = await self._cursor("webhook_delivery_seq", after, {"endpoint_id": endpoint_id})
        wanted = {"endpoint_id": endpoint_id, "before": before, "limit": limit}
        return [delivery_record(row) for row in await self._sql.look_all("webhook_deliveries", wanted)]

    async def end_overdue_deliveries(self, *, created_by: int, now: int, limit: int) -> int:
        values = {"created_by": created_by, "limit": limit}
        if not await self._sql.database.read(lambda db: self._sql.all(db, "overdue_deliveries", values)):
            return 0

        def work(db: Db) -> int:
            rows = self._sql.all(db, "overdue_deliveries", values)
            for row in rows:
                self._sql.run(db, "end_delivery", {"seq": row["seq"], "now": now})
            return len(rows)

        return await self._sql.write(work)

    async def forget_deliveries(self, *, ended_by: int, limit: int) -> int:
        return await self._sql.write(
            lambda db: self._sql.run(db, "forget_deliveries", {"ended_by": ended_by, "limit": limit})
        )
