"""What a seed of several servers decides beforehand: how many there are, what they share, what is asked, what befalls them."""

import random
from enum import StrEnum

from msgspec import Struct

from tests.simulation.content import Content
from tests.simulation.plan import Mood as Trouble


class Mood(StrEnum):
    """A kind of trouble that a seed has or has not."""

    KILLED = "killed"
    """A process is lost at once; its connections close."""
    LOST = "lost"
    """So is its machine: connections close without a word, and bytes that nobody has synced are gone."""
    STOPPED = "stopped"
    """A process stands still for up to a minute, and wakes up believing in what it had."""
    CUT = "cut off"
    """A server does not reach the database, and its calls go on."""
    DEAF = "deaf"
    """A server does not reach an engine."""
    AWAY = "away"
    """The database is away for seconds, or for a night; or another one takes its place, and all connections are lost."""
    UNKNOWN = "unknown"
    """The answer to a commit is lost."""
    LATE = "late"
    """Answers of the database take seconds."""
    MEETING = "meeting"
    """Transactions meet, and are run a second time."""
    CLOCKS = "clocks"
    """The clocks of servers are minutes off, and are set."""
    UNHEARD = "unheard"
    """Hints are lost."""
    LEAVING = "leaving"
    """Servers leave gently, and others come."""
    CANCELS = "cancels"
    PAUSES = "pauses"
    """Somebody pauses a deployment or a batch, and resumes it at another server."""
    CHANGES = "changes"
    """Deployments are made and deleted over the API, each through another server."""
    MISHAPS = "mishaps"
    """A call fails by itself, now and then."""
    KILLERS = "killers"
    """An engine dies of a line, with all that is out."""
    LIMIT = "limit"
    """Deployments may hold few tokens."""


class EnginePlan(Struct, frozen=True):
    """An upstream, and how long its calls take."""

    name: str
    slots: int
    seconds: tuple[float, float]


class DeploymentPlan(Struct, frozen=True):
    """A deployment, and the engines that it uses."""

    name: str
    engines: tuple[int, ...]
    token_limit: int | None
    resource: str = "default"

    @property
    def key(self) -> str:
        """What the ledger calls it."""
        return self.name


class Plan(Struct, frozen=True, kw_only=True):
    """Everything that is decided beforehand. Seconds."""

    troubles: frozenset[Mood]
    servers: int
    engines: tuple[EnginePlan, ...]
    deployments: tuple[DeploymentPlan, ...]
    batches: int
    attempts_max: int
    grace_seconds: float
    faults_seconds: float
    night_seconds: float
    """How long the database is away in the end; 0 where it is not."""

    @property
    def moods(self) -> frozenset[Trouble]:
        """The same in the words of a world of one server, for what its checks allow."""
        said = {Mood.MISHAPS: Trouble.MISHAPS, Mood.KILLERS: Trouble.KILLERS, Mood.STOPPED: Trouble.FREEZES}
        return frozenset(said[each] for each in self.troubles if each in said)

    services = 1
    """For whether a line that is good may be taken for one that kills: over all members it goes alone, so it may not."""

    @property
    def nap_seconds(self) -> float:
        """How long stages may nap in that night: what they do meanwhile is to look and to find nothing."""
        return self.night_seconds / 200


NIGHT_SECONDS = 10 * 3600.0
SHORT, USUAL, LONG = (0.05, 0.5), (0.2, 3.0), (1.0, 25.0)


def plan_of(seed: int, *, moods: frozenset[Mood] | None = None) -> Plan:
    """The plan of a seed; with `moods`, with these in the place of its own."""
    chance = random.Random(f"servers {seed}")
    drawn = frozenset(mood for mood in Mood if chance.random() < 0.4)
    troubles = drawn if moods is None else moods
    # Where few calls fit, they are short: what is long is the waiting, and not the work.
    engines = tuple(
        EnginePlan(
            f"http://engine{number}:8000", *chance.choice(((1, SHORT), (3, SHORT), (3, USUAL), (8, USUAL), (8, LONG)))
        )
        for number in range(chance.choice((1, 1, 2)))
    )
    limit = chance.choice((3000, 6000)) if Mood.LIMIT in troubles else None
    deployments = tuple(
        DeploymentPlan(name, tuple(sorted(chance.sample(range(len(engines)), chance.randint(1, len(engines))))), limit)
        for name in ("sim", "other")[: chance.choice((1, 2))]
    )
    night = chance.random() < 0.15
    return Plan(
        troubles=troubles,
        servers=chance.choice((2, 2, 3, 4)),
        engines=engines,
        deployments=deployments,
        batches=chance.randint(2, 5),
        attempts_max=chance.choice((3, 5)),
        grace_seconds=chance.choice((1.5, 4.0)),
        faults_seconds=chance.uniform(40.0, 120.0),
        night_seconds=NIGHT_SECONDS ** chance.uniform(0.4, 1.0) if night and Mood.AWAY in troubles else 0.0,
    )


def contents_of(chance: random.Random, lines: int, plan: Plan) -> list[Content]:
    """What the lines of a batch are like."""
    lot = [chance.choice((Content.GOOD,) * 12 + (Content.MENDED, Content.OWN)) for _ in range(lines)]
    if Mood.MISHAPS in plan.troubles and chance.random() < 0.4:
        lot[chance.randrange(lines)] = Content.ERROR
    if Mood.KILLERS in plan.troubles and chance.random() < 0.3:
        lot[chance.randrange(lines)] = Content.KILLER
    return lot
