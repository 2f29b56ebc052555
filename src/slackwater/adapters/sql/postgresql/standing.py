"""Who may have the ledger: servers together, or one alone who moves it or recovers it."""

import time
from collections.abc import Callable

from slackwater.adapters.sql.members import member_record
from slackwater.adapters.sql.postgresql.connection import PgConnection
from slackwater.adapters.sql.postgresql.text import text_of
from slackwater.core.errors import LedgerUnavailable
from slackwater.core.members import all_named

# How long a server waits for the one before it to let go of the ledger: its connections may be gone without a word.
TAKE_OVER_SECONDS = 10.0
# Locked for as long as somebody has the ledger: by servers together, by who moves or recovers it alone. For each schema of a
# database another one. Servers that knew nothing of others had it alone, too.
ALONE = "SELECT pg_try_advisory_lock(hashtext('slackwater'), hashtext(current_schema()))"
TOGETHER = ALONE.replace("_lock(", "_lock_shared(")


def stand_alone(db: PgConnection) -> None:
    """Takes the ledger, for as long as the connection lives. Raises LedgerUnavailable while anybody else has it."""
    _stand(db, ALONE, lambda: f"the ledger is in use by {_others(db)} first, or name another database")


def _others(db: PgConnection) -> str:
    now = float(db.execute(text_of("database_now"), {"now": 0.0}).fetchone()[0])
    those = all_named(map(member_record, db.execute(text_of("members"), {}).fetchall()), now=now)
    return f"{those}: stop all of them" if those else "another slackwater: stop it"


def stand_together(db: PgConnection) -> None:
    """Takes it with other servers. Raises LedgerUnavailable while somebody has it alone."""
    _stand(
        db,
        TOGETHER,
        lambda: (
            "the ledger is being moved or recovered, or an older slackwater has it: wait for that, or stop it first"
        ),
    )


def _stand(db: PgConnection, ask: str, words: Callable[[], str]) -> None:
    since = time.monotonic()
    while not db.execute(ask).fetchone()[0]:
        if time.monotonic() - since > TAKE_OVER_SECONDS:
            raise LedgerUnavailable(words())
        time.sleep(0.1)
