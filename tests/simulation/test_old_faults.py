"""Faults that the sending side once had, planted one at a time: the world sees each within a few dozen seeds.

Each plays with the moods that bring it about alone, because no seed has time for all of them.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from typing import Any

import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.batch import Stage, Status
from slackwater.core.sending.answer_kinds import Answer, ErrorInside, Unreadable
from slackwater.core.sending.binary_answers import read_reply
from slackwater.core.sending.door import Door, DoorState, Gap
from slackwater.core.sending.evidence import Evidence, Kind, evidence_of
from slackwater.core.sending.judgement import Trial
from slackwater.core.sending.request import Reply
from slackwater.pipeline.sending import dispatcher
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.fleet import Post
from slackwater.pipeline.sending.journal import Journal
from slackwater.ports import LeaseState
from tests.simulation.checks import Violation
from tests.simulation.lives import Incarnation
from tests.simulation.plan import DeploymentPlan, Mood
from tests.simulation.play import play
from tests.simulation.virtual import Stuck
from tests.simulation.world import World

SEEDS_MAX = 24


def found(*moods: Mood, first: int = 0, ledger_class: type[SqlLedger] = SqlLedger) -> str:
    """What the first seed says that sees anything; fails where none does."""
    for seed in range(first, first + SEEDS_MAX):
        try:
            play(seed, moods=frozenset(moods), ledger_class=ledger_class, prepare=_nobody_listens)
        except (Violation, Stuck) as violation:
            return str(violation)
    pytest.fail(f"{SEEDS_MAX} seeds, and nobody noticed")


def _nobody_listens(world: World) -> None:
    """The world in which these were found had no streams, and seeds tell another story with them."""
    world.listens = False


def test_a_success_that_ends_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that were in flight when an engine asked to be left alone let everybody in again."""
    heard = Door.heard

    def ends_it(self: Door, evidence: Evidence, *, begun: float, now: float) -> None:
        if evidence.kind is Kind.SUCCESS and self.state is DoorState.BUSY:
            self.end_pause(now)
        heard(self, evidence, begun=begun, now=now)

    monkeypatch.setattr(Door, "heard", ends_it)
    assert "to leave alone" in found(Mood.PAUSES)


@pytest.mark.long
def test_an_exponent_that_grows_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some eight hours of an outage, no float can hold it."""
    opened: dict[int, int] = {}

    def next_(self: Gap) -> float:
        opened[id(self)] = opened.get(id(self), 0) + 1
        return min(self.most, self.first * 2.0 ** (opened[id(self)] - 1))

    monkeypatch.setattr(Gap, "next", next_)
    monkeypatch.setattr(Gap, "reset", lambda self: opened.pop(id(self), None))
    assert "OverflowError" in found(Mood.OUTAGES, first=40)


def test_a_refusal_that_is_the_line_s_own_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One backend with a wrong key fails whatever comes to it."""

    def judged(status: int, body: bytes, **named: Any) -> Evidence:
        found = evidence_of(status, body, **named)
        return Evidence(Kind.OWN, found.reason) if found.kind is Kind.REFUSED else found

    monkeypatch.setattr(dispatcher, "evidence_of", judged)
    assert "is good and failed" in found(Mood.REFUSED)
    assert "is good and failed" in found(Mood.REFUSALS)


@pytest.mark.long
def test_a_few_bad_lines_that_shut_a_door(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures in a row shut it, whoever's they are, and the next one in the row is its only probe."""

    def question(self: Door, state: DoorState, evidence: Evidence, now: float) -> None:
        self._shut(state, evidence, now)

    def admits(self: Door, now: float) -> bool:
        if self.shut and now >= self.until:
            self.until = now + 30.0
            return True
        return self.state is DoorState.OK

    monkeypatch.setattr(Door, "_question", question)
    monkeypatch.setattr(Door, "admits", admits)
    monkeypatch.setattr(Door, "due", lambda self, now: False)
    # One with a healthy batch beside the bad lines.
    said = found(Mood.POISON, first=2)
    assert "should have ended" in said or "not every batch has ended" in said


def test_a_death_that_costs_attempts_and_names_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that kills is sent until its attempts are used up, and so are those of whoever was there."""
    monkeypatch.setattr(Trial, "suspected", lambda self, **named: None)
    assert "died of" in found(Mood.KILLERS, first=2)


def test_a_commit_that_is_cut_off_by_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had taken is neither journaled nor put back: it is paid for again."""

    async def end(self: Post) -> None:
        await self.worker.drain()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.worker.stop()

    async def commit(self: Journal) -> int:
        return await self._commit()

    monkeypatch.setattr(Post, "end", end)
    monkeypatch.setattr(Journal, "commit", commit)
    monkeypatch.setattr(Journal, "_put_back", lambda self, taken: None)
    assert "a gentle stop" in found(Mood.STOPS)


class RenewsByOwner(SqlLedger):
    """A ledger that asks only who has a shard, not since when."""

    async def renew_leases(
        self, leases: Sequence[tuple[str, int, int]], *, now: float, lease_seconds: float
    ) -> list[LeaseState]:
        states = []
        for batch_id, index, epoch in leases:
            row: sqlite3.Row | None = self.sql.database.reader.execute(
                "SELECT shard.idx, owner, stage, status FROM shard JOIN batch ON batch.seq = shard.batch_seq "
                "WHERE batch.id = ? AND idx = ? AND shard.state = 'running'",
                (batch_id, index),
            ).fetchone()
            if row is None:
                continue
            self.sql.database.reader.execute(
                "UPDATE shard SET lease_until = ? WHERE owner = ? AND state = 'running'",
                (now + lease_seconds, row["owner"]),
            )
            stop, expired = row["stage"] != Stage.RUNNING, row["status"] == Status.FINALIZING
            states.append(LeaseState(batch_id=batch_id, index=index, epoch=epoch, stop=stop, expired=expired))
        return states


@pytest.mark.long
def test_leases_that_are_renewed_by_their_owner() -> None:
    """Who lost a shard and got it again works on it twice."""
    assert "was lost" in found(Mood.JUMPS, Mood.POISON, first=34, ledger_class=RenewsByOwner)


def test_limits_of_each_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two deployments at one engine add up."""
    dispatchers = Incarnation._dispatchers

    def made(self: Incarnation, plan: DeploymentPlan) -> list[Dispatcher]:
        shared = self._engines
        self._engines = {name: Engine(name, each._clock, slots=each._slots) for name, each in shared.items()}
        try:
            return dispatchers(self, plan)
        finally:
            self._engines = shared

    monkeypatch.setattr(Incarnation, "_dispatchers", made)
    assert "its limit is" in found(Mood.FLOODS)


def test_an_error_inside_that_counts_as_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 200, and no answer in it."""

    def read(reply: Reply, *, path: str) -> Answer | ErrorInside | Unreadable:
        answer = read_reply(reply, path=path)
        return Answer(None, None, answer.body) if isinstance(answer, ErrorInside) else answer

    monkeypatch.setattr(dispatcher, "read_reply", read)
    assert found(Mood.POISON)


def test_an_unreadable_answer_that_is_paid_five_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were an error of the engine."""
    monkeypatch.setattr(dispatcher, "UNREADABLE_MAX", 5)
    assert "(unreadable) cost" in found(Mood.POISON)


def test_one_line_that_blocks_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own request comes through each time, and the same line shuts the door again."""

    def blocked(self: Door, evidence: Evidence, begun: float, now: float) -> None:
        self._shut(DoorState.BLOCKED, evidence, now)

    monkeypatch.setattr(Door, "_blocked", blocked)
    assert "calls of" in found(Mood.POISON, first=9)


def test_without_a_planted_fault_nothing_is_found() -> None:
    """The same moods, and all is well: what was found above was found for a reason."""
    lots: list[Any] = [
        (Mood.PAUSES,),
        (Mood.REFUSED,),
        (Mood.POISON,),
        (Mood.KILLERS,),
        (Mood.STOPS,),
        (Mood.JUMPS, Mood.POISON),
        (Mood.FLOODS,),
    ]
    for number, moods in enumerate(lots):
        play(number, moods=frozenset(moods))
