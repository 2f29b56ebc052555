"""What operators say, in virtual time: pause, resume and try now, for engines, deployments and batches."""

import asyncio
from pathlib import Path

import pytest

from slackwater.core.errors import Conflict
from slackwater.core.sending.door import DoorState
from slackwater.core.sending.evidence import Evidence, Kind
from slackwater.core.sending.pause import Target
from slackwater.pipeline.loops import Hints
from slackwater.pipeline.sending.fleet import Fleet
from slackwater.pipeline.sending.pauses import Pauses
from slackwater.pipeline.sending.worker import Worker
from tests.pipeline.engines import GOOD, PROBE, Answer, ScriptedEngine, Service, refusal, served
from tests.pipeline.test_sending import texts

ENGINE = "http://0"


class Operator:
    """Somebody who says something to a service, and the fleet that hears it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        # The posts of the service, as a fleet has them.
        self.fleet = Fleet(lambda deployment, dispatchers: None)  # type: ignore[arg-type,return-value]
        self.fleet._posts = service.posts
        self.hints = Hints()
        self.pauses = Pauses(service.ledger, service.clock, self.fleet, self.hints)

    async def pause(self, what: Target, target: str) -> None:
        await self.pauses.pause(what, target, resource="default", who="operator", reason="new driver")

    async def resume(self, what: Target, target: str) -> None:
        await self.pauses.resume(what, target, who="operator")
        self.service.hint.notify()


def calls_since(engine: ScriptedEngine, moment: float) -> list[str]:
    """What was sent after a moment."""
    return [call.text for call in engine.calls if call.begun > moment]


@pytest.mark.parametrize("what", list(Target))
def test_calls_that_are_out_end_and_nothing_new_is_sent(tmp_path: Path, what: Target) -> None:
    """For an engine, a deployment and a batch: not one call more, the results that came are kept, and then all go on."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, seconds=2.0)
        batch = await service.batch(texts(40))
        service.serve(engine, slots=8)
        operator = Operator(service)
        target = {Target.ENGINE: ENGINE, Target.DEPLOYMENT: "d", Target.BATCH: batch}[what]
        await asyncio.sleep(3.0)
        assert engine.out == 8
        at = service.loop.time()
        await operator.pause(what, target)
        await asyncio.sleep(600)
        assert calls_since(engine, at) == []
        assert await service.counts(batch) == (16, 0)
        assert engine.out == 0
        await operator.resume(what, target)
        await service.ended(batch)
        assert await service.counts(batch) == (40, 0)
        assert set(engine.counts.values()) == {1}

    served(tmp_path, story)


def test_one_of_two_deployments_on_an_engine(tmp_path: Path) -> None:
    """The other one goes on, and has all the slots."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop)
        held = await service.batch(texts(100, "held"), deployment="a")
        free = await service.batch(texts(800, "free"), deployment="b")
        service.serve(engine, deployment="a", slots=8)
        service.serve(engine, deployment="b", slots=8)
        operator = Operator(service)
        await operator.pause(Target.DEPLOYMENT, "a")
        at, before = service.loop.time(), len(engine.calls)
        took = await service.ended(free) - at
        assert all(text.startswith("free") for text in calls_since(engine, at))
        assert took <= 0.05 * (800 - before) / 8 + 1.0
        await operator.resume(Target.DEPLOYMENT, "a")
        await service.ended(held)

    served(tmp_path, story)


def test_one_of_two_batches(tmp_path: Path) -> None:
    """The other batch of the deployment goes on, however many shards of the paused one stand before its own."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop)
        held = await service.batch(texts(100, "held"), shard_lines=10)
        free = await service.batch(texts(100, "free"), shard_lines=10)
        operator = Operator(service)
        service.serve(engine, slots=4)
        await asyncio.sleep(0.12)
        await operator.pause(Target.BATCH, held)
        at = service.loop.time()
        await service.ended(free, seconds_max=60)
        assert all(text.startswith("free") for text in calls_since(engine, at))
        await operator.resume(Target.BATCH, held)
        await service.ended(held)
        assert set(engine.counts.values()) == {1}

    served(tmp_path, story)


def test_a_claim_that_is_under_way(tmp_path: Path) -> None:
    """A shard that comes after the pause of its batch goes back unsent."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop)
        batch = await service.batch(texts(10))
        worker = service.serve(engine)
        worker._claiming = True
        await Operator(service).pause(Target.BATCH, batch)
        assert worker._paused_meanwhile == {batch}
        await asyncio.sleep(60)
        assert engine.calls == []

    served(tmp_path, story)


def test_another_process_hears_of_it(tmp_path: Path) -> None:
    """Whoever else works on the same ledger obeys at its next look; a batch, at the next heartbeat."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, seconds=1.0)
        batch = await service.batch(texts(400), shard_lines=10)
        service.serve(engine, slots=4)
        here, elsewhere = Operator(service), Operator(service)
        elsewhere.fleet._posts = {}
        await asyncio.sleep(1.5)
        await elsewhere.pause(Target.ENGINE, ENGINE)
        assert service.engines[id(engine)].held is None
        await here.pauses.step()
        at = service.loop.time()
        await asyncio.sleep(60)
        assert calls_since(engine, at) == []
        await elsewhere.pause(Target.BATCH, batch)
        await elsewhere.resume(Target.ENGINE, ENGINE)
        await here.pauses.step()
        await asyncio.sleep(2.0)
        at = service.loop.time()
        await asyncio.sleep(60)
        assert calls_since(engine, at) == []
        await elsewhere.resume(Target.BATCH, batch)
        await service.ended(batch)
        assert set(engine.counts.values()) == {1}

    served(tmp_path, story)


@pytest.mark.parametrize("what", list(Target))
def test_a_restart_while_paused(tmp_path: Path, what: Target) -> None:
    """The next life sends nothing either, not even a request of our own, until it is resumed."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, seconds=1.0)
        batch = await service.batch(texts(40))
        service.serve(engine, slots=4)
        operator = Operator(service)
        target = {Target.ENGINE: ENGINE, Target.DEPLOYMENT: "d", Target.BATCH: batch}[what]
        await asyncio.sleep(1.5)
        await operator.pause(what, target)
        await service.stop()
        service.engines.clear()
        before = len(engine.calls)
        # As the service starts: the fleet knows before anything runs.
        worker = service.serve(engine, slots=4)
        fleet = Operator(service)
        await fleet.pauses.step()
        assert isinstance(worker, Worker)
        await asyncio.sleep(600)
        assert len(engine.calls) == before
        await fleet.resume(what, target)
        await service.ended(batch)
        assert set(engine.counts.values()) == {1}

    served(tmp_path, story)


def test_a_cancel_while_paused(tmp_path: Path) -> None:
    """Calls that are out are aborted at once, as for any other batch, and nothing of it is left in anybody's hands."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, seconds=1000.0)
        batch = await service.batch(texts(40), shard_lines=10)
        service.serve(engine, slots=4)
        await asyncio.sleep(1.0)
        await Operator(service).pause(Target.BATCH, batch)
        assert engine.out == 4
        await service.ledger.request_cancel(batch, now=int(service.clock.now()))
        await asyncio.sleep(2.0)
        assert engine.out == 0
        assert await service.ledger.begin_finalizing(now=int(service.clock.now())) is not None

    served(tmp_path, story)


def test_what_is_held_asks_nobody(tmp_path: Path) -> None:
    """A paused deployment over a door that is shut pays for no request of our own."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, lambda text, each: refusal(401))
        await service.batch(texts(10))
        service.serve(engine)
        operator = Operator(service)
        await asyncio.sleep(10)
        assert service.door_of(engine).state is DoorState.REFUSING
        await operator.pause(Target.DEPLOYMENT, "d")
        await asyncio.sleep(0.1)
        before = len(engine.calls)
        await asyncio.sleep(3600)
        assert len(engine.calls) == before

    served(tmp_path, story)


SHUT: dict[str, tuple[Answer, DoorState]] = {
    "blocked": (refusal(429, code="insufficient_quota"), DoorState.BLOCKED),
    "refusing": (refusal(401), DoorState.REFUSING),
    "busy": (refusal(429, 3000.0), DoorState.BUSY),
}


@pytest.mark.parametrize("kind", SHUT)
@pytest.mark.parametrize("by", [Target.ENGINE, Target.DEPLOYMENT])
def test_try_now(tmp_path: Path, kind: str, by: Target) -> None:
    """One request of our own at once; while that fails nothing else is sent, and when it succeeds everything goes on."""
    answer, state = SHUT[kind]

    async def story(service: Service) -> None:
        well = False
        engine = ScriptedEngine(service.loop, lambda text, each: GOOD if well else answer)
        batch = await service.batch(texts(100))
        service.serve(engine, slots=8)
        operator = Operator(service)

        def try_now() -> bool:
            if by is Target.ENGINE:
                return operator.pauses.try_engine(ENGINE)
            return operator.pauses.try_deployment("d")

        await asyncio.sleep(300)
        assert service.door_of(engine).state is state
        before = len(engine.calls)
        assert try_now()
        # Somebody who cannot wait is not paid for again and again.
        assert not try_now()
        # The next look of its own comes a second later.
        await asyncio.sleep(0.9)
        assert [call.text for call in engine.calls[before:]][:1] == [PROBE]
        assert len(engine.calls) - before <= 1 + 3
        assert service.door_of(engine).state is state
        await asyncio.sleep(0.2)
        well = True
        at = service.loop.time()
        assert try_now()
        assert await service.ended(batch) - at < 2.0
        assert await service.counts(batch) == (100, 0)

    served(tmp_path, story)


def test_try_now_without_work(tmp_path: Path) -> None:
    """An engine is looked at although nothing is to be sent to it."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop)
        batch = await service.batch(texts(3))
        service.serve(engine)
        await service.ended(batch)
        door = service.door_of(engine)
        door.question("somebody thought so", service.loop.time())
        door.probed(Evidence(Kind.REFUSED, "no"), begun=service.loop.time(), now=service.loop.time(), answered=True)
        assert door.state is DoorState.REFUSING
        operator = Operator(service)
        operator.pauses.try_engine(ENGINE)
        await asyncio.sleep(0.2)
        # It has no model of its own, so the name is that of the last line.
        assert door.state is DoorState.OK

    served(tmp_path, story)


def test_try_now_does_not_look_past_a_pause(tmp_path: Path) -> None:
    """It says so, and nothing is sent."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, lambda text, each: refusal(401))
        batch_id = await service.batch(texts(10))
        service.serve(engine)
        operator = Operator(service)
        await asyncio.sleep(10)
        for what, target in ((Target.ENGINE, ENGINE), (Target.DEPLOYMENT, "d"), (Target.BATCH, batch_id)):
            await operator.pause(what, target)
            before = len(engine.calls)
            batch = await service.ledger.batch(batch_id)
            assert batch is not None
            if what is Target.ENGINE:
                with pytest.raises(Conflict, match="engine is paused by an operator"):
                    operator.pauses.try_engine(ENGINE)
            if what is not Target.BATCH:
                with pytest.raises(Conflict, match=f"{what.value} is paused by an operator"):
                    operator.pauses.try_deployment("d")
            with pytest.raises(Conflict, match=f"{what.value} is paused by an operator"):
                await operator.pauses.try_batch(batch, backends=True)
            await asyncio.sleep(100)
            assert len(engine.calls) == before
            await operator.resume(what, target)

    served(tmp_path, story)


def test_a_batch_that_was_told_to_wait_is_tried(tmp_path: Path) -> None:
    """Its wait alone is over; the door of all others is left as it is."""

    async def story(service: Service) -> None:
        well = False

        def script(text: str, each: ScriptedEngine) -> Answer:
            # Told to wait again and again, with successes of the others between: then the wait is its own.
            return refusal(429, 3000.0 if each.now > 10 else 1.0) if text.startswith("waits") and not well else GOOD

        engine = ScriptedEngine(service.loop, script)
        waits = await service.batch(texts(5, "waits"))
        await service.batch(texts(100_000, "good"))
        service.serve(engine, slots=4)
        operator = Operator(service)
        await asyncio.sleep(300)
        assert service.door_of(engine).state is DoorState.OK
        before = engine.calls_of("waits 0")
        await asyncio.sleep(100)
        assert engine.calls_of("waits 0") == before
        well = True
        batch = await service.ledger.batch(waits)
        assert batch is not None
        at = service.loop.time()
        assert await operator.pauses.try_batch(batch, backends=False)
        assert await service.ended(waits) - at < 60.0

    served(tmp_path, story)
