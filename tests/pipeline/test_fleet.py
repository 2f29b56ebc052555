"""Workers that are replaced while they work: what they hold is given back, and whoever comes next goes on with it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slackwater.adapters.disk_blobs import DiskBlobs
from slackwater.adapters.sql_ledger import SqlLedger
from slackwater.adapters.system_clock import SystemClock
from slackwater.core.deployment import Deployment
from slackwater.core.pacing import Breaker, RetryPolicy
from slackwater.core.request import Reply
from slackwater.pipeline.dispatcher import Dispatcher
from slackwater.pipeline.fleet import Fleet
from slackwater.pipeline.loops import Hint
from slackwater.pipeline.worker import Worker, WorkerSettings
from slackwater.ports import Ledger
from tests.adapters.ledger_contract import started

DEPLOYMENT = Deployment(name="d", model="m", backends=())
LINE = b'{"custom_id":"%d","method":"POST","url":"/v1/chat/completions","body":{"model":"d","messages":[]}}\n'
ANSWER = b'{"model":"m","usage":{"prompt_tokens":7,"completion_tokens":1}}'


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

    async def claim_shard(self, *arguments: Any, **named: Any) -> Any:
        shard = await self._ledger.claim_shard(*arguments, **named)
        if shard is not None and not self.claimed.is_set():
            self.claimed.set()
            await self.go_on.wait()
        return shard


def dispatcher(backend: Silent) -> Dispatcher:
    """One lane to this backend."""
    return Dispatcher(
        "b",
        backend,
        concurrency=1,
        model=None,
        retry=RetryPolicy(),
        breaker=Breaker(),
        clock=SystemClock(),
        chance=lambda: 0.5,
    )


class House:
    """A batch of three lines in one shard, and a fleet that may work on it."""

    def __init__(self, ledger: Any, blobs: DiskBlobs) -> None:
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

        self.fleet = Fleet(make)

    async def done(self) -> None:
        """Returns when every line of the batch is journaled."""
        while (await self.ledger.batch("batch-0")).counts.completed < 3:
            await self.hint.wait(SystemClock(), 0.05)


async def house(folder: Path, ledger: Any) -> House:
    """With the batch in it."""
    blobs = DiskBlobs(folder)
    writer = await blobs.create("files/0")
    data = b"".join(LINE % number for number in range(3))
    await writer.write(data + b" " * (100 - len(data)))
    await writer.publish()
    await started(ledger, shards=(3,))
    # `started` says that a shard has 100 bytes.
    return House(ledger, blobs)
