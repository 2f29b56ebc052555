-- Schema 5. A repeated create finds the batch that the first one made; uploads are counted without reading every row.

ALTER TABLE batch ADD COLUMN idempotency_key TEXT;
ALTER TABLE batch ADD COLUMN idempotency_digest TEXT;
CREATE UNIQUE INDEX batch_by_idempotency ON batch (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX file_lasting ON file (seq) WHERE expires_at IS NULL AND purpose != 'batch_output';
CREATE INDEX file_expiring ON file (seq) WHERE expires_at IS NOT NULL AND purpose != 'batch_output';

-- Where deleted files stood in the order of creation: who deletes what a list shows goes on behind it. Only the newest stay.
CREATE TABLE deleted_file (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id     TEXT NOT NULL,
    seq    INTEGER NOT NULL
);
CREATE INDEX deleted_file_by_id ON deleted_file (id);
