"""Who is woken when something has been done: whoever may have something to do now, and nobody else."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.core.batch import TERMINAL, Status
from slackwater.core.sending.deployment import Deployment, WhenFull
from slackwater.pipeline.loops import Hint, Hints, Loop, Pace
from slackwater.pipeline.sending.worker import WorkerSettings
from slackwater.wiring.service import Service
from slackwater.wiring.service_parts import Doors, Offer, Settings
from tests.adapters.ledger_contract import batch
from tests.pipeline.test_fleet import Silent, dispatcher
from tests.simulation.virtual import VirtualClock, VirtualLoop

COMMIT_SECONDS = 0.01
# What one batch may take where nobody waits for an idle time, each of which is a second.
SOON = 0.5


def play(story: Callable[[VirtualClock], Awaitable[None]]) -> None:
    """Runs a story in a time that is a number."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(story(VirtualClock(loop)))
    finally:
        for task in (tasks := asyncio.all_tasks(loop)):
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()


async def _inline(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


class Counted:
    """A ledger that counts what it is asked, claims by their deployment."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger
        self.asked: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ledger, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            self.asked[name if name != "queued_batches" else f"claim {arguments[0]}"] += 1
            return await method(*arguments, **named)

        return call


async def statuses(ledger: SqlLedger) -> list[Status]:
    """Of the three batches."""
    rows = ledger.sql.database.reader.execute("SELECT status FROM batch ORDER BY seq")
    return [Status(row["status"]) for row in rows]


def test_a_batch_wakes_only_its_own_deployment(tmp_path: Path) -> None:
    """From create to its end a batch waits for no idle time, and the workers of other deployments do not look once more."""

    async def story(clock: VirtualClock) -> None:
        ledger, blobs = SqlLedger.open(":memory:"), DiskBlobs(tmp_path, run=_inline)
        counted = Counted(ledger)
        service = Service(
            Doors(ledger=counted, blobs=blobs, clock=clock, offload=InlineOffload()),  # type: ignore[arg-type]
            Offer(
                deployments=[
                    Deployment(
                        name=f"d{number}", model="m", backends=(), enqueued_token_limit=400, when_full=WhenFull.QUEUE
                    )
                    for number in range(20)
                ],
                backends=lambda _: [
                    dispatcher(Silent(answers=True)),
                ],
            ),
            Settings(worker=WorkerSettings(commit_seconds=COMMIT_SECONDS), shard_lines_max=2),
        )
        await service.start()
        await clock.sleep(0.1)
        message = {"model": "d7", "messages": [{"role": "user", "content": "?"}]}
        line = {"method": "POST", "url": "/v1/chat/completions", "body": message}
        for number in range(3):
            writer = await blobs.create(f"files/{number}")
            await writer.write(
                b"".join(json.dumps(line | {"custom_id": str(each)}).encode() + b"\n" for each in range(10))
            )
            await writer.publish()
        before, begun = counted.asked.copy(), clock.monotonic()
        for number in range(3):
            # Together they have no room: each waits for the one before it.
            await ledger.add_batch(batch(number, expires_at=2**40))
        service.hints.asked()
        while any(status not in TERMINAL for status in await statuses(ledger)):
            await service.hints.ended.wait(clock, SOON)
            assert clock.monotonic() - begun < SOON, "somebody waited for its idle time"
        assert await statuses(ledger) == [Status.COMPLETED] * 3
        new = counted.asked - before
        assert new["claim d7"] >= 15
        assert not [name for name in new if name.startswith("claim ") and name != "claim d7"], new
        await service.stop()
        await ledger.close()

    play(story)


def test_a_hint_that_comes_while_a_step_looks_is_not_lost() -> None:
    """What was done behind the back of a step is found at once, and not after the idle time."""

    async def story(clock: VirtualClock) -> None:
        hint, work, found = Hint(), ["first"], []

        async def step() -> Pace:
            seen = list(work)
            await clock.sleep(0.1)
            if not seen:
                return Pace.IDLE
            found.append((work.pop(), round(clock.monotonic(), 1)))
            if len(found) == 1:
                # The next look has begun, and has found nothing, when this comes.
                asyncio.get_running_loop().call_later(0.05, lambda: (work.append("second"), hint.notify()))
            return Pace.BUSY

        running = asyncio.create_task(Loop("l", step, clock=clock, hint=hint, idle_seconds=60.0).run())
        await clock.sleep(1.0)
        running.cancel()
        assert found == [("first", 0.1), ("second", 0.3)]

    play(story)


def test_others_are_woken_by_work_alone() -> None:
    """`then` is called after a step that did something, also in housekeeping, and never after one that did not."""

    async def story(clock: VirtualClock) -> None:
        paces = [Pace.BUSY, Pace.IDLE, Pace.BUSY, Pace.IDLE]
        woken: list[float] = []

        async def step() -> Pace:
            return paces.pop(0) if paces else Pace.IDLE

        loop = Loop(
            "l", step, clock=clock, hint=Hint(), idle_seconds=5.0, every=True, then=lambda: woken.append(clock.now())
        )
        running = asyncio.create_task(loop.run())
        await clock.sleep(60.0)
        running.cancel()
        assert woken == [clock.BEGINNING, clock.BEGINNING + 10.0]

    play(story)


def test_hints_of_claims_live_as_long_as_a_worker() -> None:
    """A deployment has one hint, whoever asks for it; that of one that is gone is forgotten, and nobody misses it."""
    hints = Hints()
    first = hints.claims_of("d")
    assert hints.claims_of("d") is first
    hints.claimable("d")
    hints.claimable("nobody")
    assert first.count == 1
    hints.house_kept()
    assert first.count == 2
    del first
    assert hints.claims_of("d").count == 0
