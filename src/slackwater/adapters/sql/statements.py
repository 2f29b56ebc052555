"""The statements of the ledger by name, as `queries.sql` has them: text that every database takes, but for a few."""

from pathlib import Path

import aiosql

QUERIES = aiosql.from_path(Path(__file__).parent / "queries.sql", "sqlite3", mandatory_parameters=False)


def statement(name: str) -> str:
    """The text of a statement."""
    text: str = getattr(QUERIES, name).sql
    return text
