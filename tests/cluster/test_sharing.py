"""An engine's limit holds over all members of a cluster, sampled at the engine, and it is used."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from slackwater.core.sending.shared_slots import GRANT_SECONDS, LONGER, MARGIN_SECONDS
from tests.cluster.sharing_world import Cluster, FarLedger

SHORT, LONG = (0.2, 2.0), (0.5, 40.0)


Make = Callable[..., Cluster]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes clusters with calls that take so long; nothing runs in them any more afterwards."""
    made: list[Cluster] = []

    def cluster(seed: int, limit: int, seconds: tuple[float, float] = SHORT, **more: Any) -> Cluster:
        made.append(Cluster(seed, limit=limit, seconds=lambda chance: chance.uniform(*seconds), **more))
        return made[-1]

    yield cluster
    for each in made:
        each.close()


def test_nobody_dies(make: Make) -> None:
    """The engine is as full as its limit allows, and everybody has an equal part of it."""
    for seed, members in ((1, 3), (2, 6)):
        cluster = make(seed, 60)
        for _ in range(members):
            cluster.add()
        assert cluster.use_from(20.0, 120.0) > 0.95
        assert cluster.upstream.out_max <= 60
        parts = cluster.upstream.by_member.values()
        assert min(parts) > 0.9 * max(parts)


def test_what_one_had_whose_process_died(make: Make) -> None:
    """It is the others' a moment later, long before its grant is over, and however long calls may take: nobody knows that yet."""
    for seed in (1, 2):
        cluster = make(seed, 60, LONG)
        for _ in range(3):
            cluster.add()
        cluster.run(4.0)
        cluster.members[0].kill(machine=False)
        assert cluster.use_from(cluster.time + 5.0, cluster.time + 12.0) > 0.95
        assert cluster.upstream.out_max <= 60


def troubled(cluster: Cluster, seed: int) -> bool:
    """Five minutes in which members die, stand still, leave and want more or less. Whether the limit has held."""
    chance, limit = random.Random(f"plan of {seed}"), cluster.upstream.limit
    for _ in range(chance.randint(3, 6)):
        cluster.add()
    while cluster.time < 300.0 and cluster.upstream.out_max <= limit:
        cluster.run(cluster.time + chance.expovariate(1.0))
        living = cluster.living()
        if not living:
            cluster.add()
            continue
        member = chance.choice(living)
        match chance.randrange(12):
            case 0 | 1 | 2:
                member.stop(chance.choice((1.0, 8.0, 25.0, 60.0)) * chance.random())
            case 3:
                member.kill(machine=chance.random() < 0.5)
                cluster.add()
            case 4 if not (member.process.stands or member.leaving) and member.begun.done():
                member.process.begin(member.leave())
                cluster.add()
            case 5:
                cluster.ledger_away = True
                cluster.at(chance.expovariate(0.2), lambda: setattr(cluster, "ledger_away", False))
            case 6 | 7 | 8 | 9 if member.begun.done() and not member.leaving:
                member.wants(chance.choice((0, 1, limit, limit)))
    return cluster.upstream.out_max <= limit


def of_seed(make: Make, seed: int) -> Cluster:
    """A cluster with troubles."""
    chance = random.Random(f"cluster of {seed}")
    return make(seed, chance.choice((1, 5, 40)), chance.choice((SHORT, LONG)), troubled=True)


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(8, 60))])
def test_members_die_stand_still_and_wake_up(seed: int, make: Make) -> None:
    """With clocks that do not agree, and a database that is late, away, or heard twice: never more out than the limit."""
    cluster = of_seed(make, seed)
    assert troubled(cluster, seed), f"at {cluster.time}"
    assert cluster.upstream.answered


class SaysToHoldNothing(FarLedger):
    """Gives back what it still uses."""

    async def _call(self, name: str, arguments: Any, named: dict[str, Any]) -> Any:
        if name == "share_engines":
            member, asks = arguments
            arguments = member, [msgspec.structs.replace(ask, held=0) for ask in asks]
        return await super()._call(name, arguments, named)


class ThinksCallsAreShort(FarLedger):
    """Nobody counts what goes on at the engine for those who are lost."""

    async def _call(self, name: str, arguments: Any, named: dict[str, Any]) -> Any:
        if name == "share_engines":
            member, asks = arguments
            arguments = member, [msgspec.structs.replace(ask, longest=0.0, known=True) for ask in asks]
        return await super()._call(name, arguments, named)


@pytest.mark.parametrize("planted", [SaysToHoldNothing, ThinksCallsAreShort])
def test_planted_faults_are_found(planted: type[FarLedger], make: Make) -> None:
    """Each within a few seeds."""
    for seed in range(20):
        cluster = make(seed, 40, LONG, troubled=True)
        cluster.far_ledger = planted  # type: ignore[misc]
        if not troubled(cluster, seed):
            return
    raise AssertionError("nobody has noticed")


def test_the_others_have_the_slots_of_the_lost_soon(make: Make) -> None:
    """Within a grant, and as long as calls take."""
    cluster = make(3, 40)
    lost, *_ = [cluster.add() for _ in range(4)]
    cluster.run(30.0)
    lost.kill(machine=True)
    longest = max(0.0, LONGER * (SHORT[1] + 0.1) - MARGIN_SECONDS)
    assert cluster.use_from(30.0 + GRANT_SECONDS + longest + 2.0, 60.0) > 0.95


def test_answers_that_come_while_it_stands_still_are_read(make: Make) -> None:
    """Its grant is over when it wakes up, and so are its calls: what they have brought is not paid for a second time."""
    cluster = make(7, 40, (0.5, 8.0))
    member = cluster.add()
    cluster.run(20.0)
    out = len(cluster.upstream.out)
    answered = cluster.upstream.answered
    assert out > 30
    member.stop(13.0)
    cluster.run(32.9)
    assert cluster.upstream.answered == answered + out
    cluster.run(40.0)
    assert (member.use.cut, cluster.upstream.out_max) == (0, 40)


def test_who_comes_late_has_its_part_soon(make: Make) -> None:
    """As soon as calls of the others have ended; and who has nothing to send leaves everything to them."""
    cluster = make(4, 40)
    first = cluster.add()
    assert cluster.use_from(2.0, 10.0) > 0.9
    late = cluster.add()
    cluster.run(18.0)
    assert late.engine.slots == first.engine.slots == 20
    first.wants(3)
    cluster.run(26.0)
    assert late.engine.slots >= 36
    first.wants(0)
    cluster.run(34.0)
    assert (first.engine.slots, late.engine.slots) == (0, 40)
    assert cluster.upstream.out_max <= 40


def test_nobody_starves_where_there_are_fewer_slots_than_members(make: Make) -> None:
    """They take turns."""
    cluster = make(5, 2)
    for _ in range(5):
        cluster.add()
    assert cluster.use_from(10.0, 200.0) > 0.7
    assert cluster.upstream.out_max <= 2
    assert len(cluster.upstream.by_member) == 5
    assert min(cluster.upstream.by_member.values()) > 0.4 * max(cluster.upstream.by_member.values())


def test_a_ledger_that_is_away_for_a_moment_costs_nothing(make: Make) -> None:
    """Grants outlive it. Where it is away for longer nothing is out any more, and all of it is back soon after it is."""
    cluster = make(6, 40)
    for _ in range(3):
        cluster.add()
    cluster.run(20.0)
    cluster.ledger_away = True
    assert cluster.use_from(20.0, 25.0) > 0.95
    cluster.ledger_away = False
    cluster.run(32.0)
    cluster.ledger_away = True
    cluster.run(32.0 + GRANT_SECONDS)
    assert len(cluster.upstream.out) == 0
    cluster.run(60.0)
    cluster.ledger_away = False
    assert cluster.use_from(65.0, 80.0) > 0.95
    assert cluster.upstream.out_max <= 40
