"""The world of several servers: one database, one file system, engines, and whoever asks for something."""

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.rows import batch_record
from slackwater.core.batch import Batch
from slackwater.core.files.file import File
from slackwater.core.sending.pause import Target
from tests.cluster.processes import TURNS_MAX, Process, Processes
from tests.simulation.content import Content
from tests.simulation.servers.checks import (
    NOTICED_SECONDS,
    OVERDUE_SECONDS,
    ServersChecks,
    ServersSending,
    looks_after,
)
from tests.simulation.servers.client import Client, Ordered, Receiver, input_file
from tests.simulation.servers.database import UP, Database
from tests.simulation.servers.engines import Upstream, has_mishaps
from tests.simulation.servers.observed import Observed
from tests.simulation.servers.plan import DeploymentPlan, Mood, plan_of
from tests.simulation.servers.server import Server
from tests.simulation.virtual import NAP_FROM_SECONDS, Naps

T = TypeVar("T")


class _Clock:
    """What checks of one server's world ask: nobody sets the clock of the ledger."""

    back = 0.0


class ServerProcess(Process):
    """One whose stages nap while it is known that there is nothing to see; and whose clock may be set."""

    naps: Naps

    async def sleep(self, seconds: float) -> None:
        if NAP_FROM_SECONDS <= seconds < self.naps.seconds:
            await self.naps.nap()
        else:
            await super().sleep(seconds)

    def begin(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Runs something in it; also from inside of another one."""
        asked_by = asyncio._get_running_loop()
        try:
            return super().begin(work)
        finally:
            asyncio._set_running_loop(asked_by)

    def set_clock(self, seconds: float) -> None:
        """Somebody sets the clock on its wall."""
        self._wall += seconds


class World(Processes):
    """Everything that one seed decides."""

    clock = _Clock

    def __init__(self, seed: int, root: Path, *, moods: frozenset[Mood] | None = None) -> None:
        super().__init__(seed)
        self._running: list[ServerProcess] = []
        self.seed = seed
        self.plan = plan_of(seed, moods=moods)
        self.naps = Naps()
        self.root = root / "blobs"
        self.blobs = DiskBlobs(self.root, run=_inline)
        self.observed = Observed(self)
        self.servers: list[Server] = []
        self.deaths: dict[Server, float] = {}
        self.database = Database(self, root / "ledger.sqlite")
        self.observed.watch(self.database.sqlite.reader)
        self.ledger = SqlLedger(self.database.sqlite)
        self.engines = [Upstream(self, plan, number) for number, plan in enumerate(self.plan.engines)]
        self._deployments = {each.name: each for each in self.plan.deployments}
        self.lines: dict[str, Content] = {}
        self.damaged: dict[str, set[str] | None] = {}
        self._mishaps: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.pausing: set[tuple[Target, str]] = set()
        self.checks = ServersChecks(self)
        self.sending = ServersSending(self)
        self.client = Client(self)
        self.receiver = Receiver(self)
        self.calm = self.over = False
        self.befallen = 0
        """How often something befell a server that it does not know of, or the database."""
        self.database_troubled_at = -1000.0
        self.late_until = 0.0
        self._files = 0
        for endpoint in self.receiver.endpoints():
            self.at_once(self.ledger.add_webhook_endpoint(endpoint, most=9))

    def process(self, name: str) -> ServerProcess:
        made = ServerProcess(self, name, self.chance)
        made.naps = self.naps
        if Mood.CLOCKS in self.plan.troubles:
            made.set_clock(self.chance.uniform(-900.0, 900.0))
        self.all.append(made)
        self._running.append(made)
        return made

    def run(self, until: float) -> None:
        """Lets time pass to that moment. As ever, but that those who are dead are not looked at again."""
        self._running = [each for each in self._running if each.alive]
        events, chance = self._events, self.chance
        turns, last = 0, self.time
        while True:
            now, nearest = self.time, until
            turns, last = turns + 1 if now == last else 0, now
            assert turns < TURNS_MAX, f"somebody spins at {now}"
            due = []
            for each in self._running:
                if each.alive and not each.stands:
                    at = each.loop.next_at
                    if at <= now:
                        due.append(each)
                    elif at < nearest:
                        nearest = at
            if due:
                if len(due) > 1:
                    chance.shuffle(due)
                for each in due:
                    each.loop.turn()
                continue
            if events and events[0][0] <= now:
                heapq.heappop(events)[2]()
                continue
            nearest = min(nearest, events[0][0]) if events else nearest
            if nearest >= until:
                self.time = until
                return
            self.time = max(now, nearest)

    @staticmethod
    def at_once(work: Coroutine[Any, Any, T]) -> T:
        """What comes of something that waits for nothing."""
        try:
            work.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        raise AssertionError("it waits")

    def has(self, mood: Mood) -> bool:
        """Whether this trouble is on now."""
        return not self.calm and mood in self.plan.troubles

    # Chances

    def under_way(self) -> float:
        """How long something takes over a network, or on a disk."""
        return self.chance.uniform(0.0005, 0.01)

    def meets(self) -> bool:
        """Whether a transaction meets another one."""
        return self.has(Mood.MEETING) and self.chance.random() < 0.2

    def loses_answer(self) -> bool:
        """Whether an answer of the database does not come, and the connection with it."""
        return self.has(Mood.UNKNOWN) and self.chance.random() < 0.01

    def loses_hint(self) -> bool:
        """Whether a hint does not come."""
        return self.has(Mood.UNHEARD) and self.chance.random() < 0.5

    def mishap(self, text: str) -> float | None:
        """Whether something befalls a call. A line has fewer of these than would fail it."""
        if (
            not has_mishaps(self)
            or self._mishaps[text] >= (self.plan.attempts_max - 1) // 2
            or self.chance.random() > 0.1
        ):
            return None
        self._mishaps[text] += 1
        return self.chance.random()

    # Servers

    def begin(self) -> Server:
        """Another one starts."""
        server = Server(self)
        self.servers.append(server)
        return server

    def living(self) -> list[Server]:
        """Those whose process runs, or stands."""
        return [each for each in self.servers if each.process.alive]

    def died(self, server: Server) -> None:
        """One has ended; somebody starts another in its place."""
        if self.over:
            return
        self.deaths[server] = self.time
        if server.ready and not server.left:
            # Where there is no way, nobody hears that its connections have ended.
            told = not server.machine_lost and server.path == UP
            looks_after(self, server, seconds=NOTICED_SECONDS if told else OVERDUE_SECONDS)
        wait = self.chance.uniform(0.5, 10.0)
        self.at(wait, lambda: self.over or len(self.living()) >= self.plan.servers or (self.begin() and None))

    def well(self, server: Server, since: float, until: float | None = None) -> bool:
        """Whether nothing has befallen a server, or its way to the database, since then."""
        return (
            server.troubled_at < since
            and self.database_troubled_at < since
            and max(self.late_until, server.late_until) < since
            and server.begun_at < (self.time if until is None else until)
            and self.database.state == UP
            and server.path == UP
            and not server.process.stands
            and not (self.has(Mood.UNKNOWN) or self.has(Mood.LATE))
        )

    # Deployments

    def deployment(self, name: str) -> DeploymentPlan:
        """One that there is, or was."""
        return self._deployments[name]

    def another_deployment(self) -> DeploymentPlan:
        """One that is made over the API."""
        plan = DeploymentPlan(f"made{len(self._deployments)}", self.plan.deployments[0].engines, None)
        self._deployments[plan.name] = plan
        return plan

    def limit_of(self, key: str) -> int | None:
        """How many tokens a deployment may hold."""
        plan = self._deployments.get(key)
        return None if plan is None else plan.token_limit

    def is_of(self, text: str, paused: tuple[Target, str], engine: Upstream) -> bool:
        """Whether a line is among what is paused."""
        what, target = paused
        if what is Target.ENGINE:
            return engine.name == target
        batch = text.partition("/")[0]
        order = next(each for each in self.client.orders if each.batch_id == batch)
        return order.deployment.key == target

    # Files and batches

    def new_file_id(self) -> str:
        self._files += 1
        return f"file-out-{self._files}"

    def put_file(self, file_id: str, data: bytes) -> File:
        """An input file, with its row."""
        file = input_file(file_id, data, now=self.database.time)

        async def put() -> None:
            writer = await self.blobs.create(file.blob)
            await writer.write(data)
            await writer.publish()
            await self.ledger.add_file(file)

        self.at_once(put())
        return file

    def expect(self, order: Ordered, lines: int) -> None:
        """A batch was asked for."""
        self.checks._expected[order.batch_id] = lines

    def batch(self, batch_id: str) -> Batch:
        """A batch, as it is now."""
        row = self.ledger.sql.one(self.database.sqlite.reader, "batch", {"id": batch_id})
        assert row is not None
        return batch_record(row)

    def all_ended(self) -> bool:
        """Whether nothing is left to be done."""
        reader = self.database.sqlite.reader
        open_ones = reader.execute("SELECT COUNT(*) FROM batch WHERE stage != 'ended'").fetchone()[0]
        told = reader.execute("SELECT COUNT(*) FROM webhook_delivery WHERE state = 'pending'").fetchone()[0]
        leaving = reader.execute("SELECT COUNT(*) FROM deployment").fetchone()[0]
        return not (open_ones or told or leaving or self.client.busy or self.pausing)

    def recover(self) -> None:
        """Nothing goes wrong any more."""
        self.calm, self.late_until = True, 0.0
        if self.database.state != UP:
            self.database.comes_back()
        for server in self.living():
            server.late_until = 0.0
            server.deaf_to.clear()
            server.process.stands = False
            server.heal()

    def close(self) -> None:
        """Ends the loops, whatever runs in them."""
        self.over = True
        for each in self.all:
            each.alive = False
            each.loop.set_exception_handler(lambda *_: None)
            for _ in range(20):
                tasks = _tasks_of(each)
                if not tasks:
                    break
                for task in tasks:
                    task.cancel()
                each.loop.turn()
            for task in _tasks_of(each):
                task._log_destroy_pending = False
            each.loop.close()
        self.at_once(self.ledger.close())


def _tasks_of(process: Process) -> list[Any]:
    return list(asyncio.all_tasks(process.loop))


async def _inline(function: Callable[..., T], *arguments: Any) -> T:
    return function(*arguments)
