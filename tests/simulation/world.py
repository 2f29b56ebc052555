"""The world of one seed: a ledger, a disk, engines with moods, and services that are frozen, stopped and killed over it.

Production code runs here unchanged; only the doors (ports) are ours.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.accounts.price import Price
from slackwater.core.batch import Batch, EmptyFiles, Policies, Status, WindowElapsed
from tests.simulation.checks import Checks
from tests.simulation.content import Content
from tests.simulation.damage import damage
from tests.simulation.disk import SimulatedDisk
from tests.simulation.engines import PROBE, WorldDoor, WorldEngine
from tests.simulation.lives import Incarnation
from tests.simulation.plan import DeploymentPlan, Mood, Plan, contents_of, healthy, plan_of
from tests.simulation.quotas import SharedQuota
from tests.simulation.sending_checks import SendingChecks
from tests.simulation.virtual import Naps, VirtualClock, VirtualLoop

T = TypeVar("T")
FLOOD_LINES = 500


class World:
    """Everything that one seed decides."""

    def __init__(
        self, seed: int, root: Path, *, ledger_class: type[SqlLedger] = SqlLedger, moods: frozenset[Mood] | None = None
    ) -> None:
        self.seed = seed
        self.plan: Plan = plan_of(seed, moods=moods)
        self.chance = random.Random(seed)
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop)
        self.naps = Naps()
        self.root = root / "blobs"
        self.disk = SimulatedDisk(self.chance)
        # What the test itself writes and reads is not subject to the faults.
        self.blobs = DiskBlobs(self.root, run=_inline)
        self.ledger = ledger_class.open(root / "ledger.sqlite", inline=True)
        for pragma in ("synchronous = OFF", "journal_mode = MEMORY"):
            self.ledger.sql.database.reader.execute(f"PRAGMA {pragma}")
        self.engines = [WorldEngine(plan, number) for number, plan in enumerate(self.plan.engines)]
        for deployment in self.plan.deployments:
            for backend in deployment.backends:
                self.engines[backend.engine].doors.setdefault(backend.model, WorldDoor(backend.refuses))
        if Mood.QUOTAS in self.plan.moods:
            quotas = random.Random(f"quotas of {seed}")
            for engine in self.engines:
                for door in engine.doors.values():
                    door.quota = SharedQuota(quotas)
        self.lines: dict[str, Content] = {}
        """What each line is like, by its text."""
        self.deployment_of: dict[str, DeploymentPlan] = {}
        self.healthy: set[str] = set()
        """Batches that are nobody's trouble."""
        self.damaged: dict[str, set[str] | None] = {}
        """Lines whose bytes have changed since they were validated, by batch; None where that may be any of it."""
        self.mishaps: Counter[str] = Counter()
        self.listens = True
        """Whether anybody listens to calls, which are streamed then."""
        self.listeners: Counter[str] = Counter()
        """Calls that somebody listened to: how many began and ended, and what became of their streams."""
        self.floods = Mood.FLOODS in self.plan.moods
        self.checks = Checks(self)
        self.sending = SendingChecks(self)
        self.calm = False
        self.lives: list[Incarnation] = []
        self._files = 0

    def has(self, mood: Mood) -> bool:
        """Whether this trouble is on now."""
        return not self.calm and mood in self.plan.moods

    def new_file_id(self) -> str:
        self._files += 1
        return f"file-out-{self._files}"

    def price(self, number: int) -> Price:
        """What that life charges."""
        return Price(input=150_000 + number, cached_input=75_000, output=600_000, discount=50)

    # Lives

    async def begin_life(self) -> Incarnation:
        """Starts another service over this world."""
        life = Incarnation(self, len(self.lives))
        self.lives.append(life)
        asyncio.get_running_loop().create_task(life.live())
        return life

    def living(self) -> list[Incarnation]:
        return [life for life in self.lives if life.alive]

    def ledger_was_called(
        self, life: Incarnation, name: str, arguments: tuple[Any, ...], named: dict[str, Any], result: Any
    ) -> None:
        """A life has called the ledger: the checks see it, and a file that was validated may be damaged."""
        self.checks.ledger_was_called(name, arguments, named, result)
        if name == "accept_batch" and result and self.has(Mood.DAMAGE) and self.chance.random() < 0.4:
            self.damaged[arguments[0]] = damage(self.blobs.path(f"files/{arguments[0]}"), self.chance)
            self.healthy.discard(arguments[0])
        elif name == "claim_shards":
            for shard in result:
                self.sending.shard_was_claimed(shard.batch_id, shard.index, shard.epoch)
        elif name == "commit_segments":
            for refused in result:
                self.sending.lease_was_lost(*refused)
        elif name == "release_shard" and result:
            self.sending.shard_was_released(arguments[0], arguments[1], named["epoch"])

    # What engines and disks do

    def content(self, text: str, engine: WorldEngine) -> Content:
        """What a line is like to an engine."""
        content = self.lines[text]
        if content is not Content.PICKY:
            return content
        useful = self.useful_engines(text.partition("/")[0])
        return Content.ERROR if len(useful) > 1 and engine.number == useful[0] else Content.GOOD

    def useful_engines(self, batch_id: str) -> list[int]:
        """Engines of a batch's deployment whose doors do not refuse for good."""
        backends = self.deployment_of[batch_id].backends
        return [backend.engine for backend in backends if backend.refuses is None]

    def mishap(self, text: str) -> float | None:
        """Whether something befalls a call, and what. A line has fewer of these than would fail it."""
        if text == PROBE or not self.has(Mood.MISHAPS):
            return None
        if self.mishaps[text] >= (self.plan.attempts_max - 1) // 2 or self.chance.random() > 0.2:
            return None
        self.mishaps[text] += 1
        return self.chance.random()

    def read_fails(self) -> bool:
        """Whether the next read of the input fails."""
        return self.has(Mood.UNREAD) and self.chance.random() < 0.1

    def recover(self) -> None:
        """Nothing goes wrong any more but what is wrong for good."""
        self.calm = True
        self.disk.full = False
        for engine in self.engines:
            engine.recover()

    # Batches

    async def add_batch(self, number: int) -> Batch:
        """A batch with an input file of its own, sometimes an invalid one, with policies of either vendor."""
        chance = self.chance
        lines = FLOOD_LINES if self.floods and chance.random() < 0.2 else chance.choice((1, 2, 7, 23, 60))
        valid = chance.random() < 0.9
        batch_id = f"batch_{number}"
        deployment = self.deployment_of[batch_id] = chance.choice(self.plan.deployments)
        lot = contents_of(chance, lines, self.plan)
        rows = []
        for line, content in enumerate(lot):
            text = f"{batch_id}/{line}"
            self.lines[text] = content
            row = {"custom_id": f"{batch_id}-{line}", "method": "POST", "url": "/chat/completions"}
            body = {"model": deployment.name, "messages": [{"role": "user", "content": text}]}
            rows.append(json.dumps(row | {"body": body}))
            if chance.random() < 0.1:
                rows.append("")
        if not valid:
            rows.insert(chance.randrange(len(rows) + 1), "{not json")
        elif healthy(lot):
            self.healthy.add(batch_id)
        writer = await self.blobs.create(f"files/{batch_id}")
        await writer.write("\n".join(rows).encode())
        await writer.publish()
        now = int(self.clock.now())
        expire = Mood.WINDOWS in self.plan.moods and chance.random() < 0.5
        batch = Batch(
            id=batch_id,
            input_file_id=f"file-{number}",
            input_blob=f"files/{batch_id}",
            endpoint="/chat/completions",
            completion_window="24h",
            status=Status.VALIDATING,
            created_at=now,
            expires_at=now + chance.randint(5, 60),
            resource=deployment.resource,
            policies=Policies(
                empty_files=chance.choice(list(EmptyFiles)),
                window_elapsed=WindowElapsed.EXPIRE if expire else WindowElapsed.CONTINUE,
            ),
        )
        self.checks.expect(batch, lines if valid else 0)
        await self.ledger.add_batch(batch)
        return batch


async def _inline(function: Callable[..., T], *arguments: Any) -> T:
    return function(*arguments)
