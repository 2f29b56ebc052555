"""A cluster in one seed: members that use one upstream, over one ledger that answers late or hears things twice.

The engine, its share, the asking and the ledger are the real ones. What is sampled is what is out at the upstream itself, which
goes on with calls of members that stand still, or whose machine is gone.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.errors import LedgerUnavailable
from slackwater.core.sending.door import Door
from slackwater.core.sending.turns import Seat
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.engine_use import Use
from slackwater.pipeline.sending.sharing import Sharing
from tests.cluster.processes import Process, Processes

ENGINE = "http://engine:8000"
LATENCY_SECONDS = 0.02


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """What comes of something that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


class Upstream:
    """The engine itself: what is out there, by its own count."""

    def __init__(self, world: Processes, limit: int, seconds: Callable[[random.Random], float]) -> None:
        self.world = world
        self.limit = limit
        self.seconds = seconds
        self.out: dict[int, Process] = {}
        self.out_max = 0
        self.answered = 0
        self.broken_off = 0
        # Slot seconds that were used, for the use that is made of it.
        self.used = 0.0
        self.by_member: dict[str, float] = {}
        self.looked_at = 0.0
        self._number = 0

    def forget(self) -> None:
        """Begins to count anew."""
        self.account()
        self.used, self.by_member = 0.0, {}

    def account(self) -> None:
        """Counts what was out since it was last asked."""
        now = self.world.time
        self.used += len(self.out) * (now - self.looked_at)
        for process in self.out.values():
            self.by_member[process.name] = self.by_member.get(process.name, 0.0) + now - self.looked_at
        self.looked_at = now

    def arrives(self, process: Process, answer: "asyncio.Future[None]") -> int:
        """A request has come; its number."""
        self.account()
        self._number += 1
        number = self._number
        self.out[number] = process
        self.out_max = max(self.out_max, len(self.out))
        self.world.at(self.seconds(self.world.chance), lambda: self._ends(number, process, answer))
        return number

    def _ends(self, number: int, process: Process, answer: "asyncio.Future[None]") -> None:
        if number not in self.out:
            return
        self.account()
        del self.out[number]
        self.answered += 1
        self.world.at(
            LATENCY_SECONDS, lambda: process.inside(lambda: None if answer.done() else answer.set_result(None))
        )

    def breaks_off(self, number: int) -> None:
        """A connection has been closed, and that has come through."""
        if number in self.out:
            self.account()
            del self.out[number]
            self.broken_off += 1

    def closed(self, process: Process) -> None:
        """All connections of a process that has ended."""
        for number in [number for number, each in self.out.items() if each is process]:
            self.breaks_off(number)


class FarLedger:
    """The ledger as a member sees it: over a network, with a clock of its own, and not always there."""

    def __init__(self, world: "Cluster", process: Process) -> None:
        self._world = world
        self._process = process

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **named: Any) -> Any:
            return await self._call(name, arguments, named)

        return call

    async def _call(self, name: str, arguments: Any, named: dict[str, Any]) -> Any:
        world, chance = self._world, self._world.chance
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def does(*, says: bool) -> None:
            if world.ledger_away:
                found: Any = LedgerUnavailable("it is away")
            else:
                # The database's own clock: nobody's but its.
                moved = named | ({"now": world.database_time} if "now" in named else {})
                found = at_once(getattr(world.ledger, name)(*arguments, **moved))
            if says:
                world.at(world.late(), lambda: self._process.inside(lambda: _answer(answer, found)))

        world.at(world.late(), lambda: does(says=True))
        if world.troubled and chance.random() < 0.05:
            # It comes a second time, long after: somebody on the way had not heard that it was done.
            world.at(chance.uniform(1, 30), lambda: does(says=False))
        found = await answer
        if isinstance(found, Exception):
            raise found
        if world.troubled and chance.random() < 0.05:
            raise LedgerUnavailable("the answer is lost")
        return found


def _answer(answer: "asyncio.Future[Any]", found: Any) -> None:
    if not answer.done():
        answer.set_result(found)


class SimpleUse:
    """Somebody who sends through an engine: as much as may be out, or so many at once."""

    metered = False
    has_suspects = False
    tenant = ""
    weight = 1.0

    def __init__(self, member: "Member", *, cap: int) -> None:
        self.member = member
        self.cap = self.most = cap
        self.door = Door(slots=cap)
        self.in_flight = 0
        self.seat: Seat[Use] | None = None
        self.name = member.process.name
        self.at_most = cap
        """How many it has to send at once."""
        self.sent = 0
        self.cut = 0
        """How many of its calls were ended because the grant was over."""

    @property
    def has_work(self) -> bool:
        return self.in_flight < self.at_most

    def take(self, now: float) -> Any:
        return object() if self.in_flight < self.at_most else None

    def cost(self, item: Any) -> float:
        return 1.0

    def paced(self, *, paced: bool) -> None:
        pass

    async def run(self, item: Any, lane: "asyncio.Task[None]", now: float) -> None:
        self.sent += 1
        try:
            await self.member.call()
        except asyncio.CancelledError:
            if lane not in self.member.engine.cut_off:
                raise
            self.cut += 1
            self.member.engine.cut_off.remove(lane)
            lane.uncancel()


class Member:
    """A worker of the cluster."""

    def __init__(self, cluster: "Cluster", number: int) -> None:
        self.cluster = cluster
        self.process = process = cluster.process(f"member {number}")
        self.sharing = Sharing(cluster.far_ledger(cluster, process), process, member=process.name)
        self.begun = process.begin(self._live())
        self.leaving = False
        self.use: SimpleUse

    async def _live(self) -> None:
        cluster = self.cluster
        self.engine = Engine(ENGINE, self.process, slots=cluster.upstream.limit, sharing=self.sharing)
        self.use = SimpleUse(self, cap=cluster.upstream.limit)
        self.sharing.start()
        self.engine.attach(self.use)  # type: ignore[arg-type]

    async def call(self) -> None:
        """One call of its."""
        world, upstream = self.cluster, self.cluster.upstream
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place: list[int] = []

        def arrives() -> None:
            # What has been sent arrives, whatever became of who sent it.
            if not answer.cancelled():
                place.append(upstream.arrives(self.process, answer))

        world.at(world.chance.uniform(0, LATENCY_SECONDS), arrives)
        try:
            await answer
        except asyncio.CancelledError:
            world.at(LATENCY_SECONDS, lambda: [upstream.breaks_off(each) for each in place] and None)
            raise

    def wants(self, at_most: int) -> None:
        """From now on it has so much to send at once."""

        def change() -> None:
            self.use.at_most = at_most
            self.engine.wake(self.use)  # type: ignore[arg-type]

        self.process.inside(change)

    def stop(self, seconds: float) -> None:
        """It stands still for so long."""
        self.process.stands = True

        def go_on() -> None:
            self.process.stands = False

        self.cluster.at(seconds, go_on)

    def kill(self, *, machine: bool) -> None:
        """It ends; with its machine, its connections end without a word. If it was the process alone, others know that soon."""
        self.process.kill()
        if not machine:
            self.cluster.at(LATENCY_SECONDS, lambda: self.cluster.upstream.closed(self.process))
            self.cluster.at(self.cluster.chance.uniform(0.05, 2.0), self._buried)

    def _buried(self) -> None:
        cluster = self.cluster
        if not cluster.ledger_away:
            at_once(cluster.ledger.bury_shares(self.process.name, gone=True, now=cluster.database_time))

    async def leave(self) -> None:
        """It ends gently."""
        self.leaving = True
        self.use.at_most = 0
        while self.use.in_flight:
            await asyncio.sleep(0.05)
        await self.engine.detach(self.use)  # type: ignore[arg-type]
        await self.sharing.close()
        self.process.alive = False


class Cluster(Processes):
    """All of it."""

    far_ledger = FarLedger

    def __init__(
        self, seed: int, *, limit: int, seconds: Callable[[random.Random], float], troubled: bool = False
    ) -> None:
        super().__init__(seed)
        self.troubled = troubled
        self.ledger_away = False
        self.ledger = SqlLedger.open(":memory:", inline=True)
        self.upstream = Upstream(self, limit, seconds)
        self.members: list[Member] = []

    @property
    def database_time(self) -> float:
        return 1.7e9 + self.time

    def late(self) -> float:
        """How long something is under way to the database, or from it."""
        if self.troubled and self.chance.random() < 0.05:
            return self.chance.choice((1.0, 5.0, 15.0)) * self.chance.random()
        return self.chance.uniform(0.0005, 0.01)

    def add(self) -> Member:
        member = Member(self, len(self.members))
        self.members.append(member)
        return member

    def living(self) -> list[Member]:
        return [each for each in self.members if each.process.alive]

    def use_from(self, begin: float, end: float) -> float:
        """What part of the engine was used between two moments."""
        self.run(begin)
        self.upstream.forget()
        self.run(end)
        self.upstream.account()
        return self.upstream.used / (end - begin) / self.upstream.limit

    def close(self) -> None:
        super().close()
        for each in self.all:
            assert each.complaints == [], each.complaints
