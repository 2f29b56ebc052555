"""Who may have the ledger: servers together, or one alone who moves it or recovers it."""

import time

from slackwater.adapters.sql.postgresql.connection import PgConnection
from slackwater.core.errors import LedgerUnavailable

# How long a server waits for the one before it to let go of the ledger: its connections may be gone without a word.
TAKE_OVER_SECONDS = 10.0
# Locked for as long as somebody has the ledger: by servers together, by who moves or recovers it alone. For each schema of a
# database another one. Servers that knew nothing of others had it alone, too.
ALONE = "SELECT pg_try_advisory_lock(hashtext('slackwater'), hashtext(current_schema()))"
TOGETHER = ALONE.replace("_lock(", "_lock_shared(")


def stand_alone(db: PgConnection) -> None:
    """Takes the ledger, for as long as the connection lives. Raises LedgerUnavailable while anybody else has it."""
    _stand(db, ALONE, "the ledger is in use by another slackwater: stop it first, or name another database")


def stand_together(db: PgConnection) -> None:
    """Takes it with other servers. Raises LedgerUnavailable while somebody has it alone."""
    _stand(
        db,
        TOGETHER,
        "the ledger is being moved or recovered, or an older slackwater has it: wait for that, or stop it first",
    )


def _stand(db: PgConnection, ask: str, words: str) -> None:
    since = time.monotonic()
    while not db.execute(ask).fetchone()[0]:
        if time.monotonic() - since > TAKE_OVER_SECONDS:
            raise LedgerUnavailable(words)
        time.sleep(0.1)
