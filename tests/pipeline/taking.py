"""A backend that takes from a feed in a test: at which door it stands, and what else is going on at its engine."""

from collections.abc import Callable

from slackwater.core.sending.circuit import Circuit
from slackwater.core.sending.door import Door
from slackwater.pipeline.sending.feed import Feed, Item


class Taking:
    """One look into the feed (a Taker)."""

    def __init__(self, door: Door, slots: int, others: Callable[[Circuit], bool], elsewhere: bool) -> None:
        self.door = door
        self.open_elsewhere = elsewhere
        self._slots = slots
        self._others = others

    def admits(self, circuit: Circuit, now: float, *, rivals: bool) -> bool:
        return circuit.admits(now, slots=self._slots, others=self._others(circuit), rivals=rivals)


def take(
    feed: Feed,
    door: Door | None = None,
    *,
    slots: int = 1,
    others: Callable[[Circuit], bool] = lambda circuit: False,
    elsewhere: bool = False,
) -> Item | None:
    """What a backend of an engine with so many slots takes now."""
    door = door or Door(slots=slots)
    return feed.take(Taking(door, slots, others, elsewhere), feed._clock.monotonic())
