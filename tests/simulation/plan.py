"""What one seed decides before anything runs: which engines there are, who shares them, what is asked, and what goes wrong.

Each seed turns on some of the moods only, so that one trouble does not hide another in every seed.
"""

import random
from enum import StrEnum

from msgspec import Struct

from tests.simulation.content import HEALTHY, POISON, Content

HOURS_48 = 48 * 3600.0
# Outages of this length and more are lived through after the other faults.
LONG_SECONDS = 60.0


class Mood(StrEnum):
    """A kind of trouble that a seed has or has not."""

    DEATHS = "deaths"
    """Services are killed, and the power goes."""
    FREEZES = "freezes"
    FULL_DISK = "full disk"
    MISHAPS = "mishaps"
    """A call fails by itself, now and then."""
    OUTAGES = "outages"
    PAUSES = "pauses"
    REFUSALS = "refusals"
    """Doors refuse for a while."""
    REFUSED = "refused"
    """One of several backends refuses for good."""
    POISON = "poison"
    KILLERS = "killers"
    FLOODS = "floods"
    STOPS = "stops"
    JUMPS = "jumps"
    DAMAGE = "damage"
    """Bytes of an input file change after it was validated."""
    UNREAD = "unread"
    """A read fails, and the next one does not."""
    CANCELS = "cancels"
    WINDOWS = "windows"
    QUOTAS = "quotas"
    """Doors have rate limits, and online traffic uses them as well."""


class EnginePlan(Struct, frozen=True):
    """An upstream. Without `slots`, the largest concurrency that a backend names for it is its limit."""

    name: str
    slots: int | None


class BackendPlan(Struct, frozen=True):
    """How a deployment uses an engine. `refuses` is the status that it always gets there."""

    engine: int
    model: str
    concurrency: int
    refuses: int | None = None


class DeploymentPlan(Struct, frozen=True):
    """A deployment, and what it may hold."""

    name: str
    resource: str
    backends: tuple[BackendPlan, ...]
    token_limit: int | None

    @property
    def key(self) -> str:
        """What the ledger calls it."""
        return self.name if self.resource == "default" else f"{self.resource}/{self.name}"


class Plan(Struct, frozen=True, kw_only=True):
    """Everything that is decided beforehand. Seconds."""

    moods: frozenset[Mood]
    engines: tuple[EnginePlan, ...]
    deployments: tuple[DeploymentPlan, ...]
    attempts_max: int
    grace_seconds: float
    services: int
    longest_outage: float
    """The one outage that may be long."""

    @property
    def nap_seconds(self) -> float:
        """How long stages may nap in a long outage: what they do meanwhile is to look and to find nothing."""
        return self.longest_outage / 200 if self.longest_outage > LONG_SECONDS else 0.0

    @property
    def lease_seconds(self) -> float:
        """Leases outlive naps."""
        return max(8.0, 3 * self.nap_seconds)


def plan_of(seed: int, *, moods: frozenset[Mood] | None = None) -> Plan:
    """The plan of a seed; with `moods`, with these in the place of its own."""
    chance = random.Random(f"plan {seed}")
    # Drawn by itself: the seeds are what they were before there was this mood.
    drawn = frozenset(mood for mood in Mood if mood is not Mood.QUOTAS and chance.random() < 0.45)
    if random.Random(f"quotas {seed}").random() < 0.45:
        drawn |= {Mood.QUOTAS}
    moods = drawn if moods is None else moods
    engines = tuple(
        EnginePlan(f"engine{number}", chance.choice((None, 3, 5))) for number in range(chance.choice((1, 1, 2, 2, 3)))
    )
    names = (("sim", "default"), ("sim", "acme"), ("other", "default"))[: chance.choice((1, 1, 2, 3))]
    limit = chance.choice((None, None, 25_000))
    deployments = tuple(
        DeploymentPlan(name, resource, _backends(chance, len(engines), moods), limit) for name, resource in names
    )
    return Plan(
        moods=moods,
        engines=engines,
        deployments=deployments,
        attempts_max=chance.choice((3, 5)),
        grace_seconds=chance.choice((1.5, 3.0, 6.0)),
        services=chance.choice((1, 1, 2)),
        longest_outage=HOURS_48 ** chance.random() if Mood.OUTAGES in moods else 0.0,
    )


def _backends(chance: random.Random, engines: int, moods: frozenset[Mood]) -> tuple[BackendPlan, ...]:
    used = chance.sample(range(engines), chance.randint(1, engines))
    # Two deployments under one model name share a door; under different ones only the engine.
    made = [BackendPlan(engine, chance.choice(("m", "m", "n")), chance.randint(2, 4)) for engine in used]
    if len(made) > 1 and Mood.REFUSED in moods:
        first = made[0]
        # A model that nobody else asks for: whoever shares a door shares what it says.
        status = chance.choice((401, 403, 404, 405, 307))
        made[0] = BackendPlan(first.engine, f"gone{chance.randrange(1000)}", first.concurrency, status)
    return tuple(made)


def contents_of(chance: random.Random, lines: int, plan: Plan) -> list[Content]:
    """What the lines of a batch are like: one of them, a share, or all are bad in one way."""
    lot: list[Content] = [chance.choice((Content.GOOD,) * 18 + (Content.MENDED, Content.OWN)) for _ in range(lines)]
    if Mood.POISON in plan.moods and chance.random() < 0.6:
        poison = chance.choice(POISON)
        # A large batch of lines that all take their time and end in nothing lasts a day, whatever is done.
        share = chance.choice((0.0, 0.05, 0.5, 1.0)) if lines <= 60 or poison is not Content.SLOW else 0.05
        lot = [poison if chance.random() < share else each for each in lot]
        lot[chance.randrange(lines)] = poison
    if Mood.POISON in plan.moods and chance.random() < 0.3:
        lot[chance.randrange(lines)] = Content.PICKY
    if Mood.KILLERS in plan.moods and chance.random() < 0.4:
        lot[chance.randrange(lines)] = Content.KILLER
    return lot


def healthy(lot: list[Content]) -> bool:
    """Whether nothing in a batch is anybody's trouble."""
    return all(content in HEALTHY for content in lot)
