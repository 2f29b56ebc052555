"""One of several servers, put together as by wiring/opening.py, in a process of its own that may be lost, stopped or cut off."""

import asyncio
import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.clock import DatabaseClock
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.core.accounts.price import Price
from slackwater.core.errors import StorageTrouble
from slackwater.core.members import Member
from slackwater.core.sending.budget import Budget
from slackwater.core.sending.deployment import BackendRef, Deployment, WhenFull
from slackwater.core.sending.judgement import RetryPolicy
from slackwater.pipeline.accounts.control_plane import Assembled
from slackwater.pipeline.admission import Admission
from slackwater.pipeline.loops import Hints, Pace
from slackwater.pipeline.membership import Membership
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.sharing import Sharing
from slackwater.pipeline.sending.worker import Worker, WorkerSettings
from slackwater.pipeline.watching.readiness import Readiness
from slackwater.ports import StoredDeployment
from slackwater.wiring.service import Service
from slackwater.wiring.service_parts import Doors, Offer, Settings
from tests.simulation.disk import SimulatedDisk
from tests.simulation.servers.database import HANGS, SILENT_SECONDS, UP
from tests.simulation.servers.engines import WIRE_SECONDS, FarBackend, Upstream
from tests.simulation.servers.lines import ServerDatabase
from tests.simulation.servers.plan import DeploymentPlan
from tests.simulation.servers.presence import WorldPresence, WorldTogether

if TYPE_CHECKING:
    from tests.simulation.servers.world import World

T = TypeVar("T")
SHARD_LINES = 5


class Server:
    """One life of a server."""

    def __init__(self, world: "World", name: str = "") -> None:
        self.world = world
        self.number = len(world.servers)
        self.name = name or f"server{self.number}"
        self.process = world.process(self.name)
        self.machine_lost = self.buried = self.stopping = self.left = False
        self.link = UP
        self.lost_at = [-1000.0, -1000.0]
        """When the connection that says that it lives was lost, the last two times."""
        self.held: list[Callable[[], None]] = []
        """What is on its way to the database or back, and cannot come through."""
        self.deaf_to: dict[Upstream, str] = {}
        self.troubled_at = -1000.0
        """When something last befell it but its death."""
        self.begun_at = world.time
        self.disk = SimulatedDisk(world.chance)
        self.blobs = DiskBlobs(world.root, run=self._run, disk=self.disk)
        self.service: Service | None = None
        self.ready = False
        self.late_until = 0.0
        self.task = self.process.begin(self._live())

    async def joined(self) -> None:
        """Returns when it is there, to whoever is in another process."""
        while not self.ready:
            await asyncio.sleep(0.01)

    @property
    def up(self) -> bool:
        """Whether it runs, and is not about to leave."""
        return self.process.alive and self.ready and not self.stopping

    # What lies between it and others

    @property
    def path(self) -> str:
        """The way to the database."""
        if self.link == UP:
            return self.world.database.state
        return self.link

    def under_way(self) -> float:
        """How long something takes to the database, or back; 0.0 is at once."""
        chance = self.world.chance
        if chance.random() < 0.6:
            return 0.0
        if self.world.time < max(self.late_until, self.world.late_until) and chance.random() < 0.3:
            return chance.uniform(0.5, 6.0)
        return self.world.under_way()

    def cut(self, how: str, seconds: float) -> None:
        """It does not reach the database for so long."""
        self.troubled_at = self.world.time + seconds
        self.link = how
        if how == HANGS:
            silent = self.world.time

            def silence() -> None:
                for each in [each for each in self.world.database.sessions if each.server is self]:
                    each.end()
                    self.world.at(0.0, each.lose)

            self.world.at(SILENT_SECONDS, lambda: self._cut_since == silent and silence())
            self._cut_since = silent
        else:
            for each in [each for each in self.world.database.sessions if each.server is self]:
                each.reset()
        self.world.at(seconds, self.heal)

    _cut_since = -1.0

    def heal(self) -> None:
        """It does again."""
        self.link, self._cut_since = UP, -1.0
        self.link_is_back()

    def link_is_back(self) -> None:
        """What was under way comes through, some time."""
        if self.path != UP:
            return
        held, self.held = self.held, []
        for each in held:
            self.world.at(self.world.chance.uniform(0.0, 2.0), each)

    def way_to(self, engine: Upstream) -> str:
        """The way to an engine."""
        return self.deaf_to.get(engine, UP)

    async def _run(self, function: Callable[..., T], *arguments: Any) -> T:
        """What touches the disk."""
        if self.world.chance.random() < 0.3:
            await asyncio.sleep(self.world.under_way())
        return function(*arguments)

    def nudge(self) -> None:
        """A connection has been lost."""
        if self.database.presence is not None:
            self.database.presence.nudge()

    # Its life

    async def _live(self) -> None:
        try:
            await self._join()
            await self._serve()
        except StorageTrouble:
            # It says so and ends; somebody starts it again.
            self.world.at(0.0, self.die)
            return
        except Exception as error:
            self.world.checks.note(f"{self.name} could not start: {error!r}")
            return
        self.ready = True

    async def _join(self) -> None:
        self.database = ServerDatabase(self)
        self.presence = self.database.presence = WorldPresence(self, Member(id=self.name, host=self.name, version="1"))
        self.ledger = SqlLedger(self.database, together=WorldTogether(self))
        self.ledger.act_as(self.name)
        await self.presence.join()
        self.clock = DatabaseClock(self.database, self.process)
        await self.clock.look()
        self.hints = Hints()
        self.membership = Membership(self.ledger, self.presence, news=self.hints.member_gone)
        await self.membership.start(buried=self._is_buried)

    async def _serve(self) -> None:
        world, plan, clock, hints = self.world, self.world.plan, self.clock, self.hints
        self.sharing = Sharing(self.ledger, clock, member=self.name)
        self.engines = [
            Engine(each.name, clock, slots=each.slots, sharing=self.sharing, shared_as=each.name)
            for each in plan.engines
        ]
        self.budget = Budget()
        self.service = service = Service(
            Doors(
                ledger=self.ledger,
                blobs=self.blobs,
                clock=clock,
                offload=InlineOffload(),
                budget=self.budget,
                sender=world.receiver.sender(self),
                sharing=self.sharing,
                hints=hints,
                marking=self._look_at_clock,
                membership=self.membership,
                together=self.ledger.together,
            ),
            Offer(
                deployments=[_deployment(each) for each in plan.deployments],
                backends=lambda deployment: self._dispatchers(world.deployment(deployment.name)),
                # The price differs from server to server; a batch keeps the one at which it was accepted.
                price_of=lambda model: Price(
                    input=150_000 + self.number, cached_input=75_000, output=600_000, discount=50
                ),
                quick_counter={},
                assemble=self._assemble,
            ),
            Settings(
                worker=WorkerSettings(grace_seconds=plan.grace_seconds, kept_bytes=0, commit_bytes=4000),
                shard_lines_max=SHARD_LINES,
            ),
            readiness=Readiness(stores={"ledger": self.ledger, "files": self.blobs}, room=self.blobs, free_bytes_min=0),
            new_file_id=world.new_file_id,
            incarnation=self.name,
            chance=world.chance.random,
        )
        make = service.fleet._make_worker
        self.workers = [post.worker for post in service.fleet._posts.values()]

        def noted(deployment: Deployment, dispatchers: Sequence[Dispatcher]) -> Worker:
            self.workers.append(worker := make(deployment, dispatchers))
            return worker

        service.fleet._make_worker = noted  # type: ignore[method-assign]
        await service.start()
        self.admission = Admission(
            self.ledger,
            self.blobs,
            clock,
            wake=hints.asked,
            deployments=lambda: service.fleet.open_in("default"),
            expiry_now=service.wall.expiry_now,
            current=service.current_deployments,
        )

    async def _look_at_clock(self) -> Pace:
        await self.clock.look()
        return Pace.IDLE

    def _is_buried(self) -> None:
        self.buried = True
        # It has a moment yet in which it does whatever it was about to do.
        self.world.at(self.world.chance.uniform(0.0, 0.05), self.die)

    def _assemble(self, stored: StoredDeployment, connections: object) -> Assembled:
        plan = self.world.deployment(stored.name)
        return Assembled(
            deployment=_deployment(plan, made=True), works_as=plan, dispatchers=lambda: self._dispatchers(plan)
        )

    def _dispatchers(self, plan: DeploymentPlan) -> list[Dispatcher]:
        made = []
        for number in plan.engines:
            engine, upstream = self.engines[number], self.world.engines[number]
            made.append(
                Dispatcher(
                    f"{plan.name} {engine.name}",
                    FarBackend(self, upstream),
                    engine=engine,
                    door=engine.door("", "m", slots=upstream.limit),
                    concurrency=upstream.limit,
                    model="m",
                    retry=RetryPolicy(attempts_max=self.world.plan.attempts_max),
                    clock=self.clock,
                )
            )
        return made

    def epoch_of_call(self) -> int:
        """The epoch under which the running task sends: that of the lease which has it in flight."""
        task = asyncio.current_task()
        assert task is not None
        assert self.service is not None
        (epoch,) = {lease.shard.epoch for worker in self.workers for lease in worker._leases if task in lease.in_flight}
        return epoch

    # Its end

    def die(self, *, machine: bool = False) -> None:
        """It ends at once; with its machine, nobody hears that its connections are gone."""
        if not self.process.alive:
            return
        world = self.world
        self.process.kill()
        self.machine_lost = machine
        if machine:
            self.disk.power_cut()
            # The database sees nothing for a while, and engines go on.
            world.at(SILENT_SECONDS, functools.partial(world.database.end_sessions, self))
        else:
            # The kernel closes its connections, and that comes through where there is a way.
            for each in [each for each in world.database.sessions if each.server is self]:
                if self.path != HANGS:
                    world.at(world.under_way(), each.end)
                else:
                    world.at(SILENT_SECONDS, each.end)
            for engine in world.engines:
                wait = WIRE_SECONDS if self.way_to(engine) != HANGS else SILENT_SECONDS
                world.at(wait, functools.partial(engine.closed, self))
        world.died(self)

    def stand(self, seconds: float) -> None:
        """It stands still for so long."""
        self.troubled_at = self.world.time + seconds
        self.process.stands = True

        def goes_on() -> None:
            self.process.stands = False

        self.world.at(seconds, goes_on)

    def leave(self) -> None:
        """It ends gently, as SIGTERM does."""
        self.stopping = True
        self.process.begin(self._leave())

    async def _leave(self) -> None:
        assert self.service is not None
        await self.service.stop()
        await self.ledger.close()
        self.left = True
        self.world.at(0.0, self.die)

    def does(self, work: Coroutine[Any, Any, Any]) -> None:
        """Somebody asks it for something."""
        self.process.begin(work)


def _deployment(plan: DeploymentPlan, *, made: bool = False) -> Deployment:
    return Deployment(
        name=plan.name,
        resource=plan.resource,
        model="m",
        backends=tuple(BackendRef(name="m", concurrency=4) for _ in plan.engines),
        enqueued_token_limit=plan.token_limit,
        when_full=WhenFull.QUEUE,
        **({"made": True} if made else {}),
    )
