"""A batch of which nothing is sent has a reason that people are told, also where it alone is held back; in virtual time."""

import asyncio
import errno
from functools import partial
from pathlib import Path

import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.disk.log import DiskLog
from slackwater.core.errors import ClassifierFailed, StorageFull
from slackwater.core.filtering.breaker import Breaker
from slackwater.core.filtering.content_filter import Policy
from slackwater.core.sending.door import DoorState
from slackwater.core.sending.judgement import RetryPolicy
from slackwater.core.watching.standings import WaitingOn
from slackwater.pipeline.filtering.content_filter import ContentFilter
from slackwater.pipeline.filtering.filtered_dispatcher import FilteredDispatcher
from slackwater.pipeline.quota.spare_capacity import SpareCapacity
from slackwater.pipeline.sending.fleet import Fleet
from slackwater.pipeline.watching.deployment_watch import DeploymentWatch, out_of, sums_of
from slackwater.pipeline.watching.progress import Progress
from slackwater.ports import BlobRange
from tests.pipeline.engines import GOOD, Answer, ScriptedEngine, Service, inline, refusal, served
from tests.pipeline.test_filtered_dispatcher import Judge
from tests.pipeline.test_sending import BAD, Mortal, bad_lines_get, texts


class Full(DiskBlobs):
    """A disk without room for results for a while, or that does not give an input."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, run=inline)
        self.full = False
        self.silent = ""

    async def open_log(self, key: str) -> DiskLog:
        if self.full:
            raise StorageFull("no room")
        return await super().open_log(key)

    async def read(self, source: BlobRange) -> bytes:
        if source.key == self.silent:
            raise OSError(errno.EIO, "the disk says no")
        return await super().read(source)


class Watching:
    """What people are told of batches, over the workers of a service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        fleet = Fleet(lambda deployment, dispatchers: next(iter(service.posts.values())).worker)
        fleet._posts = service.posts
        ledger, clock = service.ledger, service.clock
        spare = SpareCapacity(ledger, clock, tokens_per_second=lambda key, now: 0.0)
        self.progress = Progress(ledger, clock, backends=lambda: sums_of(fleet), out=lambda: out_of(fleet))
        self.watch = DeploymentWatch(ledger, clock, fleet, spare, self.progress)

    async def told(self, batch_id: str) -> WaitingOn | None:
        """Why nothing of it is sent."""
        await self.progress.step()
        batch = await self.service.ledger.batch(batch_id)
        assert batch is not None
        return await self.watch.waiting_on(batch)

    async def first(self, batch_id: str, what: str, *, seconds: float = 120.0) -> WaitingOn:
        """The first time that people are told so."""
        deadline = self.service.loop.time() + seconds
        while (told := await self.told(batch_id)) is None or told.what != what:
            assert self.service.loop.time() < deadline, f"nobody is told why nothing of {batch_id} is sent: {told}"
            await asyncio.sleep(0.5)
        return told


def test_a_batch_that_was_told_to_wait_alone(tmp_path: Path) -> None:
    """It says that, and until when; of the others nothing is said. When it is answered, it says nothing any more."""

    async def story(service: Service) -> None:
        well = False

        def script(text: str, engine: ScriptedEngine) -> Answer:
            return GOOD if well or not text.startswith(BAD) else refusal(429, 40.0)

        engine = ScriptedEngine(service.loop, script, seconds=1.0)
        alone, others = await service.batch(texts(10, BAD)), await service.batch(texts(800))
        service.serve(engine, slots=8)
        watching = Watching(service)
        told = await watching.first(alone, "batch")
        assert told.health is DoorState.BUSY
        assert told.reason.startswith("status 429")
        assert told.since is not None
        assert told.until is not None
        assert told.since <= service.clock.now() < told.until <= service.clock.now() + 41
        assert await watching.told(others) is None
        well = True
        await service.ended(alone)
        assert await watching.told(alone) is None

    served(tmp_path, story)


def test_a_batch_whose_last_line_waits_for_another_try(tmp_path: Path) -> None:
    """With what the engine said of it. While one of its lines is out, or may go at once, nothing is said."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, bad_lines_get(refusal(500)), seconds=1.0)  # type: ignore[arg-type]
        bad, others = await service.batch([f"{BAD} 1"]), await service.batch(texts(400))
        service.serve(engine, attempts=9, slots=8)
        watching = Watching(service)
        told = await watching.first(bad, "batch")
        assert (told.health, told.reason) == (DoorState.DOWN, "status 500 (no)")
        assert told.until is not None
        assert told.until > service.clock.now() - 1
        assert await watching.told(others) is None
        await service.ended(bad)

    served(tmp_path, story)


def test_an_engine_that_others_have(tmp_path: Path) -> None:
    """All of its slots are taken by another deployment's calls, and none of them comes back."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, seconds=90.0)
        theirs, mine = await service.batch(texts(2), deployment="a"), await service.batch(texts(2), deployment="b")
        service.serve(engine, deployment="a", slots=2)
        await asyncio.sleep(1.0)
        service.serve(engine, deployment="b", slots=2)
        watching = Watching(service)
        told = await watching.first(mine, "engine")
        assert told.health is DoorState.BUSY
        assert "other deployments" in told.reason
        assert await watching.told(theirs) is None
        await service.ended(mine)

    served(tmp_path, story)


@pytest.mark.parametrize("deployment", ["d", "another"])
def test_who_waits_for_a_request_that_goes_alone(tmp_path: Path, deployment: str) -> None:
    """An engine has died of something: while each that was out then has it to itself, others are told that they wait for it."""

    async def story(service: Service) -> None:
        engine = Mortal(service, "good 3")
        suspects = await service.batch(texts(4))
        service.serve(engine, slots=4)
        while engine.deaths < 2:
            await asyncio.sleep(0.1)
        engine.seconds = 30.0
        others = await service.batch(texts(1), deployment=deployment)
        if deployment != "d":
            service.serve(engine, deployment=deployment, slots=4)
        watching = Watching(service)
        told = await watching.first(others, "engine")
        assert told.health is DoorState.BUSY
        assert "goes alone" in told.reason
        assert await watching.told(suspects) is None
        await service.ended(suspects)

    served(tmp_path, story)


def test_a_content_filter_that_cannot_judge(tmp_path: Path) -> None:
    """While its classifier is down, requests stand on their lanes and none is out."""

    async def story(service: Service) -> None:
        judge = Judge(*[ClassifierFailed("nobody there", busy=True)] * 8)
        strict = ContentFilter(
            Policy(name="strict", thresholds={}),
            blocklists=None,
            classifier=judge,
            retry=RetryPolicy(),
            breaker=Breaker(open_first=2.0),
            clock=service.clock,
            chance=lambda: 0.5,
        )
        batch = await service.batch(texts(2))
        service.serve(ScriptedEngine(service.loop), make=partial(FilteredDispatcher, content_filter=strict))
        watching = Watching(service)
        told = await watching.first(batch, "content_filter")
        assert (told.health, told.reason) == (DoorState.DOWN, "nobody there")
        await service.ended(batch)
        assert await watching.told(batch) is None

    served(tmp_path, story)


@pytest.mark.parametrize("kind", ["full", "unreadable"])
def test_our_own_disk(tmp_path: Path, kind: str) -> None:
    """That it has no room for answers, or does not give an input, is said of the batch."""
    blobs = Full(tmp_path)

    async def story(service: Service) -> None:
        batch = await service.batch(texts(2000))
        blobs.full = kind == "full"
        blobs.silent = f"files/{batch}" if kind == "unreadable" else ""
        service.serve(ScriptedEngine(service.loop))
        told = await Watching(service).first(batch, "disk")
        assert told.health is DoorState.DOWN
        assert ("room" in told.reason) is (kind == "full")
        blobs.full, blobs.silent = False, ""
        await service.ended(batch)
        assert await Watching(service).told(batch) is None

    served(tmp_path, story, blobs=blobs)
