"""The one database of several servers, as PostgreSQL is one to them, on SQLite in virtual time.

A connection has a session with its locks, which go with it; transactions are fenced by whose it is; what is said in one is heard
by those who listen once it has been committed. Statements are the product's own. Transactions run one after the other, each in
one moment: how those of several servers meet is for the tests on a real one.
"""

import asyncio
import functools
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slackwater.adapters.sql import sqlite
from slackwater.adapters.sql.db import Cursor, Db, Values
from slackwater.adapters.sql.sqlite import SqliteDatabase
from slackwater.core.members import Turn

if TYPE_CHECKING:
    from tests.simulation.servers.server import Server
    from tests.simulation.servers.world import World

# What a server of PostgreSQL is asked in words of its own, here in those of SQLite.
WORDS = (("extract(epoch FROM clock_timestamp())", "database_time()"),)
HINTS = Path(sqlite.__file__).parent / "migrations" / "postgresql"
TRIGGER = re.compile(
    r"CREATE TRIGGER (\w+) AFTER ([\w, ]+?) ON (\w+) FOR EACH ROW\s*(WHEN \(.*?\))?\s*"
    r"EXECUTE FUNCTION (has_changed|told|told_claimable)\((?:'(\w+)')?\);",
    re.DOTALL,
)
# A connection of which nothing is heard is given up after so long: by who waits for an answer, and by anybody.
WAITING_SECONDS, SILENT_SECONDS = 20.0, 25.0
UP, REFUSES, HANGS = "up", "refuses", "hangs"
# Whose transactions may meet; a member says that it lives in a statement of its own.
MEETING = ("writer", "worker")


class Lost(Exception):
    """A connection is of no use any more."""


class Session:
    """A connection of a server, from both of its ends."""

    def __init__(self, database: "Database", server: "Server", kind: str) -> None:
        self.database = database
        self.server = server
        self.kind = kind
        self.open = True
        """Whether the database has it."""
        self.lost = False
        """Whether the server knows that it is gone."""
        self.listens_to = ""
        self.hears_at = 0.0
        self.heard: Callable[[str], None] = lambda word: None
        self.waiting: dict[asyncio.Future[None], None] = {}

    def end(self) -> None:
        """The database's end of it is gone, and with it whatever it had locked."""
        self.open = False
        database = self.database
        database.sessions.pop(self, None)
        for turn in [turn for turn, holder in database.turns.items() if holder is self]:
            del database.turns[turn]
        for name in [name for name, holder in database.locks.items() if holder is self]:
            del database.locks[name]

    def lose(self) -> None:
        """The server's end of it is gone."""
        if self.lost:
            return
        self.lost = True
        if self.kind == "member":
            self.server.lost_at = [self.server.lost_at[1], self.server.world.time]
        for future in self.waiting:
            self.server.process.inside(functools.partial(_end, future))
        # Whoever waits for something to come over it sees that nothing will.
        self.server.process.inside(self.server.nudge)

    def reset(self) -> None:
        """Both ends are."""
        self.end()
        self.lose()


def _end(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


class Ticket:
    """Something that is asked for over a connection, and what came of it."""

    __slots__ = ("_error", "_result", "served", "work", "writes")

    def __init__(self, work: Callable[[Db], Any], *, writes: bool) -> None:
        self.work = work
        self.writes = writes
        self.served = False
        self._result: Any = None
        self._error: BaseException | None = None

    def serve(self, session: Session) -> None:
        """It is done, at the database."""
        self.served = True
        try:
            self._result = session.database.run(session, self.work, writes=self.writes)
        except Exception as error:
            self._error = error

    @property
    def answer(self) -> Any:
        """What came of it."""
        if self._error is not None:
            raise self._error
        return self._result


class _Words:
    """A connection that takes statements which were written for PostgreSQL."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def execute(self, text: str, values: Values = ()) -> Cursor:
        return self._db.execute(_translated(text), values)

    def executemany(self, text: str, values: Any) -> Cursor:
        return self._db.executemany(_translated(text), values)


@functools.lru_cache(1000)
def _translated(text: str) -> str:
    for theirs, ours in WORDS:
        text = text.replace(theirs, ours)
    return text


class _Again(Exception):
    """A transaction met another one, and is run once more."""


class Database:
    """Everything that the servers have in common."""

    def __init__(self, world: "World", path: Path) -> None:
        self.world = world
        self.sqlite = SqliteDatabase(path, inline=True)
        self.state = UP
        self.up_since = -1000.0
        self.sessions: dict[Session, None] = {}
        self.locks: dict[str, Session] = {}
        """The lock of each member, and the session that holds it."""
        self.turns: dict[Turn, Session] = {}
        self._notes: list[tuple[str, str]] = []
        self.by: Session | None = None
        db = self.sqlite.reader
        for pragma in ("synchronous = OFF", "journal_mode = MEMORY"):
            db.execute(f"PRAGMA {pragma}")
        db.create_function("database_time", 0, lambda: self.time)
        db.create_function("current_schema", 0, lambda: "public")
        db.create_function("pg_notify", 2, lambda channel, text: self._notes.append((channel, text)))
        db.executescript(
            "CREATE TABLE changed (what TEXT PRIMARY KEY, number INTEGER NOT NULL);"
            "CREATE TABLE standing (member TEXT NOT NULL, deployment TEXT NOT NULL, at REAL NOT NULL, facts TEXT NOT NULL, "
            "PRIMARY KEY (member, deployment));" + "".join(_triggers())
        )

    @property
    def time(self) -> float:
        """Its clock, which is nobody else's."""
        return 1_800_000_000.0 + self.world.time

    # Transactions

    def run(self, session: Session, work: Callable[[Db], Any], *, writes: bool) -> Any:
        """Runs a work for a session. One that writes is run a second time where it has met another one."""
        db = _Words(self.sqlite.reader)
        self.by, self._notes = session, []
        observed = self.world.observed
        try:
            if writes:
                if session.kind in MEETING and self.world.meets():
                    try:
                        self.sqlite._transact(lambda _: self._meet(work, db))
                    except _Again:
                        pass
                    self._notes.clear()
                    observed.forget()
                result = self.sqlite._transact(lambda _: work(db))
            else:
                result = work(db)
        except BaseException:
            observed.forget()
            raise
        notes, self._notes = self._notes, []
        observed.committed(session)
        # Of those that say the same in a transaction one is sent.
        for channel, text in dict.fromkeys(notes):
            self._notify(session, channel, text)
        return result

    def _meet(self, work: Callable[[Db], Any], db: Db) -> None:
        work(db)
        raise _Again

    def _notify(self, session: Session, channel: str, text: str) -> None:
        for each in list(self.sessions):
            if each.listens_to != channel or (channel == "slackwater" and each.server is session.server):
                continue
            if self.world.loses_hint():
                continue
            # In the order in which they were said.
            each.hears_at = max(each.hears_at, self.world.time + self.world.under_way())
            self.world.at(each.hears_at - self.world.time, functools.partial(self._comes, each, text))

    def _comes(self, session: Session, text: str) -> None:
        if session.server.path != UP:
            session.server.held.append(functools.partial(self._comes, session, text))
        elif session.open and not session.lost:
            session.server.process.inside(functools.partial(session.heard, text))

    # Who is there

    def lives(self, member: str) -> bool:
        """Whether somebody is a member, and not on the way out."""
        row = self.sqlite.reader.execute("SELECT dead_at FROM member WHERE id = ?", (member,)).fetchone()
        return row is not None and row["dead_at"] is None

    def end_sessions(self, server: "Server", kind: str | None = None) -> None:
        """Ends sessions of a server; whoever has the other end hears of it, where that can be."""
        for each in [each for each in self.sessions if each.server is server and kind in (None, each.kind)]:
            each.end()
            self.world.at(self.world.under_way(), functools.partial(_hear, each))

    # It is away

    def goes_away(self, how: str) -> None:
        """Nobody reaches it, and what there was of connections is gone."""
        self.state = how
        for each in list(self.sessions):
            each.end()
            if how == REFUSES:
                each.lose()
            else:
                self.world.at(SILENT_SECONDS, functools.partial(_hear, each))

    def comes_back(self) -> None:
        """It is there, with all that it ever confirmed."""
        self.state, self.up_since = UP, self.world.time
        for server in self.world.servers:
            server.link_is_back()


def _hear(session: Session) -> None:
    """Somebody is told that the other end is gone."""
    if not session.open and session.server.path == UP:
        session.lose()
    elif not session.lost:
        session.server.held.append(functools.partial(_hear, session))
        session.server.world.at(SILENT_SECONDS, session.lose)


def _triggers() -> Iterator[str]:
    """The hints and numbers of PostgreSQL's schema, as triggers of SQLite: whoever adds one there has it here."""
    found = 0
    for script in sorted(HINTS.glob("*.sql")):
        for name, events, table, when, function, word in TRIGGER.findall(script.read_text("utf-8")):
            if function == "has_changed":
                does = (
                    f"INSERT INTO changed (what, number) VALUES ('{word}', 1) ON CONFLICT (what) DO UPDATE SET "
                    "number = changed.number + 1; SELECT pg_notify('slackwater', 'public changed');"
                )
            elif function == "told":
                does = f"SELECT pg_notify('slackwater', 'public {word}');"
            else:
                does = "SELECT pg_notify('slackwater', 'public claimable ' || substr(NEW.deployment, 1, 1000));"
            for number, event in enumerate(re.split(r" OR ", events)):
                found += 1
                yield f"CREATE TRIGGER world_{table}_{name}_{number} AFTER {event} ON {table} {when} BEGIN {does} END;"
    assert found > 20, "the schema of PostgreSQL says it in other words"
