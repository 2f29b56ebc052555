"""Whether the database gives a connection a session of its own. Without one, a lock is somebody else's in the next moment.

A pooler in transaction mode gives the server's session to whoever asks next, and says nothing of it. So somebody else begins a
transaction: where that is in the session that was ours a moment ago, or keeps us out of it, it was never ours.
"""

from slackwater.adapters.sql.postgresql.connection import PgConnection
from slackwater.core.errors import LedgerRefused

# It may have been another session by chance.
TRIES = 3
WORDS = (
    "a connection pooler in transaction mode stands between this server and the ledger's database, and a server needs a session "
    "of its own. Set it to session mode (pool_mode = session in PgBouncer), or name the database itself"
)
PID = "SELECT pg_backend_pid()"


def refuse_pooler(address: str, db: PgConnection) -> None:
    """Raises LedgerRefused where the session of `db` is not its own, and psycopg.Error."""
    others: list[PgConnection] = []
    try:
        for _ in range(TRIES):
            other = PgConnection(address, name="pooler check")
            others.append(other)
            mine = db.execute(PID).fetchone()[0]
            other.script(b"BEGIN")
            if other.execute(PID).fetchone()[0] == mine or db.execute(PID).fetchone()[0] != mine:
                raise LedgerRefused(WORDS)
    finally:
        for each in others:
            each.close()
