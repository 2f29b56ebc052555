"""What lanes are given: order, resumption, bounds, second tries, and never a lane asleep over work that it could do."""

import asyncio
import json
import random

import pytest

from slackwater.core.sending.request import Outcome, Result
from slackwater.pipeline.sending.feed import Cause, Feed, Item, Lease
from slackwater.ports import BlobRange, Shard
from tests.simulation.virtual import VirtualClock, VirtualLoop


class AlwaysOpen:
    """A gate that lets everybody through."""

    admits = True


class Shut:
    """A gate that lets nobody through."""

    admits = False


def lease(lines: int, *, done: bytes = b"", size: int = 10, index: int = 0) -> Lease:
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
    return Lease(shard, data)


def ids(feed: Feed) -> list[str]:
    """Everything that may be taken now."""
    taken = []
    while (item := feed.take()) is not None:
        taken.append(item.request.custom_id)
    return taken


def played(story: object) -> None:
    """Runs a story in virtual time."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(story(loop))  # type: ignore[operator]
    finally:
        loop.close()


def feed_of(loop: VirtualLoop, *, bytes_max: int = 1 << 20) -> Feed:
    return Feed(VirtualClock(loop), bytes_max=bytes_max)


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
        first = feed.take()
        assert first is not None
        assert feed.take() is None
        feed.give_back(first)
        assert feed.take() is not None

    played(story)


def test_a_second_try_comes_after_its_delay_and_first() -> None:
    """A parked request is not handed out before its moment, and then before new lines."""

    async def story(loop: VirtualLoop) -> None:
        feed = feed_of(loop)
        begun = lease(3)
        feed.add(begun)
        item = feed.take()
        assert item is not None
        feed.give_back(item)
        feed.park(item, 5.0)
        second = feed.take()
        assert second is not None
        assert second.request.custom_id == "0-1"
        await asyncio.sleep(5.01)
        again = feed.take()
        assert again is item
        assert begun.parked == 0

    played(story)


def test_what_is_parked_goes_with_its_shard() -> None:
    """A shard that ends early takes its second tries along."""

    async def story(loop: VirtualLoop) -> None:
        feed, begun = feed_of(loop), lease(1)
        feed.add(begun)
        item = feed.take()
        assert item is not None
        feed.give_back(item)
        feed.park(item, 1.0)
        begun.cause = Cause.STOPPED
        feed.forget(begun)
        await asyncio.sleep(2.0)
        assert feed.take() is None
        assert begun.settled

    played(story)


def test_a_hint_goes_to_a_lane_that_can_send() -> None:
    """Lanes behind a shut gate sleep on; if there are no others, one goes to its gate and waits there."""

    async def story(loop: VirtualLoop) -> None:
        feed = feed_of(loop)
        woken: list[str] = []

        async def lane(name: str, gate: AlwaysOpen | Shut) -> None:
            await feed.idle(gate)
            woken.append(name)

        tasks = [
            asyncio.ensure_future(lane(name, gate())) for name, gate in (("a", Shut), ("b", Shut), ("c", AlwaysOpen))
        ]
        await asyncio.sleep(0)
        feed.wake(5)
        await asyncio.sleep(0)
        assert woken == ["c"]
        feed.wake(5)
        await asyncio.sleep(0)
        assert woken == ["c", "a"]
        feed.pass_on()
        await asyncio.sleep(0)
        assert woken == ["c", "a"]
        tasks[1].cancel()

    played(story)


@pytest.mark.parametrize("seed", range(30))
def test_no_lane_sleeps_over_work(seed: int) -> None:
    """Whatever the order of calls, tries and new shards: everything is done, without anybody looking twice by a timer."""

    async def story(loop: VirtualLoop) -> None:
        chance = random.Random(seed)
        feed = feed_of(loop, bytes_max=chance.choice((60, 500, 10_000)))
        done: list[str] = []
        tries: dict[str, int] = {}

        async def lane() -> None:
            gate = AlwaysOpen()
            while True:
                item: Item | None = feed.take()
                if item is None:
                    await feed.idle(gate)
                    continue
                await asyncio.sleep(chance.choice((0.0, 0.01, 1.0)))
                feed.give_back(item)
                name = item.request.custom_id
                tries[name] = tries.get(name, 0) + 1
                if chance.random() < 0.3 and tries[name] < 4:
                    feed.park(item, chance.choice((0.0, 0.5, 3.0)))
                else:
                    done.append(name)

        lanes = [asyncio.ensure_future(lane()) for _ in range(chance.choice((1, 3, 10)))]
        shards = [chance.randint(0, 12) for _ in range(chance.randint(1, 5))]
        for index, lines in enumerate(shards):
            feed.add(lease(lines, index=index))
            await asyncio.sleep(chance.choice((0.0, 2.0)))
        await asyncio.sleep(500.0)
        for task in lanes:
            task.cancel()
        assert len(done) == len(set(done)) == sum(shards)

    played(story)


def test_a_lease_knows_when_it_is_settled() -> None:
    """Not while anything is on its way: in flight, parked, or not journaled yet."""
    begun = lease(1)
    assert not begun.settled
    assert begun.next_request() is not None
    assert begun.next_request() is None
    begun.unjournaled = 1
    assert not begun.settled
    begun.unjournaled = 0
    begun.parked = 1
    assert not begun.settled
    begun.parked, begun.committed = 0, 1
    assert begun.settled
    assert begun.complete
    assert Result(0, Outcome.COMPLETED, b"").usage is None
