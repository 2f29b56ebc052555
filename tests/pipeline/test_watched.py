"""Everything that must run is watched: where it fails, the log says so, it is counted, and `/readyz` names it, until it works."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.core.files.retention import Keeping, Kept, Rule
from slackwater.core.sending.deployment import Deployment
from slackwater.core.sending.request import Reply
from slackwater.pipeline.sending.worker import WorkerSettings
from slackwater.pipeline.watching.readiness import Readiness
from slackwater.telemetry import counters, meters
from slackwater.wiring.service import Service
from slackwater.wiring.service_parts import Doors, Offer, Settings
from tests.adapters.ledger_contract import batch
from tests.pipeline.engines import GOOD, ScriptedEngine, inline, played, served
from tests.pipeline.engines import Service as SendingSide
from tests.pipeline.test_fleet import dispatcher
from tests.simulation.virtual import VirtualClock, VirtualLoop

# Each stage that has a loop, and what of the ledger it asks in each of its steps.
STAGES = {
    "validate-0": "next_to_validate",
    "validate-small": "next_to_validate",
    "enqueue": "waiting",
    "schedule": "unranked",
    "finalize": "begin_finalizing",
    "janitor": "elapse_windows",
    "uploads": "expire_uploads",
    "import-0": "next_import",
    "bring-0": "next_to_bring",
    "hand-over-0": "begin_finalizing",
    "webhook-0": "next_delivery",
    "webhooks": "end_overdue_deliveries",
    "audit": "trim_audit",
    "retention": "forget_batches",
    "progress": "batches_at_work",
    "clock": "note_alive",
    "pauses": "pauses",
    "history": "add_engine_minutes",
    "batch-histories": "add_batch_histories",
    "engines": "trim_engine_minutes",
}
OF_A_DEPLOYMENT = {"claim": "queued_batches", "commit": "commit_segments", "renew": "renew_leases"}
# Watched like the others; they ask nobody while there is nothing to do.
QUIET = {"deployments", "readiness"}


# So long ago that its notice is over.
KEEPING = {"default": Keeping(batches=1)}


class Breaking:
    """A ledger of which one method goes wrong, or does not come back."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger
        self.broken = ""
        self.hangs = ""
        self.goes_on = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ledger, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            if name == self.broken:
                raise RuntimeError("the ledger is not well")
            if name == self.hangs:
                await self.goes_on.wait()
            return await method(*arguments, **named)

        return call


class Half:
    """Answers every second call, and the others never."""

    def __init__(self) -> None:
        self.calls = 0

    async def send(self, path: str, body: bytes) -> Reply:
        self.calls += 1
        if not self.calls % 2:
            await asyncio.get_running_loop().create_future()
        return GOOD

    async def close(self) -> None:
        """Nothing to close."""


async def running(folder: Path, clock: VirtualClock) -> tuple[Service, Breaking, Readiness]:
    """A service at work, with something to do for each stage of its deployment."""
    ledger, blobs = SqlLedger.open(":memory:", inline=True), DiskBlobs(folder, run=inline)
    await ledger.set_rule("default", Kept.BATCHES, Rule(Kept.BATCHES, 1, 0))
    breaking, readiness = Breaking(ledger), Readiness(stores={}, room=blobs, free_bytes_min=0)
    service = Service(
        Doors(
            ledger=breaking,  # type: ignore[arg-type]
            blobs=blobs,
            clock=clock,
            offload=InlineOffload(),
            fetcher=object(),  # type: ignore[arg-type]
            sender=object(),  # type: ignore[arg-type]
        ),
        Offer(
            deployments=[Deployment(name="d", model="m", backends=())],
            backends=lambda _: [dispatcher(Half())],  # type: ignore[arg-type]
            quick_counter={},
        ),
        Settings(worker=WorkerSettings(grace_seconds=0.5), shard_lines_max=2, audit_keep_days=1, keeping=KEEPING),
        readiness=readiness,
    )
    body = {"model": "d", "messages": [{"role": "user", "content": "?"}]}
    line = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    writer = await blobs.create("files/0")
    await writer.write(b"".join(json.dumps(line | {"custom_id": str(each)}).encode() + b"\n" for each in range(40)))
    await writer.publish()
    await ledger.add_batch(batch(0, expires_at=2**40))
    return service, breaking, readiness


def play(folder: Path, story: Callable[[Service, Breaking, Readiness, VirtualClock], Any]) -> None:
    async def whole(loop: VirtualLoop) -> None:
        clock = VirtualClock(loop)
        service, breaking, readiness = await running(folder, clock)
        try:
            await story(service, breaking, readiness, clock)
        finally:
            breaking.broken = breaking.hangs = ""
            breaking.goes_on.set()
            await service.stop()

    played(whole)


@pytest.mark.parametrize("stage", [*STAGES, *OF_A_DEPLOYMENT])
def test_a_stage_that_fails_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture, stage: str) -> None:
    """It is tried again with growing gaps, each time with an ERROR line and a count; once it works, nothing is said any more."""
    caplog.set_level(logging.ERROR)

    async def story(service: Service, breaking: Breaking, readiness: Readiness, clock: VirtualClock) -> None:
        kind = stage.rstrip("-0123456789")
        if stage in STAGES:
            await service.start()
            await clock.sleep(5.0)
            assert readiness.reasons() == []
        before = meters.stage_failures[kind, "fault"]
        breaking.broken = (STAGES | OF_A_DEPLOYMENT)[stage]
        if stage not in STAGES:
            await service.start()
        await clock.sleep(90.0)
        (told,) = {
            each.message
            for each in readiness.reasons()
            if each.code == "stage_failing" and f"'{stage}'" in each.message
        }
        assert ("of the deployment 'd'" in told) == (stage not in STAGES)
        assert meters.stage_failures[kind, "fault"] - before >= 5
        assert f"stage_failed stage={stage}" in caplog.text
        breaking.broken = ""
        await clock.sleep(90.0)
        assert readiness.reasons() == []

    play(tmp_path, story)


@pytest.mark.parametrize("stage", ["commit", "renew"])
def test_a_step_that_does_not_come_back_is_named(tmp_path: Path, stage: str) -> None:
    """After a minute; results that are not made durable and leases that are not renewed are no small thing."""

    async def story(service: Service, breaking: Breaking, readiness: Readiness, clock: VirtualClock) -> None:
        breaking.hangs = OF_A_DEPLOYMENT[stage]
        await service.start()
        await clock.sleep(30.0)
        assert readiness.reasons() == []
        await clock.sleep(60.0)
        assert {each.code for each in readiness.reasons()} == {"stage_stuck"}
        assert any(f"'{stage}' of the deployment 'd'" in each.message for each in readiness.reasons())
        breaking.goes_on.set()
        await clock.sleep(5.0)
        assert readiness.reasons() == []

    play(tmp_path, story)


def test_no_loop_is_out_of_sight(tmp_path: Path) -> None:
    """Each one that a service runs is in the lists above, and is shown to whoever asks whether the service is ready."""

    async def story(service: Service, breaking: Breaking, readiness: Readiness, clock: VirtualClock) -> None:
        await service.start()
        watched = {loop.name for loop in readiness._loops()}
        tasks = {
            task.get_name().split()[0] for task in asyncio.all_tasks() if task.get_coro().__qualname__ == "Loop.run"
        }  # type: ignore[union-attr]
        assert tasks == watched - {"engine"}
        numbered = {name for name in watched if name[-1].isdigit() and not name.endswith("-0")}
        assert watched - numbered == STAGES.keys() | OF_A_DEPLOYMENT.keys() | QUIET | {"engine"}

    play(tmp_path, story)


class Stray(asyncio.CancelledError):
    """As a library raises it whose own future was cancelled."""


def test_a_cancellation_of_a_library_costs_neither_line_nor_lane(tmp_path: Path) -> None:
    """The line is tried again, like after any fault of ours; one that always does so ends, and the lanes stay."""

    class Odd(ScriptedEngine):
        async def answer(self, call: Any) -> Any:
            await asyncio.sleep(self.seconds)
            if call.text == "text 3" or (call.text == "text 4" and self.calls_of("text 4") < 3):
                raise Stray
            return GOOD

    async def story(service: SendingSide) -> None:
        engine = Odd(service.loop)
        batch_id = await service.batch([f"text {number}" for number in range(50)])
        service.serve(engine, slots=4)
        await service.ended(batch_id, seconds_max=30)
        outcomes = await service.outcomes(batch_id)
        assert {name: each.code for name, each in outcomes.items() if each.failed} == {"3": "internal_error"}
        assert engine.calls_of("text 4") == 3
        assert engine.out_max == 4

    served(tmp_path, story)


def test_the_watch_over_an_engine_outlives_its_faults(tmp_path: Path) -> None:
    """Without it nothing that is shut would ever be opened again. A look that goes wrong is told, counted, and made again."""

    async def story(service: SendingSide) -> None:
        engine = ScriptedEngine(service.loop)
        worker = service.serve(engine)
        (use,) = worker.uses
        watched = use.dispatcher.engine
        before = counters["engine_unwatched"]
        # What a fault of ours in this look would do.
        watched.doors["broken", ""] = None  # type: ignore[assignment]
        watched.look()
        await asyncio.sleep(60.0)
        assert watched.looks.failures > 5
        assert counters["engine_unwatched"] - before == watched.looks.failures
        del watched.doors["broken", ""]
        await asyncio.sleep(10.0)
        assert watched.looks.failures == 0
        batch_id = await service.batch(["text"])
        await service.ended(batch_id, seconds_max=30)

    served(tmp_path, story)
