"""This version with one step of the schema more, as the next one may have it: `python -m tests.cluster.later_version serve ...`.

Its step is as disturbing as steps may be: it takes the tables that are written most, in another order than servers do, adds
columns that those know nothing of, and a trigger to what they write.
"""

import tempfile
from pathlib import Path

import slackwater
from slackwater.adapters.sql import sqlite
from slackwater.adapters.sql.postgresql import schema
from slackwater.cli import main

NUMBER = sqlite.SCHEMA_VERSION + 1
STEP = """
ALTER TABLE segment ADD COLUMN later INTEGER NOT NULL DEFAULT 7;
ALTER TABLE shard ADD COLUMN later TEXT;
ALTER TABLE batch ADD COLUMN later REAL NOT NULL DEFAULT 0;
ALTER TABLE file ADD COLUMN later TEXT NOT NULL DEFAULT '';
ALTER TABLE member ADD COLUMN later INTEGER NOT NULL DEFAULT 0;
CREATE TABLE later (batch TEXT PRIMARY KEY, seen INTEGER NOT NULL);
CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO later (batch, seen) VALUES (NEW.id, 1) ON CONFLICT (batch) DO UPDATE SET seen = later.seen + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER later AFTER INSERT OR UPDATE OF stage ON batch FOR EACH ROW EXECUTE FUNCTION later();
"""


def become() -> None:
    """From now on this process is of the later version."""
    place = Path(tempfile.mkdtemp(prefix="slackwater-later-")) / f"{NUMBER:04}_later.sql"
    place.write_text(STEP)
    schema.OWN[NUMBER] = place
    schema.SCHEMA_VERSION = NUMBER
    slackwater.__version__ = f"{slackwater.__version__}.later"


if __name__ == "__main__":
    become()
    main()
