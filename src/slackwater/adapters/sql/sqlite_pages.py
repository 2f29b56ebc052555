"""Pages of a SQLite database that nothing is in any more, and how they get back to the disk."""

import sqlite3

from slackwater.adapters.sql.db import Db

# What `PRAGMA auto_vacuum` says of a database that can give back pages.
INCREMENTAL = 2
# Up to this size it is rewritten for that at a start: some tenths of a second.
REWRITTEN_BYTES_MAX = 32 << 20
# So much of the ledger is left unused for what comes next: a share, and never less than some pages.
UNUSED_SHARE, UNUSED_MIN = 0.1, 1000


def let_shrink(connection: sqlite3.Connection) -> bool:
    """Makes a database of an older version give back pages that it does not need; returns whether it does now.

    That rewrites it once. A large one would hold up a start for that, and stays as it is: see docs/operating.md.
    """
    if connection.execute("PRAGMA auto_vacuum").fetchone()[0] == INCREMENTAL:
        return True
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    if pages * size > REWRITTEN_BYTES_MAX:
        return False
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("VACUUM")
    except sqlite3.OperationalError:
        # No room for a second copy, most likely: a start must not fail for that. The next one tries again.
        return False
    return True


def unused_pages(db: Db) -> int:
    """How many more pages are unused than are left for what comes next."""
    pages, free = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    return int(free - max(UNUSED_MIN, UNUSED_SHARE * pages))


def give_back_pages(db: Db, limit: int) -> int:
    """Gives back so many at most; returns how many."""
    before = unused_pages(db)
    # Each step of the statement gives back one page.
    db.execute(f"PRAGMA incremental_vacuum({max(0, min(limit, before))})").fetchall()
    return before - unused_pages(db)
