"""What lanes are given: order, resumption, bounds, second tries, and never a lane asleep over work that it could do."""

import asyncio
import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from slackwater.core.errors import BackendTimeout
from slackwater.core.sending.circuit import SLOWED_AFTER, Circuit
from slackwater.core.sending.door import Door
from slackwater.core.sending.evidence import Evidence, Kind
from slackwater.core.sending.judgement import RetryPolicy, Setback, Trial, Verdict
from slackwater.core.sending.request import Outcome, Reply, Result
from slackwater.core.sending.turns import Seat
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.engine_use import Use
from slackwater.pipeline.sending.feed import KEPT_BYTES, Feed
from slackwater.pipeline.sending.lease import Cause, Item, Lease
from slackwater.ports import BlobRange, Shard
from tests.simulation.virtual import VirtualClock, VirtualLoop

# No line of a story about lanes ends by its attempts.
ENDLESS = RetryPolicy(attempts_max=1 << 30)


def lease(lines: int, *, done: bytes = b"", size: int = 10, index: int = 0, circuit: Circuit | None = None) -> Lease:
    """A leased shard of so many lines, blank ones in between."""
    rows = []
    for line in range(lines):
        row = {"custom_id": f"{index}-{line}", "method": "POST", "url": "/x", "body": {"text": "x" * size}}
        rows += [json.dumps(row), "", "  "]
    data = "\n".join(rows).encode()
    shard = Shard(
        batch_id="b",
        index=index,
        epoch=1,
        places=(BlobRange(key="i", offset=0, length=len(data)),),
        lines=lines,
        done=done,
        endpoint="/chat/completions",
        deployment="d",
    )
    return Lease(shard, data, circuit)


class Taking:
    """A backend that takes."""

    def __init__(self, *, slots: int = 64, others: bool = True) -> None:
        self.door = Door(slots=slots)
        self.open_elsewhere: list[Door] = []
        self.others = others

    def admits(self, circuit: Circuit, now: float) -> bool:
        return circuit.admits(now, slots=self.door.slots, others=self.others)


def backends(count: int) -> list[Taking]:
    """Those of one deployment, all of them open."""
    all_of_them = [Taking() for _ in range(count)]
    for each in all_of_them:
        each.open_elsewhere = [other.door for other in all_of_them if other is not each]
    return all_of_them


def take(feed: Feed, taker: Taking | None = None) -> Item | None:
    """The next request."""
    return feed.take(taker or Taking(), asyncio.get_running_loop().time())


def ids(feed: Feed) -> list[str]:
    """Everything that may be taken now."""
    taken = []
    while (item := take(feed)) is not None:
        taken.append(item.custom_id)
    return taken


def played(story: object) -> None:
    """Runs a story in virtual time."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(story(loop))  # type: ignore[operator]
    finally:
        loop.close()


def feed_of(loop: VirtualLoop, *, bytes_max: int = 1 << 20, **named: Any) -> Feed:
    """A feed alone."""
    return Feed(VirtualClock(loop), bytes_max=bytes_max, **named)


def fails(feed: Feed, item: Item, taker: Taking, now: float, *, delay: float = 1.0) -> None:
    """A call for a line ends with 500, and it waits for another try."""
    setback = Setback(Evidence(Kind.TROUBLE, "status 500"), now, now, reply=Reply(500, b"{}"))
    item.trial = item.trial or Trial()
    item.trial.failed(setback, taker.door, RetryPolicy(), chance=0.5)
    feed.give_back(item)
    feed.park(item, delay)


def test_lines_come_in_order_and_blank_ones_do_not_count() -> None:
    """Shard by shard, line by line; a line's number is its place among the requests."""

    async def story(loop: VirtualLoop) -> None:
        feed = feed_of(loop)
        feed.add(lease(3))
        feed.add(lease(2, index=1))
        assert not feed.low
        assert ids(feed) == ["0-0", "0-1", "0-2", "1-0", "1-1"]
        assert feed.low

    played(story)


@pytest.mark.parametrize(
    ("done", "left"), [(b"\x05", ["0-1", "0-3"]), (b"\x0f", []), (b"", ["0-0", "0-1", "0-2", "0-3"])]
)
def test_journaled_lines_are_passed_over(done: bytes, left: list[str]) -> None:
    """A shard that was begun goes on with what is not journaled."""

    async def story(loop: VirtualLoop) -> None:
        feed, begun = feed_of(loop), lease(4, done=done)
        feed.add(begun)
        assert ids(feed) == left
        assert begun.committed == 4 - len(left)
        assert begun.exhausted

    played(story)


def test_bodies_in_flight_are_bounded() -> None:
    """Past the bound nothing is handed out until a call is over; one request always is."""

    async def story(loop: VirtualLoop) -> None:
        feed = feed_of(loop, bytes_max=100)
        feed.add(lease(4, size=200))
        first = take(feed)
        assert first is not None
        assert take(feed) is None
        feed.give_back(first)
        assert take(feed) is not None

    played(story)


def test_a_second_try_comes_after_its_delay_and_first() -> None:
    """A line that waits is not handed out before its moment, and then before new lines; its body is let go meanwhile."""

    async def story(loop: VirtualLoop) -> None:
        feed, door = feed_of(loop), Taking()
        begun = lease(3)
        feed.add(begun)
        item = take(feed, door)
        assert item is not None
        fails(feed, item, door, loop.time(), delay=5.0)
        assert item.request is None
        second = take(feed, door)
        assert second is not None
        assert second.custom_id == "0-1"
        await asyncio.sleep(5.01)
        again = take(feed, door)
        assert again is item
        text = begun.text_of(item)
        assert text is not None
        request = item.read(text)
        assert request is not None
        assert request.custom_id == "0-0"
        assert not begun.waiting
        assert begun.circuit.waiting == 0

    played(story)


def test_what_waits_goes_with_its_shard() -> None:
    """A shard that ends early takes its second tries along, and says which they were."""

    async def story(loop: VirtualLoop) -> None:
        feed, begun, door = feed_of(loop), lease(1), Taking()
        feed.add(begun)
        item = take(feed, door)
        assert item is not None
        fails(feed, item, door, loop.time())
        begun.cause = Cause.STOPPED
        assert feed.forget(begun) == [item]
        await asyncio.sleep(2.0)
        assert take(feed, door) is None
        assert begun.settled
        assert begun.circuit.waiting == 0

    played(story)


def test_what_waits_is_its_place_only() -> None:
    """Where many bytes are kept for lines that wait, they are let go and read again: memory is bounded by what is sent."""

    async def story(loop: VirtualLoop) -> None:
        feed, door = feed_of(loop, bytes_max=1 << 30), Taking()
        leases = []
        for index in range(6):
            begun = lease(4, size=1 << 20, index=index)
            leases.append(begun)
            feed.add(begun)
            for _ in range(4):
                item = take(feed, door)
                assert item is not None
                fails(feed, item, door, loop.time(), delay=1000.0)
            assert take(feed, door) is None
        feed.add(lease(1, index=6))
        assert sum(each.held for each in leases) <= KEPT_BYTES
        assert all(item.request is None for each in leases for item in each.waiting)

    played(story)


def test_a_line_that_failed_at_one_door_is_left_to_another() -> None:
    """Where another door of the deployment is open; and if there is none, the first one has it again."""

    async def story(loop: VirtualLoop) -> None:
        feed, (first, second) = feed_of(loop), backends(2)
        feed.add(lease(1))
        item = take(feed, first)
        assert item is not None
        fails(feed, item, first, loop.time(), delay=0.0)
        assert take(feed, first) is None
        assert take(feed, second) is item
        fails(feed, item, second, loop.time(), delay=0.0)
        second.open_elsewhere = []
        assert take(feed, second) is item

    played(story)


def test_a_line_that_failed_at_two_doors_goes_to_the_third() -> None:
    """It does not come back to the first one while there is one where it has not been."""

    async def story(loop: VirtualLoop) -> None:
        feed, (first, second, third) = feed_of(loop), backends(3)
        feed.add(lease(1))
        for taker in (first, second):
            item = take(feed, taker)
            assert item is not None
            fails(feed, item, taker, loop.time(), delay=0.0)
        # The first one is shut now, and open to those who try it.
        second.open_elsewhere = [third.door]
        assert take(feed, first) is None
        assert take(feed, second) is None
        assert take(feed, third) is item

    played(story)


def test_a_line_of_a_slowed_batch_stays_with_the_other_door() -> None:
    """It has to wait there for its turn: that does not lead it back to where it failed."""

    async def story(loop: VirtualLoop) -> None:
        slowed = Circuit()
        feed, (first, second) = feed_of(loop), backends(2)
        feed.add(lease(1, circuit=slowed))
        item = take(feed, first)
        assert item is not None
        fails(feed, item, first, loop.time(), delay=0.0)
        for _ in range(SLOWED_AFTER):
            slowed.failed(others=True, now=loop.time())
        slowed.used(10.0)
        assert take(feed, second) is None, "it is not its turn"
        await asyncio.sleep(1000.0)
        assert take(feed, first) is None
        assert take(feed, second) is item

    played(story)


def test_a_slowed_batch_stands_in_nobody_s_way() -> None:
    """Its lines keep their places, new ones and those that wait, and the others' are handed out meanwhile."""

    async def story(loop: VirtualLoop) -> None:
        slowed, door = Circuit(), Taking()
        feed = feed_of(loop)
        poison = lease(50, circuit=slowed)
        feed.add(poison)
        parked = [item for _ in range(40) if (item := take(feed, door)) is not None]
        for item in parked:
            fails(feed, item, door, loop.time(), delay=0.0)
            slowed.failed(others=True, now=loop.time())
        slowed.used(1000.0)
        feed.add(lease(20, index=1))
        feed.add(lease(20, index=2))
        taken = [take(feed, door) for _ in range(40)]
        assert [item.custom_id for item in taken if item is not None] == [
            f"{index}-{number}" for index in (1, 2) for number in range(20)
        ]
        assert take(feed, door) is None
        assert feed.low, "more of other batches would be welcome"
        assert feed.unwilling() == {"b"}
        slowed.succeeded()
        assert len(ids(feed)) == 50

    played(story)


def test_a_culprit_is_not_sent_again() -> None:
    """It had gone alone and waited to go alone again when it became known that the engine had died of it."""

    async def story(loop: VirtualLoop) -> None:
        verdicts: list[tuple[str, Verdict]] = []
        feed, door = feed_of(loop, ended=lambda item, verdict: verdicts.append((item.custom_id, verdict))), Taking()
        feed.add(lease(2))
        item = take(feed, door)
        assert item is not None
        fails(feed, item, door, loop.time(), delay=0.0)
        assert item.trial is not None
        item.trial.suspected(sole=False)
        item.trial.suspected(sole=False)
        assert ids(feed) == ["0-1"]
        item.trial.alone = True
        item.trial.suspected(sole=True)
        assert feed.take_suspect() is None
        assert verdicts == [("0-0", Verdict.CULPRIT)]

    played(story)


def test_a_suspect_is_not_handed_out_among_others() -> None:
    """A line that was there at two deaths waits to go alone."""

    async def story(loop: VirtualLoop) -> None:
        feed, door = feed_of(loop), Taking()
        feed.add(lease(2))
        item = take(feed, door)
        assert item is not None
        fails(feed, item, door, loop.time(), delay=0.0)
        assert item.trial is not None
        item.trial.suspected(sole=False)
        item.trial.suspected(sole=False)
        assert ids(feed) == ["0-1"]
        assert feed.has_suspects
        assert feed.take_suspect() is item
        assert not feed.has_suspects
        # Both are out now.
        assert feed.bytes_held == item.lease.held + 2 * item.size

    played(story)


def test_a_suspect_keeps_the_wait_of_its_batch() -> None:
    """Its batch was told to wait while it stood in the row of those that go alone: it goes after that."""

    async def story(loop: VirtualLoop) -> None:
        feed, door = feed_of(loop), Taking()
        feed.add(lease(1))
        item = take(feed, door)
        assert item is not None
        fails(feed, item, door, loop.time(), delay=0.0)
        assert item.trial is not None
        item.trial.suspected(sole=False)
        item.trial.suspected(sole=False)
        assert take(feed, door) is None
        item.lease.circuit.until = loop.time() + 5.0
        assert feed.take_suspect() is None
        assert not feed.has_suspects, "nobody waits for the end of what is out, for nothing"
        await asyncio.sleep(4.9)
        assert take(feed, door) is None
        assert feed.take_suspect() is None
        await asyncio.sleep(0.1)
        assert take(feed, door) is None
        assert feed.take_suspect() is item

    played(story)


def test_lines_that_cannot_be_read_end_at_once() -> None:
    """Bytes that have changed since validation: no lane is given them, and the others follow."""

    async def story(loop: VirtualLoop) -> None:
        told: list[tuple[int, Verdict]] = []
        feed = feed_of(loop, ended=lambda item, verdict: told.append((item.line, verdict)))
        begun = lease(4)
        assert begun._data is not None
        data = begun._data.replace(b'{"custom_id": "0-1"', b'{"custom_id": \x00\xff"', 1)
        feed.add(Lease(begun.shard, data))
        assert ids(feed) == ["0-0", "0-2", "0-3"]
        assert told == [(1, Verdict.UNREADABLE)]

    played(story)


@pytest.mark.parametrize("seed", range(40))
def test_no_lane_sleeps_over_work(seed: int) -> None:
    """Whatever the order of calls, tries, new shards, silences of the engine, pauses and doubts: everything is done."""

    async def story(loop: VirtualLoop) -> None:
        chance = random.Random(seed)
        clock = VirtualClock(loop)
        engine = Engine("http://e", clock, slots=chance.choice((1, 3, 10)))
        uses: list[RandomUse] = []

        def wake() -> None:
            for use in uses:
                engine.wake(use)

        feed = feed_of(loop, bytes_max=chance.choice((60, 500, 10_000)), wake=wake)
        for number in range(chance.choice((1, 2))):
            uses.append(RandomUse(chance, feed, engine, f"b{number}", loop))
            engine.attach(uses[-1])
        shards = [chance.randint(0, 12) for _ in range(chance.randint(1, 5))]
        for index, lines in enumerate(shards):
            feed.add(lease(lines, index=index))
            await asyncio.sleep(chance.choice((0.0, 2.0)))
        await asyncio.sleep(3000.0)
        for use in uses:
            use.calm = True
        await asyncio.sleep(3000.0)
        done = [name for use in uses for name in use.done]
        assert engine.in_flight == 0
        assert len(done) == len(set(done)) == sum(shards)
        assert max(use.out_max for use in uses) <= engine.slots
        for use in uses:
            await engine.detach(use)

    played(story)


class RandomUse:
    """A use of an engine whose calls take and bring what chance says."""

    def __init__(self, chance: random.Random, feed: Feed, engine: Engine, name: str, loop: VirtualLoop) -> None:
        self.name = name
        self.cap = chance.choice((1, 2, 10))
        self.door = engine.door(name, "", slots=self.cap)
        self.in_flight = 0
        self.tenant, self.weight = name, chance.choice((0.5, 1.0, 3.0))
        self.seat: Seat[Use] | None = None
        self.calm = False
        self.done: list[str] = []
        self.out_max = 0
        # Some have a metrics page, which comes and goes, and says what it likes.
        self.metered = chance.random() < 0.5
        self.page_lost = chance.random() < 0.3
        self.pages = 0
        self._chance, self._feed, self._engine, self._loop = chance, feed, engine, loop

    @property
    def has_work(self) -> bool:
        return self._feed.has_work

    def cost(self, item: Item) -> float:
        return 1.0

    @property
    def has_suspects(self) -> bool:
        return self._feed.has_suspects

    def take(self, now: float) -> Item | None:
        return self._feed.take(self, now)

    open_elsewhere: Sequence[Door] = ()

    def admits(self, circuit: Circuit, now: float) -> bool:
        return circuit.admits(now, slots=self._engine.slots, others=False)

    def take_suspect(self) -> Item | None:
        return self._feed.take_suspect()

    async def run(self, item: Item, lane: "asyncio.Task[None]", now: float) -> None:
        chance, begun, clock = self._chance, now, self._loop.time
        self.out_max = max(self.out_max, self._engine.in_flight)
        item.lease.in_flight[lane] = item
        await asyncio.sleep(chance.choice((0.0, 0.01, 1.0)))
        del item.lease.in_flight[lane]
        self._feed.give_back(item)
        kind = Kind.SUCCESS if self.calm or chance.random() < 0.6 else chance.choice(list(Kind))
        wait = chance.choice((None, 0.3)) if kind is Kind.BUSY else None
        evidence = Evidence(kind, kind.value, wait)
        self._engine.heard(item, self.door, evidence, begun=begun, now=clock())
        if kind is Kind.SUCCESS:
            self.done.append(item.custom_id)
            return
        item.trial = item.trial or Trial()
        item.trial.culprit = False
        delay = item.trial.failed(Setback(evidence, begun, clock()), self.door, ENDLESS, chance=0.5)
        item.trial.attempts = item.trial.refusals = item.trial.waits = 0
        self._feed.park(item, chance.choice((0.0, delay)))

    def paced(self, *, paced: bool) -> None:
        pass

    async def metrics(self) -> Reply | None:
        chance = self._chance
        await asyncio.sleep(chance.choice((0.0, 0.01, 1.0)))
        self.pages += 1
        if self.calm and not self.page_lost:
            return Reply(200, b"vllm:num_requests_running %d\n" % self._engine.in_flight)
        if self.calm or chance.random() < 0.3:
            raise BackendTimeout("no answer")
        if chance.random() < 0.2:
            return Reply(404, b"")
        page = (b"running", 30), (b"waiting", 3)
        said = b"".join(b"vllm:num_requests_%b %d\n" % (name, chance.randint(0, most)) for name, most in page)
        steps = b"vllm:iteration_tokens_total_count %d\n" % (self.pages * chance.choice((1, 10)))
        return Reply(200, said + steps + b"vllm:kv_cache_usage_perc %.2f\n" % chance.random())

    async def probe(self) -> tuple[Evidence, bool] | None:
        await asyncio.sleep(0.02)
        if not self.calm and self._chance.random() < 0.1:
            return None
        kind = Kind.SUCCESS if self.calm else self._chance.choice(list(Kind))
        return Evidence(kind, kind.value), kind not in (Kind.UNREACHED, Kind.LOST)


def test_a_lease_knows_when_it_is_settled() -> None:
    """Not while anything is on its way: in flight, waiting, or not journaled yet."""
    begun = lease(1)
    assert not begun.settled
    item = begun.next_item()
    assert item is not None
    assert begun.next_item() is None
    begun.unjournaled = 1
    assert not begun.settled
    begun.unjournaled = 0
    begun.waiting[item] = None
    assert not begun.settled
    begun.waiting.clear()
    begun.committed = 1
    assert begun.settled
    assert begun.complete
    assert Result(0, Outcome.COMPLETED, b"").usage is None


@pytest.mark.parametrize(("pause", "alone"), [(60.0, True), (5.0, False), (0.0, False)])
def test_a_death_that_nobody_may_see_makes_a_suspect(pause: float, alone: bool) -> None:
    """A call breaks off while its door was asked to be left alone: an engine that died of it is back before anybody may look.

    Where somebody may look soon, it is not held against the line.
    """

    async def story(loop: VirtualLoop) -> None:
        engine = Engine("engine", VirtualClock(loop), slots=4)
        door, feed = engine.door("", "m", slots=4), feed_of(loop)
        feed.add(lease(1))
        item = take(feed)
        assert item is not None
        for _ in range(2):
            if pause:
                door.pause(loop.time() + pause, "status 429", loop.time())
            engine.heard(item, door, Evidence(Kind.LOST, "broke off"), begun=loop.time(), now=loop.time())
        assert (item.trial is not None and item.trial.goes_alone) is alone

    played(story)
