"""Who has how much to send where in the month: tenants of unequal weight and size, groups of engines, batches of a heavy tail."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from benchmarks.scale.rhythm import DAY_SECONDS, Rhythm, hours

from slackwater.core.sending.scheduling import BYTES_PER_TOKEN, shard_bytes

LINES_A_DAY, ENGINES, TENANTS, MEMBERS = 10**9, 1_000, 100, 50
# Engines of one model, which the same deployments use; members that send for it; calls at an engine, in shards.
GROUP, SENDERS, SLOTS = 10, 4, 4
TYPES = 4
LOAD = 0.8
# Batches have 100 to 100,000 lines, fewer the larger they are: the exponent of a Pareto distribution.
SMALLEST, LARGEST, TAIL = 100, 100_000, 0.5
LINE_BYTES, LINE_TOKENS = 1_000, 250
SHARD_LINES = 1_000
# The larger a tenant, the more weight it has, but for one in so many, which has somebody else's.
WEIGHTS, MISFIT = (1.0, 1.0, 2.0, 4.0), 5
# A deployment may hold what it gets in so many days.
QUOTA_DAYS = 2.0

# What online users take of an engine: most of it by day. What is left is the batches'.
ONLINE = hours(0.25, 0.85, at=15, weekend=0.8)
CAPACITY = Rhythm(lambda moment: 1.0 - ONLINE(moment))
ARRIVALS = Rhythm(hours(0.3, 1.0, at=14, weekend=0.7))


def batch_lines(chance: Random) -> int:
    """The lines of a batch."""
    low, high = SMALLEST**-TAIL, LARGEST**-TAIL
    return int((low - chance.random() * (low - high)) ** (-1 / TAIL))


# The mean of that distribution.
MEAN_LINES = TAIL / (1 - TAIL) * (LARGEST ** (1 - TAIL) - SMALLEST ** (1 - TAIL)) / (SMALLEST**-TAIL - LARGEST**-TAIL)


@dataclass(slots=True)
class Deployment:
    """One tenant's use of one group of engines."""

    name: str
    tenant: int
    group: int
    weight: float
    lines_a_day: float
    shard_lines: int
    limit: int
    """Of enqueued tokens."""
    within: bool
    """Whether what it usually wants is not more than its part by weight of what the engines can do."""

    def arrivals(self, chance: Random, *, begin: float, end: float, times: float = 1.0) -> Iterator[tuple[float, int]]:
        """When batches come, and how many lines they have."""
        a_second = self.lines_a_day * times / MEAN_LINES / DAY_SECONDS / ARRIVALS.mean
        passed, last = ARRIVALS.passed(begin), ARRIVALS.passed(end)
        while (passed := passed + chance.expovariate(a_second)) < last:
            yield ARRIVALS.moment(passed), batch_lines(chance)


@dataclass(slots=True)
class Plan:
    """What there is, at a scale."""

    deployments: list[Deployment]
    groups: list[list[int]]
    """The deployments of each."""
    speeds: list[float]
    """Lines a second of one slot at an engine of each group that nobody else uses."""
    kinds: list[int]
    """The type of each group's engines."""
    tenants: int
    members: int
    flooder: int


def plan_of(scale: float, chance: Random) -> Plan:
    """Tenants of sizes that fall off with their number, six of them at each group; every group has about the same load."""
    groups = max(1, round(ENGINES * scale / GROUP))
    tenants = max(6, round(TENANTS * scale))
    sizes = [1 / (number + 1) ** 0.8 for number in range(tenants)]
    weights = [WEIGHTS[-1 - number * len(WEIGHTS) // tenants] for number in range(tenants)]
    for number in range(0, tenants, MISFIT):
        other = chance.randrange(tenants)
        weights[number], weights[other] = weights[other], weights[number]
    # Dealt out in turn, so that every tenant is in about as many groups.
    deck: list[int] = []
    deployments: list[Deployment] = []
    members: list[list[int]] = []
    speeds, kinds = [], []
    for group in range(groups):
        chosen: list[int] = []
        while len(chosen) < 6:
            if not any(each not in chosen for each in deck):
                deck += chance.sample(range(tenants), tenants)
            chosen.append(deck.pop(next(place for place, each in enumerate(deck) if each not in chosen)))
        lines = LINES_A_DAY * scale / groups
        rate = lines / DAY_SECONDS * LINE_TOKENS
        load = LOAD * chance.uniform(0.9, 1.1)
        whole, weight = sum(sizes[each] for each in chosen), sum(weights[each] for each in chosen)
        cut = min(SHARD_LINES, shard_bytes(rate) // LINE_BYTES)
        here = []
        for tenant in chosen:
            part = lines * sizes[tenant] / whole
            limit = int(max(QUOTA_DAYS * part, 2 * LARGEST) * LINE_TOKENS)
            here.append(len(deployments))
            within = part <= lines / load * weights[tenant] / weight
            deployments.append(
                Deployment(f"t{tenant}/g{group}", tenant, group, weights[tenant], part, cut, limit, within)
            )
        members.append(here)
        speeds.append(lines / DAY_SECONDS / (load * CAPACITY.mean * GROUP * SLOTS))
        kinds.append(group % TYPES)
    # One of the middle, in size.
    flooder = sorted(range(tenants), key=lambda each: sizes[each])[tenants // 2]
    flooder = min((each.tenant for each in deployments), key=lambda each: (abs(sizes[each] - sizes[flooder]), each))
    return Plan(deployments, members, speeds, kinds, tenants, max(SENDERS, round(MEMBERS * scale)), flooder)


assert BYTES_PER_TOKEN * LINE_TOKENS == LINE_BYTES
