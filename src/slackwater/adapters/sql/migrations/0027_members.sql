-- Who works with a ledger that several may work with at once, and what each of them is doing that nobody else is to do meanwhile. An
-- embedded ledger has one who works with it, and no row here.
CREATE TABLE member (
    id         TEXT PRIMARY KEY,
    host       TEXT NOT NULL,
    version    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    started_at REAL NOT NULL,
    until      REAL NOT NULL,
    dead_at    REAL
) WITHOUT ROWID;

CREATE TABLE duty (
    kind   TEXT NOT NULL,
    thing  TEXT NOT NULL,
    member TEXT NOT NULL,
    PRIMARY KEY (kind, thing)
) WITHOUT ROWID;
CREATE INDEX duty_of ON duty (member);
