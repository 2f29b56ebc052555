"""Steps of the schema are done while servers of the version before work on: what none of them may do (docs/upgrading.md)."""

import re
from collections.abc import Iterator

import pytest

from slackwater.adapters.sql.postgresql.schema import OWN
from slackwater.adapters.sql.postgresql.text import schema
from slackwater.adapters.sql.sqlite import MIGRATIONS

# Since this number servers of two versions work side by side.
SINCE = 30
# Tables that have a row for each file, batch, run of lines, minute or call. A step that reads all of one keeps servers waiting.
LARGE = {
    "audit", "batch", "batch_history", "batch_region", "batch_text", "deleted_file", "engine_minute", "file", "segment", "shard",
    "upload", "upload_part", "usage_day", "webhook_delivery",
}  # fmt: skip
# Lines that let a step through: `-- contracts 0031: nobody reads it since that step`, where it takes something away, and
# `-- disturbs: 0.2 s for 100,000 batches`, where it keeps servers waiting and somebody has measured for how long.
CONTRACTS = re.compile(r"^--\s*contracts (\d{4}): \S.*$", re.MULTILINE)
DISTURBS = re.compile(r"^--\s*disturbs: \S*\d.*$", re.MULTILINE)
# What needs no step before it, because nobody knows the table yet.
MADE = re.compile(r"\bCREATE TABLE(?: IF NOT EXISTS)? (\w+)", re.IGNORECASE)

ADDS = r"\bADD\s+(?:COLUMN\s+)?\w+\s"
NO_VALUE = r"(?![^,;]*\b(?:DEFAULT|GENERATED)\b)[^,;]*\bNOT\s+NULL\b"
# The version before would fail, or write what the new one does not expect.
BREAKS: list[tuple[str, str]] = [
    (r"\bDROP\s+(?:TABLE|COLUMN|VIEW|FUNCTION|TRIGGER)\b", "say which step made it unused (`-- contracts 0031: why`)"),
    (r"\bALTER\s+TABLE\s+\w+\s+DROP\b", "say which step made it unused (`-- contracts 0031: why`)"),
    (r"\bRENAME\b", "add the new name, and drop the old one a version later"),
    (r"\bALTER\s+COLUMN\s+\w+\s+(?:SET\s+DATA\s+)?TYPE\b", "add a column of that type"),
    (r"\bSET\s+NOT\s+NULL\b", "the version before writes none"),
    (rf"{ADDS}{NO_VALUE}", "the version before does not know it: give it a DEFAULT"),
    (rf"{ADDS}[^;]*\b(?:UNIQUE|PRIMARY\s+KEY|REFERENCES|CHECK)\b", "the version before does not keep to it"),
    (r"\bADD\s+(?:CONSTRAINT|CHECK|UNIQUE|PRIMARY|FOREIGN)\b", "the version before does not keep to it"),
    (r"^CREATE UNIQUE INDEX", "the version before may write the same twice"),
    (r"\b(?:LOCK\s+TABLE|TRUNCATE|CLUSTER|VACUUM|REINDEX|COMMIT|BEGIN\s*;)", "that is no step"),
]
# Whoever needs the table waits for all of it.
WAITS: list[tuple[str, str]] = [
    (rf"{ADDS}[^;]*?\bDEFAULT\s*\(?\s*\w+\s*\(", "a default that is called writes the whole table anew"),
    (rf"{ADDS}[^;]*\bGENERATED\b", "the whole table is written anew"),
]


def statements(text: str) -> Iterator[str]:
    """What a step does, one after the other; the body of a function is no statement of the step."""
    bare = re.sub(r"\$(\w*)\$.*?\$\1\$", "''", re.sub(r"--[^\n]*", "", text), flags=re.DOTALL)
    yield from (" ".join(each.split()) for each in re.split(r";", bare) if each.strip())


def faults(text: str, *, number: int = SINCE + 1) -> list[str]:
    """Why a step would disturb those who work."""
    own = {name.lower() for name in MADE.findall(text)}
    breaks, waits = [], []
    for statement in statements(text):
        of = re.search(r"\b(?:ALTER TABLE|UPDATE|DELETE FROM|ON)(?: IF EXISTS| ONLY)* (\w+)", statement, re.IGNORECASE)
        table = of[1].lower() if of else ""
        if table in own:
            continue
        for rules, found in ((BREAKS, breaks), (WAITS, waits)):
            found += [f"{statement}: {why}" for rule, why in rules if re.search(rule, statement, re.IGNORECASE)]
        read = LARGE.intersection(re.findall(r"\b(?:from|join)\s+(\w+)", statement.lower()))
        if read and not re.match(r"CREATE (?:OR REPLACE )?VIEW", statement, re.IGNORECASE):
            waits.append(f"{statement}: {', '.join(sorted(read))} is large, and all of it is read")
        elif table in LARGE and re.match(r"CREATE INDEX|UPDATE", statement, re.IGNORECASE):
            waits.append(f"{statement}: {table} is large, and nobody writes to it meanwhile")
    contracts = [int(each) for each in CONTRACTS.findall(text)]
    return [*([] if contracts and max(contracts) < number else breaks), *([] if DISTURBS.search(text) else waits)]


def test_no_step_disturbs_those_who_work() -> None:
    """PostgreSQL's own text of a number, or the one for both."""
    steps = {int(path.name[:4]): path for path in MIGRATIONS} | OWN
    found = {
        path.name: faults(path.read_text("utf-8"), number=number) for number, path in steps.items() if number >= SINCE
    }
    assert {name: why for name, why in found.items() if why} == {}


def test_the_large_tables_are_there() -> None:
    """Otherwise a rule would be about nothing."""
    made = {name for path in (*MIGRATIONS, *OWN.values()) for name in MADE.findall(path.read_text("utf-8"))}
    assert made >= LARGE


@pytest.mark.parametrize(
    "step",
    [
        "ALTER TABLE batch DROP COLUMN model;",
        "ALTER TABLE batch DROP model;",
        "DROP TABLE member_word;",
        "ALTER TABLE batch RENAME COLUMN model TO name;",
        "ALTER TABLE member_word RENAME TO word;",
        "ALTER TABLE batch ALTER COLUMN total TYPE REAL;",
        "ALTER TABLE batch ALTER COLUMN model SET NOT NULL;",
        "ALTER TABLE batch ADD COLUMN later INTEGER NOT NULL;",
        "ALTER TABLE batch ADD COLUMN a INTEGER NOT NULL DEFAULT 0, ADD COLUMN later TEXT NOT NULL;",
        "ALTER TABLE batch ADD COLUMN later REAL NOT NULL DEFAULT random();",
        "ALTER TABLE batch ADD COLUMN later TEXT UNIQUE;",
        "ALTER TABLE batch ADD CONSTRAINT few CHECK (total < 9);",
        "CREATE UNIQUE INDEX one ON member (host);",
        "CREATE INDEX slow ON shard (batch_id);",
        "UPDATE batch SET total = 0;",
        "delete from segment;",
        "INSERT INTO member_word (topic) SELECT id FROM batch;",
        "-- DROP is not meant\nalter table batch\n  drop column model;",
        "-- disturbs: 1 s\nALTER TABLE batch DROP COLUMN model;",
        "-- disturbs: hardly\nCREATE INDEX slow ON shard (batch_id);",
        "-- contracts 0030: why\nCREATE INDEX slow ON shard (batch_id);",
        "ALTER TABLE batch ADD COLUMN later INTEGER GENERATED ALWAYS AS (total + 1) STORED;",
        "-- contracts 0031: itself\nALTER TABLE batch DROP COLUMN model;",
        "CREATE TABLE later (name TEXT); DROP TRIGGER told_of_end ON batch;",
    ],
)
def test_what_no_step_may_do(step: str) -> None:
    """Each of these would make servers of the version before fail, or wait."""
    assert faults(step)


@pytest.mark.parametrize(
    "step",
    [
        "ALTER TABLE batch ADD COLUMN later INTEGER;",
        "ALTER TABLE batch ADD COLUMN later INTEGER NOT NULL DEFAULT 0;",
        "ALTER TABLE batch ADD COLUMN later INTEGER DEFAULT 0 NOT NULL;",
        "CREATE TABLE later (name TEXT PRIMARY KEY, batch TEXT NOT NULL); CREATE UNIQUE INDEX l ON later (batch);",
        "CREATE TABLE later (name TEXT); CREATE INDEX l ON later (name); UPDATE later SET name = '';",
        "CREATE INDEX by_host ON member (host);",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE batch SET total = 1; RETURN NULL; END $$;",
        "CREATE TRIGGER t AFTER INSERT ON batch FOR EACH ROW EXECUTE FUNCTION told('new');",
        "-- DROP TABLE batch is what nobody does\nCREATE TABLE later (name TEXT);",
        "-- contracts 0030: nobody reads it since then\nALTER TABLE batch DROP COLUMN model;",
        "-- disturbs: 0.2 s for 100,000 batches\nCREATE INDEX quick ON batch (stage) WHERE stage = 'ending';",
    ],
)  # fmt: skip
def test_what_a_step_may_do(step: str) -> None:
    """It adds, and takes away what a step before it has made unused. Both texts of it are judged alike."""
    assert faults(step) == []
    assert faults(schema(step).decode()) == [] or step.startswith("-- ")
