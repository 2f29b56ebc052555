"""What the servers have committed, seen at the database itself: triggers note it, and it counts once the transaction does."""

import sqlite3
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from slackwater.core.members import member_of

if TYPE_CHECKING:
    from tests.simulation.servers.database import Session
    from tests.simulation.servers.world import World

TRIGGERS = """
CREATE TRIGGER noted_batch AFTER INSERT ON batch BEGIN SELECT noted('batch', NEW.id, NEW.seq, NULL, NULL, NULL); END;
CREATE TRIGGER noted_shard AFTER INSERT ON shard BEGIN SELECT noted('shard', NEW.batch_seq, NEW.idx, NEW.lines, NULL, NULL); END;
CREATE TRIGGER noted_done AFTER UPDATE OF done ON shard BEGIN
    SELECT noted('done', NEW.batch_seq, NEW.idx, OLD.done, NEW.done, NEW.epoch); END;
CREATE TRIGGER noted_state AFTER UPDATE OF state ON shard BEGIN
    SELECT noted('state', NEW.batch_seq, NEW.idx, NEW.state, NEW.owner, NEW.epoch); END;
CREATE TRIGGER noted_stage AFTER UPDATE OF stage ON batch BEGIN
    SELECT noted('stage', NEW.id, OLD.stage, NEW.stage, NULL, NULL); END;
CREATE TRIGGER noted_change AFTER UPDATE OF status, output_file_id, error_file_id, completed, failed ON batch
WHEN OLD.stage = 'ended' BEGIN SELECT noted('change', NEW.id, NULL, NULL, NULL, NULL); END;
CREATE TRIGGER noted_birth AFTER INSERT ON member BEGIN SELECT noted('birth', NEW.id, NULL, NULL, NULL, NULL); END;
CREATE TRIGGER noted_burial AFTER DELETE ON member BEGIN SELECT noted('burial', OLD.id, NULL, NULL, NULL, NULL); END;
"""


class Held(Struct):
    """A shard, as it is now."""

    lines: int
    state: str = "queued"
    owner: str = ""
    epoch: int = 0


class Observed:
    """What has come of it so far."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._noted: list[tuple[Any, ...]] = []
        self._ids: dict[int, str] = {}
        self.shards: dict[tuple[str, int], Held] = {}
        self.journaled: dict[str, float] = {}
        """Lines that have a durable result, and since when."""
        self.ended: dict[str, float] = {}
        self.burials: dict[str, float] = {}
        self.commits = 0

    def watch(self, db: sqlite3.Connection) -> None:
        """From now on."""
        db.create_function("noted", 6, lambda *what: self._noted.append(what))
        db.executescript(TRIGGERS)

    def forget(self) -> None:
        """The transaction is rolled back."""
        self._noted.clear()

    def committed(self, session: "Session") -> None:
        """It counts."""
        if not self._noted:
            return
        noted, self._noted = self._noted, []
        self.commits += 1
        by, now, note = session.server, self._world.time, self._world.checks.note
        if by.name in self.burials and session.kind != "member":
            note(f"{by.name} was buried at {self.burials[by.name]:.2f} and has written {noted[0]}")
        limits = False
        for kind, *what in noted:
            if kind == "batch":
                self._ids[what[1]] = what[0]
            elif kind == "shard":
                self.shards[self._ids[what[0]], what[1]] = Held(what[2])
            elif kind == "done":
                self._done(self._ids[what[0]], *what[1:4])
            elif kind == "state":
                self._state(self._ids[what[0]], *what[1:], by=by.name)
            elif kind == "stage":
                limits = True
                if what[2] == "ended":
                    self.ended[what[0]] = now
            elif kind == "change":
                note(f"{what[0]} has ended and was changed")
            elif kind == "birth":
                # One that was buried before it had heard that it is a member becomes one again: it had nothing yet.
                self.burials.pop(what[0], None)
            elif kind == "burial":
                self.burials[what[0]] = now
                self._world.checks.was_buried(what[0], by)
        for member in self.burials:
            if left := self.held_by(member):
                note(f"{member} is buried and has {left}")
        if limits:
            self._world.checks.tokens_are_within_limits()

    def _done(self, batch: str, index: int, before: bytes, after: bytes) -> None:
        old, new = int.from_bytes(before, "little"), int.from_bytes(after, "little")
        if old & ~new:
            self._world.checks.note(f"lines of shard {index} of {batch} are forgotten")
        for line in range(self.shards[batch, index].lines):
            if (new & ~old) >> line & 1:
                text = f"{batch}/{self.first_line(batch, index) + line}"
                if text in self.journaled:
                    self._world.checks.note(f"{text} was journaled twice")
                self.journaled[text] = self._world.time

    def _state(self, batch: str, index: int, state: str, owner: str | None, epoch: int, *, by: str) -> None:
        shard = self.shards[batch, index]
        if state == "running" and owner is not None and member_of(owner) != by:
            self._world.checks.note(f"{by} has claimed shard {index} of {batch} for {owner}")
        shard.state, shard.owner, shard.epoch = state, owner or "", epoch

    @staticmethod
    def _holds(shard: Held, member: str) -> bool:
        return shard.state == "running" and member_of(shard.owner) == member

    def held_by(self, member: str) -> list[tuple[str, int]]:
        """Shards that somebody has in hand."""
        return [key for key, shard in self.shards.items() if self._holds(shard, member)]

    def first_line(self, batch: str, index: int) -> int:
        """The number of a shard's first line."""
        return sum(self.shards[batch, each].lines for each in range(index))

    def place_of(self, text: str) -> tuple[str, int]:
        """The shard of a line."""
        batch, _, number = text.partition("/")
        index, line = 0, int(number)
        while line >= (lines := self.shards[batch, index].lines):
            index, line = index + 1, line - lines
        return batch, index
