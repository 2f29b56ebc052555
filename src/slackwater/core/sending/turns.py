"""Whose turn it is at an engine: tenants share it by their weights, whatever each of them has waiting.

Weighted fair queueing by tokens: each tenant has a virtual time, the tokens that it was served divided by its weight, and the
least of them goes next. Who was idle comes back at the time of who is served now: an absence is no credit. That is what
deficit round robin gives, too, but without rounds: a request of 100,000 tokens costs one step and not the many rounds until a
deficit has grown to it. A decision is O(log n) in the tenants that have something to send, and O(1) while there is one.

A tenant sits in several *seats*, one for each of its deployments that use the engine; those take turns.
"""

import heapq
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")
# Beyond these, one request of a tenant would be its last for a long time, or nobody else's turn would ever come.
WEIGHT_MIN, WEIGHT_MAX = 0.01, 100.0


class Seat(Generic[T]):
    """A place from which a tenant sends: `of` is what it stands for."""

    __slots__ = ("of", "ready", "tenant")

    def __init__(self, tenant: "Tenant[T]", of: T) -> None:
        self.tenant = tenant
        self.of = of
        self.ready = False
        """Whether it may have something to send."""


class Tenant(Generic[T]):
    """One of those who share the engine. `time` is virtual: tokens over weight."""

    __slots__ = ("credit", "listed", "name", "number", "seats", "time", "weight")

    def __init__(self, name: str, number: int, weight: float, time: float) -> None:
        self.name = name
        self.number = number
        self.weight = weight
        self.time = time
        self.credit = 0.0
        # Seats that are ready, in the order of their turns.
        self.seats: deque[Seat[T]] = deque()
        self.listed = False


class Turns(Generic[T]):
    """The order at one engine."""

    def __init__(self) -> None:
        self._tenants: dict[str, Tenant[T]] = {}
        # Who has ready seats, by virtual time; an entry may be behind its tenant's time, and is put right when it comes up.
        self._order: list[tuple[float, int, Tenant[T]]] = []
        self._only: Tenant[T] | None = None
        self.alone: Seat[T] | None = None
        """The seat that is ready, while there is only one: whoever asks then need not ask, and has nothing to tell."""
        self._active = 0
        # The virtual time of who was served last.
        self._now = 0.0
        self._number = 0

    def __bool__(self) -> bool:
        """Whether anybody may have something to send."""
        return self._active > 0

    @property
    def shared(self) -> bool:
        """Whether several tenants have something to send: only then it matters what each of them costs."""
        return self._active > 1

    def seat(self, of: T, tenant: str, *, weight: float = 1.0) -> Seat[T]:
        """A place for a tenant, which has nothing to send yet. The weight is the tenant's from now on."""
        known = self._tenants.get(tenant)
        if known is None:
            self._number += 1
            known = self._tenants[tenant] = Tenant(tenant, self._number, 1.0, self._now)
        known.weight = min(max(weight, WEIGHT_MIN), WEIGHT_MAX)
        return Seat(known, of)

    def ready(self, seat: Seat[T]) -> None:
        """It may have something to send."""
        if seat.ready:
            return
        seat.ready = True
        tenant = seat.tenant
        tenant.seats.append(seat)
        self.alone = None
        if len(tenant.seats) > 1:
            return
        self._active += 1
        if tenant.time < self._now:
            tenant.time, tenant.credit = self._now, 0.0
        if not tenant.listed:
            tenant.listed = True
            heapq.heappush(self._order, (tenant.time, tenant.number, tenant))
        self._only = tenant if self._active == 1 else None
        if self._only is not None:
            self.alone = seat

    def rest(self, seat: Seat[T]) -> None:
        """It has nothing to send now."""
        if not seat.ready:
            return
        seat.ready = False
        tenant = seat.tenant
        if tenant.seats[0] is seat:
            tenant.seats.popleft()
        else:
            tenant.seats.remove(seat)
        if not tenant.seats:
            self._active -= 1
            # Who is left alone is found at the top of the order.
            self._only = self._first() if self._active == 1 else None
        only = self._only
        self.alone = only.seats[0] if only is not None and len(only.seats) == 1 else None

    def next(self) -> Seat[T] | None:
        """Whose turn it is; None where nobody has anything."""
        tenant = self._only or self._first()
        return None if tenant is None else tenant.seats[0]

    def _first(self) -> Tenant[T] | None:
        order = self._order
        while order:
            time, number, tenant = order[0]
            if not tenant.seats:
                heapq.heappop(order)
                tenant.listed = False
            elif time < tenant.time:
                heapq.heapreplace(order, (tenant.time, number, tenant))
            else:
                return tenant
        return None

    def took(self, seat: Seat[T], tokens: float) -> None:
        """It has sent a request of about so many tokens."""
        tenant = seat.tenant
        if tenant.time > self._now:
            self._now = tenant.time
        if tenant.credit:
            back = min(tenant.credit, tokens)
            tenant.credit -= back
            tokens -= back
        tenant.time += tokens / tenant.weight
        if len(tenant.seats) > 1 and tenant.seats[0] is seat:
            tenant.seats.rotate(-1)

    def spent(self, seat: Seat[T], tokens: float) -> None:
        """A request has cost so many tokens more than was thought, or, below 0, less."""
        tenant = seat.tenant
        if tokens > 0:
            tenant.time += tokens / tenant.weight
        else:
            # Time goes forward only; what was taken too much is given back with the next requests.
            tenant.credit -= tokens
