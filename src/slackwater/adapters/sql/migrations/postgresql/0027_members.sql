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

-- Several write to the audit log beside each other, and whose number is smaller may be seen later. Who writes holds a lock from before
-- its number is given; who reads on from a number that it has seen waits for them.
CREATE FUNCTION audit_entered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('slackwater audit'), hashtext(current_schema()));
    RETURN NULL;
END $$;
CREATE TRIGGER audit_entered BEFORE INSERT ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_entered();

CREATE FUNCTION audit_settled() RETURNS BIGINT LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('slackwater audit'), hashtext(current_schema()));
    RETURN COALESCE((SELECT max(seq) FROM audit), 0);
END $$;
