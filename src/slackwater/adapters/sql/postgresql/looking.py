"""What is to be known of a database before anybody works with it. Nothing is changed here."""

import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from slackwater.adapters.sql.identity import MEMBERS_SINCE, Found, ServerFound
from slackwater.adapters.sql.members import member_record
from slackwater.adapters.sql.postgresql.connection import PgConnection
from slackwater.adapters.sql.postgresql.line import Line, is_lost
from slackwater.adapters.sql.postgresql.schema import look, without_right
from slackwater.adapters.sql.postgresql.text import text_of
from slackwater.core.errors import LedgerMoved
from slackwater.core.files.belonging import Mark, gone_of_name

T = TypeVar("T")
# What PostgreSQL must do for a commit to survive a power cut.
KEEPS = ("fsync", "full_page_writes", "synchronous_commit")


def _asked(address: str, ask: Callable[[PgConnection], T]) -> T:
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
    return _asked(address, find)


def find(db: PgConnection) -> Found:
    """The same over a connection."""
    version = look(db)
    if not version:
        return Found(empty=True)
    name, generation = db.execute("SELECT name, generation FROM identity").fetchone()
    gone = gone_of_name(name)
    if gone is not None:
        raise LedgerMoved(
            f"the ledger of this database moved to the data directory {gone.place} at {gone.at}: take [server] database out of "
            "the configuration, or name a database with nothing in it"
        )
    return Found(empty=False, schema=version, mark=Mark(name, generation))


def server_of(address: str) -> ServerFound:
    """The server behind it. Raises LedgerUnavailable and LedgerRefused."""
    return _asked(address, _server)


def _server(db: PgConnection) -> ServerFound:
    version, superuser, remote = db.execute(
        "SELECT current_setting('server_version'), "
        "(SELECT rolsuper FROM pg_roles WHERE rolname = current_user), "
        "inet_client_addr() IS NOT NULL AND inet_client_addr() IS DISTINCT FROM inet_server_addr()"
    ).fetchone()
    careless = [name for name in KEEPS if db.execute("SELECT current_setting(?)", (name,)).fetchone()[0] == "off"]
    schema = look(db)
    keys = db.execute("SELECT count(*) FROM api_key").fetchone()[0] if schema else 0
    members = db.execute(text_of("members")).fetchall() if schema >= MEMBERS_SINCE else []
    return ServerFound(
        version=str(version).partition(" ")[0],
        tls=db.over_tls,
        superuser=bool(superuser),
        remote=bool(remote),
        careless=tuple(careless),
        keys=keys,
        members=tuple(member_record(row) for row in members),
        now=float(db.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()[0]),
    )
