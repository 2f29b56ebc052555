-- For how long things are kept, where not for ever, and since when that is so.
CREATE TABLE retention (
    resource TEXT NOT NULL,
    kept     TEXT NOT NULL,
    days     INTEGER NOT NULL,
    since    INTEGER NOT NULL,
    PRIMARY KEY (resource, kept)
) WITHOUT ROWID;

-- What goes first. A batch has one of these moments from its end on.
CREATE INDEX batch_by_end ON batch (resource, coalesce(completed_at, failed_at, expired_at, cancelled_at), seq)
WHERE stage = 'ended';

CREATE INDEX file_by_age ON file (resource, purpose, created_at, seq);
