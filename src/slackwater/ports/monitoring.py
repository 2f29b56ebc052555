"""What the ledger knows that an operator watches: sums over batches and deliveries, not the things themselves."""

from typing import Protocol

from msgspec import Struct

from slackwater.ports.health import Away


class OpenReading(Struct, frozen=True, kw_only=True):
    """The batches of one deployment that are in one status and have not ended."""

    deployment: str
    """Empty where that is not known before validation."""
    status: str
    batches: int
    enqueued_tokens: int
    unbegun_since: int | None
    """When the oldest one was created that has no result yet and is to get some."""
    overdue: int
    """How many have not ended inside their completion window."""


class PausesReading(Struct, frozen=True, kw_only=True):
    """What operators have paused, of one kind."""

    what: str
    pauses: int
    since: int
    """When the oldest one began."""


class Readings(Struct, frozen=True, kw_only=True):
    """Everything at one moment."""

    open: list[OpenReading]
    ended: dict[str, int]
    """How many batches have ended, by their last status."""
    webhooks_pending: int = 0
    webhook_pending_since: int | None = None
    """When the oldest delivery was made that is still to be sent."""
    paused: list[PausesReading] = []


class MonitoredLedger(Protocol):
    """Tells what there is to watch, without holding up whoever works."""

    @property
    def away(self) -> Away | None:
        """That its database cannot be used."""
        ...

    async def readings(self, *, now: int) -> Readings:
        """The sums as they are now. Their cost grows with the batches that have not ended, and little with the others."""
        ...
