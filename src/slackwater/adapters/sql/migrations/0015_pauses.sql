-- Schema 15. What operators have paused: engines, deployments and batches. And what became of every engine, minute by minute.

CREATE TABLE pause (
    what     TEXT NOT NULL,
    target   TEXT NOT NULL,
    resource TEXT NOT NULL,
    who      TEXT NOT NULL,
    reason   TEXT NOT NULL,
    since    INTEGER NOT NULL,
    PRIMARY KEY (what, target)
) WITHOUT ROWID;

-- Shards of a paused batch that nobody has in hand are `paused` instead of `queued`, so that whoever claims never sees them.
ALTER TABLE batch ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
DROP INDEX batch_unranked;
CREATE INDEX batch_unranked ON batch (stage, seq) WHERE stage = 'running' AND ranked = 0 AND paused = 0;

-- Whatever ends a batch ends its pause, and no statement can forget it.
CREATE TRIGGER batch_unpaused AFTER UPDATE OF stage ON batch WHEN new.paused AND new.stage IN ('ending', 'ended') BEGIN
    DELETE FROM pause WHERE what = 'batch' AND target = new.id;
    UPDATE batch SET paused = 0 WHERE seq = new.seq;
END;

-- Engines by a number, because there are many minutes. A minute has a row for each process that used the engine in it.
CREATE TABLE engine (
    number INTEGER PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE
);
CREATE TABLE engine_minute (
    engine            INTEGER NOT NULL,
    minute            INTEGER NOT NULL,
    owner             TEXT NOT NULL,
    state             TEXT NOT NULL,
    seconds           REAL NOT NULL,
    paused_seconds    REAL NOT NULL,
    slots             INTEGER NOT NULL,
    in_flight_seconds REAL NOT NULL,
    in_flight_max     INTEGER NOT NULL,
    calls             INTEGER NOT NULL,
    failed            INTEGER NOT NULL,
    tokens            INTEGER NOT NULL,
    call_seconds      REAL NOT NULL,
    call_counts       TEXT,
    PRIMARY KEY (engine, minute, owner)
) WITHOUT ROWID;
