"""The ports Presence and Together in the world: adapters/sql/postgresql/presence.py step by step, on sessions of the world.

A lock goes with its session; who looks when, and what is told of it, is the same. Statements about what servers tell each other
are the product's own (PostgresqlTogether); only the connection that listens is the world's.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from slackwater.adapters.sql.db import Db
from slackwater.adapters.sql.members import member_row
from slackwater.adapters.sql.postgresql.line import GAP_SECONDS
from slackwater.adapters.sql.postgresql.presence import CHANNEL as MEMBERS
from slackwater.adapters.sql.postgresql.presence import LATE_SECONDS, LOCK_GAP_SECONDS, LOCK_TRIES, OVER
from slackwater.adapters.sql.postgresql.together import CHANNEL, PostgresqlTogether
from slackwater.adapters.sql.postgresql.writing_line import BURIED
from slackwater.adapters.sql.statements import statement
from slackwater.core.errors import Buried, LedgerUnavailable
from slackwater.core.members import (
    LOOK_EVERY,
    SAID_SECONDS,
    UNTIL_SECONDS,
    YOUNG_SECONDS,
    Look,
    Member,
    Seen,
    Turn,
    step_seconds,
)
from slackwater.pipeline.loops import Hint
from tests.simulation.servers.database import Lost, Session, Ticket
from tests.simulation.servers.lines import Line, ask

if TYPE_CHECKING:
    from tests.simulation.servers.server import Server

SAY = "UPDATE member SET until = ? WHERE id = ? AND dead_at IS NULL"
SEE = "SELECT id, dead_at IS NOT NULL AS dead, until FROM member ORDER BY id"


class _Locked(Exception):
    """An earlier connection has the lock still."""


class WorldPresence:
    """One member, seen from inside."""

    def __init__(self, server: "Server", member: Member) -> None:
        self.id = member.id
        self._server = server
        self._member = member
        self._line = Line(server, "member", greet=self._greet, greeted=self._greeted)
        self._joined = False
        self._connected_at = self._stepped_at = self._say_at = self._look_at = 0.0
        self._turn = Turn.OTHER
        self._members = 1
        self._retired = self._leaving = self._closing = False
        self._asked: deque[tuple[str, asyncio.Future[bool]]] = deque()
        self._wake = Hint()
        self._task: asyncio.Task[None] | None = None
        self._tell: Callable[[Look], None] = lambda look: None
        self._news: Callable[[], None] = lambda: None
        self._buried: Callable[[], None] = lambda: None

    async def join(self) -> None:
        """Becomes a member. Raises LedgerUnavailable."""
        since, tries = self._server.process.monotonic(), 0
        while True:
            try:
                try:
                    await self._get()
                except Lost:
                    # It may be a member already: at once, before somebody has looked twice.
                    await self._get()
                break
            except Lost:
                await self._line.wait(tries, since)
                tries += 1
        self._task = asyncio.create_task(self._run(), name="presence")

    def begin(
        self,
        *,
        looked: Callable[[Look], None],
        news: Callable[[], None],
        buried: Callable[[], None],
        behind: Callable[[], None] = lambda: None,
    ) -> None:
        """See ports.Presence."""
        self._tell, self._news, self._buried = looked, news, buried
        self._look_at = 0.0
        self.nudge()
        if self._ended:
            buried()

    @property
    def _ended(self) -> bool:
        return self._task is None or self._task.done()

    async def doom(self, member_id: str) -> bool:
        """See ports.Presence."""
        if self._ended:
            raise LedgerUnavailable(OVER)
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asked.append((member_id, future))
        self.nudge()
        return await future

    def retire(self) -> None:
        """See ports.Presence."""
        self._retired = True
        self.nudge()

    def leave(self) -> None:
        """See ports.Presence."""
        self._leaving = True

    async def close(self) -> None:
        """Is a member no more: its lock goes with its connection."""
        self._leaving = self._closing = self._line.closing = True
        self.nudge()
        if self._task is not None:
            await asyncio.wait((self._task,))
        self._line.drop()

    def nudge(self) -> None:
        """Something has come, or a connection is lost."""
        self._wake.notify()

    # The connection

    async def _get(self) -> Session:
        for _ in range(LOCK_TRIES):
            try:
                return await self._line.get()
            except _Locked:
                await asyncio.sleep(LOCK_GAP_SECONDS)
        raise LedgerUnavailable(f"another process is the member {self.id} of this ledger")

    def _greet(self, session: Session) -> Callable[[Db], Any]:
        self._turn = Turn.OTHER

        def greet(db: Db) -> None:
            database = session.database
            if database.locks.setdefault(self.id, session) is not session:
                raise _Locked
            if self._joined:
                self._say(db)
            else:
                until = database.time + UNTIL_SECONDS
                db.execute(statement("forget_grave"), {"id": self.id})
                row = member_row(self._member) | {"started_at": database.time, "until": until}
                if not db.execute(statement("add_member"), row).rowcount:
                    raise Buried(BURIED)
            session.listens_to, session.heard = MEMBERS, lambda word: self._news()

        return greet

    def _greeted(self) -> None:
        self._joined = True
        self._connected_at = self._stepped_at = self._server.process.monotonic()
        self._say_at = self._connected_at + SAID_SECONDS
        self._look_at = 0.0

    def _say(self, db: Db) -> None:
        if not db.execute(SAY, (self._server.world.database.time + UNTIL_SECONDS, self.id)).rowcount:
            raise Buried(BURIED)

    # What the thread does

    async def _run(self) -> None:
        gap = 0.0
        while not self._closing:
            seen = self._wake.count
            try:
                await self._step(await self._get())
            except Buried:
                self._line.drop()
                if not self._leaving:
                    self._buried()
                break
            except (Lost, LedgerUnavailable) as error:
                self._refuse(error)
                if self._line.lost or isinstance(error, Lost):
                    self._line.drop()
                # At once the first time: before somebody has looked twice.
                await self._server.process.sleep(gap)
                gap = GAP_SECONDS
            else:
                gap = 0.0
                await self._wait(self._gap, seen)
        self._refuse(LedgerUnavailable(OVER))

    @property
    def _gap(self) -> float:
        return step_seconds(self._members, self._turn)

    async def _wait(self, seconds: float, seen: int) -> None:
        """Until then, or until something has come: ten times a second, so it is done in few turns of the loop."""
        if self._wake.count != seen:
            return
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        timer = loop.call_later(seconds, lambda: waiter.done() or waiter.set_result(None))
        with self._wake.waking(waiter):
            await waiter
        timer.cancel()

    async def _step(self, session: Session) -> None:
        now = self._server.process.monotonic()
        if now - self._stepped_at > LATE_SECONDS:
            # It was stopped itself, and others perhaps with it: they have a while to say that they live.
            self._connected_at = now
        self._stepped_at = now
        database = session.database
        says = now >= self._say_at

        def work(db: Db) -> tuple[Turn, Any]:
            if says:
                self._say(db)
            turn = self._take_turn(session)
            if turn is Turn.OTHER and now < self._look_at:
                return turn, None
            return turn, [
                (row["id"], row["id"] in database.locks, max(0.0, database.time - row["until"]), bool(row["dead"]))
                for row in db.execute(SEE).fetchall()
            ]

        self._turn, rows = await ask(session, Ticket(work, writes=says))
        if says:
            self._say_at = self._server.process.monotonic() + SAID_SECONDS
        while self._asked:
            member, future = self._asked[0]
            done = await ask(session, Ticket(lambda db, member=member: _doom(session, db, member), writes=True))
            self._asked.popleft()
            _answer(future, done)
        if rows is not None:
            late = self._server.process.monotonic()
            if late - now > LATE_SECONDS:
                # The database has kept it waiting, and the others, too.
                self._connected_at = now = late
            self._look(session, rows, now)
            self._look_at = now + LOOK_EVERY * self._gap

    def _take_turn(self, session: Session) -> Turn:
        """One watches, and another one is its deputy: by locks of their sessions."""
        turns = session.database.turns
        held = next((turn for turn, holder in turns.items() if holder is session), Turn.OTHER)
        if self._retired:
            turns.pop(held, None)
            return Turn.OTHER
        free = next((turn for turn in (Turn.WATCHER, Turn.DEPUTY) if turn not in turns), None)
        if free is not None and free.value < held.value:
            turns.pop(held, None)
            turns[free] = session
            return free
        return held

    def _look(self, session: Session, rows: list[tuple[str, bool, float, bool]], now: float) -> None:
        database = session.database
        self._members = len(rows)
        mine = next((row for row in rows if row[0] == self.id), None)
        if mine is None or mine[3]:
            raise Buried(BURIED)
        age = now - self._connected_at
        self._tell(
            Look(
                others=tuple(
                    Seen(id=name, held=held, overdue=overdue if age > YOUNG_SECONDS else 0.0, dead=dead)
                    for name, held, overdue, dead in rows
                    if name != self.id
                ),
                at=database.time,
                turn=self._turn,
                young=age < YOUNG_SECONDS or self._server.world.time - database.up_since < YOUNG_SECONDS,
            )
        )

    def _refuse(self, error: Exception) -> None:
        while self._asked:
            _answer(
                self._asked.popleft()[1], error if isinstance(error, LedgerUnavailable) else LedgerUnavailable(OVER)
            )


def _doom(session: Session, db: Db, member: str) -> bool:
    """Whoever is dead can write nothing more: its sessions end, and it gets none."""
    database = session.database
    row = db.execute("SELECT until, dead_at FROM member WHERE id = ?", (member,)).fetchone()
    if row is None or (member in database.locks and row["until"] > database.time and row["dead_at"] is None):
        return False
    db.execute("UPDATE member SET dead_at = ? WHERE id = ? AND dead_at IS NULL", (database.time, member))
    for server in session.server.world.servers:
        if server.name == member:
            database.end_sessions(server)
    return True


def _answer(future: "asyncio.Future[bool]", answer: bool | Exception) -> None:
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
        # Whoever asked may have gone.
        future.exception()
    else:
        future.set_result(answer)


class WorldTogether(PostgresqlTogether):
    """The others on the ledger: the product's statements, over a connection of the world's that listens."""

    def __init__(self, server: "Server") -> None:
        super().__init__(server.database)  # type: ignore[arg-type]
        self._server = server
        self._heard_on: Session | None = None

    @property
    def listening(self) -> bool:
        return self._heard_on is not None and not self._heard_on.lost

    async def listen(self, heard: Callable[[str], None]) -> None:
        if not self.listening and self._connecting is None and not self._closed:
            self._connecting = asyncio.create_task(self._listens(heard))
            self._connecting.add_done_callback(self._connected)

    async def _listens(self, heard: Callable[[str], None]) -> None:
        def greet(session: Session) -> Callable[[Db], Any]:
            def listens(db: Db) -> None:
                session.listens_to = CHANNEL
                session.heard = lambda text: heard(text.partition(" ")[2])

            return listens

        try:
            self._heard_on = await Line(self._server, "listener", greet=greet).get()
        except Lost:
            return
        # What was said before that was not heard.
        heard("everything")

    async def close(self) -> None:
        self._closed = True
        if self._connecting is not None:
            await asyncio.wait([self._connecting])
        if self._heard_on is not None:
            self._heard_on.reset()
