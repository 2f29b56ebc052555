"""A database on PostgreSQL, asked past the ledger."""

import psycopg

# Connections of a ledger.
OURS = "FROM pg_stat_activity WHERE application_name LIKE 'slackwater %' AND datname = current_database()"


def rows(address: str, query: str) -> list[tuple[object, ...]]:
    """What a statement gives."""
    with psycopg.connect(address, autocommit=True) as db:
        return db.execute(query.encode()).fetchall()


def told(address: str, *statements: str) -> None:
    """Runs statements that give no rows."""
    with psycopg.connect(address, autocommit=True) as db:
        for each in statements:
            db.execute(each.encode())
