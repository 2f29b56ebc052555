"""Which batch of a deployment goes next: the one with the least left, and every fourth time the oldest.

Who has three lines waits for a few requests and not for the hundred thousand of somebody else; who has a hundred thousand gets
a quarter at least, however many small ones come after it, as soon as it is the oldest. Batches whose completion windows
demand it will have a turn of their own here. A decision is O(log n) in the batches that have something, and O(1) while there
is one.
"""

import heapq
from typing import Generic, TypeVar

T = TypeVar("T")
# Of so many requests, one is the oldest batch's.
OLDEST_EVERY = 4
# Entries that may be out of date before anybody looks.
SPARE = 64


class Place(Generic[T]):
    """A batch in the order. `left` is in tokens, `since` any number that is smaller for those that began before."""

    __slots__ = ("_age_listed", "_left_listed", "left", "number", "of", "ready", "since")

    def __init__(self, of: T, number: int, *, left: float, since: float) -> None:
        """`number` tells apart those that are equal; no two may have the same."""
        self.of = of
        self.number = number
        self.left = left
        self.since = since
        self.ready = False
        # Its entries in the two orders: whether there is one, and what `left` was when it was made.
        self._age_listed = False
        self._left_listed: float | None = None


class BatchOrder(Generic[T]):
    """The order of one deployment."""

    def __init__(self) -> None:
        # Entries of batches that rest stay until they come up; they count again if the batch is ready by then.
        self._by_left: list[tuple[float, int, Place[T]]] = []
        self._by_age: list[tuple[float, int, Place[T]]] = []
        self.only: Place[T] | None = None
        """The one that is ready, while there is only one."""
        self._ready: dict[Place[T], None] = {}
        self._served = 0

    def __len__(self) -> int:
        return len(self._ready)

    def put(self, place: Place[T]) -> None:
        """It has something to send. What it has left may be another number than before."""
        if not place.ready:
            place.ready = True
            self._ready[place] = None
            self.only = place if len(self._ready) == 1 else None
        if not place._age_listed:
            place._age_listed = True
            heapq.heappush(self._by_age, (place.since, place.number, place))
        if place._left_listed is None or place.left != place._left_listed:
            self._list(place)

    def rest(self, place: Place[T]) -> None:
        """It has nothing to send now."""
        if place.ready:
            place.ready = False
            del self._ready[place]
            self.only = next(iter(self._ready)) if len(self._ready) == 1 else None

    def next(self) -> Place[T] | None:
        """Whose turn it is; None where nobody has anything."""
        if self.only is not None or not self._ready:
            return self.only
        return self.oldest() if self._served % OLDEST_EVERY == OLDEST_EVERY - 1 else self.shortest()

    def served(self, place: Place[T], tokens: float) -> None:
        """A request of so many tokens of it has gone out."""
        self._served += 1
        place.left = left = max(0.0, place.left - tokens)
        # Its entry need not be exact to the token; it is put right when half of it is gone.
        if place._left_listed is not None and 2 * left < place._left_listed and self.only is None:
            self._list(place)

    def shortest(self) -> Place[T] | None:
        """The one with the least left."""
        order = self._by_left
        while order:
            left, _, place = order[0]
            if left == place._left_listed:
                if place.ready:
                    return place
                place._left_listed = None
            heapq.heappop(order)
        return None

    def oldest(self) -> Place[T] | None:
        """The one that began first."""
        order = self._by_age
        while order:
            place = order[0][2]
            if place.ready:
                return place
            place._age_listed = False
            heapq.heappop(order)
        return None

    def _list(self, place: Place[T]) -> None:
        place._left_listed = place.left
        heapq.heappush(self._by_left, (place.left, place.number, place))
        self._tidy()

    def _tidy(self) -> None:
        """Forgets entries that never come up because there is always something before them, once they are most."""
        if len(self._by_left) > SPARE + 4 * len(self._ready):
            for _, _, place in self._by_left:
                place._left_listed = place.left if place.ready else None
            self._by_left = [(place.left, place.number, place) for place in self._ready]
            heapq.heapify(self._by_left)
        if len(self._by_age) > SPARE + 4 * len(self._ready):
            for _, _, place in self._by_age:
                place._age_listed = place.ready
            self._by_age = [entry for entry in self._by_age if entry[2].ready]
            heapq.heapify(self._by_age)
