"""All connections of the front door: how many there may be, who makes room, and who is waited for no longer.

A connection has no timer of its own. Everything that takes too long is found by one look at all of them, once a second, so
that what does get on pays nothing for it.
"""

import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import Callable
from typing import Any, Protocol

from uvicorn.config import Config
from uvicorn.server import ServerState

from slackwater.core.arriving.crowd import FRIEND_SECONDS, Crowd
from slackwater.core.arriving.heads import HeadLimits, Refusal
from slackwater.core.arriving.patience import Patience, Phase
from slackwater.telemetry import meters, rare

log = logging.getLogger("slackwater")

# What is read at once of a body. A head has at most its own limit, and shares this buffer with nobody else's.
BODY_READ_BYTES = 256 << 10
# Requests that came before the one in front of them was answered (pipelined) take turns, over all strangers: so many, so often.
# Clients that mean well hardly ever do that, and a thousand who do would leave no time for anybody else.
TURNS_AT_ONCE = 4
TURN_SECONDS = 0.01
# So much of an answer the kernel may keep besides what is on its way. By itself it takes megabytes of it, which is good for a
# fast line and much for a thousand strangers who do not read.
UNSENT_BYTES = 64 << 10
UNSENT_BYTES_FRIEND = 4 << 20
# Refusals that say that somebody wants something that they do not get. An idle connection is closed every day.
TOLD = frozenset(Refusal) - {Refusal.IDLE}


def keep_unsent(connection: socket.socket | None, count: int) -> None:
    """Lets the kernel keep so many bytes for a connection, or for all that are taken from a listener, where it can be told."""
    if connection is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        # uvloop calls a socket that is closed one with a wrong number.
        with contextlib.suppress(OSError, ValueError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, count)


class Visitor(Protocol):
    """A connection, as far as the front door knows it."""

    @property
    def phase(self) -> Phase:
        """What it is about."""
        ...

    @property
    def known_at(self) -> float | None:
        """When a good key came on it last, in the front door's time; None before that."""
        ...

    def look(self, now: float) -> None:
        """Gives up its peer, where that has been waited for too long."""
        ...

    def take_turn(self) -> None:
        """Goes on with the next request, which is here already."""
        ...

    def abort(self) -> None:
        """Ends at once."""
        ...


class FrontDoor:
    """What connections share. One process has one, however many addresses it listens on."""

    def __init__(
        self, *, limits: HeadLimits, patience: Patience, connections_max: int, look_seconds: float = 1.0
    ) -> None:
        self.limits = limits
        self.patience = patience
        self.connections_max = connections_max
        self.connections: set[Visitor] = set()
        self.crowd: Crowd[Visitor] = Crowd()
        # Bytes are read into these and leave them before anything else is read: there is one event loop.
        self.head_buffer = memoryview(bytearray(limits.head_bytes))
        self.body_buffer = memoryview(bytearray(BODY_READ_BYTES))
        self.now = 0.0
        """The moment of the last look, in the loop's time."""
        self._look_seconds = look_seconds
        self._turns: dict[Visitor, None] = {}
        self._turning = False
        self._lines: tuple[list[tuple[bytes, bytes]], bytes] = ([], b"")

    def takes_from(self, listener: socket.socket) -> None:
        """Before anything is taken from a listener: what its connections begin with."""
        keep_unsent(listener, UNSENT_BYTES)

    def protocol(self, make: Callable[..., asyncio.BufferedProtocol]) -> Callable[..., asyncio.BufferedProtocol]:
        """What uvicorn makes a connection with."""

        def protocol(
            config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None
        ) -> asyncio.BufferedProtocol:
            return make(self, config.loaded_app, server_state)

        return protocol

    def lines(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Header lines that many answers have. They are made again when there is another list."""
        if self._lines[0] is not headers:
            self._lines = (headers, b"".join([b"%b: %b\r\n" % line for line in headers]))
        return self._lines[1]

    async def watch(self) -> None:
        """Looks at every connection again and again, until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                self.look(loop.time())
            except Exception:
                # One connection that is not as it should be must not keep all others from being looked at.
                log.exception("front_door_look_failed")
            await asyncio.sleep(self._look_seconds)

    def look(self, now: float) -> None:
        """Gives up whoever has been waited for too long, and counts the others."""
        self.now = now
        counts = dict.fromkeys(Phase, 0)
        for connection in list(self.connections):
            counts[connection.phase] += 1
            connection.look(now)
        meters.connections = {phase.name.lower(): count for phase, count in counts.items()}
        rare.flush(now=now)

    def came(self, connection: Visitor) -> bool:
        """A connection was made; whether it may stay. Somebody else may have to go for it."""
        self.connections.add(connection)
        if len(self.connections) > self.connections_max:
            leaving = self.crowd.who_goes()
            if leaving is None:
                return False
            self.turned_away(Refusal.EVICTED)
            leaving.abort()
        return True

    def went(self, connection: Visitor) -> None:
        """A connection is no more. May be repeated."""
        self.connections.discard(connection)
        self._turns.pop(connection, None)
        self.crowd.works(connection)

    def waits(self, connection: Visitor) -> None:
        """A connection waits for its peer."""
        self.crowd.waits(connection, friend=self.is_friend(connection))

    def is_friend(self, connection: Visitor) -> bool:
        """Whether a good key has come on it lately."""
        return connection.known_at is not None and self.now - connection.known_at < FRIEND_SECONDS

    def takes_turns(self, connection: Visitor) -> None:
        """A stranger's next request is here already; it is looked at when its turn comes."""
        self._turns[connection] = None
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_later(TURN_SECONDS, self._give_turns)

    def _give_turns(self) -> None:
        for connection in list(itertools.islice(self._turns, TURNS_AT_ONCE)):
            del self._turns[connection]
            connection.take_turn()
        self._turning = bool(self._turns)
        if self._turning:
            asyncio.get_running_loop().call_later(TURN_SECONDS, self._give_turns)

    def turned_away(self, refusal: Refusal) -> None:
        """Counts what the front door does by itself, and tells it once a minute."""
        meters.turned_away[refusal.value] += 1
        if refusal in TOLD:
            rare(f"turned_away_{refusal.value}", now=self.now, level=logging.WARNING, connections=len(self.connections))
