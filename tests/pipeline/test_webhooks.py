"""Webhooks on their way: what is tried when, who waits for whom, and that dying anywhere sends the same thing again."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.errors import SendFailed
from slackwater.core.telling.webhooks import GIVE_UP_SECONDS, Delivery, DeliveryState, Outcome
from slackwater.pipeline.loops import Pace
from slackwater.pipeline.telling.webhooks import FAULT, KEPT_SECONDS, LATE_SECONDS, Deliverer
from tests.adapters.webhook_contract import NOW, failed, listening

HOUR = 3_600


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = float(NOW)

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Receivers:
    """The world outside: each URL answers what it was told to, 200 by default, and every visit is remembered."""

    def __init__(self) -> None:
        self.answers: dict[str, list[int | Exception]] = {}
        self.waits: dict[str, asyncio.Event] = {}
        self.visits: list[tuple[str, str, bytes]] = []
        self.arrived = asyncio.Event()

    def check(self, url: str) -> str:
        return url.removeprefix("https://").partition("/")[0]

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> int:
        name = url.rpartition("/")[2]
        self.visits.append((name, headers["webhook-id"], body))
        self.arrived.set()
        if name in self.waits:
            await self.waits[name].wait()
        answers = self.answers.get(name, [])
        answer = answers.pop(0) if len(answers) > 1 else answers[0] if answers else 200
        if isinstance(answer, Exception):
            raise answer
        return answer


class Died(BaseException):
    """The process ended here."""


class MortalLedger(SqlLedger):
    """Dies before or after a try is recorded, where it is told to."""

    dies = ""

    async def record_delivery(self, delivery_id: str, outcome: Outcome) -> bool:
        self._die("before")
        done = await super().record_delivery(delivery_id, outcome)
        self._die("after")
        return done

    def _die(self, where: str) -> None:
        if self.dies == where:
            self.dies = ""
            raise Died


class World:
    """A ledger, a clock and receivers; and deliverers over them, one per life."""

    def __init__(self) -> None:
        self.ledger = MortalLedger.open(":memory:")
        self.clock, self.receivers = Watch(), Receivers()

    def deliverer(self, *, off: bool = False) -> Deliverer:
        """A new life."""
        return Deliverer(self.ledger, self.clock, sender=None if off else self.receivers, chance=lambda: 0.999)

    async def deliveries(self, number: int = 0) -> list[Delivery]:
        """What was sent to an endpoint, or is to be, oldest first."""
        found = await self.ledger.webhook_deliveries(f"whe-{number}", after=None, limit=10_000)
        return found[::-1]


def told(story: Callable[[World], Awaitable[None]]) -> None:
    """Runs a story in a new world."""

    async def main() -> None:
        world = World()
        await story(world)
        await world.ledger.close()

    asyncio.run(main())


async def drained(deliverer: Deliverer) -> None:
    """Steps until nothing is due."""
    while await deliverer.step() is Pace.BUSY:
        pass


def test_from_the_end_of_a_batch_to_its_delivery() -> None:
    """One visit for each endpoint, signed, with the same event under another id; then nothing is left to do."""

    async def story(world: World) -> None:
        await listening(world.ledger, 0, 1)
        deliverer = world.deliverer()
        assert await deliverer.step() is Pace.IDLE
        await failed(world.ledger)
        await drained(deliverer)
        (first, first_id, body), (second, second_id, same) = world.receivers.visits
        assert (first, second, body) == ("0", "1", same)
        assert first_id != second_id
        for number in (0, 1):
            (done,) = await world.deliveries(number)
            assert (done.state, done.tries) == (DeliveryState.DELIVERED, 1)

    told(story)


@pytest.mark.parametrize(
    ("answer", "words"),
    [(503, "status 503"), (SendFailed("Nobody listens."), "Nobody listens."), (RuntimeError("odd"), FAULT)],
)
def test_until_it_is_taken(answer: int | Exception, words: str) -> None:
    """Whatever goes wrong is tried again, under the same id and with the same bytes; one success is enough."""

    async def story(world: World) -> None:
        await listening(world.ledger, 0)
        await failed(world.ledger)
        world.receivers.answers["0"] = [answer, answer, 200]
        deliverer = world.deliverer()
        await drained(deliverer)
        (waiting,) = await world.deliveries()
        assert waiting.last_failure is not None
        assert words in waiting.last_failure
        for _ in range(2):
            (waiting,) = await world.deliveries()
            assert await deliverer.step() is Pace.IDLE, "not before its moment"
            world.clock.time = waiting.due_at
            assert await deliverer.step() is Pace.BUSY
        (done,) = await world.deliveries()
        assert (done.state, done.tries) == (DeliveryState.DELIVERED, 3)
        assert len(world.receivers.visits) == 3
        assert len(set(world.receivers.visits)) == 1

    told(story)


def test_given_up_after_72_hours() -> None:
    """A dead receiver is tried some thirty times in three days, the last time at the very end; then it is dead."""

    async def story(world: World) -> None:
        await listening(world.ledger, 0)
        await failed(world.ledger)
        world.receivers.answers["0"] = [500]
        deliverer, moments = world.deliverer(), []
        while (each := (await world.deliveries())[0]).state is DeliveryState.PENDING:
            world.clock.time = max(world.clock.time, each.due_at)
            moments.append(world.clock.time)
            assert await deliverer.step() is Pace.BUSY
            assert await deliverer.tidy() is Pace.IDLE
        assert (each.state, each.tries, moments[-1]) == (DeliveryState.DEAD, len(moments), NOW + GIVE_UP_SECONDS)
        assert 20 <= len(moments) <= 40
        assert {visit[1] for visit in world.receivers.visits} == {each.id}
        world.clock.time += 99 * HOUR
        assert await deliverer.step() is Pace.IDLE

    told(story)


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_death_around_the_record(where: str) -> None:
    """Before it: the next life sends the same again, under the same id. After it: nothing is sent again."""

    async def story(world: World) -> None:
        await listening(world.ledger, 0)
        await failed(world.ledger)
        world.ledger.dies = where
        with pytest.raises(Died):
            await world.deliverer().step()
        await drained(world.deliverer())
        visits = world.receivers.visits
        assert len(visits) == (2 if where == "before" else 1)
        assert len(set(visits)) == 1
        (done,) = await world.deliveries()
        assert (done.state, done.tries) == (DeliveryState.DELIVERED, 1), "nothing is counted twice"

    told(story)


def test_a_death_while_it_is_sent() -> None:
    """It is sent again."""

    async def story(world: World) -> None:
        await listening(world.ledger, 0)
        await failed(world.ledger)
        world.receivers.waits["0"] = asyncio.Event()
        dying = asyncio.ensure_future(world.deliverer().step())
        await world.receivers.arrived.wait()
        dying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dying
        del world.receivers.waits["0"]
        await drained(world.deliverer())
        assert len(world.receivers.visits) == 2
        assert len(set(world.receivers.visits)) == 1

    told(story)


def test_a_slow_receiver_holds_up_itself_only() -> None:
    """While one step waits for it, others pass its deliveries over and serve everybody else."""

    async def story(world: World) -> None:
        await listening(world.ledger, 0, 1)
        for number in range(3):
            await failed(world.ledger, number)
        deliverer = world.deliverer()
        world.receivers.waits["0"] = asyncio.Event()
        slow = asyncio.ensure_future(deliverer.step())
        await world.receivers.arrived.wait()
        await drained(deliverer)
        assert [each.state for each in await world.deliveries(1)] == [DeliveryState.DELIVERED] * 3
        assert [each.tries for each in await world.deliveries(0)] == [0, 0, 0]
        world.receivers.waits["0"].set()
        await slow
        await drained(deliverer)
        assert [each.state for each in await world.deliveries(0)] == [DeliveryState.DELIVERED] * 3

    told(story)


def test_a_dead_receiver_does_not_take_the_time_of_others() -> None:
    """With a thousand deliveries waiting, it is asked once per pause, and a new event elsewhere goes out at once."""

    async def story(world: World) -> None:
        await listening(world.ledger, 0)
        for number in range(1_000):
            await failed(world.ledger, number)
        world.receivers.answers["0"] = [SendFailed("Nobody listens.")]
        deliverer = world.deliverer()
        await drained(deliverer)
        assert len(world.receivers.visits) == 1
        await listening(world.ledger, 1)
        await failed(world.ledger, 1_000)
        await drained(deliverer)
        assert [visit[0] for visit in world.receivers.visits] == ["0", "1"]
        for _ in range(HOUR):
            world.clock.time += 1
            await deliverer.step()
        assert len(world.receivers.visits) < 30
        world.receivers.answers["0"] = [200]
        world.clock.time += 300
        await drained(deliverer)
        world.clock.time += 6 * HOUR
        await drained(deliverer)
        assert {each.state for each in await world.deliveries(0)} == {DeliveryState.DELIVERED}

    told(story)


def test_gone() -> None:
    """410 ends everything that waits for this endpoint."""

    async def story(world: World) -> None:
        await listening(world.ledger, 0)
        await failed(world.ledger, 0)
        await failed(world.ledger, 1)
        world.receivers.answers["0"] = [410]
        await drained(world.deliverer())
        assert len(world.receivers.visits) == 1
        assert [each.state for each in await world.deliveries()] == [DeliveryState.DEAD] * 2

    told(story)


def test_a_deleted_endpoint() -> None:
    """Deleted while it is being sent to: nothing is left, and nothing goes wrong."""

    async def story(world: World) -> None:
        await listening(world.ledger, 0)
        await failed(world.ledger)
        world.receivers.waits["0"] = asyncio.Event()
        sending = asyncio.ensure_future(world.deliverer().step())
        await world.receivers.arrived.wait()
        await world.ledger.delete_webhook_endpoint("whe-0", resource="default")
        world.receivers.waits["0"].set()
        assert await sending is Pace.BUSY
        assert await world.deliveries() == []

    told(story)


def test_turned_off() -> None:
    """What waits goes on waiting, and is sent once it is turned on again."""

    async def story(world: World) -> None:
        await listening(world.ledger, 0)
        await failed(world.ledger)
        world.clock.time += 30 * 24 * HOUR
        off = world.deliverer(off=True)
        assert await off.step() is Pace.IDLE
        assert await off.tidy() is Pace.IDLE
        await drained(world.deliverer())
        assert (await world.deliveries())[0].state is DeliveryState.DELIVERED

    told(story)


def test_housekeeping() -> None:
    """What waits behind failures dies in its time as well, and what has ended is kept for seven days."""

    async def story(world: World) -> None:
        await listening(world.ledger, 0)
        await failed(world.ledger, 0)
        await failed(world.ledger, 1)
        world.receivers.answers["0"] = [500]
        deliverer = world.deliverer()
        await deliverer.step()
        world.clock.time = NOW + GIVE_UP_SECONDS + LATE_SECONDS - 1.0
        assert await deliverer.tidy() is Pace.IDLE
        world.clock.time += 1
        assert await deliverer.tidy() is Pace.BUSY
        assert [each.state for each in await world.deliveries()] == [DeliveryState.DEAD] * 2
        world.clock.time += KEPT_SECONDS - 1
        assert await deliverer.tidy() is Pace.IDLE
        world.clock.time += 1
        assert await deliverer.tidy() is Pace.BUSY
        assert await world.deliveries() == []

    told(story)
