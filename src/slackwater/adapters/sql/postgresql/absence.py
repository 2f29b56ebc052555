"""For how long the database cannot be used, by those who use it: what keeps a member there, reads, and writes of either kind.

Each says it on a thread of its own, and whoever wants to know asks. A connection that is lost and back in a moment is no absence.
"""

import time

import psycopg

from slackwater.adapters.sql.postgresql.line import is_away, unavailable
from slackwater.ports import Away

# What is over by then is not worth a word.
MOMENT_SECONDS = 1.0
# Who waits for so long for an answer waits for a database that has stopped, or for a network that is cut.
SILENT_SECONDS = 3.0
SILENT = "the ledger's database does not answer"


class Absence:
    """What is known of it."""

    def __init__(self) -> None:
        # Since when, and why, by who says it.
        self._troubles: dict[str, tuple[float, str]] = {}
        self.asked: float | None = None
        """Since when the connection of the member waits for an answer."""

    def failed(self, who: str, error: Exception, *, since: float) -> None:
        """One of them could not use it. What a new try has met says more than that one was made a moment ago.

        A machine with too much to do is no absence of the database: who is slow in a transaction loses the connection alone.
        """
        if not is_away(error):
            return
        known = self._troubles.get(who)
        if known is None or isinstance(error, psycopg.Error):
            words = str(unavailable(error) if isinstance(error, psycopg.Error) else error)
            self._troubles[who] = (since if known is None else known[0], words)

    def worked(self, who: str) -> None:
        """One of them could."""
        self._troubles.pop(who, None)

    @property
    def now(self) -> Away | None:
        """None while it can be used."""
        now = time.monotonic()
        since, why = min(self._troubles.copy().values(), default=(now, ""))
        asked = self.asked
        if asked is not None and now - asked > SILENT_SECONDS and now - since < MOMENT_SECONDS:
            since, why = asked, SILENT
        return Away(seconds=now - since, why=why) if now - since >= MOMENT_SECONDS else None
