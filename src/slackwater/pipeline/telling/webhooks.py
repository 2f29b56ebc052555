"""Sends what endpoints are to hear of batches. Before: whatever ended the batch and wrote the deliveries with its end.

A try is sent first and recorded then. A crash between the two sends it again with the same id, by which a receiver knows
it: at least once, and never lost. Several steps may run at once, each for an endpoint of its own, and an endpoint that
fails is left alone for a while, so that a slow or dead one holds up its own deliveries only.
"""

import logging
import random
from collections.abc import Callable
from typing import Any, Protocol

from slackwater.core.errors import SendFailed, UserError
from slackwater.core.members import Duty
from slackwater.core.telling.webhooks import GIVE_UP_SECONDS, DeliveryState, body_of, headers_of, judge
from slackwater.pipeline.loops import Pace
from slackwater.pipeline.wall_clock import BELIEVED, Wall
from slackwater.ports import Clock, DueDelivery, MemberLedger, Sender, WebhookLedger
from slackwater.telemetry import event

# Ended deliveries are kept so long, for people who look for what became of one.
KEPT_SECONDS = 7 * 86_400
# The last try is right at the end of 72 hours; this is what a busy service may be late by.
LATE_SECONDS = 600
FAULT = "The delivery failed because of a fault in the batch service."


class DeliveryLedger(WebhookLedger, MemberLedger, Protocol):
    """What the ledger knows of deliveries, and whose duty they are."""


class Deliverer:
    """Delivers one event to one endpoint per step."""

    def __init__(
        self,
        ledger: DeliveryLedger,
        clock: Clock,
        *,
        sender: Sender | None,
        chance: Callable[[], float] = random.random,
        wall: Wall = BELIEVED,
        another: Callable[[], None] = lambda: None,
    ) -> None:
        """`another` hints that there may be a second one to deliver while the first is on its way.

        Without a `sender`, webhooks are turned off: what waits goes on waiting, until its 72 hours are over.
        """
        self._ledger = ledger
        self._clock = clock
        self._sender = sender
        self._chance = chance
        self._wall = wall
        self._another = another
        self._running: set[str] = set()

    async def step(self) -> Pace:
        """Tries the delivery that has been due longest, to an endpoint that no other step is sending to."""
        if self._sender is None or not self._wall.trusted():
            # A wrong time would be in the signature, too, and receivers refuse that.
            return Pace.IDLE
        due = await self._ledger.next_delivery(now=self._clock.now(), skip=self._running)
        if due is None:
            return Pace.IDLE
        endpoint_id = due.endpoint.id
        if endpoint_id in self._running:
            # Another step took it while the ledger was asked; the next look passes over it.
            return Pace.BUSY
        self._running.add(endpoint_id)
        self._another()
        try:
            await self._deliver(self._sender, due)
        finally:
            await self._ledger.end_duty(Duty.DELIVER, endpoint_id)
            self._running.discard(endpoint_id)
        return Pace.BUSY

    async def _deliver(self, sender: Sender, due: DueDelivery) -> None:
        delivery, endpoint = due.delivery, due.endpoint
        body = body_of(delivery)
        headers = headers_of(delivery.id, body, endpoint.secrets, now=int(self._clock.now()))
        status: int | None = None
        failure: str | None = None
        try:
            status = await sender.post(endpoint.url, headers=headers, body=body)
        except (SendFailed, UserError) as error:
            failure = error.message
        except Exception as error:
            event("webhook_fault", level=logging.ERROR, delivery=delivery.id, error=repr(error))
            failure = FAULT
        outcome = judge(
            delivery,
            failures=endpoint.failures,
            status=status,
            failure=failure,
            now=self._clock.now(),
            chance=self._chance(),
        )
        if not await self._ledger.record_delivery(delivery.id, outcome):
            # Its endpoint was deleted meanwhile.
            return
        words: dict[str, Any] = {
            "delivery": delivery.id,
            "endpoint": endpoint.id,
            "batch": delivery.batch_id,
            "type": delivery.type.value,
        }
        if outcome.state is DeliveryState.DELIVERED:
            event("webhook_delivered", **words, time=outcome.tries, status=status)
            return
        name = "webhook_dead" if outcome.state is DeliveryState.DEAD else "webhook_failed"
        event(name, level=logging.WARNING, **words, time=outcome.tries, reason=outcome.failure)
        if outcome.gone:
            event("webhook_endpoint_disabled", level=logging.WARNING, endpoint=endpoint.id)

    async def tidy(self) -> Pace:
        """One round of housekeeping: what could not be delivered in its time is dead, and what ended long ago goes."""
        if not self._wall.trusted():
            return Pace.IDLE
        now = int(self._clock.now())
        overdue = await self._ledger.end_overdue_deliveries(
            created_by=now - GIVE_UP_SECONDS - LATE_SECONDS, now=now, limit=1_000
        )
        if overdue:
            event("webhooks_overdue", level=logging.WARNING, deliveries=overdue)
        forgotten = await self._ledger.forget_deliveries(ended_by=now - KEPT_SECONDS, limit=1_000)
        return Pace.BUSY if overdue or forgotten else Pace.IDLE
