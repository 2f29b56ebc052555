"""One life of a service in the world: it starts, is frozen, stopped or killed, and its doors lead to the world while it lives.

A killed service's doors never open again, so nothing that it still does touches the world; a frozen one's open late, after
its leases are over.
"""

import asyncio
import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.core.sending.budget import Budget
from slackwater.core.sending.deployment import BackendRef, Deployment, WhenFull
from slackwater.core.sending.judgement import RetryPolicy
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.worker import WorkerSettings
from slackwater.ports import BlobRange
from slackwater.wiring.service import Service
from slackwater.wiring.service_parts import Doors, Offer, Settings
from tests.simulation.engines import WorldBackend
from tests.simulation.plan import DeploymentPlan
from tests.simulation.streams import wants_of
from tests.simulation.virtual import LifeClock

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")
SHARD_LINES = 5
SHARD_LINES_OF_FLOODS = 40


class Incarnation:
    """One life of a service."""

    def __init__(self, world: "World", number: int) -> None:
        self.world = world
        self.number = number
        self.owner = f"life{number}"
        self.alive = True
        self.started = self.stopping = False
        self.frozen_until = 0.0
        self.budget = Budget()
        self.service: Service | None = None
        # Those of its deployments share them.
        self._engines = {engine.name: Engine(engine.name, world.clock, slots=engine.slots) for engine in world.engines}
        for engine in self._engines.values():
            engine.wants_stream = wants_of(world) if world.listens else None

    def lives_on(self) -> bool:
        """Whether it has not ended."""
        return self.alive

    async def door(self) -> None:
        """Passed before and after everything that leaves the process."""
        world = self.world
        if world.chance.random() < 0.3:
            await asyncio.sleep(world.chance.expovariate(200.0))
        while self.alive and world.loop.time() < self.frozen_until:
            await asyncio.sleep(self.frozen_until - world.loop.time())
        if not self.alive:
            await asyncio.get_running_loop().create_future()

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Runs what touches the disk."""
        await self.door()
        result = function(*arguments)
        await self.door()
        return result

    async def live(self) -> None:
        """Starts the service; it runs until this life ends."""
        world = self.world
        plan = world.plan
        offered = {each.key: each for each in plan.deployments}
        self.service = Service(
            Doors(
                ledger=GatedLedger(world.ledger, self),  # type: ignore[arg-type]
                blobs=UnreadBlobs(self),
                clock=LifeClock(world.clock, self.lives_on, world.naps),
                offload=InlineOffload(),
                budget=self.budget,
                # Somebody looks at the clock and says that it is right, whenever it has jumped.
                clock_confirmed=lambda: True,
            ),
            Offer(
                deployments=[_deployment(each) for each in plan.deployments],
                backends=lambda deployment: self._dispatchers(offered[deployment.key]),
                # The price changes with every life; a batch keeps the one at which it was accepted.
                price_of=lambda model: world.price(self.number),
                quick_counter={},
            ),
            Settings(
                worker=WorkerSettings(
                    lease_seconds=plan.lease_seconds, grace_seconds=plan.grace_seconds, commit_bytes=4000
                ),
                shard_lines_max=SHARD_LINES_OF_FLOODS if world.floods else SHARD_LINES,
            ),
            new_file_id=world.new_file_id,
            incarnation=self.owner,
            chance=world.chance.random,
        )
        await self.service.start()
        self.started = True

    def _dispatchers(self, plan: DeploymentPlan) -> list[Dispatcher]:
        world = self.world
        made = []
        for backend in plan.backends:
            engine = self._engines[world.engines[backend.engine].name]
            made.append(
                Dispatcher(
                    f"{engine.name} {backend.model}",
                    WorldBackend(self, world.engines[backend.engine], backend.model),
                    engine=engine,
                    door=engine.door("", backend.model, slots=backend.concurrency),
                    concurrency=backend.concurrency,
                    model=backend.model,
                    retry=RetryPolicy(attempts_max=world.plan.attempts_max),
                    clock=world.clock,
                )
            )
        return made

    def epoch_of_call(self) -> int:
        """The epoch under which the running task sends: that of the lease which has it in flight."""
        task = asyncio.current_task()
        assert task is not None
        assert self.service is not None
        posts = self.service.fleet._posts.values()
        leases = [lease for post in posts for lease in post.worker._leases if task in lease.in_flight]
        (epoch,) = [lease.shard.epoch for lease in leases]
        return epoch

    def kill(self) -> None:
        """Ends this life at whatever await it is."""
        self.alive = False

    async def stop(self) -> None:
        """Ends it gently, as SIGTERM does; the checks hear when it has ended."""
        assert self.service is not None
        self.stopping = True
        stop = self.world.sending.stop_begins(self)
        await self.service.stop()
        self.world.sending.stop_ended(stop)
        self.kill()


def _deployment(plan: DeploymentPlan) -> Deployment:
    return Deployment(
        name=plan.name,
        resource=plan.resource,
        model="m",
        backends=tuple(BackendRef(name=each.model, concurrency=each.concurrency) for each in plan.backends),
        enqueued_token_limit=plan.token_limit,
        when_full=WhenFull.QUEUE,
    )


class GatedLedger:
    """The ledger behind a door; what passes is shown to the checks."""

    def __init__(self, ledger: SqlLedger, life: Incarnation) -> None:
        self._ledger = ledger
        self._life = life

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ledger, name)
        life = self._life

        async def call(*arguments: Any, **named: Any) -> Any:
            await life.door()
            result = await method(*arguments, **named)
            life.world.ledger_was_called(life, name, arguments, named, result)
            await life.door()
            return result

        setattr(self, name, call)
        return call


class UnreadBlobs(DiskBlobs):
    """The disk behind a door. In some seeds a read fails now and then, and works the next time."""

    def __init__(self, life: Incarnation) -> None:
        super().__init__(life.world.root, run=life.run, disk=life.world.disk)
        self._life = life

    async def read(self, source: BlobRange) -> bytes:
        """As the disk's, or EIO."""
        if self._life.world.read_fails():
            await self._life.door()
            raise OSError(errno.EIO, "Input/output error")
        return await super().read(source)
