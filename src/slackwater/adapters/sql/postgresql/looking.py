"""What is to be known of a database before anybody works with it. Nothing is changed here."""

import functools
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg

from slackwater.adapters.sql.identity import MEMBERS_SINCE, NAMES_BYTES, Connections, Found, ServerFound, sample_of
from slackwater.adapters.sql.members import cluster_reading
from slackwater.adapters.sql.postgresql.connection import PgConnection
from slackwater.adapters.sql.postgresql.line import Line, is_lost
from slackwater.adapters.sql.postgresql.pooler import refuse_pooler
from slackwater.adapters.sql.postgresql.schema import look, refuse_unready, refuse_without_rights, without_right
from slackwater.adapters.sql.postgresql.text import text_of
from slackwater.adapters.sql.postgresql.together import STANDINGS
from slackwater.adapters.sql.sqlite import SCHEMA_VERSION
from slackwater.core.errors import LedgerMoved, LedgerRefused
from slackwater.core.files.belonging import Mark, gone_of_name
from slackwater.core.watching.cluster import ClusterReading
from slackwater.ports import Standing

T = TypeVar("T")
# What PostgreSQL must do for a commit to survive a power cut.
KEEPS = ("fsync", "full_page_writes", "synchronous_commit")
# In milliseconds, what a server needs of limits that a database, or a role of it, may have; 0 is none. A session that listens
# says nothing for a long time. Others (`idle_in_transaction_session_timeout` ...) each session sets for itself (connection.py).
SOONEST = {"idle_session_timeout": 60_000, "transaction_timeout": 10_000}
# What is left for the role, by the server, the database and itself; and who else has some of it.
CONNECTIONS = """SELECT least(
    CAST(current_setting('max_connections') AS BIGINT) - CAST(current_setting('superuser_reserved_connections') AS BIGINT),
    (SELECT NULLIF(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user),
    (SELECT NULLIF(datconnlimit, -1) FROM pg_database WHERE datname = current_database())),
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid != pg_backend_pid()
        AND (datname IS DISTINCT FROM current_database() OR application_name NOT LIKE 'slackwater %'))"""
# Who has said nothing for so long says nothing (pipeline/watching/standings.py).
LIVES_SECONDS = 10.0


def asked_of(address: str, ask: Callable[[PgConnection], T]) -> T:
    """What `ask` finds over a connection of its own, once it is there. Raises LedgerUnavailable and LedgerRefused."""
    line, since, tries = Line(address, "look"), time.monotonic(), 0
    while True:
        try:
            return ask(line.get())
        except psycopg.errors.InsufficientPrivilege as error:
            raise without_right(error) from error
        except psycopg.Error as error:
            if not is_lost(error):
                raise
            line.drop()
            line.wait(tries, since, error)
            tries += 1
        finally:
            line.close()


def found_at(address: str) -> Found:
    """What the ledger of the database is that `address` names. Raises LedgerUnavailable, LedgerRefused and LedgerMoved."""
    return asked_of(address, find)


def find(db: PgConnection) -> Found:
    """The same over a connection."""
    version = look(db)
    if version < SCHEMA_VERSION:
        refuse_unready(db, version)
    if not version:
        return Found(empty=True)
    name, generation = db.execute("SELECT name, generation FROM identity").fetchone()
    gone = gone_of_name(name)
    if gone is not None:
        raise LedgerMoved(
            f"the ledger of this database moved to the data directory {gone.place} at {gone.at}: take [server] database out of "
            "the configuration, or name a database with nothing in it"
        )
    if version <= SCHEMA_VERSION:
        refuse_without_rights(db)
    named = bool(db.execute(NAMES_BYTES).fetchone()[0])
    sample = sample_of(db, version)
    return Found(empty=False, schema=version, mark=Mark(name, generation), named=named, sample=sample)


def server_of(address: str) -> ServerFound:
    """The server behind it. Raises LedgerUnavailable and LedgerRefused."""
    return asked_of(address, functools.partial(_server, address))


def _server(address: str, db: PgConnection) -> ServerFound:
    version, superuser, remote, standby, now = db.execute(
        "SELECT current_setting('server_version'), "
        "(SELECT rolsuper FROM pg_roles WHERE rolname = current_user), "
        "inet_client_addr() IS NOT NULL AND inet_client_addr() IS DISTINCT FROM inet_server_addr(), "
        "pg_is_in_recovery(), extract(epoch FROM clock_timestamp())"
    ).fetchone()
    careless = [name for name in KEEPS if db.execute("SELECT current_setting(?)", (name,)).fetchone()[0] == "off"]
    limits = db.execute("SELECT name, CAST(setting AS BIGINT) FROM pg_settings WHERE name = ANY(?)", (list(SOONEST),))
    schema = look(db)
    keys = db.execute("SELECT count(*) FROM api_key").fetchone()[0] if schema else 0
    there = schema >= MEMBERS_SINCE

    def rows(name: str, values: dict[str, Any]) -> list[Any]:
        return db.execute(text_of(name), values).fetchall()

    said = db.execute(STANDINGS, ("", LIVES_SECONDS)).fetchall() if there else []
    return ServerFound(
        version=str(version).partition(" ")[0],
        tls=db.over_tls,
        superuser=bool(superuser),
        remote=bool(remote),
        standby=bool(standby),
        pooled=_pooled(address, db),
        careless=tuple(careless),
        hurried=tuple((row[0], row[1]) for row in limits if 0 < row[1] < SOONEST[row[0]]),
        connections=Connections(**dict(zip(("most", "others"), db.execute(CONNECTIONS).fetchone(), strict=True))),
        keys=keys,
        cluster=cluster_reading(rows) if there else ClusterReading(now=float(now)),
        said=tuple(Standing(row["member"], row["deployment"], row["facts"].encode()) for row in said),
    )


def _pooled(address: str, db: PgConnection) -> bool:
    try:
        refuse_pooler(address, db)
    except LedgerRefused:
        return True
    except psycopg.Error:
        # There may be no room for another connection; that is told besides.
        return False
    return False
