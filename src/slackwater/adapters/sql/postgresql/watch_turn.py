"""Whose turn it is to watch over members: one watches, another one is its deputy, both by locks of their sessions.

A lock that is waited for would say at once that it is free. But the connection that waits says nothing meanwhile, hears of no
burial, and holds up vacuum; a connection more for each member would cost more than one that looks as often as who watches.
"""

from slackwater.adapters.sql.postgresql.connection import PgConnection
from slackwater.adapters.sql.postgresql.member_statements import TRY, TRY_AS_DEPUTY, UNDEPUTE, UNWATCH
from slackwater.core.members import Turn, step_seconds

TURNS = (Turn.WATCHER, Turn.DEPUTY, Turn.OTHER)


class WatchTurn:
    """That of one member."""

    def __init__(self) -> None:
        self.now = Turn.OTHER
        self.members = 1
        """How many there are."""
        self._retired = False

    @property
    def gap(self) -> float:
        """Seconds to its next step."""
        return step_seconds(self.members, self.now)

    def retire(self) -> None:
        """From now on it is never its turn."""
        self._retired = True

    def reset(self) -> None:
        """The connection is another one, without locks."""
        self.now = Turn.OTHER

    def step(self, db: PgConnection) -> None:
        """Takes its turn where that is free. Raises psycopg.Error."""
        if self._retired:
            if self.now is not Turn.OTHER:
                db.execute(UNWATCH if self.now is Turn.WATCHER else UNDEPUTE)
                self.now = Turn.OTHER
        elif self.now is Turn.OTHER:
            self.now = TURNS[db.execute(TRY).fetchone()[0]]
        elif self.now is Turn.DEPUTY:
            self.now = TURNS[db.execute(TRY_AS_DEPUTY).fetchone()[0]]
            if self.now is Turn.WATCHER:
                db.execute(UNDEPUTE)
