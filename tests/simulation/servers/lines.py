"""A server's connections, and the Database port over them: what is lost is made again, what was under way is done again.

As adapters/sql/postgresql/ has it (line, writing_line, database): a wait of ten seconds for a database that is away, one
transaction at a time on each of two connections that write, an outcome that is asked for where a connection was lost during a
commit, and a fence that a buried member does not pass. Only threads and sockets are the world's.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from slackwater.adapters.sql.db import Db, Row
from slackwater.adapters.sql.postgresql.line import GAP_MAX_SECONDS, GAP_SECONDS, PATIENCE_SECONDS
from slackwater.adapters.sql.postgresql.writing_line import BURIED
from slackwater.adapters.sql.statements import statement
from slackwater.adapters.sql.writing import finish
from slackwater.core.errors import Buried, LedgerUnavailable
from tests.simulation.servers.database import HANGS, REFUSES, UP, WAITING_SECONDS, Lost, Session, Ticket

if TYPE_CHECKING:
    from tests.simulation.servers.presence import WorldPresence
    from tests.simulation.servers.server import Server

T = TypeVar("T")
KNOCKS_SECONDS = (1.0, 2.0, 2.0)
READERS = 4
# What PostgreSQL is asked instead, where a ledger of one server has nothing to ask.
OVERRIDES = {
    "database_now": "SELECT database_time()",
    "tell_members": "SELECT pg_notify('slackwater_members', :id)",
}


class Line:
    """A connection that is there when it is asked for."""

    def __init__(
        self,
        server: "Server",
        kind: str,
        *,
        greet: Callable[[Session], Callable[[Db], Any]] | None = None,
        greeted: Callable[[], None] = lambda: None,
    ) -> None:
        """`greet` is asked on each new connection, before anything else; `greeted`: the answer has come."""
        self._greeted = greeted
        self._server = server
        self._kind = kind
        self._greet = greet
        self._session: Session | None = None
        self._tried_at = self._down_since = 0.0
        self.closing = False

    @property
    def lost(self) -> bool:
        """Whether nothing can be asked of it any more."""
        return self._session is not None and self._session.lost

    async def get(self) -> Session:
        """The connection. Raises Lost, and LedgerUnavailable at once where it has just been tried for long enough."""
        if self._session is not None and not self._session.lost:
            return self._session
        now = self._server.process.monotonic()
        if self._down_since and now - self._down_since > PATIENCE_SECONDS and now - self._tried_at < GAP_MAX_SECONDS:
            raise LedgerUnavailable("the ledger cannot be reached; it has been tried a moment ago")
        self._tried_at = now
        try:
            self._session = await self._connected()
        except Lost:
            self._down_since = self._down_since or now
            raise
        self._down_since = 0.0
        return self._session

    async def _connected(self) -> Session:
        server, database = self._server, self._server.world.database
        for seconds in KNOCKS_SECONDS:
            # Who gets no answer knocks again, as TCP does, until the time to connect is over.
            if server.path != HANGS:
                break
            await asyncio.sleep(seconds)
        else:
            raise Lost
        if server.path == REFUSES:
            await asyncio.sleep(0.001)
            raise Lost
        # What is left of the one before it.
        for each in [each for each in database.sessions if each.server is server and each.kind == self._kind]:
            each.end()
            each.lose()
        session = Session(database, server, self._kind)
        database.sessions[session] = None
        try:
            if self._greet is not None:
                await ask(session, Ticket(self._greet(session), writes=True))
                self._greeted()
        except BaseException:
            session.reset()
            raise
        return session

    def drop(self) -> None:
        """Lets go of it."""
        if self._session is not None:
            session, self._session = self._session, None
            session.lose()
            if self._server.path == UP:
                session.end()

    async def wait(self, attempt: int, since: float) -> None:
        """Waits before another try, or raises LedgerUnavailable where there has been enough of that since then."""
        if self.closing or self._server.process.monotonic() - since > PATIENCE_SECONDS:
            raise LedgerUnavailable("the ledger cannot be reached")
        await asyncio.sleep(min(GAP_MAX_SECONDS, GAP_SECONDS * 2**attempt))


async def ask(session: Session, ticket: Ticket) -> Any:
    """Asks over a connection. Raises Lost; whether it was done then, the ticket knows, and nobody else."""
    server, world = session.server, session.server.world
    if session.lost:
        raise Lost
    there, back = server.under_way(), server.under_way()
    if not there and server.path == UP:
        if not session.open:
            session.lose()
            raise Lost
        ticket.serve(session)
        if not back and not world.loses_answer():
            return ticket.answer
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    came = False

    def arrives() -> None:
        if server.path == HANGS:
            server.held.append(arrives)
            give_up()
        elif server.path == REFUSES or not session.open:
            session.reset()
        else:
            if not ticket.served:
                ticket.serve(session)
            if world.loses_answer():
                session.reset()
            else:
                world.at(back, comes)

    def comes() -> None:
        nonlocal came
        if server.path == HANGS:
            server.held.append(comes)
            give_up()
        elif server.path == REFUSES or session.lost:
            session.reset()
        else:
            came = True
            server.process.inside(lambda: answer.done() or answer.set_result(None))

    def give_up() -> None:
        world.at(WAITING_SECONDS, lambda: came or session.lose())

    session.waiting[answer] = None
    world.at(there, arrives)
    try:
        await answer
    finally:
        session.waiting.pop(answer, None)
    if not came:
        raise Lost
    return ticket.answer


class _Queue:
    """Transactions of one connection, one after the other."""

    def __init__(self, server: "Server", kind: str) -> None:
        self.line = Line(server, kind, greet=self._greet)
        self._server = server
        self._one_at_a_time = asyncio.Lock()

    def _greet(self, session: Session) -> Callable[[Db], Any]:
        def numbered(db: Db) -> None:
            if not session.database.lives(self._server.name):
                raise Buried(BURIED)

        return numbered

    async def transact(self, work: Callable[[Db], T]) -> T:
        """Runs a work in one transaction. Raises LedgerUnavailable; then nothing of it counts."""
        async with self._one_at_a_time:
            since, tries = self._server.process.monotonic(), 0
            while True:
                try:
                    return await self._once(work)
                except Lost:
                    self.line.drop()
                    await self.line.wait(tries, since)
                    tries += 1

    async def _once(self, work: Callable[[Db], T]) -> T:
        session = await self.line.get()
        ticket = Ticket(work, writes=True)
        try:
            result: T = await ask(session, ticket)
        except Lost:
            self.line.drop()
            if ticket.served or self._server.world.chance.random() < 0.5:
                # It may have been lost while it was committed: only the number says whether it counts.
                await self._known()
                if ticket.served:
                    result = ticket.answer
                    return result
            raise
        return result

    async def _known(self) -> None:
        while True:
            try:
                await ask(await self.line.get(), Ticket(lambda db: None, writes=True))
                return
            except Lost:
                self.line.drop()
            except Buried:
                raise
            except LedgerUnavailable:
                pass
            if self.line.closing:
                raise LedgerUnavailable("the ledger cannot be reached")
            await asyncio.sleep(GAP_MAX_SECONDS)


class ServerDatabase:
    """The Database port of one server."""

    def __init__(self, server: "Server") -> None:
        self.refuses_writes = self.damaged = False
        self.away = None
        self.presence: WorldPresence | None = None
        self._server = server
        self._writer, self._worker = _Queue(server, "writer"), _Queue(server, "worker")
        self._readers = [Line(server, f"reader {number}") for number in range(READERS)]
        self._searcher = Line(server, "searcher")
        self._free: asyncio.Queue[Line] = asyncio.Queue()
        for line in self._readers:
            self._free.put_nowait(line)
        self._searching = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    def text(self, name: str) -> str:
        return OVERRIDES.get(name) or statement(name)

    def saw(self, error: Exception) -> None:
        """Nothing here is ever damaged."""

    async def look(self, work: Callable[[Db], T]) -> T:
        return await self._to_its_end(functools.partial(self._look, work))

    read = look

    async def _look(self, work: Callable[[Db], T]) -> T:
        line = await self._free.get()
        try:
            return await self._read(line, work)
        finally:
            self._free.put_nowait(line)

    async def search(self, work: Callable[[Db], T]) -> T:
        async with self._searching:
            return await self._read(self._searcher, work)

    async def _read(self, line: Line, work: Callable[[Db], T]) -> T:
        since, tries = self._server.process.monotonic(), 0
        while True:
            try:
                result: T = await ask(await line.get(), Ticket(work, writes=False))
                return result
            except Lost:
                line.drop()
                await line.wait(tries, since)
                tries += 1

    async def write(self, work: Callable[[Db], T], *, durable: bool = True, fenced: bool = False) -> T:
        return await self._to_its_end(functools.partial(self._write, work, self._worker if fenced else self._writer))

    async def _write(self, work: Callable[[Db], T], queue: _Queue) -> T:
        try:
            result = await queue.transact(work)
        except LedgerUnavailable:
            self.refuses_writes = True
            raise
        self.refuses_writes = False
        return result

    async def _to_its_end(self, does: Callable[[], Awaitable[T]]) -> T:
        """What was asked for is done, whatever becomes of who asked: a thread does it."""
        task = asyncio.ensure_future(does())
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await finish(task)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Nobody may be left to hear of it.
            task.exception()

    @property
    def writes_alone(self) -> bool:
        """What comes between two steps of a transaction is what is looked for here."""
        return False

    async def write_alone(self, name: str, values: Mapping[str, Any], *, again: str) -> list[Row]:
        raise NotImplementedError

    async def try_write(self) -> None:
        for fenced in (False, True):
            await self.write(lambda db: None, fenced=fenced)
        self.refuses_writes = False

    async def give_back_pages(self, limit: int) -> int:
        return 0

    async def close(self) -> None:
        """What waits for a database that is away waits no longer."""
        lines = [self._writer.line, self._worker.line, *self._readers, self._searcher]
        for line in lines:
            line.closing = True
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        for line in lines:
            line.drop()
        if self.presence is not None:
            await self.presence.close()
