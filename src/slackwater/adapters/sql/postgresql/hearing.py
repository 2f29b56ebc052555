"""A server that is there and says nothing: a connection waits for it no longer than it has to.

Neither side of TCP notices: the kernel of a machine whose PostgreSQL stands still goes on acknowledging. And an answer may take
its time, because of a lock, of much to do, or of a standby that a commit waits for. So whoever has waited for a while knocks: a
server that answers a new connection, be it with a refusal, lives, and is waited for. One that does not is taken for gone.
"""

import errno
import os
import threading
import time
from collections.abc import Mapping
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.waiting import Ready

R = TypeVar("R")
# So long an answer is waited for before anybody knocks, and so long then; together they are PATIENCE_SECONDS.
SILENT_SECONDS = 5.0
KNOCK_SECONDS = 5
# Between two looks at the time.
LOOK_SECONDS = 0.1
# What somebody has just found by knocking is true for all who wait for the same server.
FOUND_SECONDS = 1.0
NOBODY_OPENS = os.strerror(errno.EAGAIN)
SAYS_NOTHING = "the server is there and does not answer"


class _Door:
    """One server, for all connections of this process. One of them knocks at a time."""

    def __init__(self) -> None:
        self._one = threading.Lock()
        self._knocked_at = float("-inf")
        self._answers = True

    def answers(self, knock: Mapping[str, Any]) -> bool:
        """Whether the server does."""
        with self._one:
            if time.monotonic() - self._knocked_at > FOUND_SECONDS:
                self._answers = _knock(knock)
                self._knocked_at = time.monotonic()
            return self._answers


def _knock(knock: Mapping[str, Any]) -> bool:
    try:
        psycopg.connect(**knock).close()
    except psycopg.errors.ConnectionTimeout:
        return False
    except psycopg.Error as error:
        # It says no, or the kernel does for it: then the connection that waits hears of it, too. Only who knocks at a socket
        # in a folder is told like this that too many have knocked before, and nobody has opened.
        return NOBODY_OPENS not in str(error)
    return True


_DOORS: dict[tuple[Any, ...], _Door] = {}


class HearingConnection(psycopg.Connection[Any]):
    """Waits for a server without end only while that answers others. It is lost otherwise, and says so."""

    silent_since: float | None = None
    """Where it was lost like this: since when nothing has come."""

    def wait(self, gen: PQGen[R], interval: float = LOOK_SECONDS, timeout: float | None = None) -> R:
        """What psycopg waits with. Raises psycopg.OperationalError."""
        return super().wait(self._heard(gen), interval, timeout)

    def _heard(self, gen: PQGen[R]) -> PQGen[R]:
        since = asked = time.monotonic()
        ready: Any = None
        silent = False
        while True:
            try:
                state = gen.send(ready)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            ready = yield state
            if ready != Ready.NONE:
                since = asked = time.monotonic()
                silent = False
            elif silent:
                self.silent_since = since
                self.close()
                raise psycopg.OperationalError(SAYS_NOTHING)
            elif time.monotonic() - asked > SILENT_SECONDS:
                # What has come while it knocked is looked at before it is taken for gone.
                silent = not self._answers()
                asked = time.monotonic()

    def _answers(self) -> bool:
        info = self.info
        place = {"host": info.host, "hostaddr": info.hostaddr, "port": info.port}
        # The one that this connection has reached, whichever others the address names.
        knock = {
            **info.get_parameters(),
            **{key: value for key, value in place.items() if value},
            "password": info.password,
            "connect_timeout": KNOCK_SECONDS,
            "target_session_attrs": "any",
            "application_name": "slackwater knock",
        }
        return _DOORS.setdefault(tuple(place.values()), _Door()).answers(knock)
