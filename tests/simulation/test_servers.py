"""Some seeds of several servers over one ledger, and proof that the checks would see it if they were broken."""

from collections.abc import Callable, Collection
from typing import Any

import pytest

from slackwater.adapters.sql.clock import DatabaseClock
from slackwater.adapters.sql.shards import SqlShards
from slackwater.adapters.sql.statements import statement
from slackwater.core.members import Look, Seen, Turn, Watch
from slackwater.core.sending import shared_slots
from slackwater.core.sending.shared_slots import Holding
from slackwater.pipeline.following import Following
from slackwater.pipeline.loops import Pace
from slackwater.pipeline.sending.engine_share import EngineShare
from tests.simulation.checks import Violation
from tests.simulation.servers.database import Database
from tests.simulation.servers.plan import Mood
from tests.simulation.servers.play import play
from tests.simulation.servers.world import World

# As many as a normal run has time for, and a longer one; more with `python -m tests.simulation --servers`.
SEEDS, SEEDS_LONG, SEEDS_AT_ONCE = 3, 120, 3
SEEDS_MAX = 16


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(first, marks=[] if first < SEEDS else pytest.mark.long)
        for first in range(0, SEEDS_LONG, SEEDS_AT_ONCE)
    ],
)
def test_seeds(first: int) -> None:
    """Whatever befalls servers and their database: nothing wrong is ever seen, and in the calm after it every batch ends."""
    for seed in range(first, first + SEEDS_AT_ONCE):
        play(seed)


def test_a_seed_decides_everything() -> None:
    """The same seed sends the same requests and ends at the same moment."""
    first, second = play(1), play(1)
    assert (first.sending.calls, first.time) == (second.sending.calls, second.time)


def found(*moods: Mood, first: int = 0, prepare: Callable[[World], None] | None = None) -> str:
    """What the first seed says that sees anything; fails where none does."""
    for seed in range(first, first + SEEDS_MAX):
        try:
            play(seed, moods=frozenset(moods), prepare=prepare)
        except Violation as violation:
            return str(violation)
    pytest.fail(f"{SEEDS_MAX} seeds, and nobody noticed")


# Planted: each of these is seen


def test_a_burial_that_frees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the dead one had in hand stays so."""
    monkeypatch.setattr(SqlShards, "free_those_of", lambda *_: 0)
    assert "is buried and has" in found(Mood.KILLED)


def test_a_death_that_nobody_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases alone, which are over half a minute later."""
    monkeypatch.setattr(Watch, "judge", lambda self, look: [])
    assert "and still has" in found(Mood.KILLED)


@pytest.mark.long
def test_a_member_that_stands_still_and_is_never_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lock is held, and nothing else is looked at."""

    def judge(self: Watch, look: Look) -> list[Seen]:
        return [each for each in look.others if look.turn is Turn.WATCHER and not each.held]

    monkeypatch.setattr(Watch, "judge", judge)
    assert found(Mood.LOST, Mood.STOPPED)


def test_who_is_missing_once_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is lost and had back in the next moment."""

    def judge(self: Watch, look: Look) -> list[Seen]:
        return [each for each in look.others if each.dead or each.overdue or not each.held]

    monkeypatch.setattr(Watch, "judge", judge)
    assert ", which runs" in found(Mood.CUT, Mood.AWAY)


def test_a_database_without_a_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was buried makes a new connection and goes on."""
    monkeypatch.setattr(Database, "lives", lambda self, member: True)
    assert "was buried at" in found(Mood.STOPPED, Mood.CUT)


def test_calls_of_the_lost_that_nobody_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """They go on at the engine."""

    def ended(holding: Holding, longest: float) -> float:
        return holding.until

    monkeypatch.setattr(shared_slots, "counted_until", ended)
    # One whose calls take up to 25 seconds.
    assert "its limit is" in found(Mood.LOST, first=18, prepare=_busy)


def _busy(world: World) -> None:
    """Everybody has something to send."""
    for _ in range(6):
        world.at(0.0, lambda: world.client.order(world.plan.deployments[0]) and None)


@pytest.mark.long
def test_changes_that_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause is known to the server that was told of it."""

    async def step(self: Following) -> Pace:
        return Pace.IDLE

    monkeypatch.setattr(Following, "step", step)
    # One in which another server has something to send when an engine is paused.
    assert "is paused since" in found(Mood.PAUSES, first=24)


# Faults that this world has found


@pytest.mark.long
def test_answers_that_are_thrown_away_when_a_grant_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """They came while the process stood still, and nobody had read them yet."""
    over = EngineShare._over

    def at_once(self: EngineShare) -> None:
        over(self)
        if self.slots == 0:
            self._cut(len(self.calls))

    monkeypatch.setattr(EngineShare, "_over", at_once)
    assert "sent again under the same epoch" in found(Mood.STOPPED)


def test_a_start_by_the_clock_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer of the database took long, so that the clock of the machine counted for five minutes."""

    async def look(self: DatabaseClock) -> None:
        took, ahead = await self._ask()
        if took <= 1.0:
            self._ahead = ahead

    monkeypatch.setattr(DatabaseClock, "look", look)
    assert "from the time of the database" in found(Mood.CLOCKS, Mood.LATE, prepare=_slow)


def _slow(world: World) -> None:
    """The database answers late from the beginning on."""
    world.late_until = 60.0


def test_a_start_whose_answer_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was a member already when it asked once more."""

    def once(name: str) -> str:
        return statement(name).partition("ON CONFLICT")[0] if name == "add_member" else statement(name)

    monkeypatch.setattr("tests.simulation.servers.presence.statement", once)
    assert "could not start" in found(Mood.PAUSES, prepare=_forgetful)


def _forgetful(world: World) -> None:
    """Many answers are lost in the first moments."""
    world.loses_answer = lambda: world.time < 0.05 and world.chance.random() < 0.3  # type: ignore[method-assign]


@pytest.mark.long
def test_without_a_planted_fault_nothing_is_found() -> None:
    """The same moods, and all is well: what was found above was found for a reason."""
    lots: list[tuple[Collection[Mood], Any]] = [
        ((Mood.KILLED,), None),
        ((Mood.LOST, Mood.STOPPED), _busy),
        ((Mood.CUT, Mood.AWAY), None),
        ((Mood.PAUSES,), None),
        ((Mood.CLOCKS, Mood.LATE), _slow),
    ]
    for number, (moods, prepare) in enumerate(lots):
        play(number, moods=frozenset(moods), prepare=prepare)
