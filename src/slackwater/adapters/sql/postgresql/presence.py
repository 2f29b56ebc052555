"""That a process is one of several who work with a ledger: its lock, its word that it lives, and its look at the others.

A thread with a connection of its own does it, whatever else the process has to do. It sees at once when the connection is lost,
and has it back before somebody else has looked twice.
"""

import asyncio
import contextlib
import logging
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable

import msgspec
import psycopg

from slackwater.adapters.sql.members import member_row
from slackwater.adapters.sql.postgresql.absence import Absence
from slackwater.adapters.sql.postgresql.connection import PgConnection
from slackwater.adapters.sql.postgresql.line import GAP_SECONDS, Line, is_lost, unavailable
from slackwater.adapters.sql.postgresql.member_statements import (
    AGAIN,
    DEAD,
    DISCONNECT,
    FENCE,
    HOLD,
    JOIN,
    SAY,
    SEE,
)
from slackwater.adapters.sql.postgresql.pooler import refuse_pooler
from slackwater.adapters.sql.postgresql.standing import stand_together
from slackwater.adapters.sql.postgresql.text import text_of
from slackwater.adapters.sql.postgresql.watch_turn import WatchTurn
from slackwater.adapters.sql.postgresql.writing_line import BURIED, END, NOW
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
)
from slackwater.telemetry import event

# Who has not looked for so long may have been stopped.
LATE_SECONDS = 2.0
OVER = "this server is no member of those who work with the ledger any more"
CHANNEL = "slackwater_members"
# How long a member tries to get its lock: an earlier connection of its own may have it still.
LOCK_TRIES, LOCK_GAP_SECONDS = 200, 0.01


class PgPresence:
    """One member, seen from inside."""

    def __init__(self, address: str, member: Member, absence: Absence) -> None:
        """`absence` is told of the database when this has, or has not, its connection."""
        self.id = member.id
        self._absence = absence
        self._member = member
        self._line = Line(address, "member", greet=self._greet, member=member.id)
        self._address = address
        self._joined = self._doubted = False
        self._former = ""
        self._pid = 0
        self._connected_at = self._stepped_at = self._say_at = self._look_at = 0.0
        self._leaving = self._closing = False
        self._turn = WatchTurn()
        self._asked: deque[tuple[str, asyncio.AbstractEventLoop, asyncio.Future[bool]]] = deque()
        self._woken, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._run, name="ledger-member", daemon=True)
        self._tell: Callable[[Look], None] = lambda look: None
        self._news: Callable[[], None] = lambda: None
        self._buried: Callable[[], None] = lambda: None
        self._behind: Callable[[], None] = lambda: None

    # From outside

    def join(self) -> None:
        """Becomes a member. Raises psycopg.Error, LedgerRefused where something stands between it and the database."""
        if not self._thread.is_alive():
            try:
                self._line.get()
            except psycopg.Error as error:
                if not is_lost(error):
                    raise
                # It may be a member already: at once, before somebody has looked twice.
                self._line.drop()
                self._line.get()
            self._thread.start()

    def begin(
        self,
        *,
        looked: Callable[[Look], None],
        news: Callable[[], None],
        buried: Callable[[], None],
        behind: Callable[[], None] = lambda: None,
    ) -> None:
        """See ports.Presence."""
        loop = asyncio.get_running_loop()

        def tell(look: Look) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(looked, look)

        def hear() -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(news)

        self._buried, self._behind, self._news, self._tell = buried, behind, hear, tell
        self._look_at = 0.0
        self._nudge()
        if not self._thread.is_alive():
            # It was buried before anybody could be told.
            buried()

    async def doom(self, member_id: str) -> bool:
        """See ports.Presence."""
        if not self._thread.is_alive():
            raise LedgerUnavailable(OVER)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._asked.append((member_id, loop, future))
        self._nudge()
        return await future

    def fell_behind(self) -> None:
        """The database has lost what it had confirmed to this member."""
        self._behind()

    def retire(self) -> None:
        """See ports.Presence."""
        self._turn.retire()
        self._nudge()

    def leave(self) -> None:
        """See ports.Presence."""
        self._leaving = True

    def close(self) -> None:
        """Is a member no more: its lock goes with its connection."""
        self._leaving = self._closing = self._line.closing = True
        self._nudge()
        if self._thread.is_alive():
            self._thread.join()
        self._line.close()
        for end in (self._woken, self._wake):
            with contextlib.suppress(OSError):
                os.close(end)

    def _nudge(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._wake, b".")

    # The connection

    def _greet(self, db: PgConnection) -> None:
        if self._former:
            db.execute(END, (f"slackwater {self._former}",))
        else:
            refuse_pooler(self._address, db)
        stand_together(db)
        self._former = self._line.name
        self._turn.reset()
        for _ in range(LOCK_TRIES):
            if db.execute(JOIN, (self.id,)).fetchone()[0]:
                break
            time.sleep(LOCK_GAP_SECONDS)
        else:
            raise LedgerUnavailable(f"another process is the member {self.id} of this ledger")
        self._pid = db.execute("SELECT pg_backend_pid()").fetchone()[0]
        if not self._joined:
            now = db.execute(f"SELECT {NOW}").fetchone()[0]
            until = float(now) + UNTIL_SECONDS
            # It may have been buried before it had heard that it is a member. It had nothing then, and has no grave.
            db.execute(text_of("forget_grave"), {"id": self.id})
            joining = msgspec.structs.replace(self._member, started_at=float(now), until=until)
            if not db.execute(text_of("add_member"), member_row(joining)).rowcount:
                raise Buried(BURIED)
            self._joined = True
        else:
            self._say(db)
        self._connected_at = self._stepped_at = time.monotonic()
        self._say_at = self._connected_at + SAID_SECONDS
        self._look_at = 0.0
        db.listen(CHANNEL, self._hear)

    def _hear(self, word: str) -> None:
        if word == f"doubted {self.id}":
            self._doubted = True
        else:
            self._news()

    def _say(self, db: PgConnection) -> None:
        said_at = time.monotonic()
        if not db.execute(SAY, (UNTIL_SECONDS, self.id)).rowcount:
            raise Buried(BURIED)
        self._say_at = said_at + SAID_SECONDS

    # The thread

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            gap = 0.0
            while not self._closing:
                self._absence.asked = begun = time.monotonic()
                try:
                    db = self._line.get()
                    self._step(db)
                except Buried:
                    self._line.drop()
                    if not self._leaving:
                        self._buried()
                    break
                except (psycopg.Error, LedgerUnavailable) as error:
                    self._refuse(error)
                    self._absence.failed("member", error, since=begun)
                    if self._line.lost or is_lost(error):
                        self._line.drop()
                    # At once the first time: before somebody has looked twice.
                    self._wait(selector, None, gap)
                    gap = GAP_SECONDS
                except Exception as error:
                    # Whatever it is: a member that says nothing any more is taken for dead.
                    event("member_failing", level=logging.ERROR, member=self.id, error=repr(error))
                    self._refuse(unavailable(error))
                    self._line.drop()
                    self._wait(selector, None, GAP_SECONDS)
                else:
                    gap = 0.0
                    self._absence.worked("member")
                    self._wait(selector, db, self._turn.gap)
        self._absence.asked = None
        self._refuse(LedgerUnavailable(OVER))

    def _wait(self, selector: selectors.BaseSelector, db: PgConnection | None, seconds: float) -> None:
        """Until then, or until something has come over the connection, or from this process."""
        self._absence.asked = None
        if db is None or db.lost:
            selector.select(seconds)
        else:
            selector.register(connection := db.fileno(), selectors.EVENT_READ)
            try:
                selector.select(seconds)
            finally:
                selector.unregister(connection)
        os.set_blocking(self._woken, False)
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)

    def _step(self, db: PgConnection) -> None:
        now = time.monotonic()
        if now - self._stepped_at > LATE_SECONDS:
            # It was stopped itself, and others perhaps with it: they have a while to say that they live.
            self._connected_at = now
        self._stepped_at = now
        if now >= self._say_at:
            self._say(db)
        self._turn.step(db)
        while self._asked:
            self._doom(db, *self._asked[0])
            self._asked.popleft()
        if self._turn.now is not Turn.OTHER or now >= self._look_at:
            self._look(db, self._waited(now))
            self._look_at = now + LOOK_EVERY * self._turn.gap
        if self._doubted:
            # What was asked in this step has brought the word along.
            self._doubted = False
            self._say(db)

    def _waited(self, since: float) -> float:
        """What time it is. A database that has kept it waiting has kept the others, too, who could not say that they live."""
        now = time.monotonic()
        if now - since > LATE_SECONDS:
            self._connected_at = now
        return now

    def _look(self, db: PgConnection, now: float) -> None:
        rows = db.execute(SEE).fetchall()
        now = self._waited(now)
        self._turn.members = len(rows)
        mine = next((row for row in rows if row["id"] == self.id), None)
        if mine is None or mine["dead"]:
            raise Buried(BURIED)
        if mine["pid"] != self._pid:
            # Its lock is somebody else's.
            raise psycopg.OperationalError("the session is another one: a pooler stands before the ledger")
        age = now - self._connected_at
        self._tell(
            Look(
                others=tuple(
                    Seen(
                        id=row["id"],
                        held=row["held"],
                        overdue=float(row["overdue"]) if age > YOUNG_SECONDS else 0.0,
                        dead=row["dead"],
                    )
                    for row in rows
                    if row is not mine
                ),
                at=float(mine["now"]),
                turn=self._turn.now,
                young=age < YOUNG_SECONDS or float(mine["up"]) < YOUNG_SECONDS,
            )
        )

    def _doom(
        self, db: PgConnection, member: str, loop: asyncio.AbstractEventLoop, future: asyncio.Future[bool]
    ) -> None:
        asked_at = time.monotonic()
        row = db.execute(AGAIN, (member,)).fetchone()
        # Where the answer is late, a word of that one may be, too.
        done = row is not None and not row[0] and self._waited(asked_at) - asked_at <= LATE_SECONDS
        if done:
            of = f" {member}"
            # What it has begun and not ended would keep everybody waiting.
            db.execute(DISCONNECT, (len(of), of))
            # Who loses this in a power cut has lost with it all that was freed for it.
            db.script(b"BEGIN; SET LOCAL lock_timeout = '2s'; SET LOCAL synchronous_commit = off")
            try:
                db.execute(HOLD, (member,))
                db.execute(DEAD, (member,))
                db.execute(FENCE, (len(of), of))
                db.script(b"COMMIT")
            except BaseException:
                if not db.lost:
                    db.script(b"ROLLBACK")
                raise
        _answer(loop, future, done)

    def _refuse(self, error: Exception) -> None:
        while self._asked:
            _, loop, future = self._asked.popleft()
            _answer(loop, future, error if isinstance(error, LedgerUnavailable) else unavailable(error))


def _answer(loop: asyncio.AbstractEventLoop, future: asyncio.Future[bool], answer: bool | Exception) -> None:
    def say() -> None:
        if future.done():
            return
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    # Nobody is left to hear of it where the loop has ended.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(say)
