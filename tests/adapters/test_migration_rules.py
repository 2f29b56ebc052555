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
    "audit", "batch", "batch_region", "batch_text", "deleted_file", "engine_minute", "file", "segment", "shard", "upload",
    "upload_part", "usage_day", "webhook_delivery",
}  # fmt: skip
# A line that says so lets a statement through: `-- contracts 0031: nobody reads it since that step`.
CONTRACTS = re.compile(r"^--\s*contracts (\d{4}): \S.*$", re.MULTILINE)
# What needs no step before it, because nobody knows the table yet.
MADE = re.compile(r"\bCREATE TABLE(?: IF NOT EXISTS)? (\w+)", re.IGNORECASE)

EXPANDS, CONTRACT = "the version before would fail", "say which step made it unused (`-- contracts 0031: why`)"
ADDS = r"\bADD\s+(?:COLUMN\s+)?\w+\s"
RULES: list[tuple[str, str]] = [
    (r"\bDROP\s+(?:TABLE|COLUMN|VIEW|FUNCTION|TRIGGER)\b", f"{EXPANDS}: {CONTRACT}"),
    (r"\bALTER\s+TABLE\s+\w+\s+DROP\b", f"{EXPANDS}: {CONTRACT}"),
    (r"\bRENAME\b", f"{EXPANDS}: add the new name, and drop the old one a version later"),
    (r"\bALTER\s+COLUMN\s+\w+\s+(?:SET\s+DATA\s+)?TYPE\b", "it writes the whole table anew, and plans no longer fit"),
    (r"\bSET\s+NOT\s+NULL\b", f"{EXPANDS}: {CONTRACT}"),
    (rf"{ADDS}(?![^,;]*\bDEFAULT\b)[^,;]*\bNOT\s+NULL\b", f"{EXPANDS}, which does not know it: give it a DEFAULT"),
    (rf"{ADDS}[^;]*?\bDEFAULT\s*\(?\s*\w+\s*\(", "a default that is called writes the whole table anew"),
    (rf"{ADDS}[^;]*\b(?:UNIQUE|PRIMARY\s+KEY|REFERENCES|GENERATED|CHECK)\b", f"{EXPANDS}, or all of it is looked at"),
    (r"\bADD\s+(?:CONSTRAINT|CHECK|UNIQUE|PRIMARY|FOREIGN)\b", f"{EXPANDS}, and all of it is looked at"),
    (r"\b(?:LOCK\s+TABLE|TRUNCATE|CLUSTER|VACUUM|REINDEX|COMMIT|BEGIN\s*;)", "it keeps everybody waiting"),
]


def statements(text: str) -> Iterator[str]:
    """What a step does, one after the other; the body of a function is no statement of the step."""
    bare = re.sub(r"\$(\w*)\$.*?\$\1\$", "''", re.sub(r"--[^\n]*", "", text), flags=re.DOTALL)
    yield from (" ".join(each.split()) for each in re.split(r";", bare) if each.strip())


def faults(text: str, *, number: int = SINCE + 1) -> list[str]:
    """Why a step would disturb those who work."""
    contracts = [int(each) for each in CONTRACTS.findall(text)]
    if contracts and max(contracts) < number:
        return []
    own = {name.lower() for name in MADE.findall(text)}
    found = []
    for statement in statements(text):
        of = re.search(r"\b(?:ALTER TABLE|UPDATE|DELETE FROM|ON)(?: IF EXISTS| ONLY)* (\w+)", statement, re.IGNORECASE)
        table = of[1].lower() if of else ""
        if table in own:
            continue
        found += [f"{statement}: {why}" for rule, why in RULES if re.search(rule, statement, re.IGNORECASE)]
        if re.match(r"CREATE UNIQUE INDEX", statement, re.IGNORECASE):
            found.append(f"{statement}: the version before may write the same twice")
        elif table in LARGE and re.match(r"CREATE INDEX|UPDATE|DELETE", statement, re.IGNORECASE):
            found.append(f"{statement}: {table} is large, and nobody writes to it meanwhile")
    return found


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
        "-- DROP is not meant\nalter table batch\n  drop column model;",
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
    ],
)  # fmt: skip
def test_what_a_step_may_do(step: str) -> None:
    """It adds, and takes away what a step before it has made unused. Both texts of it are judged alike."""
    assert faults(step) == []
    assert faults(schema(step).decode()) == [] or "contracts" in step
