"""Some seeds of the production pipeline under faults, and proof that the checks would see it if it were broken."""

import sqlite3
from collections import Counter
from collections.abc import Sequence

import pytest

from slackwater.adapters.sql.base import SqlBase
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.shards import SqlShards
from slackwater.adapters.sql.sqlite import SqliteDatabase
from slackwater.core.sending.assembling import Assembling
from slackwater.ports import Segment, Shard
from tests.simulation.checks import Violation
from tests.simulation.plan import Mood
from tests.simulation.play import play
from tests.simulation.virtual import Stuck
from tests.simulation.world import World

# As many as a normal run has time for, and a longer one; more with `python -m tests.simulation`.
SEEDS, SEEDS_LONG, SEEDS_AT_ONCE = 12, 60, 3


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(first, marks=[] if first < SEEDS else pytest.mark.long)
        for first in range(0, SEEDS_LONG, SEEDS_AT_ONCE)
    ],
)
def test_seeds(first: int) -> None:
    """Under faults nothing wrong is ever seen, and in the calm after them every batch ends."""
    for seed in range(first, first + SEEDS_AT_ONCE):
        play(seed)


def test_streams_are_part_of_the_world() -> None:
    """Some calls are listened to, each to its end; streams break off in the middle, and no result shows that there were any."""
    told: Counter[str] = Counter()
    for seed in range(6):
        told += play(seed, moods=frozenset({Mood.MISHAPS})).listeners
    assert told["begun"] == told["ended"]
    assert min(told["streamed"], told["mishaps"]) > 0


def test_a_seed_decides_everything() -> None:
    """The same seed sends the same requests and ends at the same moment."""
    first, second = play(11), play(11)
    assert (first.checks.sent, first.loop.time()) == (second.checks.sent, second.loop.time())


class NoEpochCheck(SqlLedger):
    """A ledger that believes every worker, also one whose lease is over."""

    def __init__(self, database: SqliteDatabase) -> None:
        super().__init__(database)
        self._parts["SqlShards"] = self.shards = Gullible(CarelessBase(database))


class CarelessBase(SqlBase):
    """Statements without the look at the epoch."""

    def text(self, name: str) -> str:
        text = super().text(name)
        return text.replace("AND shard.epoch = :epoch AND shard.state = 'running'", "AND :epoch = :epoch")


class Gullible(SqlShards):
    """Shards of those statements."""

    forgets = False

    def _commit(self, db: sqlite3.Connection, segment: Segment, *, now: float, lease_until: float) -> bool:
        if self.forgets:
            db.execute("UPDATE shard SET done = X''")
        return super()._commit(db, segment, now=now, lease_until=lease_until)


class Forgetful(SqlLedger):
    """A ledger that hands out shards as if nothing of them were journaled."""

    async def claim_shards(self, *arguments: object, **named: object) -> list[Shard]:
        shards = await super().claim_shards(*arguments, **named)  # type: ignore[arg-type]
        return [
            Shard(**{name: getattr(shard, name) for name in shard.__struct_fields__} | {"done": b""})
            for shard in shards
        ]


class Unfenced(NoEpochCheck):
    """No epoch check, and no look at what is journaled either: only the files can tell."""

    def __init__(self, database: SqliteDatabase) -> None:
        super().__init__(database)
        self.shards.forgets = True


class Greedy(SqlLedger):
    """A ledger that also charges for what it refuses: work that somebody else does again."""

    async def commit_segments(
        self, segments: Sequence[Segment], *, now: float, lease_seconds: float
    ) -> list[tuple[str, int, int]]:
        refused = await super().commit_segments(segments, now=now, lease_seconds=lease_seconds)
        for segment in segments:
            if (segment.batch_id, segment.index, segment.epoch) in refused and segment.counts.completed:
                self.sql.database.reader.execute(
                    "UPDATE usage_day SET input_tokens = input_tokens + ?", (segment.usage.input_tokens,)
                )
        return refused


def found(ledger_class: type[SqlLedger], seeds: range) -> str | None:
    """The first violation that these seeds see."""
    for seed in seeds:
        try:
            play(seed, ledger_class=ledger_class, moods=frozenset({Mood.DEATHS, Mood.FREEZES}))
        except (Violation, Stuck) as violation:
            return str(violation)
    return None


# A missing epoch check needs a frozen service that wakes up in the right moment: one seed in forty, so not from the first on.
@pytest.mark.parametrize(
    ("ledger_class", "first"),
    [
        pytest.param(NoEpochCheck, 165, marks=pytest.mark.long),
        (Forgetful, 0),
        (Unfenced, 0),
        pytest.param(Greedy, 90, marks=pytest.mark.long),
    ],
)
def test_planted_bugs_of_the_ledger_are_found(ledger_class: type[SqlLedger], first: int) -> None:
    """A missing epoch check, forgotten lines and a wrong bill are seen within a few dozen seeds."""
    assert found(ledger_class, range(first, first + 60)) is not None


def dishonest(world: World) -> None:
    """A disk that says it has synced, and has not."""
    world.disk.honest = False


def test_a_lying_disk_is_found() -> None:
    """Results that were called durable before they were are missed after a power cut."""
    for seed in range(60):
        try:
            play(seed, prepare=dishonest, moods=frozenset({Mood.DEATHS}))
        except (Violation, Stuck):
            return
    pytest.fail("60 seeds with a disk that never syncs, and nobody noticed")


def test_half_a_stream_that_is_taken_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The world sees it."""

    def anything(self: Assembling) -> bytes:
        return self._written() if self._error is None else self._error

    monkeypatch.setattr(Assembling, "whole", anything)
    with pytest.raises((Violation, AssertionError)):
        for seed in range(24):
            play(seed, moods=frozenset({Mood.MISHAPS}))
