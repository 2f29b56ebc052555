"""The world of one seed: a ledger, a disk, backends with moods, and services that are frozen and killed over it.

Production code runs here unchanged; only the doors are ours. A killed service's doors never open again, so nothing that it
still does touches the world; a frozen one's open late, after its leases are over.
"""

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.core.accounts.price import Price
from slackwater.core.batch import Batch, EmptyFiles, Policies, Status, WindowElapsed
from slackwater.core.errors import BackendReplyBroken, BackendTimeout, BackendUnreachable
from slackwater.core.sending.deployment import BackendRef, Deployment, WhenFull
from slackwater.core.sending.judgement import RetryPolicy
from slackwater.core.sending.request import Reply
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.worker import WorkerSettings
from slackwater.wiring.service import Doors, Offer, Service, Settings
from tests.simulation.checks import Checks
from tests.simulation.disk import SimulatedDisk
from tests.simulation.virtual import VirtualClock, VirtualLoop

T = TypeVar("T")
DEPLOYMENT = "sim"
LEASE_SECONDS = 8.0
CONCURRENCY = 4
SHARD_LINES = 5
# What a request of our own asks.
PROBE = "ping"


class Incarnation:
    """One life of a service. Its doors lead to the world while it lives."""

    def __init__(self, world: "World", number: int) -> None:
        self.world = world
        self.number = number
        self.owner = f"life{number}"
        self.alive = True
        self.frozen_until = 0.0
        self._tasks: set[asyncio.Task[Any]] = set()

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
        deployment = Deployment(
            name=DEPLOYMENT,
            model="m",
            backends=(BackendRef(name="b", concurrency=CONCURRENCY),),
            enqueued_token_limit=3000,
            when_full=WhenFull.QUEUE,
        )
        self.service = Service(
            Doors(
                ledger=GatedLedger(world.ledger, self),  # type: ignore[arg-type]
                blobs=DiskBlobs(world.root, run=self.run, disk=world.disk),
                clock=world.clock,
                offload=InlineOffload(),
            ),
            Offer(
                deployments=[deployment],
                backends=lambda _: [self._dispatcher(number) for number in range(2)],
                # The price changes with every life; a batch keeps the one at which it was accepted.
                price_of=lambda model: world.price(self.number),
            ),
            Settings(
                worker=WorkerSettings(lease_seconds=LEASE_SECONDS, grace_seconds=1.0, commit_bytes=4000),
                shard_lines_max=SHARD_LINES,
            ),
            new_file_id=world.new_file_id,
            incarnation=self.owner,
            chance=world.chance.random,
        )
        await self.service.start()

    def _dispatcher(self, number: int) -> Dispatcher:
        world = self.world
        engine = Engine(f"engine{number}", world.clock)
        return Dispatcher(
            f"b{number}",
            MoodyBackend(self),
            engine=engine,
            door=engine.door("", "m", slots=CONCURRENCY),
            concurrency=CONCURRENCY,
            model=None,
            retry=RetryPolicy(attempts_max=3),
            clock=world.clock,
        )

    def epoch_of_call(self) -> int:
        """The epoch under which the running task sends: that of the lease which has it in flight."""
        task = asyncio.current_task()
        assert task is not None
        leases = self.service.fleet._posts[DEPLOYMENT].worker._leases
        (epoch,) = [lease.shard.epoch for lease in leases if task in lease.in_flight]
        return epoch

    def kill(self) -> None:
        """Ends this life at whatever await it is."""
        self.alive = False


class GatedLedger:
    """The ledger behind a door; what passes is shown to the checks."""

    def __init__(self, ledger: SqlLedger, life: Incarnation) -> None:
        self._ledger = ledger
        self._life = life

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ledger, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            await self._life.door()
            result = await method(*arguments, **named)
            self._life.world.checks.ledger_was_called(name, arguments, named, result)
            await self._life.door()
            return result

        return call


class MoodyBackend:
    """Answers, is slow, fails, is busy, hangs, breaks off, or is not there at all."""

    def __init__(self, life: Incarnation) -> None:
        self._life = life

    async def send(self, path: str, body: bytes) -> Reply:
        life, world = self._life, self._life.world
        text = json.loads(body)["messages"][0]["content"]
        if text == PROBE:
            await life.door()
        else:
            epoch = life.epoch_of_call()
            await life.door()
            world.checks.request_was_sent(text, epoch)
        chance, trouble = world.chance.random(), world.trouble
        if world.loop.time() < world.outage_until:
            raise BackendUnreachable("nobody is there", sent=False)
        await asyncio.sleep(world.chance.expovariate(4.0))
        await life.door()
        if chance < 0.05 * trouble:
            await asyncio.sleep(30.0)
            raise BackendTimeout("no answer")
        if chance < 0.15 * trouble:
            return Reply(500, b'{"error":{"message":"trouble"}}')
        if chance < 0.25 * trouble:
            return Reply(429, b'{"error":{"message":"busy"}}', world.chance.choice((None, 0.0, 2.5)))
        if chance < 0.30 * trouble:
            raise BackendReplyBroken("half an answer")
        if chance < 0.33 * trouble:
            return Reply(200, b"<html>not JSON</html>")
        if chance < 0.37:
            return Reply(400, b'{"error":{"message":"no such thing"}}')
        return Reply(200, json.dumps({"model": "m", "echo": text, "usage": _usage(text)}).encode())

    async def close(self) -> None:
        """Nothing to close."""


class World:
    """Everything that one seed decides."""

    def __init__(self, seed: int, root: Path, *, ledger_class: type[SqlLedger] = SqlLedger) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop)
        self.root = root / "blobs"
        self.disk = SimulatedDisk(self.chance)
        # What the test itself writes and reads is not subject to the faults.
        self.blobs = DiskBlobs(self.root, run=_inline)
        self.ledger = ledger_class.open(root / "ledger.sqlite", inline=True)
        for pragma in ("synchronous = OFF", "journal_mode = MEMORY"):
            self.ledger.sql.reader.execute(f"PRAGMA {pragma}")
        self.checks = Checks(self.ledger)
        self.trouble = 1.0
        self.outage_until = 0.0
        self.lives: list[Incarnation] = []
        self._files = 0

    def new_file_id(self) -> str:
        self._files += 1
        return f"file-out-{self._files}"

    def price(self, number: int) -> Price:
        """What that life charges."""
        return Price(input=150_000 + number, cached_input=75_000, output=600_000, discount=50)

    async def begin_life(self) -> Incarnation:
        """Starts another service over this world."""
        life = Incarnation(self, len(self.lives))
        self.lives.append(life)
        asyncio.get_running_loop().create_task(life.live())
        return life

    def living(self) -> list[Incarnation]:
        return [life for life in self.lives if life.alive]

    async def add_batch(self, number: int) -> Batch:
        """A batch with an input file of its own, sometimes an invalid one, with policies of either vendor."""
        chance = self.chance
        lines = chance.choice((1, 2, 7, 23, 60))
        valid = chance.random() < 0.9
        batch_id = f"batch_{number}"
        rows = []
        for line in range(lines):
            messages = [{"role": "user", "content": f"{batch_id}/{line}"}]
            row = {"custom_id": f"{batch_id}-{line}", "method": "POST", "url": "/chat/completions"}
            rows.append(json.dumps(row | {"body": {"model": DEPLOYMENT, "messages": messages}}))
            if chance.random() < 0.1:
                rows.append("")
        if not valid:
            rows.insert(chance.randrange(len(rows) + 1), "{not json")
        writer = await self.blobs.create(f"files/{batch_id}")
        await writer.write("\n".join(rows).encode())
        await writer.publish()
        now = int(self.clock.now())
        expire = chance.random() < 0.3
        batch = Batch(
            id=batch_id,
            input_file_id=f"file-{number}",
            input_blob=f"files/{batch_id}",
            endpoint="/chat/completions",
            completion_window="24h",
            status=Status.VALIDATING,
            created_at=now,
            expires_at=now + chance.randint(5, 60),
            policies=Policies(
                empty_files=chance.choice(list(EmptyFiles)),
                window_elapsed=WindowElapsed.EXPIRE if expire else WindowElapsed.CONTINUE,
            ),
        )
        self.checks.expect(batch, lines if valid else 0)
        await self.ledger.add_batch(batch)
        return batch


def _usage(text: str) -> dict[str, Any]:
    """Tokens that differ from line to line, and are the same whoever asks."""
    number = sum(text.encode())
    read, cached, written = number % 97 + 3, number % 3, number % 31
    return {"prompt_tokens": read, "completion_tokens": written, "prompt_tokens_details": {"cached_tokens": cached}}


async def _inline(function: Callable[..., T], *arguments: Any) -> T:
    return function(*arguments)
