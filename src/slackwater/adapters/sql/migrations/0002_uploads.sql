-- Schema 2: files that come in parts. Rows of an upload that has ended are kept for a day, those of its parts until their
-- bytes are gone; `parts` and `part_bytes` count those rows.

CREATE TABLE upload (
    id                    TEXT PRIMARY KEY,
    filename              TEXT NOT NULL,
    purpose               TEXT NOT NULL,
    size                  INTEGER NOT NULL,
    mime_type             TEXT NOT NULL,
    status                TEXT NOT NULL,
    created_at            INTEGER NOT NULL,
    expires_at            INTEGER NOT NULL,
    file_lifetime_seconds INTEGER,
    file_id               TEXT,
    completed_with        TEXT,
    ended_at              INTEGER,
    parts                 INTEGER NOT NULL DEFAULT 0,
    part_bytes            INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX upload_to_expire ON upload (expires_at) WHERE ended_at IS NULL;
CREATE INDEX upload_to_empty ON upload (ended_at) WHERE ended_at IS NOT NULL AND parts > 0;
CREATE INDEX upload_to_forget ON upload (ended_at) WHERE ended_at IS NOT NULL AND parts = 0;

CREATE TABLE upload_part (
    id         TEXT PRIMARY KEY,
    upload_id  TEXT NOT NULL,
    block_id   TEXT NOT NULL,
    size       INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    blob       TEXT NOT NULL
);
CREATE INDEX upload_part_of ON upload_part (upload_id);
