-- Schema 19. Which ledger this is, and how often it has been taken up. The data directory has the same beside its bytes, so that
-- they are never judged by a ledger that does not belong to them: what that one does not name would look like left-overs.

CREATE TABLE identity (
    one        INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    name       TEXT NOT NULL,
    generation INTEGER NOT NULL
);
INSERT INTO identity (one, name, generation) VALUES (1, lower(hex(randomblob(16))), 0);
