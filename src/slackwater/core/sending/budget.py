"""One budget of bytes for everything of a process that is not on disk, and whose turn it is when it is full.

Small things are only counted. An answer that becomes large has a share: it says what it has read, and hears whether it
may read on. One seat of the budget is kept free for one whole answer. Who finds the rest full takes the seat and goes on
alone, or waits for it, the oldest first. So somebody may always go on, whatever the others do.
"""

import heapq
import weakref
from collections.abc import Callable
from typing import Protocol

# Answers up to here are counted and never held up: most fit into one piece from the network.
SMALL_BYTES = 256 << 10
BUDGET_BYTES = 128 << 20
ANSWER_BYTES_MAX = 64 << 20
# One that has the seat and brings nothing for so long makes room for another, in seconds.
PATIENCE_SECONDS = 5.0


class Share:
    """What one answer holds, from its first bytes until it is on disk or dropped."""

    __slots__ = ("_budget", "_number", "closed", "held", "sealed", "waiting", "wake")

    def __init__(self, budget: "Budget", number: int, wake: Callable[[], None]) -> None:
        self._budget = budget
        self._number = number
        self.wake = wake
        """Told that it may be read on. Whoever goes on with an answer puts its own here."""
        self.held = 0
        self.sealed = self.closed = self.waiting = False

    def grow(self, length: int) -> bool:
        """Counts bytes that are there already. False: read no more of it until `wake` was called."""
        return self._budget._grow(self, length)

    def shrink(self, length: int) -> None:
        """Gives back a part: what was unpacked and is not needed any more."""
        self._budget._shrink(self, length)

    def lengthen(self, length: int) -> None:
        """Counts more, of an answer that nobody can hold up any more."""
        self._budget.take(length)
        self.held += length

    def seal(self) -> None:
        """The answer is whole, and grows no more."""
        self._budget._seal(self)

    def hold(self) -> "Held":
        """What is to be kept as long as the bytes of this share are, by whoever has them."""
        return Held(self)

    def close(self) -> None:
        """Gives everything back. May be repeated."""
        self._budget._close(self)

    def __lt__(self, other: "Share") -> bool:
        return self._number < other._number


class Held:
    """Bytes that stay counted until this is released, at the latest when nobody has it any more. One for each share."""

    __slots__ = ("_share",)

    def __init__(self, share: Share) -> None:
        self._share = share

    @property
    def bytes(self) -> int:
        """How many."""
        return self._share.held

    def grow(self, length: int) -> None:
        """An answer that is whole has become longer by being written in another way. It is counted, and not held up."""
        if not self._share.closed:
            self._share.lengthen(length)

    def release(self) -> None:
        """They are on disk, or dropped. May be repeated."""
        self._share.close()

    def __del__(self) -> None:
        self._share.close()


class Holder(Protocol):
    """Something that holds small things in memory and knows how many bytes they are."""

    @property
    def bytes_held(self) -> int:
        """How many."""
        ...


class Budget:
    """`bytes_max` for all of it, of which one answer of `answer_bytes_max` can always be read."""

    def __init__(
        self,
        bytes_max: int = BUDGET_BYTES,
        *,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
        small_bytes: int = SMALL_BYTES,
    ) -> None:
        self.bytes_max = bytes_max
        self.answer_bytes_max = answer_bytes_max
        self.small_bytes = small_bytes
        # What all but the one in the seat may hold together and still read on.
        self._shared = max(0, bytes_max - answer_bytes_max)
        self._seat: Share | None = None
        # What the seat had when it was looked at last, and since when it has been so.
        self._seen: tuple[Share, int, float] | None = None
        self._waiting: list[Share] = []
        self._number = 0
        self._taken = self._most = 0
        # Asked when it matters: nearly every request holds something small, and hardly any answer has to wait.
        self._holders: weakref.WeakSet[Holder] = weakref.WeakSet()

    def watch(self, holder: Holder) -> None:
        """Counts what a holder has as long as there is one. What it gives back is noticed at the next `look`."""
        self._holders.add(holder)

    @property
    def held(self) -> int:
        """Bytes now."""
        held = self._taken + sum(holder.bytes_held for holder in self._holders)
        self._most = max(self._most, held)
        return held

    @property
    def most(self) -> int:
        """The most there were whenever somebody looked."""
        return max(self._most, self.held)

    @property
    def full(self) -> bool:
        """Whether only one large answer may be read on at the moment."""
        return self._others > self._shared

    @property
    def waiting(self) -> int:
        """How many answers are not read on, because there is no room for them."""
        return sum(share.waiting for share in self._waiting)

    def take(self, length: int) -> None:
        """Counts what is small."""
        self._taken += length
        self._most = max(self._most, self._taken)

    def give_back(self, length: int) -> None:
        """That is on disk, or dropped."""
        self._taken -= length
        assert self._taken >= 0, "more was given back than taken"
        if self._waiting:
            self._pass_on()

    def share(self, wake: Callable[[], None]) -> Share:
        """A share for an answer that begins. `wake` is called when it may be read on after a refusal.

        It is called from within whatever gave bytes back, so it must not come back to the budget at once.
        """
        self._number += 1
        return Share(self, self._number, wake)

    def look(self, now: float) -> None:
        """To be called now and then: an answer that only drips does not keep the seat from those that wait for it.

        Once at most: what it holds may come on top of the budget, and that of a second one may not.
        """
        if self._waiting:
            # Holders may have given something back.
            self._pass_on()
        seat, seen = self._seat, self._seen
        if seat is None or not self._waiting:
            self._seen = None
        elif seen is None or seen[0] is not seat or seen[1] != seat.held:
            self._seen = (seat, seat.held, now)
        elif now - seen[2] >= PATIENCE_SECONDS and self.held <= self.bytes_max and not seat.sealed:
            self._seat = None
            self._pass_on()

    # What shares say

    @property
    def _others(self) -> int:
        """What is held beside the seat."""
        return self.held if self._seat is None else self.held - self._seat.held

    def _grow(self, share: Share, length: int) -> bool:
        assert not share.closed, "a share that was given back does not grow"
        self.take(length)
        share.held += length
        return share.held <= self.small_bytes or self._may_go_on(share) or self._wait(share)

    def _may_go_on(self, share: Share) -> bool:
        return share is self._seat or self._others <= self._shared

    def _wait(self, share: Share) -> bool:
        """Takes the seat if it is free: True. Else puts the share among those who wait."""
        if self._seat is None:
            self._seat = share
            return True
        if not share.waiting:
            share.waiting = True
            heapq.heappush(self._waiting, share)
        return False

    def _shrink(self, share: Share, length: int) -> None:
        share.held -= length
        assert share.held >= 0, "more was given back than taken"
        self.give_back(length)

    def _seal(self, share: Share) -> None:
        share.sealed = True
        share.waiting = False
        if share is self._seat:
            self._pass_on()

    def _close(self, share: Share) -> None:
        if share.closed:
            return
        share.closed = True
        share.waiting = False
        length, share.held = share.held, 0
        if share is self._seat:
            self._seat = None
        self.give_back(length)

    def _pass_on(self) -> None:
        """Gives the seat, and then what room there is, to those who have waited longest."""
        seat = self._seat
        if seat is not None and seat.sealed and self.held <= self._shared:
            # It needs the seat no more: what it holds fits beside another.
            self._seat = None
        if self._seat is None and (first := self._next()) is not None:
            self._seat = first
            first.wake()
        # Each that is woken reads a piece before it is asked again.
        room = self._shared - self._others
        while room >= 0 and (share := self._next()) is not None:
            room -= self.small_bytes
            share.wake()

    def _next(self) -> Share | None:
        """Who has waited longest, and waits no more."""
        while self._waiting:
            share = heapq.heappop(self._waiting)
            if share.waiting:
                share.waiting = False
                return share
        return None
