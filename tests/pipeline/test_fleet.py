"""Workers that are replaced while they work: what they hold is given back, and whoever comes next goes on with it."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.system_clock import SystemClock
from slackwater.core.sending.deployment import Deployment
from slackwater.core.sending.judgement import RetryPolicy
from slackwater.core.sending.request import Reply
from slackwater.pipeline.loops import Hint
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.fleet import Fleet
from slackwater.pipeline.sending.worker import Worker, WorkerSettings
from slackwater.ports import Ledger
from tests.adapters.ledger_contract import started

DEPLOYMENT = Deployment(name="d", model="m", backends=())
# Three requests in as many bytes as a shard of the ledger's contract has; blank lines are none.
LINES = b"".join(b'{"custom_id":"%d","body":{}}\n' % number for number in range(3)).ljust(100, b"\n")
ANSWER = b'{"model":"m","choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":7,"completion_tokens":1}}'


class Silent:
    """A backend that never answers, or once it is told to."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.asked = asyncio.Event()
        self.closed = False

    async def send(self, path: str, body: bytes) -> Reply:
        self.asked.set()
        if not self.answers:
            await asyncio.get_running_loop().create_future()
        return Reply(200, ANSWER)

    async def close(self) -> None:
        self.closed = True


class SlowClaims:
    """A ledger whose first claim is known to it long before the claimer hears of it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.claimed = asyncio.Event()
        self.go_on = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def claim_shards(self, *arguments: Any, **named: Any) -> Any:
        shards = await self._ledger.claim_shards(*arguments, **named)
        if shards and not self.claimed.is_set():
            self.claimed.set()
            await self.go_on.wait()
        return shards


def dispatcher(backend: Silent) -> Dispatcher:
    """One slot of an engine of its own."""
    engine = Engine(f"http://{id(backend)}", SystemClock(), slots=1)
    return Dispatcher(
        "b",
        backend,
        engine=engine,
        door=engine.door("key", "m", slots=1),
        concurrency=1,
        model=None,
        retry=RetryPolicy(),
        clock=SystemClock(),
    )


class House:
    """A batch of three lines in one shard, and a fleet that may work on it."""

    def __init__(self, ledger: Any, blobs: DiskBlobs, *, sends: Callable[[str], bool] = lambda key: True) -> None:
        self.ledger = ledger
        self.hint = Hint()
        self.workers: list[Worker] = []

        def make(deployment: Deployment, dispatchers: Sequence[Dispatcher]) -> Worker:
            worker = Worker(
                deployment.key,
                dispatchers,
                owner=f"w{len(self.workers)}",
                ledger=ledger,
                blobs=blobs,
                clock=SystemClock(),
                hint=self.hint,
                settings=WorkerSettings(grace_seconds=0.2, commit_seconds=0.01),
            )
            self.workers.append(worker)
            return worker

        self.changes = 0
        self.fleet = Fleet(make, sends=sends, changed=self._changed)

    def _changed(self) -> None:
        self.changes += 1

    async def done(self) -> None:
        """Returns when every line of the batch is journaled."""
        while (await self.ledger.batch("batch-0")).counts.completed < 3:
            await self.hint.wait(SystemClock(), 0.05)


async def house(folder: Path, ledger: Any, *, sends: Callable[[str], bool] = lambda key: True) -> House:
    """With the batch in it."""
    blobs = DiskBlobs(folder)
    writer = await blobs.create("files/0")
    await writer.write(LINES)
    await writer.publish()
    await started(ledger, shards=(3,))
    return House(ledger, blobs, sends=sends)


def test_a_worker_that_is_replaced_gives_its_shards_back(tmp_path: Path) -> None:
    """Its calls get their grace time, its backends are closed, and the new one has answers for every line."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "ledger")
        own = await house(tmp_path, ledger)
        old, new = Silent(answers=False), Silent(answers=True)
        own.fleet.put(DEPLOYMENT, [dispatcher(old)])
        own.fleet.start()
        await old.asked.wait()
        own.fleet.put(DEPLOYMENT, [dispatcher(new)])
        await own.done()
        assert own.fleet.tokens_per_second("d", now=SystemClock().monotonic()) == 2.1
        await own.fleet.stop()
        assert old.closed
        assert new.closed
        await ledger.close()

    asyncio.run(asyncio.wait_for(story(), 20))


def test_a_claim_that_is_under_way_is_not_cut_off(tmp_path: Path) -> None:
    """The ledger has given the shard to the old worker, who has not heard of it yet: it comes back, and at once."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "ledger")
        slow = SlowClaims(ledger)
        own = await house(tmp_path, slow)
        old, new = Silent(answers=False), Silent(answers=True)
        own.fleet.put(DEPLOYMENT, [dispatcher(old)])
        own.fleet.start()
        await slow.claimed.wait()
        own.fleet.put(DEPLOYMENT, [dispatcher(new)])
        slow.go_on.set()
        # Far less than a lease lasts.
        await asyncio.wait_for(own.done(), 10)
        assert not old.asked.is_set()
        await own.fleet.stop()
        await ledger.close()

    asyncio.run(story())


def test_a_deployment_that_changes_without_new_backends_keeps_its_worker(tmp_path: Path) -> None:
    """A limit is no reason to stop anything; what is hidden cannot be chosen, and what is removed is not there."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "ledger")
        own = await house(tmp_path, ledger)
        backend = Silent(answers=True)
        own.fleet.put(DEPLOYMENT, [dispatcher(backend)])
        changed = Deployment(name="d", model="m", backends=(), enqueued_token_limit=5)
        own.fleet.put(changed, None)
        assert (own.fleet.all(), own.fleet.get("d"), len(own.workers)) == ([changed], changed, 1)
        own.fleet.hide("d", hidden=True)
        assert own.fleet.all() == []
        own.fleet.start()
        own.fleet.remove("d")
        assert own.fleet.get("d") is None
        await own.fleet.stop()
        assert backend.closed
        await ledger.close()

    asyncio.run(story())


def test_others_send_for_a_deployment(tmp_path: Path) -> None:
    """It is known, changed and removed here, and nothing of it is sent. What is sent for is told, and when that changes."""

    async def story() -> None:
        ledger = SqlLedger.open(":memory:")
        home = await house(tmp_path, ledger, sends=lambda key: key == "ours")
        ours = Deployment(name="ours", model="m", backends=())
        theirs, mine = Silent(answers=True), Silent(answers=True)
        home.fleet.put(DEPLOYMENT, [dispatcher(theirs)])
        home.fleet.put(ours, [dispatcher(mine)])
        assert (home.fleet.served(), home.changes) == ([], 0)
        home.fleet.start()
        assert (home.fleet.served(), home.changes) == (["ours"], 1)
        assert {each.key for each in home.fleet.all()} == {"d", "ours"}
        assert [key for key, _ in home.fleet.dispatchers()] == ["d", "ours"]
        assert [key for key, _ in home.fleet.senders()] == ["ours"]
        assert {each.of for each in home.fleet.watched()} == {"ours"}
        home.hint.notify()
        again = Silent(answers=True)
        home.fleet.put(DEPLOYMENT, [dispatcher(again)])
        home.fleet.remove("ours")
        assert home.fleet.served() == []
        home.fleet.remove("d")
        await home.fleet.stop()
        assert not any(each.asked.is_set() for each in (theirs, mine, again))
        assert all(each.closed for each in (theirs, mine, again))
        # The shard waits for whoever sends.
        assert (await ledger.claim_shards(["batch-0"], owner="o", now=0.0, lease_seconds=9.0))[0].index == 0
        await ledger.close()

    asyncio.run(story())
