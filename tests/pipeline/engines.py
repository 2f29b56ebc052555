"""Engines that answer what a test says, in virtual time, and a whole service's sending side over them.

The engine, the worker, the ledger and the disk are the real ones; only what lies behind a backend's `send` is ours.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.batch import Batch, Policies, Status
from slackwater.core.errors import BackendError
from slackwater.core.sending.checksums import checksum_of, packed
from slackwater.core.sending.deployment import Deployment
from slackwater.core.sending.door import Door
from slackwater.core.sending.judgement import RetryPolicy
from slackwater.core.sending.request import Reply
from slackwater.pipeline.loops import Hint
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.fleet import Post
from slackwater.pipeline.sending.worker import Worker, WorkerSettings
from slackwater.pipeline.watching.batch_histories import BatchHistories
from slackwater.ports import NewShard, PeerSeat
from tests.simulation.virtual import VirtualClock, VirtualLoop

T = TypeVar("T")
Answer = Reply | BackendError
PATH = "/chat/completions"
CALL_SECONDS = 0.05
GOOD = Reply(
    200,
    b'{"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"yes"}}],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":1}}',
)
PROBE = "ping"


def played(story: Callable[[VirtualLoop], Awaitable[T]], *, seconds_max: float = 1e6) -> T:
    """Runs a story in virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(asyncio.wait_for(story(loop), seconds_max))
    finally:
        loop.close()


def refusal(status: int, retry_after: float | None = None, *, code: str = "") -> Reply:
    """An error answer."""
    return Reply(status, json.dumps({"error": {"message": "no", "code": code or None}}).encode(), retry_after)


def words_of(body: bytes) -> str:
    """What a request says; PROBE for a request of our own."""
    text: str = json.loads(body)["messages"][0]["content"]
    return text


class Call:
    """One call, as the engine has seen it."""

    def __init__(self, text: str, begun: float) -> None:
        self.text = text
        self.begun = begun
        self.ended: float | None = None
        self.good = False


class ScriptedEngine:
    """Answers each call with what the script says, after a while, and remembers all of them."""

    def __init__(
        self,
        loop: VirtualLoop,
        script: "Callable[[str, ScriptedEngine], Answer]" = lambda text, engine: GOOD,
        *,
        seconds: float = CALL_SECONDS,
    ) -> None:
        """`script` says what comes for a text, at the end of its call."""
        self.loop = loop
        self.script = script
        self.seconds = seconds
        self.calls: list[Call] = []
        self.out = 0
        self.out_max = 0
        self.dead_until = 0.0
        self.broken: asyncio.Future[BackendError] | None = None

    @property
    def now(self) -> float:
        return self.loop.time()

    async def send(self, path: str, body: bytes, *, heard: Callable[[int], None] | None = None) -> Reply:
        """One call. Whoever asks for a stream is answered without one."""
        call = Call(words_of(body), self.now)
        self.calls.append(call)
        self.out += 1
        self.out_max = max(self.out_max, self.out)
        try:
            answer = await self.answer(call)
        finally:
            call.ended = self.now
            self.out -= 1
        if isinstance(answer, BackendError):
            raise answer
        call.good = 200 <= answer.status < 300
        return answer

    async def answer(self, call: Call) -> Answer:
        """What comes of a call, and when."""
        await asyncio.sleep(self.seconds)
        return self.script(call.text, self)

    async def close(self) -> None:
        """Nothing to close."""

    def calls_of(self, text: str) -> int:
        """How often this was sent."""
        return sum(call.text == text for call in self.calls)

    @property
    def counts(self) -> Counter[str]:
        """How often each text was sent."""
        return Counter(call.text for call in self.calls if call.text != PROBE)


class Outcome:
    """What became of a line."""

    def __init__(self, line: dict[str, Any], *, failed: bool) -> None:
        self.failed = failed
        response, error = line["response"], line["error"]
        self.status: int | None = None if response is None else response["status_code"]
        self.code: str | None = None if error is None else error["code"]


class Service:
    """A ledger, a disk, engines, and the workers of some deployments over them."""

    def __init__(self, loop: VirtualLoop, folder: Path, *, blobs: DiskBlobs | None = None) -> None:
        self.loop = loop
        self.clock = VirtualClock(loop)
        self.folder = folder
        self.blobs = blobs or DiskBlobs(folder, run=inline)
        self.ledger = SqlLedger.open(":memory:", inline=True)
        self.hint = Hint()
        self.engines: dict[int, Engine] = {}
        self.posts: dict[str, Post] = {}
        self.batches: list[str] = []
        self.lives = 0
        self.histories = BatchHistories(self.ledger, self.clock)

    def engine_of(self, upstream: Any, *, slots: int, seat: PeerSeat | None = None) -> Engine:
        """The engine in front of a scripted one. At `seat` others who use it are heard."""
        engine = self.engines.get(id(upstream))
        if engine is None:
            name = f"http://{len(self.engines)}"
            engine = self.engines[id(upstream)] = Engine(name, self.clock, slots=slots, seat=seat)
        return engine

    def door_of(self, upstream: Any) -> Door:
        """Its door."""
        return self.engines[id(upstream)].door("key", "", slots=1)

    def serve(
        self,
        *upstreams: Any,
        deployment: str = "d",
        slots: int = 64,
        cap: int | None = None,
        attempts: int = 5,
        tenant: str = "",
        weight: float = 1.0,
        make: Callable[..., Dispatcher] = Dispatcher,
        **settings: Any,
    ) -> Worker:
        """A deployment over these engines begins to work; `make` makes its dispatchers."""
        dispatchers = []
        for number, upstream in enumerate(upstreams):
            engine = self.engine_of(upstream, slots=slots)
            dispatchers.append(
                make(
                    f"b{number}",
                    upstream,
                    engine=engine,
                    door=engine.door("key", "", slots=slots),
                    concurrency=cap or slots,
                    model=None,
                    retry=RetryPolicy(attempts_max=attempts),
                    clock=self.clock,
                )
            )
        self.lives += 1
        worker = Worker(
            deployment,
            dispatchers,
            owner=f"w{self.lives}",
            ledger=self.ledger,
            blobs=self.blobs,
            clock=self.clock,
            hint=self.hint,
            settings=WorkerSettings(**settings),
            chance=lambda: 0.5,
            tenant=tenant,
            weight=weight,
            heard=self.histories.hear,
        )
        post = self.posts[deployment] = Post(Deployment(name=deployment, model="m", backends=()), worker)
        post.start()
        return worker

    async def batch(
        self,
        texts: Sequence[str],
        *,
        deployment: str = "d",
        shard_lines: int = 1000,
        checksums: bool = True,
        line_tokens: int = 1,
    ) -> str:
        """A batch with a line for each text, enqueued and ready to be worked on; without checksums as old versions made it."""
        batch_id = f"batch-{len(self.batches)}"
        self.batches.append(batch_id)
        rows = []
        for number, text in enumerate(texts):
            body = {"model": "m", "messages": [{"role": "user", "content": text}]}
            row = {"custom_id": f"{number}", "method": "POST", "url": PATH, "body": body}
            rows.append(json.dumps(row).encode() + b"\n")
        writer = await self.blobs.create(f"files/{batch_id}")
        await writer.write(b"".join(rows))
        await writer.publish()
        now = int(self.clock.now())
        await self.ledger.add_batch(
            Batch(
                id=batch_id,
                input_file_id="file",
                input_blob=f"files/{batch_id}",
                endpoint=PATH,
                completion_window="24h",
                status=Status.VALIDATING,
                created_at=now,
                expires_at=now + 86_400,
                policies=Policies(),
            )
        )
        shards, offset = [], 0
        for first in range(0, len(rows), shard_lines):
            cut = rows[first : first + shard_lines]
            length = sum(map(len, cut))
            sums = packed([checksum_of(row) for row in cut]) if checksums else b""
            shards.append(
                NewShard(offset=offset, length=length, lines=len(cut), tokens=line_tokens * len(cut), checksums=sums)
            )
            offset += length
        assert await self.ledger.accept_batch(
            batch_id,
            deployment=deployment,
            endpoint=PATH,
            total=len(rows),
            tokens=line_tokens * len(rows),
            shards=shards,
        )
        await self.ledger.enqueue([batch_id], now=now)
        for waiting in await self.ledger.unranked():
            await self.ledger.rank_shards(waiting.batch_id, [float(index) for index in range(waiting.shards)])
        self.hint.notify()
        return batch_id

    async def counts(self, batch_id: str) -> tuple[int, int]:
        """Lines that were answered, and lines that failed, as far as that is durable."""
        batch = await self.ledger.batch(batch_id)
        assert batch is not None
        return batch.counts.completed, batch.counts.failed

    async def ended(self, batch_id: str, *, seconds_max: float = 3600.0) -> float:
        """Waits until each line of a batch has its end. Returns the moment."""
        batch = await self.ledger.batch(batch_id)
        assert batch is not None
        deadline = self.loop.time() + seconds_max
        while sum(await self.counts(batch_id)) < batch.counts.total:
            assert self.loop.time() < deadline, f"{batch_id} has not ended: {await self.counts(batch_id)}"
            await asyncio.sleep(0.02 if self.loop.time() < 600 else 2.0)
        return self.loop.time()

    async def outcomes(self, batch_id: str) -> dict[str, Outcome]:
        """What became of each line, by its custom_id; each line exactly once."""
        found: dict[str, Outcome] = {}
        for _, segment in await self.ledger.segments(batch_id):
            for place, failed in ((segment.output, False), (segment.error, True)):
                if place is None or not place.length:
                    continue
                for text in (await self.blobs.read(place)).splitlines():
                    line = json.loads(text)
                    assert line["custom_id"] not in found or not line["custom_id"], "a line has two results"
                    found[line["custom_id"] or line["id"]] = Outcome(line, failed=failed)
        return found

    async def stop(self) -> None:
        """Ends every worker gently."""
        posts = [self.posts.pop(deployment) for deployment in list(self.posts)]
        await asyncio.gather(*(post.end() for post in posts))

    async def close(self) -> None:
        """Ends everything."""
        await self.stop()
        await self.ledger.close()


async def inline(function: Callable[..., T], *arguments: Any) -> T:
    """Runs what touches the disk at once."""
    return function(*arguments)


def served(folder: Path, story: Callable[[Service], Awaitable[T]], *, blobs: DiskBlobs | None = None) -> T:
    """Runs a story over a service, and ends it."""

    async def whole(loop: VirtualLoop) -> T:
        service = Service(loop, folder, blobs=blobs)
        try:
            return await story(service)
        finally:
            await service.close()

    return played(whole)
