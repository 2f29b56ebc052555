"""The connections to one server: kept alive, bounded, and watched by one timer instead of one per call.

Before: the backend, which knows what to send. After: the connections. What must hold: every open or opening connection
holds one of `connections_max` slots, and while calls wait for one, no slot and no connection is idle.
"""

import asyncio
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable

from msgspec import Struct

from slackwater.adapters.outside.dialing import Judge, addresses_of, dial, judged_by
from slackwater.adapters.upstream.http_connection import Connection, Outcome
from slackwater.adapters.upstream.http_reply import Packed
from slackwater.adapters.upstream.http_stream import Heard, Stream
from slackwater.adapters.upstream.http_unpacking import unpacked
from slackwater.core.errors import BackendError, BackendTimeout, BackendUnreachable
from slackwater.core.outside.proxies import Proxy, ProxyRefused
from slackwater.core.sending.budget import Budget
from slackwater.core.sending.request import Reply

# How often deadlines are looked at. A call may overrun its time by this much.
SWEEP_SECONDS = 0.25
# So long the server has to hang up, too, on a call that was given up: until then it may work on it. It is less than a member of a
# cluster has between the end of its calls and the end of its slots (`engine_share`).
LEAVING_SECONDS = 0.25
# How long `close` waits for sockets to say goodbye; only TLS takes more than a turn of the loop.
GOODBYE_SECONDS = 1.0


class Timeouts(Struct, frozen=True, kw_only=True):
    """How long one call may take, in seconds. Waiting for a turn in a full pool is not counted: the server knows nothing of it.

    `connect` covers name, TCP and TLS, and is short, because a connection is made soon or never. `first_byte` runs from
    sending, and is long, because an engine answers only when its last token is there, and a busy one queues before that.
    `total` runs from sending to the last byte: it bounds an answer that drips. In a stream, `first_byte` is also how long
    nothing may come: an engine that hangs half-way would not have answered at all without one. While we do not read, because
    there is no room for a large answer, both stand still.
    """

    connect: float = 10.0
    first_byte: float = 600.0
    total: float = 1800.0


class Pool:
    """At most `connections_max` connections; the warmest is used first, and those idle for `keep_alive_seconds` are closed."""

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
        budget: Budget | None = None,
        proxy: Proxy | None = None,
        judge: Judge | None = None,
    ) -> None:
        """With a `proxy`, connections are tunnels through it. `judge` is asked about every address before it is connected to."""
        self._host = host
        self._proxy = proxy
        self._addresses = addresses_of if judge is None else judged_by(judge)
        self._budget = budget
        self._port = port
        self._tls = tls
        self._timeouts = timeouts
        self._reply_bytes_max = reply_bytes_max
        self._connections_max = connections_max
        self._keep_alive_seconds = keep_alive_seconds
        self._sweep_seconds = min(SWEEP_SECONDS, timeouts.first_byte / 4, timeouts.total / 4)
        # Every connection that holds a slot; slots that are still connecting are only counted.
        self._connections: set[Connection] = set()
        self._slots_taken = 0
        # Oldest first; the newest is taken first.
        self._idle: list[Connection] = []
        # Each is given a connection, or None: a slot to open one in.
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._users = 1

    @property
    def closed(self) -> bool:
        """Whether it takes no more calls."""
        return self._closed

    def join(self, connections_max: int) -> None:
        """Somebody else uses it, too, with so many connections of his own. Each has to close it."""
        self._users += 1
        self._connections_max += connections_max

    async def call(self, head: bytes, body: bytes, path: str = "", heard: Heard | None = None) -> Reply:
        """One request over one connection. With `heard`, an answer to `path` may come as a stream, and is told as it comes.

        Raises BackendError. Cancelling closes the connection, and the call is over when the server has noticed that, or has had
        time to. A kept connection that turns out to be closed is replaced, once, by a fresh one: nothing was answered, and
        servers close idle connections when they like.
        """
        loop = asyncio.get_running_loop()
        connection = self._idle.pop() if self._idle else await self._acquire(loop)
        if connection.transport.is_closing():
            connection = await self._replace(loop, connection)
        stream = None if heard is None else Stream(path, heard, bytes_max=self._reply_bytes_max)
        while True:
            future: asyncio.Future[Outcome] = loop.create_future()
            connection.send(head, body, future, loop.time(), stream)
            if self._timer is None:
                self._timer = loop.call_later(self._sweep_seconds, self._sweep, loop)
            try:
                outcome = await future
            except asyncio.CancelledError:
                # The answer may have come in the same moment: then the connection is idle, or carries another call.
                if connection.future is future:
                    await self._leave(loop, connection)
                raise
            if connection.future is future:
                # Its time was over.
                await self._leave(loop, connection)
            if type(outcome) is Reply:
                return outcome
            if isinstance(outcome, BackendError):
                raise outcome
            if isinstance(outcome, Packed):
                return await unpacked(outcome)
            try:
                connection = await self._fresh(loop)
            except BackendError as error:
                # The first connection may have carried the request to the server after all.
                error.sent = True
                raise

    async def _leave(self, loop: asyncio.AbstractEventLoop, connection: Connection) -> None:
        """Ends a call without its answer. While the server works on it, whoever sends the next one has one too many there."""
        connection.lost = loop.create_future()
        try:
            if connection.hang_up():
                await asyncio.wait((connection.lost,), timeout=LEAVING_SECONDS)
        finally:
            connection.fail(None)

    async def close(self) -> None:
        """Closes idle connections and refuses new calls, once all who use it have closed it; calls under way go on."""
        self._users -= 1
        if self._users > 0:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        farewells = []
        for connection in [connection for connection in self._connections if connection.future is None]:
            connection.lost = loop.create_future()
            farewells.append(connection.lost)
            connection.abort()
        if farewells:
            # Without this the loop may end before the sockets do, which Python reports as a leak.
            await asyncio.wait(farewells, timeout=GOODBYE_SECONDS)
        if self._timer is not None and not self._connections:
            self._timer.cancel()
            self._timer = None

    # Slots

    async def _acquire(self, loop: asyncio.AbstractEventLoop) -> Connection:
        """A connection that may be used at once: a kept one if it comes free first."""
        if self._closed:
            raise BackendUnreachable("this client is closed", sent=False)
        if self._slots_taken < self._connections_max:
            self._slots_taken += 1
        else:
            given = await self._turn(loop)
            if given is not None:
                return given
        return await self._connect(loop)

    async def _fresh(self, loop: asyncio.AbstractEventLoop) -> Connection:
        """A new connection, in the slot of a kept one if there is no other."""
        if self._slots_taken < self._connections_max:
            self._slots_taken += 1
            return await self._connect(loop)
        kept = self._idle.pop() if self._idle else await self._turn(loop)
        return await (self._connect(loop) if kept is None else self._replace(loop, kept))

    async def _replace(self, loop: asyncio.AbstractEventLoop, connection: Connection) -> Connection:
        """A new connection in the slot of this one."""
        if connection in self._connections:
            self._connections.discard(connection)
            connection.abort()
            return await self._connect(loop)
        return await self._acquire(loop)

    async def _turn(self, loop: asyncio.AbstractEventLoop) -> Connection | None:
        """Waits, first come, first served, for a connection or (None) for a slot."""
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            # What was given in the same moment goes to the next in line.
            if waiter.done() and not waiter.cancelled():
                given = waiter.result()
                if given is None:
                    self._free_slot()
                else:
                    self._idled(given)
            raise

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> Connection:
        """Opens a connection in a slot that the caller holds. The slot is free again if that fails."""
        where = f"{self._host}:{self._port}"
        try:
            async with asyncio.timeout(self._timeouts.connect) as limit:
                opened = await dial(self._host, self._port, proxy=self._proxy, addresses=self._addresses)
                try:
                    name = self._host if self._tls else None
                    _, connection = await loop.create_connection(
                        self._new, sock=opened, ssl=self._tls, server_hostname=name
                    )
                except BaseException:
                    opened.close()
                    raise
        except TimeoutError as error:
            self._free_slot()
            if limit.expired():
                text = f"no connection to {where} within {self._timeouts.connect:g} s (connect)"
                raise BackendTimeout(text, sent=False) from error
            raise BackendUnreachable(f"no connection to {where}: {_reason(error)}", sent=False) from error
        except (OSError, UnicodeError) as error:
            self._free_slot()
            raise BackendUnreachable(f"no connection to {where}: {_reason(error)}", sent=False) from error
        except BaseException:
            self._free_slot()
            raise
        self._connections.add(connection)
        return connection

    def _new(self) -> Connection:
        return Connection(reply_bytes_max=self._reply_bytes_max, idle=self._idled, gone=self._gone, budget=self._budget)

    def _free_slot(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._slots_taken -= 1

    # What connections tell

    def _idled(self, connection: Connection) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        if self._closed:
            connection.abort()
            return
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.append(connection)

    def _gone(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.discard(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._free_slot()

    # Time

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ends calls whose time is over and connections that were idle for long; comes again while there are any."""
        now = loop.time()
        timeouts = self._timeouts
        if self._budget is not None:
            self._budget.look(now)
        for connection in list(self._connections):
            if connection.future is None:
                continue
            if connection.paused_at is not None:
                connection.look_for_end()
                continue
            age = now - connection.started - connection.paused_seconds
            if age > timeouts.total:
                connection.expire(f"no whole answer within {timeouts.total:g} s (total)")
            elif age > timeouts.first_byte and not connection.answering:
                connection.expire(f"no answer within {timeouts.first_byte:g} s (first byte)")
            elif (stream := connection.stream) is not None and stream.at and now - stream.at > timeouts.first_byte:
                connection.expire(f"nothing more of the answer within {timeouts.first_byte:g} s (first byte)")
        horizon = now - self._keep_alive_seconds
        for connection in [connection for connection in self._idle if connection.idle_since < horizon]:
            connection.abort()
        again = bool(self._connections)
        self._timer = loop.call_later(self._sweep_seconds, self._sweep, loop) if again else None


def _reason(error: Exception) -> str:
    """Why there is no connection, in the words of the system, without the numbers and addresses around them."""
    if isinstance(error, ProxyRefused):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


class Pools:
    """The pools of a process: whoever calls one place with the same bounds shares its connections."""

    def __init__(self) -> None:
        self._pools: dict[tuple[object, ...], Pool] = {}

    def of(
        self,
        host: str,
        port: int,
        *,
        tls: Callable[[], ssl.SSLContext] | None,
        timeouts: Timeouts,
        reply_bytes_max: int,
        connections_max: int,
        keep_alive_seconds: float,
        budget: Budget | None = None,
        proxy: Proxy | None = None,
        judge: Judge | None = None,
    ) -> Pool:
        """The pool, which has room for `connections_max` more. `tls` makes a context where there is none yet."""
        key = (host, port, tls is not None, timeouts, reply_bytes_max, keep_alive_seconds, budget, proxy, judge)
        pool = self._pools.get(key)
        if pool is not None and not pool.closed:
            pool.join(connections_max)
            return pool
        # Those that nobody uses any more go when somebody comes.
        self._pools = {each: pool for each, pool in self._pools.items() if not pool.closed}
        pool = self._pools[key] = Pool(
            host,
            port,
            tls=None if tls is None else tls(),
            timeouts=timeouts,
            reply_bytes_max=reply_bytes_max,
            connections_max=connections_max,
            keep_alive_seconds=keep_alive_seconds,
            budget=budget,
            proxy=proxy,
            judge=judge,
        )
        return pool
