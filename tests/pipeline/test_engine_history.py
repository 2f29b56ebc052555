"""What is written down of engines, in virtual time: a row a minute, and what is in it."""

import asyncio
from pathlib import Path

import pytest

from slackwater.core.errors import StorageFull
from slackwater.core.sending.pacing import FIRST_WINDOW
from slackwater.core.sending.pause import Target
from slackwater.core.watching.engine_minutes import KEPT_DAYS, EngineMinute, latency
from slackwater.pipeline.ending.janitor import EngineJanitor
from slackwater.pipeline.watching.deployment_watch import out_of, sums_of
from slackwater.pipeline.watching.engine_history import EngineHistory
from slackwater.pipeline.watching.engine_watch import EngineWatch
from slackwater.pipeline.watching.progress import Progress
from slackwater.telemetry.meters import REQUEST_BOUNDS
from tests.pipeline.engines import GOOD, ScriptedEngine, Service, refusal, served
from tests.pipeline.metered_engine import MeteredEngine, late, serve
from tests.pipeline.test_pauses import ENGINE, Operator
from tests.pipeline.test_sending import texts


class Watcher:
    """One process that looks at the engines of a service."""

    def __init__(self, service: Service, owner: str = "p1") -> None:
        self.service = service
        self.operator = Operator(service)
        fleet = self.operator.fleet
        progress = Progress(service.ledger, service.clock, backends=lambda: sums_of(fleet), out=lambda: out_of(fleet))
        self.watch = EngineWatch(service.ledger, service.clock, fleet, self.operator.pauses, progress)
        self.history = EngineHistory(service.ledger, service.clock, self.watch, owner=owner)

    async def look(self, seconds: int) -> None:
        """Looks every second, for so long."""
        for _ in range(seconds):
            await self.history.step()
            await asyncio.sleep(1.0)

    async def rows(self, engine: str = ENGINE) -> list[EngineMinute]:
        """Everything that was written down."""
        return await self.service.ledger.engine_history(engine, first=0, last=2**40, step=60)


def test_a_row_a_minute(tmp_path: Path) -> None:
    """Calls, failures, tokens and latencies are all there once; how many were out is the mean and the most."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(
            service.loop, lambda text, each: refusal(400) if text.startswith("bad") else GOOD, seconds=0.6
        )
        batch = await service.batch([*texts(900), *texts(100, "bad")])
        watcher = Watcher(service)
        service.serve(engine, slots=4)
        await watcher.look(300)
        assert await service.counts(batch) == (900, 100)
        await watcher.history.close()
        rows = await watcher.rows()
        assert [later.at - each.at for each, later in zip(rows, rows[1:], strict=False)] == [60] * (len(rows) - 1)
        assert sum(each.calls for each in rows) == len(engine.calls) == 1000
        assert sum(each.failed for each in rows) == 100
        assert sum(each.tokens for each in rows) == 1800
        assert sum(each.seconds for each in rows) == pytest.approx(299, abs=2)
        full = rows[1]
        assert (full.state, full.slots, full.in_flight_max, full.owner) == ("ok", 4, 4, "p1")
        assert full.in_flight_seconds / full.seconds == pytest.approx(4.0, abs=0.2)
        assert full.calls == pytest.approx(400, abs=8)
        assert full.call_seconds / full.calls == pytest.approx(0.6)
        median = latency(full, 0.5, bounds=REQUEST_BOUNDS)
        assert median is not None
        assert 0.5 <= median <= 1.0
        # When nothing is to be done, that is what is written down.
        assert (rows[-1].calls, rows[-1].call_counts, rows[-1].in_flight_max) == (0, (), 0)

    served(tmp_path, story)


def test_states_and_pauses(tmp_path: Path) -> None:
    """An outage and an operator's pause are in the minutes in which they were."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(
            service.loop, lambda text, each: refusal(401) if 120 < service.loop.time() < 300 else GOOD
        )
        await service.batch(texts(100_000))
        watcher = Watcher(service)
        service.serve(engine, slots=4)
        await watcher.look(480)
        await watcher.operator.pause(Target.ENGINE, ENGINE)
        await watcher.look(180)
        rows = await watcher.rows()
        states = [each.state for each in rows]
        assert states[0] == "ok"
        assert states.count("refusing") in (2, 3, 4)
        assert states[-2:] == ["paused", "paused"]
        assert rows[-1].paused_seconds == pytest.approx(60, abs=1.5)
        assert sum(each.paused_seconds for each in rows) == pytest.approx(180 + 120 + 60, abs=65)
        assert rows[-1].calls == 0

    served(tmp_path, story)


def test_how_it_was_paced(tmp_path: Path) -> None:
    """Steps are summed while others are there; when it was frozen and why, and when nobody could read it, is said too."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service, others=30)
        await service.batch(texts(100_000), shard_lines=10_000)
        watcher = Watcher(service)
        serve(service, engine)
        await watcher.look(180)
        engine.waiting = 5
        await watcher.look(120)
        engine.waiting, engine.kv = 0, 0.95
        await watcher.look(120)
        engine.kv, engine.page = 0.1, late
        await watcher.look(120)
        engine.page, engine.others = engine.usual, 0
        await watcher.look(121)
        rows = await watcher.rows()
        calm, waited, full, lost, alone = (rows[place] for place in (1, 4, 6, 8, 10))
        assert calm.shared_seconds == calm.target_seconds == calm.paced_seconds == pytest.approx(60, abs=2)
        assert calm.others_seconds / calm.paced_seconds == pytest.approx(30, abs=0.5)
        assert calm.window_seconds / calm.paced_seconds >= FIRST_WINDOW
        # Its steps take the same time with ours and without: it is a script.
        assert calm.step_sum / calm.shared_seconds == pytest.approx(0.02, rel=0.02)
        assert 0.0 < calm.alone_sum <= calm.step_sum
        assert calm.frozen_seconds == calm.lost_seconds == 0.0
        assert (waited.frozen_seconds, waited.cache_full_seconds) == (pytest.approx(60, abs=2), 0.0)
        assert waited.waiting_seconds / waited.paced_seconds == pytest.approx(5.0)
        assert full.frozen_seconds == full.cache_full_seconds == pytest.approx(60, abs=2)
        assert lost.lost_seconds == pytest.approx(60, abs=2)
        assert lost.paced_seconds == lost.shared_seconds == 0.0
        assert alone.paced_seconds == pytest.approx(60, abs=2)
        assert alone.shared_seconds == alone.target_seconds == 0.0

    served(tmp_path, story)


def test_two_deployments_and_two_processes(tmp_path: Path) -> None:
    """What several deployments send to one engine is one row; what another process saw is added to it, not twice counted."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop)
        for name in ("a", "b"):
            await service.batch(texts(50), deployment=name)
        first, second = Watcher(service, "p1"), Watcher(service, "p2")
        # The other process has nothing in hand, and looks all the same.
        second.operator.fleet._posts = {}
        for name in ("a", "b"):
            service.serve(engine, deployment=name, slots=4)
        for _ in range(70):
            await first.history.step()
            await second.history.step()
            await asyncio.sleep(1.0)
        await first.history.close()
        await second.history.close()
        rows = await first.rows()
        assert sum(each.calls for each in rows) == 100
        assert {each.owner for each in rows} == {"p1"}

    served(tmp_path, story)


def test_a_replaced_worker_is_not_counted_twice(tmp_path: Path) -> None:
    """Its backend's meter goes on where it was."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop)
        batch = await service.batch(texts(60))
        watcher = Watcher(service)
        worker = service.serve(engine, slots=4)
        meter = worker.dispatchers[0].meter
        await service.ended(batch)
        await watcher.look(61)
        await service.stop()
        again = service.serve(engine, slots=4)
        again.dispatchers[0].meter = meter
        await service.ended(await service.batch(texts(40, "more")))
        await watcher.look(61)
        await watcher.history.close()
        assert sum(each.calls for each in await watcher.rows()) == 100

    served(tmp_path, story)


def test_a_ledger_that_is_full(tmp_path: Path) -> None:
    """Minutes wait and are written once there is room; each once."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop)
        await service.batch(texts(50))
        watcher = Watcher(service)
        service.serve(engine)
        write, full = service.ledger.add_engine_minutes, True

        class Ledger:
            async def add_engine_minutes(self, minutes: list[EngineMinute]) -> None:
                if full:
                    raise StorageFull("no room")
                await write(minutes)

        watcher.history._ledger = Ledger()  # type: ignore[assignment]
        failures = 0
        for _ in range(200):
            try:
                await watcher.history.step()
            except StorageFull:
                failures += 1
            await asyncio.sleep(1.0)
        assert failures > 100
        assert await watcher.rows() == []
        full = False
        await watcher.look(61)
        rows = await watcher.rows()
        assert len(rows) >= 4
        assert sum(each.calls for each in rows) == 50
        assert sum(each.seconds for each in rows) == pytest.approx(250, abs=12)

    served(tmp_path, story)


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    """After 35 days, by the clock of the service."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop)
        watcher = Watcher(service)
        service.serve(engine)
        await watcher.look(130)
        rows = await watcher.rows()
        assert len(rows) == 2

        class Later:
            """The clock, so many days later."""

            def __init__(self, seconds: int) -> None:
                self.seconds = seconds

            def now(self) -> float:
                return rows[0].at + KEPT_DAYS * 86_400 + self.seconds

        for seconds, left in ((0, 2), (1, 1), (60, 1), (61, 0)):
            await EngineJanitor(service.ledger, Later(seconds)).step()  # type: ignore[arg-type]
            assert len(await watcher.rows()) == left, seconds

    served(tmp_path, story)
