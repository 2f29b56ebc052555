"""The schema of a ledger on PostgreSQL: brought up to date under a lock, so that of several who start together one does it.

Numbers are those of the migrations of SQLite. It begins with one file that has what the first of them come to; what follows is
the same text for both, or a file in `migrations/postgresql` of the same number.
"""

from pathlib import Path

import psycopg

from slackwater.adapters.sql.postgresql.connection import OLDEST, PgConnection
from slackwater.adapters.sql.postgresql.text import schema
from slackwater.adapters.sql.sqlite import MIGRATIONS, SCHEMA_VERSION
from slackwater.core.errors import LedgerRefused

OWN = {int(path.name[:4]): path for path in (Path(__file__).parent.parent / "migrations/postgresql").glob("[0-9]*.sql")}
FIRST = min(OWN)
# Tables that an embedded ledger does not have: they are about this database, and mean nothing in another one.
ONLY_HERE = frozenset({"schema_version", "writer", "changed", "standing"})
# Who holds it changes the schema. A number like any other, but the same in every version.
LOCK = 6_011_984_225
# What a server needs of a schema and tables that are somebody else's.
GRANT = (
    "let their owner GRANT USAGE ON SCHEMA, and SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA, to it (see 'A role that "
    "may not make tables' in docs/postgresql.md)"
)
MISSING = """SELECT relname AS name, string_agg(of.kind, ', ' ORDER BY of.place) AS rights
FROM pg_class, (VALUES (1, 'SELECT'), (2, 'INSERT'), (3, 'UPDATE'), (4, 'DELETE')) AS of (place, kind)
WHERE relkind = 'r' AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('schema_version'))
  AND relowner = (SELECT relowner FROM pg_class WHERE oid = to_regclass('schema_version'))
  AND NOT has_table_privilege(pg_class.oid, of.kind)
GROUP BY relname ORDER BY relname"""
NAMED_MAX = 3
# So long a step waits for work that is under way on a table, and this work for it; then it is tried again.
LOCK_SECONDS = 5
TRIES = 12


def look(db: PgConnection) -> int:
    """The version of the schema; 0 where there is none. Raises LedgerRefused for a server that is too old, or not of UTF-8."""
    if db.server_version // 10_000 < OLDEST:
        raise LedgerRefused(
            f"the ledger's PostgreSQL is version {db.server_version // 10_000}: {OLDEST} or later is needed"
        )
    asked = "SELECT current_setting('server_encoding'), current_schema(), to_regclass('schema_version')"
    encoding, where, there = db.execute(asked).fetchone()
    if encoding != "UTF8":
        raise LedgerRefused(f"the ledger's database is in {encoding}: make one with ENCODING 'UTF8'")
    if where is None:
        raise LedgerRefused(f"the role of the ledger may use no schema of its search_path: {GRANT}")
    if there is None:
        return 0
    version: int = db.execute("SELECT version FROM schema_version").fetchone()[0]
    return version


def without_right(error: psycopg.Error) -> LedgerRefused:
    """The words for a role that may not do what a server does."""
    return LedgerRefused(f"the role of the ledger has not all rights ({error.diag.message_primary}): {GRANT}")


def refuse_without_rights(db: PgConnection) -> None:
    """Raises LedgerRefused where the role may not read and write all tables, before something fails half way."""
    missing = db.execute(MISSING).fetchall()
    if missing:
        named = ", ".join(f"{row['rights']} on {row['name']}" for row in missing[:NAMED_MAX])
        more = f" and {len(missing) - NAMED_MAX} tables more" if len(missing) > NAMED_MAX else ""
        raise LedgerRefused(f"the role of the ledger has not all rights (no {named}{more}): {GRANT}")


def migrate(db: PgConnection) -> None:
    """Brings the schema up to date. Raises LedgerRefused for a ledger that a newer version wrote, or where it may not."""
    version = look(db)
    if version > SCHEMA_VERSION:
        raise LedgerRefused(
            f"the ledger was written by a newer Slackwater (schema {version}; this version knows {SCHEMA_VERSION}): upgrade "
            "slackwater, or name another database"
        )
    if version == SCHEMA_VERSION:
        return
    for attempt in range(1, TRIES + 1):
        try:
            _steps(db)
        except psycopg.errors.LockNotAvailable:
            # Somebody works on one of the tables. Whoever waits for a table keeps all others waiting, so it is let go in between.
            if attempt == TRIES:
                raise
        except psycopg.errors.InsufficientPrivilege as error:
            raise LedgerRefused(
                f"the role of the ledger may not change its schema ({error.diag.message_primary}): let it create tables in "
                "its schema, or start this version once with a role that may"
            ) from error
        else:
            return


def _steps(db: PgConnection) -> None:
    db.script(b"BEGIN")
    try:
        db.script(f"SELECT pg_advisory_xact_lock({LOCK})".encode())
        version = look(db)
        db.script(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'; SET LOCAL statement_timeout = 0".encode())
        if not version:
            db.script(b"CREATE TABLE schema_version (version BIGINT NOT NULL)")
            db.script(b"INSERT INTO schema_version (version) VALUES (0)")
        for number in range(max(version + 1, FIRST), SCHEMA_VERSION + 1):
            path = OWN.get(number) or MIGRATIONS[number - 1]
            db.script(schema(path.read_text("utf-8")))
        db.execute("UPDATE schema_version SET version = ?", (SCHEMA_VERSION,))
        db.script(b"COMMIT")
    except BaseException:
        if not db.lost:
            db.script(b"ROLLBACK")
        raise
