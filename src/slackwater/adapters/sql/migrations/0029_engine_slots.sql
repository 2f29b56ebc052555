-- What the members of a cluster share of engines. One row for each engine, which whoever divides its slots locks; who holds how many
-- until when; and what members say to each other.
CREATE TABLE shared_engine (
    engine TEXT NOT NULL PRIMARY KEY,
    asked  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE engine_slots (
    engine  TEXT NOT NULL,
    member  TEXT NOT NULL,
    wanted  INTEGER NOT NULL,
    slots   INTEGER NOT NULL,
    most    INTEGER NOT NULL,
    serial  INTEGER NOT NULL,
    until   REAL NOT NULL,
    longest REAL NOT NULL,
    known   INTEGER NOT NULL,
    alone   INTEGER NOT NULL,
    gone    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (engine, member)
) WITHOUT ROWID;
CREATE INDEX engine_slots_by_member ON engine_slots (member);

CREATE TABLE member_word (
    topic  TEXT NOT NULL,
    member TEXT NOT NULL,
    text   TEXT NOT NULL,
    number INTEGER NOT NULL,
    until  REAL NOT NULL,
    PRIMARY KEY (topic, member)
) WITHOUT ROWID;
