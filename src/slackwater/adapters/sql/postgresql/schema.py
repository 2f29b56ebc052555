"""The schema of a ledger on PostgreSQL: brought up to date under a lock, so that of several who start together one does it.

Numbers are those of the migrations of SQLite. It begins with one file that has what the first of them come to; what follows is
the same text for both, or a file in `migrations/postgresql` of the same number. Servers of the version before work on while it
changes: what a step may do is in docs/upgrading.md, and how long it may keep them waiting is decided here.
"""

import logging
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from slackwater.adapters.sql.postgresql.connection import OLDEST, PgConnection
from slackwater.adapters.sql.postgresql.making import (
    THERE_ALREADY,
    may_not,
    refuse_others,
    refuse_taken,
    refuse_unmakeable,
    taken,
)
from slackwater.adapters.sql.postgresql.text import schema
from slackwater.adapters.sql.sqlite import MIGRATIONS, SCHEMA_VERSION
from slackwater.core.errors import LedgerRefused
from slackwater.core.masking import masked
from slackwater.telemetry import event

OWN = {int(path.name[:4]): path for path in (Path(__file__).parent.parent / "migrations/postgresql").glob("[0-9]*.sql")}
FIRST = min(OWN)
# Tables that an embedded ledger does not have: they are about this database, and mean nothing in another one.
ONLY_HERE = frozenset({"schema_version", "writer", "changed", "standing"})
# Who holds it changes the schema. A number like any other, but the same in every version.
LOCK = 6_011_984_225
# So long a step waits for work that is under way on a table. Whoever comes after it waits behind it, so the table is let go
# again, for as long at least, before the next try. Longer than PostgreSQL takes to see a deadlock, and to end autovacuum's work
# there (1 s).
LOCK_SECONDS = 2
GAP_SECONDS = 2.0
TRIES = 10
# So long one of several that start waits for the one that does it, each time.
TURN_SECONDS = 20
# A circle of locks with a server's own transaction, or a table that somebody keeps.
WAITED = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
# Who has had one of these tables, or the schema's own lock, for longer than a step waits for it. What others do is shown to roles
# with the right to see it: without it the number and the name are all there is.
HOLDERS = """
SELECT l.pid, p.gid, string_agg(DISTINCT c.relname, ', ' ORDER BY c.relname), max(a.application_name), max(a.usename),
    max(host(a.client_addr)), max(a.state), max(extract(epoch FROM clock_timestamp() - a.xact_start))
FROM pg_locks AS l
LEFT JOIN pg_class AS c ON l.locktype = 'relation' AND c.oid = l.relation AND c.relnamespace = current_schema()::regnamespace
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
LEFT JOIN pg_locks AS own ON l.pid IS NULL AND own.locktype = 'transactionid' AND own.virtualtransaction = l.virtualtransaction
LEFT JOIN pg_prepared_xacts AS p ON p.transaction = own.transactionid
WHERE l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (c.relname = ANY (?) OR (l.locktype = 'advisory' AND l.classid = ? AND l.objid = ?))
    AND (a.xact_start IS NULL OR a.xact_start < clock_timestamp() - make_interval(secs => ?))
GROUP BY l.pid, p.gid ORDER BY 8 DESC NULLS LAST LIMIT 3
"""


# Asked of the table of all tables: `to_regclass` may say what a transaction knew before it waited for the lock.
THERE = """
SELECT current_setting('server_encoding'),
    current_schema(),
    EXISTS (SELECT 1 FROM pg_class WHERE relname = 'schema_version' AND pg_table_is_visible(oid))
"""
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


def look(db: PgConnection) -> int:
    """The version of the schema; 0 where there is none. Raises LedgerRefused for a server that is too old, or not of UTF-8."""
    if db.server_version // 10_000 < OLDEST:
        raise LedgerRefused(
            f"the ledger's PostgreSQL is version {db.server_version // 10_000}: {OLDEST} or later is needed"
        )
    encoding, where, there = db.execute(THERE).fetchone()
    if encoding != "UTF8":
        raise LedgerRefused(f"the ledger's database is in {encoding}: make one with ENCODING 'UTF8'")
    if where is None:
        raise LedgerRefused(f"the role of the ledger may use no schema of its search_path: {GRANT}")
    if not there:
        return 0
    refuse_others(db)
    version: int = db.execute("SELECT version FROM schema_version").fetchone()[0]
    return version


def refuse_unready(db: PgConnection, version: int) -> None:
    """Raises LedgerRefused where a start could not bring the schema from that version up to date. 0: where there is none."""
    steps = _pending(version)
    if not version:
        refuse_taken(db, steps)
    refuse_unmakeable(db, steps)


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
    version = _look(db)
    if version == SCHEMA_VERSION:
        return
    for attempt in range(1, TRIES + 1):
        try:
            before = _steps(db)
            if before not in (0, SCHEMA_VERSION):
                event("ledger_upgraded", **{"from": before, "to": SCHEMA_VERSION})
            return
        except WAITED as error:
            holders = _holders(db, version)
            event("schema_waits", level=logging.WARNING, attempt=attempt, of=TRIES, holders=holders)
            if attempt == TRIES:
                raise LedgerRefused(
                    f"the schema of the ledger could not be changed: {holders}; nothing was changed, and servers that run go on: "
                    "end that transaction, or let it end, and start this version again"
                ) from error
            time.sleep(GAP_SECONDS)
        except psycopg.errors.InsufficientPrivilege as error:
            raise may_not(str(error.diag.message_primary)) from error
        except THERE_ALREADY as error:
            raise taken(str(error.diag.message_primary)) from error


def _look(db: PgConnection) -> int:
    version = look(db)
    if version > SCHEMA_VERSION:
        raise LedgerRefused(
            f"the ledger was written by a newer Slackwater (schema {version}; this version knows {SCHEMA_VERSION}): upgrade "
            "slackwater, or name another database"
        )
    return version


def _pending(version: int) -> list[str]:
    """The texts of the steps that are to be done from that version on."""
    paths = (OWN.get(number) or MIGRATIONS[number - 1] for number in range(max(version + 1, FIRST), SCHEMA_VERSION + 1))
    return [schema(path.read_text("utf-8")).decode() for path in paths]


def _holders(db: PgConnection, version: int) -> str:
    """Who keeps the steps waiting, in words."""
    words = sorted({word for text in _pending(version) for word in re.findall(r"[a-z_]+", text.lower())})
    rows = db.execute(HOLDERS, (words, LOCK >> 32, LOCK & 0xFFFF_FFFF, LOCK_SECONDS)).fetchall()
    return "; ".join(map(_holder, rows)) or "transactions that follow one on another keep its tables"


def _holder(row: Sequence[Any]) -> str:
    pid, prepared, tables, application, role, host, state, seconds = row
    has = f"has had {tables}" if tables else "has been changing the schema"
    lasting = "" if seconds is None else f" for {float(seconds):.0f} s"
    if pid is None:
        return f"the prepared transaction {masked(prepared)} {has}"
    about = [application, role and f"role {role}", host and f"from {host}", state]
    return f"process {pid} ({', '.join(masked(each) for each in about if each)}) {has}{lasting}"


def _steps(db: PgConnection) -> int:
    """Returns the version before; 0: there was none."""
    db.script(b"BEGIN")
    try:
        db.script(f"SET LOCAL lock_timeout = '{TURN_SECONDS}s'; SELECT pg_advisory_xact_lock({LOCK})".encode())
        # It may have been a newer version that this one has waited for.
        version = _look(db)
        db.script(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'; SET LOCAL statement_timeout = 0".encode())
        if not version:
            refuse_taken(db, _pending(0))
            db.script(b"CREATE TABLE schema_version (version BIGINT NOT NULL)")
            db.script(b"INSERT INTO schema_version (version) VALUES (0)")
        for text in _pending(version):
            db.script(text.encode())
        db.execute("UPDATE schema_version SET version = ?", (SCHEMA_VERSION,))
        db.script(b"COMMIT")
        return version
    except BaseException:
        if not db.lost:
            db.script(b"ROLLBACK")
        raise
