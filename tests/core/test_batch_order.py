"""Short batches first, and the oldest never starved."""

import random

import pytest

from slackwater.core.sending.batch_order import OLDEST_EVERY, SPARE, BatchOrder, Place


def test_the_shortest_goes_first_and_the_oldest_has_its_share() -> None:
    """Three lines wait for hardly anything; a large batch has every fourth request however many small ones there are."""
    order: BatchOrder[str] = BatchOrder()
    large = Place("large", 0, left=1e6, since=0.0)
    order.put(large)
    small = [Place(f"small {number}", number, left=30.0, since=float(number)) for number in range(1, 40)]
    for each in small:
        order.put(each)
    served = []
    for _ in range(80):
        place = order.next()
        assert place is not None
        served.append(place.of)
        order.served(place, 10.0)
        if not place.left:
            order.rest(place)
    assert served.count("large") == 80 // OLDEST_EVERY
    assert served[:3] == ["small 1"] * 3
    assert [each for each in served if each != "large"][:6] == ["small 1"] * 3 + ["small 2"] * 3


def test_one_that_is_alone() -> None:
    """It is always its turn, and nobody's once it rests."""
    order: BatchOrder[str] = BatchOrder()
    assert order.next() is None
    only = Place("only", 0, left=5.0, since=0.0)
    order.put(only)
    for _ in range(OLDEST_EVERY):
        assert order.next() is only
        order.served(only, 1.0)
    order.rest(only)
    order.rest(only)
    assert order.next() is order.shortest() is order.oldest() is None
    assert len(order) == 0


def test_what_is_left_counts_as_it_becomes_less() -> None:
    """A batch that is nearly through goes before one that has only begun, whatever their sizes were."""
    order: BatchOrder[str] = BatchOrder()
    first, second = Place("first", 0, left=100.0, since=0.0), Place("second", 1, left=60.0, since=1.0)
    order.put(first)
    for _ in range(70):
        order.served(first, 1.0)
    order.put(second)
    # The entry of a batch that was alone is as old as its last line in the order.
    order.rest(first)
    order.put(first)
    assert order.shortest() is first


@pytest.mark.parametrize("seed", range(10))
def test_like_the_plain_rule(seed: int) -> None:
    """Whoever comes and goes: the oldest is the oldest that is ready, and the shortest has at most twice the least left."""
    chance = random.Random(seed)
    order: BatchOrder[int] = BatchOrder()
    places = [
        Place(number, number, left=chance.uniform(1, 1000), since=float(chance.randrange(20))) for number in range(40)
    ]
    for _ in range(5_000):
        place = chance.choice(places)
        if chance.random() < 0.5:
            if chance.random() < 0.3:
                place.left = chance.uniform(1, 1000)
            order.put(place)
        else:
            order.rest(place)
        ready = [each for each in places if each.ready]
        assert len(order) == len(ready)
        turn = order.next()
        assert (turn is None) is (not ready)
        if turn is None:
            continue
        assert turn.ready
        oldest, shortest = order.oldest(), order.shortest()
        assert oldest is not None
        assert shortest is not None
        assert (oldest.since, oldest.number) == min((each.since, each.number) for each in ready)
        assert shortest.left <= 2 * min(each.left for each in ready)
        order.served(turn, chance.uniform(0, 50))


def test_what_never_comes_up_is_forgotten() -> None:
    """Entries of batches that rest behind others do not pile up."""
    order: BatchOrder[int] = BatchOrder()
    order.put(Place(-1, 0, left=0.5, since=-1.0))
    for number in range(1, 20_000):
        place = Place(number, number, left=100.0 + number, since=float(number))
        order.put(place)
        order.served(place, 60.0 + number)
        order.rest(place)
    assert len(order._by_left) <= SPARE + 8
    assert len(order._by_age) <= SPARE + 8
