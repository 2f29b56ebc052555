"""Whether the service should be given work, and if not, why. A load balancer asks, and an operator reads.

Nothing is tried when somebody asks: stages and stores are watched while they work. Only what has failed is tried again from
time to time, because a service that is left alone would never find out that it is well.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Protocol

from msgspec import Struct

from slackwater.pipeline.loops import Pace
from slackwater.pipeline.wall_clock import BELIEVED, Wall
from slackwater.ports import Room, Writable

# With the back-off of the loops: a stage that has failed for about six seconds.
FAILING_AFTER = 5
# How often what has failed is tried again, and free space is looked at.
LOOK_SECONDS = 5.0
# The store of that word may be a database, of which a watch says that it is away.
LEDGER = "ledger"


class Unready(Struct, frozen=True):
    """One reason. Anybody can read it, so it has no names of users, files or paths."""

    code: str
    message: str


CLOCK_JUMPED = (
    "The clock of the machine has jumped by more than an hour; nothing expires or is deleted until it is back, or confirmed with "
    "'slackwater confirm-clock'."
)
STARTING = Unready("starting", "The service is starting: it opens its ledger and takes up what was open.")
STOPPING = Unready("stopping", "The service is stopping. It finishes what is in flight and takes no new work.")


class Watched(Protocol):
    """What must run, as far as is watched here."""

    @property
    def name(self) -> str:
        """The stage."""
        ...

    @property
    def of(self) -> str:
        """The deployment that it works for, where it works for one."""
        ...

    @property
    def failures(self) -> int:
        """Steps in a row that went wrong."""
        ...

    @property
    def stuck(self) -> bool:
        """Whether a step does not come back."""
        ...


def _named(loop: Watched) -> str:
    return f"'{loop.name}' of the deployment '{loop.of}'" if loop.of else f"'{loop.name}'"


class Phase(Enum):
    """Where the service is on its way."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class Readiness:
    """Watches a service."""

    def __init__(
        self,
        *,
        stores: Mapping[str, Writable],
        room: Room,
        free_bytes_min: int,
        damaged: Callable[[], bool] = lambda: False,
    ) -> None:
        """`stores` by the word that a reason has for them. 0 free bytes at least: nobody looks. `damaged`: the ledger is."""
        self._damaged = damaged
        self._stores = stores
        self._room = room
        self._free_bytes_min = free_bytes_min
        self._short_of_room = False
        self._clock = BELIEVED
        self._ledger_away: Callable[[], bool] = lambda: False
        self._loops: Callable[[], Sequence[Watched]] = lambda: ()
        self._phase = Phase.STARTING

    def started(
        self,
        loops: Callable[[], Sequence[Watched]],
        *,
        clock: Wall = BELIEVED,
        ledger_away: Callable[[], bool] = lambda: False,
    ) -> None:
        """Everything runs; these are its stages, those of every deployment included, and who watches the clock.

        `ledger_away`: whether the log has said that its database cannot be used, and not yet that it is back.
        """
        self._ledger_away = ledger_away
        self._loops = loops
        self._clock = clock
        self._phase = Phase.RUNNING

    def stopping(self) -> None:
        """From now on nothing new is begun."""
        self._phase = Phase.STOPPING

    def reasons(self) -> list[Unready]:
        """Why the service is not ready; empty while it is."""
        if self._phase is Phase.STARTING:
            return [STARTING]
        found = [STOPPING] if self._phase is Phase.STOPPING else []
        found += [
            Unready(
                f"{word}_not_writable", f"Nothing can be written to the {word}; see the log of the service for why."
            )
            for word, store in self._stores.items()
            if self._refuses(word, store)
        ]
        if self._damaged():
            found.append(Unready("ledger_damaged", "The ledger is damaged; stop the service and restore a back-up."))
        if not self._clock.trusted():
            found.append(Unready("clock_jumped", CLOCK_JUMPED))
        if self._short_of_room:
            needed = f"{self._free_bytes_min:,} bytes"
            found.append(Unready("disk_space_low", f"The disk with the data has less than {needed} free; make room."))
        found += [
            Unready("stage_failing", f"The stage {_named(loop)} fails again and again; see the log of the service.")
            for loop in self._loops()
            if loop.failures >= FAILING_AFTER
        ]
        found += [
            Unready("stage_stuck", f"A step of the stage {_named(loop)} does not come back; look at the disk.")
            for loop in self._loops()
            if loop.stuck
        ]
        return found

    async def step(self) -> Pace:
        """Tries again what has failed, and looks at the room."""
        for word, store in self._stores.items():
            if self._refuses(word, store):
                # What it raises is in the log already, from the write that failed first.
                with contextlib.suppress(Exception):
                    await store.try_write()
        if self._free_bytes_min:
            self._short_of_room = await self._room.free_bytes() < self._free_bytes_min
        return Pace.IDLE

    def _refuses(self, word: str, store: Writable) -> bool:
        return store.refuses_writes or (word == LEDGER and self._ledger_away())

    async def first_look(self) -> None:
        """Looks once before the service says that it is ready. What goes wrong does so again in the loop, and is told there."""
        with contextlib.suppress(OSError):
            await self.step()
