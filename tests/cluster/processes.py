"""Processes in virtual time: each has an event loop of its own, which a world turns, or does not while the process stands.

So timers, answers and sockets of a process that is stopped wait for it, as the kernel's do, and one that is killed never runs
again. Only the time is ours.
"""

import asyncio
import heapq
import itertools
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

TURNS_MAX = 5_000


class _Nothing(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Nothing ever comes from outside."""

    def select(self, timeout: float | None = None) -> list[Any]:
        return []


class ProcessLoop(asyncio.SelectorEventLoop):
    """The event loop of one process."""

    def __init__(self, world: "Processes") -> None:
        self._world = world
        super().__init__(_Nothing())
        # A number that is the same in every run, and not the clock's grain.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._world.time

    @property
    def next_at(self) -> float:
        """When there is something to do."""
        if self._ready:  # type: ignore[attr-defined]
            return self._world.time
        waiting = self._scheduled  # type: ignore[attr-defined]
        while waiting and waiting[0].cancelled():
            heapq.heappop(waiting)._scheduled = False
            self._timer_cancelled_count -= 1  # type: ignore[attr-defined]
        return float(waiting[0].when()) if waiting else float("inf")

    def turn(self) -> None:
        """One turn of it."""
        asyncio._set_running_loop(self)
        try:
            self._run_once()  # type: ignore[attr-defined]
        finally:
            asyncio._set_running_loop(None)


class Process:
    """A process: it runs, stands still, or is dead."""

    def __init__(self, world: "Processes", name: str, chance: random.Random) -> None:
        self.world = world
        self.name = name
        self.loop = ProcessLoop(world)
        self.alive = True
        self.stands = False
        # Its clocks: nobody's agree.
        self._monotonic = chance.uniform(0, 1e6)
        self._wall = chance.uniform(-60, 60)
        self._drift = 1 + chance.uniform(-2e-4, 2e-4)
        self.complaints: list[Any] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))

    # The Clock of ports

    def now(self) -> float:
        return 1.8e9 + self.world.time + self._wall

    def monotonic(self) -> float:
        return self._monotonic + self.world.time * self._drift

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def begin(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Runs something in it."""
        asyncio._set_running_loop(self.loop)
        try:
            return self.loop.create_task(work)
        finally:
            asyncio._set_running_loop(None)

    def inside(self, call: Callable[[], None]) -> None:
        """Calls something at its next turn."""
        if self.alive:
            self.loop.call_soon(call)

    def kill(self) -> None:
        """It never runs again."""
        self.alive = False


class Processes:
    """A world of them."""

    def __init__(self, seed: int) -> None:
        self.time = 0.0
        self.chance = random.Random(seed)
        self.all: list[Process] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def process(self, name: str) -> Process:
        """A new one."""
        made = Process(self, name, self.chance)
        self.all.append(made)
        return made

    def at(self, seconds: float, call: Callable[[], None]) -> None:
        """Something that happens in so many seconds, whoever lives."""
        heapq.heappush(self._events, (self.time + seconds, next(self._numbers), call))

    def run(self, until: float) -> None:
        """Lets time pass to that moment."""
        while True:
            running = [each for each in self.all if each.alive and not each.stands]
            due = [each for each in running if each.loop.next_at <= self.time]
            turns = 0
            while due:
                for each in self.chance.sample(due, len(due)):
                    each.loop.turn()
                due = [each for each in due if each.alive and not each.stands and each.loop.next_at <= self.time]
                turns += 1
                assert turns < TURNS_MAX, f"{due[0].name} spins at {self.time}"
            if self._events and self._events[0][0] <= self.time:
                heapq.heappop(self._events)[2]()
                continue
            upcoming = [each.loop.next_at for each in running]
            upcoming += [self._events[0][0]] if self._events else []
            at = min([until, *upcoming])
            if at >= until:
                self.time = until
                return
            self.time = max(self.time, at)

    def close(self) -> None:
        """Ends the loops, whatever runs in them."""
        for each in self.all:
            each.loop.set_exception_handler(lambda *_: None)
            for task in asyncio.all_tasks(each.loop):
                task.cancel()
            while asyncio.all_tasks(each.loop):
                each.loop.turn()
            each.loop.close()
