"""The connections to one server: kept alive, bounded, and watched by one timer instead of one per call."""

import asyncio
import ssl
from collections import deque

from msgspec import Struct

from slackwater.adapters.http_connection import Answer, Connection, Stale
from slackwater.core.errors import BackendTimeout, BackendUnreachable

# How often deadlines are looked at. A call may overrun its time by this much.
SWEEP_SECONDS = 0.25


class Timeouts(Struct, frozen=True, kw_only=True):
    """Seconds. `connect` is short because a connection is made or it is not; `first_byte` is long because an engine answers
    when its last token is there; `total` bounds one call whatever happens."""

    connect: float = 10.0
    first_byte: float = 600.0
    total: float = 1800.0


class Pool:
    """At most `connections_max` connections; the warmest is used first, and idle ones are closed after a while."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None,
        timeouts: Timeouts,
        reply_bytes_max: int,
        connections_max: int,
        keep_alive_seconds: float,
    ) -> None:
        self.reply_bytes_max = reply_bytes_max
        self._host = host
        self._port = port
        self._tls = tls
        self._timeouts = timeouts
        self._connections_max = connections_max
        self._keep_alive_seconds = keep_alive_seconds
        self._sweep_seconds = min(SWEEP_SECONDS, min(timeouts.first_byte, timeouts.total) / 4)
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._open = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def call(self, head: bytes, body: bytes) -> Answer:
        """One request over one connection. Raises BackendError; cancelling closes the connection."""
        loop = asyncio.get_running_loop()
        fresh_only = False
        while True:
            connection = self._take_idle() if not fresh_only else None
            if connection is None:
                connection = await self._connect(loop)
            future: asyncio.Future[Answer] = loop.create_future()
            self._busy.add(connection)
            connection.call(head, body, future, loop.time())
            if self._timer is None:
                self._timer = loop.call_later(self._sweep_seconds, self._sweep, loop)
            try:
                return await future
            except Stale:
                # Once more over a new connection: nothing was read, so nothing was answered.
                fresh_only = True
            except asyncio.CancelledError:
                connection.fail(Stale())
                raise
            finally:
                self._busy.discard(connection)

    def _take_idle(self) -> Connection | None:
        idle = self._idle
        while idle:
            connection = idle.pop()
            transport = connection.transport
            if transport is not None and not transport.is_closing():
                return connection
        return None

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> Connection:
        while self._open >= self._connections_max:
            waiter = loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()
                raise
            if (connection := self._take_idle()) is not None:
                return connection
        self._open += 1
        made = False
        try:
            async with asyncio.timeout(self._timeouts.connect):
                _, connection = await loop.create_connection(
                    lambda: Connection(self), self._host, self._port, ssl=self._tls
                )
            made = True
            return connection
        except TimeoutError as error:
            raise BackendTimeout(
                f"no connection to {self._host}:{self._port} within {self._timeouts.connect:g} s", sent=False
            ) from error
        except (OSError, ssl.SSLError) as error:
            reason = error.strerror or str(error)
            raise BackendUnreachable(f"no connection to {self._host}:{self._port}: {reason}", sent=False) from error
        finally:
            if not made:
                self._open -= 1
                self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    # What connections tell

    def idle(self, connection: Connection) -> None:
        """A call is over and the connection may carry another."""
        connection.idle_since = connection.started
        self._idle.append(connection)
        if self._waiters:
            self._wake()

    def gone(self, connection: Connection) -> None:
        """A connection has ended."""
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ends calls whose time is over, closes connections that were idle for long, and comes again while there are any."""
        now = loop.time()
        timeouts = self._timeouts
        for connection in list(self._busy):
            age = now - connection.started
            if age > timeouts.total:
                connection.fail(BackendTimeout(f"no whole answer within {timeouts.total:g} s"))
            elif age > timeouts.first_byte and not connection.answer_begun:
                connection.fail(BackendTimeout(f"no answer within {timeouts.first_byte:g} s"))
        # The oldest lie at the front, because the newest is taken first.
        while self._idle and now - self._idle[0].idle_since > self._keep_alive_seconds:
            old = self._idle.pop(0)
            if old.transport is not None:
                old.transport.close()
        self._timer = None
        if not self._closed and (self._busy or self._idle):
            self._timer = loop.call_later(self._sweep_seconds, self._sweep, loop)

    async def close(self) -> None:
        """Closes idle connections; calls under way go on."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for connection in self._idle:
            if connection.transport is not None:
                connection.transport.close()
        self._idle.clear()
        # One turn of the loop lets the transports say goodbye.
        await asyncio.sleep(0)
