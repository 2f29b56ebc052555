"""Stories of the whole sending side, in virtual time: whose trouble it is, who pays for it, and how long it takes."""

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from slackwater.core.errors import BackendReplyBroken, BackendTimeout, BackendUnreachable
from slackwater.core.sending.door import DoorState
from slackwater.core.sending.request import Reply
from slackwater.pipeline.sending.worker import Worker
from tests.adapters.claiming import claim
from tests.chosen import one_in
from tests.pipeline.engines import GOOD, PROBE, Answer, Call, ScriptedEngine, Service, refusal, served

HTML = Reply(200, b"<html>a proxy's page</html>")
BAD = "bad"


def texts(count: int, word: str = "good") -> list[str]:
    """Lines, each with a text of its own."""
    return [f"{word} {number}" for number in range(count)]


def bad_lines_get(answer: Answer) -> "ScriptedEngine":
    """A script: what begins with BAD gets this, and everything else is answered."""
    return lambda text, engine: answer if text.startswith(BAD) else GOOD  # type: ignore[return-value]


def hangs_up(text: str = "hung up") -> BackendReplyBroken:
    """A connection that ends before the answer."""
    return BackendReplyBroken(text, lost=True)


# (a) Bad lines beside good ones


def with_neighbour(folder: Path, lines: list[str], answer: Answer, *, good: int = 500) -> tuple[float, ScriptedEngine]:
    """How long a batch of good lines takes beside another batch, and the engine. The other one ends as it should."""

    async def story(service: Service) -> tuple[float, ScriptedEngine]:
        engine = ScriptedEngine(service.loop, bad_lines_get(answer))  # type: ignore[arg-type]
        await service.batch(lines)
        healthy = await service.batch(texts(good))
        service.serve(engine)
        took = await service.ended(healthy)
        assert await service.counts(healthy) == (good, 0)
        await service.ended("batch-0")
        failed = sum(text.startswith(BAD) for text in lines)
        assert await service.counts("batch-0") == (len(lines) - failed, failed)
        return took, engine

    return served(folder, story)


@pytest.mark.parametrize("count", [12, 100])
@pytest.mark.parametrize("answer", [refusal(500), hangs_up()], ids=["500", "hang-up"])
def test_bad_lines_beside_good_ones(tmp_path: Path, count: int, answer: Answer) -> None:
    """They fail after their own attempts, and the neighbour's lines are not delayed: within a twentieth of the control."""
    good = 4000
    control, _ = with_neighbour(tmp_path / "control", texts(count, "other"), answer, good=good)
    took, engine = with_neighbour(tmp_path / "story", texts(count, BAD), answer, good=good)
    assert took <= control * 1.05 + 0.1
    calls = engine.counts
    assert max(calls[text] for text in texts(count, BAD)) <= 5 + 1
    assert min(calls[text] for text in texts(count, BAD)) >= 5
    assert all(calls[text] == 1 for text in texts(good))


def test_bad_lines_inside_a_batch(tmp_path: Path) -> None:
    """A few among many of the same batch: those fail, and the others do not wait for them."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, bad_lines_get(refusal(500)))  # type: ignore[arg-type]
        lines = texts(500)
        for number in range(0, 500, 42):
            lines[number] = f"{BAD} {number}"
        batch = await service.batch(lines)
        service.serve(engine)
        await service.ended(batch, seconds_max=60)
        outcomes = await service.outcomes(batch)
        assert {number for number, each in outcomes.items() if each.failed} == {str(n) for n in range(0, 500, 42)}
        assert {each.status for each in outcomes.values() if each.failed} == {500}
        assert max(engine.counts.values()) <= 6

    served(tmp_path, story)


# (b) One of three backends


class Silent(ScriptedEngine):
    """Accepts and says nothing; the client gives up after ten seconds."""

    async def answer(self, call: Call) -> Answer:
        await asyncio.sleep(10.0)
        return BackendTimeout("no first byte within 10 s")


BROKEN: dict[str, Answer] = {
    "401": refusal(401),
    "403": refusal(403),
    "404": refusal(404),
    "500": refusal(500),
    "502": refusal(502),
    "html": HTML,
    "hang-up": hangs_up(),
    "nobody": BackendUnreachable("refused", sent=False),
}


@pytest.mark.parametrize("kind", [*BROKEN, "silent"])
def test_one_of_three_backends_is_broken(tmp_path: Path, kind: str) -> None:
    """No line fails, and what remains does the work in about the time that two take."""

    async def story(service: Service) -> float:
        loop = service.loop
        good = [ScriptedEngine(loop) for _ in range(2)]
        broken: list[ScriptedEngine] = []
        if kind == "silent":
            broken = [Silent(loop)]
        elif kind:
            broken = [ScriptedEngine(loop, lambda text, engine: BROKEN[kind])]
        batch = await service.batch(texts(5000))
        service.serve(*broken, *good)
        took = await service.ended(batch)
        assert await service.counts(batch) == (5000, 0)
        return took

    took = served(tmp_path, story)
    alone = 5000 / 128 * 0.05
    assert took <= alone * 1.6 + (10.0 if kind == "silent" else 0.0) + 0.5


# (c) Outages


@pytest.mark.parametrize("backends", [1, 2])
@pytest.mark.parametrize("kind", ["401", "404", "500", "nobody", "hang-up"])
@pytest.mark.parametrize("slots", [1, pytest.param(64, marks=pytest.mark.long)])
def test_an_outage_of_a_minute(tmp_path: Path, kind: str, backends: int, slots: int) -> None:
    """No line fails, and everything is sent at the full rate two seconds after the first success."""

    async def story(service: Service) -> None:
        loop = service.loop
        begin, end = 2.0, 62.0
        total = (200 if slots == 64 else 4) * 60 * backends

        def script(text: str, engine: ScriptedEngine) -> Answer:
            return BROKEN[kind] if begin <= engine.now < end else GOOD

        engines = [ScriptedEngine(loop, script) for _ in range(backends)]
        batch = await service.batch(texts(total), shard_lines=1000)
        service.serve(*engines, slots=slots)
        await service.ended(batch, seconds_max=600)
        assert await service.counts(batch) == (total, 0)
        for engine in engines:
            good = [call for call in engine.calls if call.good]
            if not good or good[-1].begun < end:
                continue
            first = min(call.begun for call in good if call.begun >= end)
            last = max(call.begun for call in good)
            if last < first + 4.0:
                continue
            later = sum(first + 2.0 <= call.begun < first + 3.0 for call in good)
            assert later >= 0.9 * slots / 0.05
            spent = sum(begin + 1.0 <= call.begun < end for call in engine.calls)
            assert spent <= 60 + slots, "few calls are spent on a door that is shut"

    served(tmp_path, story)


def test_an_outage_that_begins_while_long_calls_are_out(tmp_path: Path) -> None:
    """A key is revoked: long calls still end well for a while, and all new ones are refused at once. No line fails."""

    class Revoked(ScriptedEngine):
        async def answer(self, call: Call) -> Answer:
            if 5.0 <= self.now < 60.0:
                return refusal(401)
            await asyncio.sleep(1.0 + 10.0 * random.Random(call.text).random())
            return GOOD

    async def story(service: Service) -> None:
        batch = await service.batch(texts(500))
        service.serve(Revoked(service.loop), slots=16)
        await service.ended(batch)
        assert await service.counts(batch) == (500, 0)

    served(tmp_path, story)


# (d) Deaths


class Mortal(ScriptedEngine):
    """Dies of some texts, a little after they have come, with all that is out; back after two seconds."""

    def __init__(self, service: Service, *poison: str) -> None:
        super().__init__(service.loop)
        self.poison = poison
        self.deaths = 0
        self.killed: Counter[str] = Counter()
        """How often each text did it."""
        self.died: asyncio.Event = asyncio.Event()

    async def answer(self, call: Call) -> Answer:
        if self.now < self.dead_until:
            return BackendUnreachable("refused", sent=False)
        died = self.died
        dying = asyncio.ensure_future(died.wait())
        try:
            seconds = 0.02 if call.text in self.poison else self.seconds
            await asyncio.wait((dying,), timeout=seconds)
        finally:
            dying.cancel()
        if died.is_set():
            return hangs_up()
        if call.text in self.poison:
            self.deaths += 1
            self.killed[call.text] += 1
            self.dead_until = self.now + 2.0
            self.died = asyncio.Event()
            died.set()
            return hangs_up()
        return GOOD


@pytest.mark.parametrize("where", [0, 200, 399])
def test_an_engine_that_dies_of_one_line(tmp_path: Path, where: int) -> None:
    """It dies three times at most, no innocent line fails, and the culprit is named."""

    async def story(service: Service) -> None:
        engine = Mortal(service, f"good {where}")
        batch = await service.batch(texts(400))
        service.serve(engine, slots=16)
        await service.ended(batch, seconds_max=300)
        outcomes = await service.outcomes(batch)
        assert {number: each.code for number, each in outcomes.items() if each.failed} == {str(where): "engine_stopped"}
        assert engine.deaths <= 3

    served(tmp_path, story)


# (e) Rate limits


class Bucket(ScriptedEngine):
    """Fifty calls a second; who comes when it is empty is told for how long to stay away."""

    def __init__(self, service: Service, *, rate: float = 50.0, wait: float = 2.0) -> None:
        super().__init__(service.loop)
        self.rate, self.wait = rate, wait
        self.tokens, self.at = rate * wait, self.now
        self.pause_until = 0.0
        self.pauses: list[tuple[float, float]] = []

    async def answer(self, call: Call) -> Answer:
        self.tokens = min(self.rate * self.wait, self.tokens + (self.now - self.at) * self.rate)
        self.at = self.now
        if self.tokens >= 1.0:
            self.tokens -= 1.0
            await asyncio.sleep(self.seconds)
            return GOOD
        await asyncio.sleep(0.001)
        self.pauses.append((self.now, self.now + self.wait))
        return refusal(429, self.wait)


@pytest.mark.parametrize("batches", [1, 3])
def test_a_token_bucket_with_retry_after(tmp_path: Path, batches: int) -> None:
    """Nothing is sent inside a pause but what was out already, and the bucket is used."""

    async def story(service: Service) -> None:
        engine = Bucket(service)
        total = 3000
        for _ in range(batches):
            await service.batch(texts(total // batches))
        service.serve(engine)
        for batch in service.batches:
            await service.ended(batch)
            assert await service.counts(batch) == (total // batches, 0)
        took = service.loop.time()
        inside = [
            call
            for call in engine.calls
            if any(begin + 0.001 < call.begun < end - 0.001 for begin, end in engine.pauses)
        ]
        assert not inside
        allowed = engine.rate * engine.wait + took * engine.rate
        assert total >= 0.9 * allowed - engine.rate

    served(tmp_path, story)


def test_a_pause_that_is_one_batch_s_own(tmp_path: Path) -> None:
    """A batch whose every line is told to wait, beside one that is served: from the second time on it waits alone."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, bad_lines_get(refusal(429, 5.0)))  # type: ignore[arg-type]
        await service.batch(texts(100, BAD))
        healthy = await service.batch(texts(6000))
        service.serve(engine)
        took = await service.ended(healthy)
        assert await service.counts(healthy) == (6000, 0)
        assert took <= 6000 / 64 * 0.05 * 1.1 + 2 * 5.0 + 0.5

    served(tmp_path, story)


class QuickToRefuse(ScriptedEngine):
    """Tells some lines to wait at once, and takes its time to answer others."""

    async def answer(self, call: Call) -> Answer:
        await asyncio.sleep(0.01 if call.text.startswith(BAD) else self.seconds)
        return self.script(call.text, self)


def test_a_pause_that_is_one_batch_s_own_costs_others_one_wait(tmp_path: Path) -> None:
    """Also where it is told to wait long before others are answered: it lets them go first, and is known the second time."""

    async def story(service: Service) -> None:
        engine = QuickToRefuse(service.loop, bad_lines_get(refusal(429, 20.0)), seconds=2.0)  # type: ignore[arg-type]
        alone = await service.batch(texts(20, BAD))
        healthy = await service.batch(texts(160))
        service.serve(engine, slots=8)
        took = await service.ended(healthy)
        assert await service.counts(alone) == (0, 0)
        assert took <= 160 / 8 * 2.0 * 1.1 + 20.0 + 2 * 2.0

    served(tmp_path, story)


def test_many_lines_that_are_all_told_to_wait(tmp_path: Path) -> None:
    """Their bodies do not lie in memory meanwhile, and no call is made inside a wait."""

    async def story(service: Service) -> None:
        until = 60.0
        engine = ScriptedEngine(
            service.loop, lambda text, engine: GOOD if engine.now >= until else refusal(429, until - engine.now)
        )
        big = [f"{number} {'x' * 100_000}" for number in range(600)]
        batch = await service.batch(big, shard_lines=100)
        worker = service.serve(engine, in_flight_bytes=4 << 20)
        await asyncio.sleep(30.0)
        assert len(engine.calls) <= 64
        held = sum(lease.held for lease in worker._leases)
        bodies = sum(
            len(item.request.body) for lease in worker._leases for item in lease.waiting if item.request is not None
        )
        assert held + bodies <= (16 << 20) + (20 << 20)
        await service.ended(batch)
        assert await service.counts(batch) == (600, 0)

    served(tmp_path, story)


# (f) Slots


def test_two_deployments_on_one_engine_share_its_slots(tmp_path: Path) -> None:
    """Together they never exceed them, and both go on."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop)
        first = await service.batch(texts(1000), deployment="d")
        second = await service.batch(texts(1000), deployment="e")
        service.serve(engine, deployment="d", slots=20, cap=16)
        service.serve(engine, deployment="e", slots=20, cap=16)
        await asyncio.sleep(2.0)
        for batch in (first, second):
            assert (await service.counts(batch))[0] > 200
        for batch in (first, second):
            await service.ended(batch)
            assert await service.counts(batch) == (1000, 0)
        assert engine.out_max == 20

    served(tmp_path, story)


def test_a_backend_s_own_limit_stays_a_cap(tmp_path: Path) -> None:
    """Also where its engine could take more."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop)
        batch = await service.batch(texts(200))
        service.serve(engine, slots=64, cap=3)
        await service.ended(batch)
        assert engine.out_max == 3

    served(tmp_path, story)


# (g) Nothing but poison


@pytest.mark.parametrize("answer", [refusal(500), hangs_up(), HTML], ids=["500", "hang-up", "html"])
def test_a_batch_of_nothing_but_poison_alone(tmp_path: Path, answer: Answer) -> None:
    """A thousand lines end, all failed, in under two minutes: our own request tells that the engine is well."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, bad_lines_get(answer))  # type: ignore[arg-type]
        batch = await service.batch(texts(1000, BAD))
        service.serve(engine)
        assert await service.ended(batch) < 120.0
        assert await service.counts(batch) == (0, 1000)
        assert max(engine.counts.values()) <= 6
        assert engine.calls_of(PROBE) <= 130

    served(tmp_path, story)


def test_a_batch_of_nothing_but_poison_beside_others(tmp_path: Path) -> None:
    """It ends as well, within two minutes, and others do not notice."""
    good = 20_000
    control, _ = with_neighbour(tmp_path / "control", texts(1000, "other"), refusal(500), good=good)
    took, engine = with_neighbour(tmp_path / "story", texts(1000, BAD), refusal(500), good=good)
    assert took <= control * 1.05
    assert max(call.ended or 0.0 for call in engine.calls) < 120.0


# (h), (i) What is not there


def test_a_model_that_is_loaded_five_seconds_late(tmp_path: Path) -> None:
    """404 for everybody until then: nothing is lost."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, lambda text, engine: GOOD if engine.now >= 5.0 else refusal(404))
        batch = await service.batch(texts(500))
        service.serve(engine)
        took = await service.ended(batch)
        assert await service.counts(batch) == (500, 0)
        assert took < 15.0

    served(tmp_path, story)


def test_lines_that_name_what_is_gone(tmp_path: Path) -> None:
    """Each is refused while our own request succeeds: they fail, after two calls each."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, bad_lines_get(refusal(404)))  # type: ignore[arg-type]
        batch = await service.batch(texts(300, BAD))
        service.serve(engine)
        await service.ended(batch, seconds_max=120)
        assert await service.counts(batch) == (0, 300)
        assert set(engine.counts.values()) == {2}
        assert {each.status for each in (await service.outcomes(batch)).values()} == {404}

    served(tmp_path, story)


# (j) Stops


@pytest.mark.parametrize("seed", one_in(3, range(10)))
def test_a_gentle_stop_loses_nothing_that_was_answered(tmp_path: Path, seed: int) -> None:
    """What was answered is not sent again; what was cut off at the end of the grace time is."""

    async def story(service: Service) -> None:
        chance = random.Random(seed)

        class Slow(ScriptedEngine):
            async def answer(self, call: Call) -> Answer:
                await asyncio.sleep(chance.choice((0.05, 0.5, 3.0)))
                return GOOD

        engine = Slow(service.loop)
        batch = await service.batch(texts(400), shard_lines=70)
        for _ in range(5):
            service.serve(engine, slots=16, grace_seconds=1.0)
            await asyncio.sleep(chance.uniform(0.0, 4.0))
            await service.stop()
            assert engine.out == 0
        service.serve(engine, slots=16)
        await service.ended(batch)
        assert await service.counts(batch) == (400, 0)
        answered = [call.text for call in engine.calls if call.good]
        assert len(answered) == len(set(answered)) == 400

    served(tmp_path, story)


def test_commits_go_on_through_the_grace_time(tmp_path: Path) -> None:
    """What comes while a stop waits for the others is durable long before the stop is over."""

    class Slow(ScriptedEngine):
        async def answer(self, call: Call) -> Answer:
            await asyncio.sleep(100.0 if call.text == "good 0" else 2.0)
            return GOOD

    async def story(service: Service) -> None:
        engine = Slow(service.loop)
        batch = await service.batch(texts(8))
        service.serve(engine, slots=8, grace_seconds=20.0)
        await asyncio.sleep(1.0)
        stopping = asyncio.create_task(service.stop())
        await asyncio.sleep(1.5)
        assert await service.counts(batch) == (7, 0)
        assert not stopping.done()
        await stopping
        assert 20.9 < service.loop.time() < 21.5
        assert await claim(service.ledger, "d", owner="x", now=0, seconds=9), "it is nobody's again"

    served(tmp_path, story)


def test_the_last_result_is_durable_at_once(tmp_path: Path) -> None:
    """Where nothing else is on its way, a commit does not wait for its time; otherwise it takes along what comes."""

    class Slow(ScriptedEngine):
        async def answer(self, call: Call) -> Answer:
            await asyncio.sleep(1.0 if call.text != "good 9" else 2.0)
            return GOOD

    async def story(service: Service) -> None:
        engine = Slow(service.loop)
        batch = await service.batch(texts(10))
        service.serve(engine, slots=16, commit_seconds=60.0)
        await asyncio.sleep(1.9)
        assert await service.counts(batch) == (0, 0)
        await asyncio.sleep(0.11)
        assert await service.counts(batch) == (10, 0)

    served(tmp_path, story)


class SlowClaims:
    """A ledger whose claims take a while."""

    def __init__(self, ledger: Any, seconds: float) -> None:
        self._ledger, self._seconds = ledger, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def claim_shards(self, *arguments: Any, **named: Any) -> Any:
        shards = await self._ledger.claim_shards(*arguments, **named)
        await asyncio.sleep(self._seconds)
        return shards


@pytest.mark.parametrize("seconds", [0.5, 3.0])
def test_a_shard_that_is_claimed_while_the_worker_stops(tmp_path: Path, seconds: float) -> None:
    """It goes back at once, also where the claim takes longer than the grace time: nobody has to wait for its lease."""

    async def story(service: Service) -> None:
        ledger = service.ledger
        await service.batch(texts(3))
        service.ledger = SlowClaims(ledger, seconds)  # type: ignore[assignment]
        service.serve(ScriptedEngine(service.loop), grace_seconds=1.0)
        await asyncio.sleep(0.1)
        await service.stop()
        service.ledger = ledger
        assert await claim(ledger, "d", owner="x", now=0, seconds=9), "it is nobody's again"

    served(tmp_path, story)


# (k) Damage


@pytest.mark.parametrize("kind", ["bytes", "shorter", "gone", "line more", "line less"])
def test_an_input_without_checksums_that_is_damaged(tmp_path: Path, kind: str) -> None:
    """As an old version left it: its lines end with a code, the others of the file are answered, and nobody is delayed."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop)
        damaged = await service.batch(texts(30), shard_lines=10, checksums=False)
        healthy = await service.batch(texts(500, "other"))
        (path,) = [each for each in service.folder.rglob("*") if each.is_file() and each.name == damaged]
        path.chmod(0o600)
        data = path.read_bytes()
        begin = data.index(b'{"custom_id": "15"')
        end = data.index(b"\n", begin) + 1
        if kind == "bytes":
            data = data[:begin] + b"\xff" * (end - begin - 1) + data[end - 1 :]
        elif kind == "shorter":
            data = data[:begin]
        elif kind == "line more":
            data = data[: begin + 20] + b"\n" + data[begin + 21 :]
        elif kind == "line less":
            data = data[: end - 1] + b" " + data[end:]
        path.write_bytes(data)
        if kind == "gone":
            path.unlink()
        service.serve(engine)
        assert await service.ended(healthy) < 2.0
        assert await service.counts(healthy) == (500, 0)
        await service.ended(damaged, seconds_max=300)
        outcomes = await service.outcomes(damaged)
        assert len(outcomes) == 30
        failed = [each for each in outcomes.values() if each.failed]
        assert {each.code for each in failed} == {"input_unreadable"}
        assert len(failed) <= {"bytes": 1, "shorter": 20, "gone": 30, "line more": 2, "line less": 2}[kind]
        await service.stop()
        assert all(post.worker.in_flight == 0 for post in service.posts.values())
        assert await claim(service.ledger, "d", owner="x", now=0, seconds=9) is None, "all shards are done"

    served(tmp_path, story)


# (l) Our own faults


def test_our_own_exception_in_one_line(tmp_path: Path) -> None:
    """That line alone ends, after the third time, with a code that says whose fault it was."""

    class Faulty(ScriptedEngine):
        async def answer(self, call: Call) -> Answer:
            await asyncio.sleep(self.seconds)
            if call.text == "good 7" or (call.text == "good 8" and self.calls_of("good 8") < 3):
                raise RuntimeError("a fault of ours")
            return GOOD

    async def story(service: Service) -> None:
        engine = Faulty(service.loop)
        batch = await service.batch(texts(100))
        service.serve(engine)
        await service.ended(batch, seconds_max=30)
        outcomes = await service.outcomes(batch)
        assert {number: each.code for number, each in outcomes.items() if each.failed} == {"7": "internal_error"}
        assert (engine.calls_of("good 7"), engine.calls_of("good 8")) == (3, 3)

    served(tmp_path, story)


def test_a_worker_without_backends_waits(tmp_path: Path) -> None:
    """Nothing is claimed for nobody to send, and it stops at once."""

    async def story(service: Service) -> Worker:
        await service.batch(texts(3))
        worker = service.serve()
        await asyncio.sleep(5.0)
        assert worker.in_flight == 0
        return worker

    served(tmp_path, story)


# Hostile mixtures

# Periods for stories of days: what a heartbeat is for is told elsewhere.
CALM = {"commit_seconds": 5.0, "heartbeat_seconds": 20.0, "lease_seconds": 100.0}


@pytest.mark.parametrize(
    "kind", ["500", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("401", "nobody", "hang-up"))]
)
def test_an_outage_of_many_hours(tmp_path: Path, kind: str) -> None:
    """Nothing overflows, little is spent, no line fails, and it is seen within a minute that it is over."""

    async def story(service: Service) -> None:
        end = 4 * 3600.0
        engine = ScriptedEngine(service.loop, lambda text, engine: BROKEN[kind] if 1.0 <= engine.now < end else GOOD)
        batch = await service.batch(texts(4000))
        service.serve(engine, **CALM)
        took = await service.ended(batch, seconds_max=end + 300)
        assert await service.counts(batch) == (4000, 0)
        assert took <= end + 70.0
        assert len(engine.calls) - 4000 <= 64 + 4 * (end / 25 + 20)

    served(tmp_path, story)


@pytest.mark.parametrize("kind", ["500", "401", "hang-up", "nobody"])
def test_an_engine_that_comes_and_goes(tmp_path: Path, kind: str) -> None:
    """Well for three seconds, away for two, again and again, with bad lines among the good: only the bad ones fail."""

    async def story(service: Service) -> None:
        def script(text: str, engine: ScriptedEngine) -> Answer:
            if engine.now % 5.0 >= 3.0:
                return BROKEN[kind]
            return refusal(400) if text.startswith(BAD) else GOOD

        engine = ScriptedEngine(service.loop, script)
        lines = texts(6000)
        for number in range(0, 6000, 100):
            lines[number] = f"{BAD} {number}"
        batch = await service.batch(lines)
        service.serve(engine, slots=16)
        await service.ended(batch, seconds_max=3600)
        assert await service.counts(batch) == (5940, 60)

    served(tmp_path, story)


def test_a_share_of_all_calls_fails(tmp_path: Path) -> None:
    """Three in ten calls are answered with 500, whatever they ask: the door stays open, and nearly all lines are answered."""

    async def story(service: Service) -> None:
        chance = random.Random(1)
        engine = ScriptedEngine(service.loop, lambda text, engine: refusal(500) if chance.random() < 0.3 else GOOD)
        batch = await service.batch(texts(3000))
        service.serve(engine)
        took = await service.ended(batch, seconds_max=300)
        completed, failed = await service.counts(batch)
        # Five attempts: 0.3 to the power of five is one line in 400.
        assert failed <= 25
        assert completed + failed == 3000
        assert took <= 3000 / 0.7 / 64 * 0.05 * 1.3 + 10.0

    served(tmp_path, story)


@pytest.mark.parametrize("poison", [500, 404])
def test_our_own_request_lies(tmp_path: Path, poison: int) -> None:
    """The engine dislikes our smallest request and answers every good line: bad lines do not stop the good ones."""

    async def story(service: Service) -> None:
        def script(text: str, engine: ScriptedEngine) -> Answer:
            return refusal(poison) if text == PROBE or text.startswith(BAD) else GOOD

        engine = ScriptedEngine(service.loop, script)
        await service.batch(texts(100, BAD))
        healthy = await service.batch(texts(3000))
        service.serve(engine)
        took = await service.ended(healthy, seconds_max=300)
        assert await service.counts(healthy) == (3000, 0)
        assert took <= 3000 / 64 * 0.05 * 2 + 5.0

    served(tmp_path, story)


def test_a_wait_longer_than_everything(tmp_path: Path) -> None:
    """An account without quota for two hours: shut, looked at again, and no line fails."""

    async def story(service: Service) -> None:
        end = 7200.0
        engine = ScriptedEngine(
            service.loop,
            lambda text, engine: GOOD if engine.now >= end else refusal(429, code="insufficient_quota"),
        )
        batch = await service.batch(texts(300))
        service.serve(engine, **CALM)
        took = await service.ended(batch, seconds_max=end + 4000)
        assert await service.counts(batch) == (300, 0)
        assert took <= end + 3600.0
        assert len(engine.calls) <= 300 + 64 + 4 * 12

    served(tmp_path, story)


def test_busy_without_a_wait_for_one_batch(tmp_path: Path) -> None:
    """Its every line is told "busy" beside others that are served: those are not delayed, and it goes on waiting."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, bad_lines_get(refusal(429)))  # type: ignore[arg-type]
        refused = await service.batch(texts(50, BAD))
        healthy = await service.batch(texts(20_000))
        service.serve(engine)
        took = await service.ended(healthy)
        assert await service.counts(healthy) == (20_000, 0)
        assert took <= 20_000 / 64 * 0.05 * 1.05 + 0.5
        assert await service.counts(refused) == (0, 0)

    served(tmp_path, story)


def test_an_engine_that_dies_of_two_lines(tmp_path: Path) -> None:
    """Both are named, in the end, and no innocent line fails."""

    async def story(service: Service) -> None:
        engine = Mortal(service, "good 100", "good 300")
        batch = await service.batch(texts(400))
        service.serve(engine, slots=8)
        await service.ended(batch, seconds_max=600)
        outcomes = await service.outcomes(batch)
        assert {number for number, each in outcomes.items() if each.failed} == {"100", "300"}
        assert {each.code for each in outcomes.values() if each.failed} == {"engine_stopped"}
        assert engine.deaths <= 6

    served(tmp_path, story)


@pytest.mark.parametrize("slots", [2, 3, 4])
@pytest.mark.parametrize("where", [0, 3, 6])
def test_each_of_two_lines_that_kill_does_so_three_times_at_most(tmp_path: Path, slots: int, where: int) -> None:
    """Also where the one breaks off just before the other one would go alone: of what it died is found out first."""

    async def story(service: Service) -> None:
        killers = ("alone", f"good {where}")
        engine = Mortal(service, *killers)
        batches = [await service.batch(["alone"]), await service.batch(texts(7))]
        service.serve(engine, slots=slots)
        for batch in batches:
            await service.ended(batch, seconds_max=600)
        failed = [each for batch in batches for each in (await service.outcomes(batch)).values() if each.failed]
        assert [each.code for each in failed] == ["engine_stopped"] * 2
        assert max(engine.killed.values()) <= 3

    served(tmp_path, story)


def test_suspects_behind_a_shut_door_wait_for_our_own_request(tmp_path: Path) -> None:
    """After two deaths the engine is sick for a minute, and slow to say so: nobody spins, and both culprits are found."""

    class Sick(Mortal):
        sick_until = 0.0

        async def answer(self, call: Call) -> Answer:
            if self.deaths == 2 and not self.sick_until:
                self.sick_until = self.now + 60.0
            if self.dead_until <= self.now < self.sick_until:
                await asyncio.sleep(10.0)
                return refusal(500)
            return await super().answer(call)

    async def story(service: Service) -> None:
        engine = Sick(service, "good 0", "good 3")
        batch = await service.batch(texts(8))
        service.serve(engine, slots=4)
        await service.ended(batch, seconds_max=1200)
        failed = {number: each.code for number, each in (await service.outcomes(batch)).items() if each.failed}
        assert failed == {"0": "engine_stopped", "3": "engine_stopped"}
        assert max(engine.killed.values()) <= 3

    served(tmp_path, story)


QUOTA = {
    "402": refusal(402),
    "no quota": refusal(429, code="insufficient_quota"),
    "a day": refusal(429, 86_400.0),
}


@pytest.mark.parametrize("bad", [1, pytest.param(20, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", QUOTA)
def test_lines_that_are_told_of_a_spent_account_beside_others(tmp_path: Path, kind: str, bad: int) -> None:
    """They were there first, and others come through under the same key: those are not delayed, and nothing is blocked."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, bad_lines_get(QUOTA[kind]))  # type: ignore[arg-type]
        told = await service.batch(texts(bad, BAD))
        service.serve(engine)
        await asyncio.sleep(5.0)
        began = service.loop.time()
        healthy = await service.batch(texts(2_000))
        assert await service.ended(healthy) - began <= 2_000 / 64 * 0.05 * 1.05 + 1.5
        assert await service.counts(healthy) == (2_000, 0)
        assert service.door_of(engine).state is DoorState.OK
        # They end with that answer, after so many waits over so much time, and are not sent without end.
        await service.ended(told, seconds_max=1_500)
        assert {each.status for each in (await service.outcomes(told)).values()} == {QUOTA[kind].status}
        assert max(engine.calls_of(text) for text in texts(bad, BAD)) <= 15

    served(tmp_path, story)


def test_one_line_that_is_told_of_a_spent_account_in_a_batch_alone(tmp_path: Path) -> None:
    """Also where it is the first of all, and no other batch is there."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, bad_lines_get(QUOTA["402"]))  # type: ignore[arg-type]
        batch = await service.batch([*texts(1, BAD), *texts(200)])
        service.serve(engine, slots=1)
        for _ in range(30):
            await asyncio.sleep(1.0)
            if (await service.counts(batch))[0] == 200:
                break
        assert await service.counts(batch) == (200, 0)
        await service.ended(batch, seconds_max=1_500)
        assert await service.counts(batch) == (200, 1)

    served(tmp_path, story)


def test_a_wait_of_nothing_is_no_invitation(tmp_path: Path) -> None:
    """`Retry-After: 0`, or a moment that is past, again and again: such lines wait as if nothing had been said."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, bad_lines_get(refusal(429, 0.0)))  # type: ignore[arg-type]
        told = await service.batch(texts(6, BAD))
        service.serve(engine)
        await service.ended(told, seconds_max=1_500)
        assert max(engine.calls_of(text) for text in texts(6, BAD)) <= 40

    served(tmp_path, story)


def test_a_batch_that_is_cancelled_while_its_lines_wait(tmp_path: Path) -> None:
    """They are let go, nothing of them is sent any more, and its neighbour goes on."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, bad_lines_get(refusal(500)))  # type: ignore[arg-type]
        poison = await service.batch(texts(500, BAD))
        service.serve(engine)
        await asyncio.sleep(1.0)
        await service.ledger.request_cancel(poison, now=int(service.clock.now()))
        healthy = await service.batch(texts(500))
        began = service.loop.time()
        assert await service.ended(healthy, seconds_max=60) - began < 3.0
        before = len(engine.calls)
        await asyncio.sleep(60.0)
        assert len(engine.calls) == before, "nothing of a cancelled batch is sent any more"
        worker = service.posts["d"].worker
        assert not worker._leases
        assert not worker._feed.has_work

    served(tmp_path, story)
