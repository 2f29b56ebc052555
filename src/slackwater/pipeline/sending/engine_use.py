"""What an engine knows of those who send through it: a use is one backend of one deployment at work (use.py)."""

import asyncio
from enum import Enum
from typing import Protocol

from slackwater.core.sending.door import Door
from slackwater.core.sending.evidence import Evidence
from slackwater.core.sending.rate_limits import Quota
from slackwater.core.sending.request import Reply
from slackwater.core.sending.turns import Seat
from slackwater.pipeline.sending.lease import Item


class SlotClass(Enum):
    """Whose calls a slot carries."""

    BATCH = "batch"


class Use(Protocol):
    """One backend of one deployment, as its engine sees it."""

    door: Door
    cap: int
    """How many calls it may have out, whatever the engine could take."""
    most: int
    """The same where the engine is paced."""
    metered: bool
    """Whether its backend may have a metrics page."""
    in_flight: int
    tenant: str
    """Who pays for its place among others, and by which weight."""
    weight: float
    seat: "Seat[Use] | None"
    """Its place in the engine's order, as long as it is attached. The engine's own."""

    def take(self, now: float) -> Item | None:
        """The next request to go, or None while there is none."""
        ...

    def take_within(self, quota: Quota, now: float) -> Item | None:
        """The same where there are rate limits; None also while they let nothing go."""
        ...

    def take_suspect(self) -> Item | None:
        """The next request that is to go alone."""
        ...

    @property
    def has_work(self) -> bool:
        """Whether anything waits to be sent."""
        ...

    @property
    def has_suspects(self) -> bool:
        """Whether anything waits that is to go alone."""
        ...

    @property
    def name(self) -> str:
        """The backend, for people."""
        ...

    def cost(self, item: Item) -> float:
        """About how many tokens a request will cost."""
        ...

    async def run(self, item: Item, lane: "asyncio.Task[None]", now: float) -> None:
        """Sees a request to the end of its call, which begins now. Raises only CancelledError, where the lane is to end."""
        ...

    def paced(self, *, paced: bool) -> None:
        """Whether the engine is paced, so that more calls may be out where nobody has named a number."""
        ...

    async def metrics(self) -> Reply | None:
        """The metrics page of the engine; None where there is none. Raises BackendError."""
        ...

    async def probe(self) -> tuple[Evidence, bool] | None:
        """Sends a request of our own; what it says, and whether there was an answer. None where there is no such request."""
        ...
