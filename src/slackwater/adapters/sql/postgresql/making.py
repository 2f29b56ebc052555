"""Whether the schema of a ledger can be made or changed in a database: whose that is, and what the role may do there.

Looked at before anything is done, by whoever only looks, too: what a start would refuse, the doctor knows. Nothing is changed.
"""

import re
from collections.abc import Sequence

import psycopg

from slackwater.adapters.sql.identity import TABLES
from slackwater.adapters.sql.postgresql.connection import PgConnection
from slackwater.core.errors import LedgerRefused

# Of two who make something under one name, or of ours and another application's.
THERE_ALREADY = (
    psycopg.errors.DuplicateTable,
    psycopg.errors.DuplicateObject,
    psycopg.errors.DuplicateFunction,
    psycopg.errors.DuplicateColumn,
)
# The schema's own tables that every version has.
OURS = sorted({*TABLES, "identity"})
_RELATIONS = re.compile(r"\bCREATE (?:TABLE|(?:UNIQUE )?INDEX) (\w+)")
_FUNCTIONS = re.compile(r"\bCREATE FUNCTION (\w+)")
# What only the owner of a table may do.
_CHANGED = re.compile(
    r"\b(?:ALTER TABLE|DROP TABLE|CREATE (?:UNIQUE )?INDEX \w+ ON|CREATE TRIGGER \w+ [^;]*? ON) (?:IF EXISTS )?(\w+)"
)
# On one state of the database: where somebody makes the schema meanwhile, these names are ours.
IN_THE_WAY = """SELECT name FROM (
    SELECT relname AS name FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = ANY (?)
    UNION SELECT typname FROM pg_type WHERE typnamespace = current_schema()::regnamespace AND typname = ANY (?)
    UNION SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace AND proname = ANY (?)
) AS taken WHERE NOT EXISTS (SELECT 1 FROM pg_class WHERE relname = 'schema_version' AND pg_table_is_visible(oid))
ORDER BY name"""
OURS_THERE = """SELECT count(*) FROM pg_class AS t, pg_class AS v
WHERE v.relname = 'schema_version' AND pg_table_is_visible(v.oid) AND v.relkind = 'r'
    AND t.relnamespace = v.relnamespace AND t.relkind = 'r' AND t.relname = ANY (?)"""
NOT_OWNED = """SELECT relname FROM pg_class WHERE relkind = 'r' AND relname = ANY (?) AND pg_table_is_visible(oid)
    AND NOT pg_has_role(relowner, 'USAGE') ORDER BY relname"""
NAMED_MAX = 3


def taken(what: str) -> LedgerRefused:
    """The words for a database that is another application's."""
    return LedgerRefused(
        f"the ledger's database has what is another application's ({what}): name a database with nothing in it, or a schema of "
        "its own (CREATE SCHEMA slackwater, and options=-csearch_path%3Dslackwater in the address)"
    )


def may_not(said: str) -> LedgerRefused:
    """The words for a role that may not do what a first start does, or that of a new version."""
    return LedgerRefused(
        f"the role of the ledger may not change its schema ({said}): let it create tables in its schema, or start this version "
        "once with a role that may"
    )


def refuse_others(db: PgConnection) -> None:
    """Raises LedgerRefused where a table `schema_version` is there that is none of ours."""
    if db.execute(OURS_THERE, (OURS,)).fetchone()[0] != len(OURS):
        raise taken("schema_version")


def refuse_taken(db: PgConnection, steps: Sequence[str]) -> None:
    """Raises LedgerRefused where names are taken in a database without a schema of ours that these steps would make."""
    relations = ["schema_version", *(name for text in steps for name in _RELATIONS.findall(text))]
    functions = [name for text in steps for name in _FUNCTIONS.findall(text)]
    names = [row[0] for row in db.execute(IN_THE_WAY, (relations, relations, functions)).fetchall()]
    if names:
        more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
        raise taken(f"{', '.join(names[:NAMED_MAX])}{more}")


def refuse_unmakeable(db: PgConnection, steps: Sequence[str]) -> None:
    """Raises LedgerRefused where the role may not do these steps of the schema."""
    if any("CREATE" in text for text in steps) and not _may_create(db):
        raise may_not("permission denied to create in it")
    changed = [name for text in steps for name in _CHANGED.findall(text)]
    others = [row[0] for row in db.execute(NOT_OWNED, (changed,)).fetchall()]
    if others:
        raise may_not(f"must be owner of table {others[0]}")


def _may_create(db: PgConnection) -> bool:
    return bool(db.execute("SELECT has_schema_privilege(current_schema(), 'CREATE')").fetchone()[0])
