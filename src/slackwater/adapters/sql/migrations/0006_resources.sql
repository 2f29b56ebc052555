-- Schema 6. Files, batches and uploads belong to a resource; what was there before belongs to the default one. Lists,
-- quotas and idempotency keys are each resource's own, so their indexes begin with it.

ALTER TABLE file ADD COLUMN resource TEXT NOT NULL DEFAULT 'default';
ALTER TABLE batch ADD COLUMN resource TEXT NOT NULL DEFAULT 'default';
ALTER TABLE upload ADD COLUMN resource TEXT NOT NULL DEFAULT 'default';
ALTER TABLE deleted_file ADD COLUMN resource TEXT NOT NULL DEFAULT 'default';

DROP INDEX file_lasting;
DROP INDEX file_expiring;
DROP INDEX file_by_purpose;
CREATE INDEX file_lasting ON file (resource, seq) WHERE expires_at IS NULL AND purpose != 'batch_output';
CREATE INDEX file_expiring ON file (resource, seq) WHERE expires_at IS NOT NULL AND purpose != 'batch_output';
CREATE INDEX file_by_purpose ON file (resource, purpose, seq);
CREATE INDEX file_by_resource ON file (resource, seq);

DROP INDEX batch_by_idempotency;
DROP INDEX batch_by_creation;
DROP INDEX batch_by_status;
CREATE UNIQUE INDEX batch_by_idempotency ON batch (resource, idempotency_key) WHERE idempotency_key IS NOT NULL;
-- The other columns are there for what migration 4 says.
CREATE INDEX batch_by_creation ON batch (
    resource, created_at, seq, status, expires_at, in_progress_at, finalizing_at, completed_at, failed_at, expired_at,
    cancelling_at, cancelled_at, endpoint, input_file_id
);
CREATE INDEX batch_by_status ON batch (
    resource, status, created_at, seq, expires_at, in_progress_at, finalizing_at, completed_at, failed_at, expired_at,
    cancelling_at, cancelled_at, endpoint, input_file_id
);

-- A role of a resource has two keys at most. Only their digests are kept.
CREATE TABLE api_key (
    resource   TEXT NOT NULL,
    role       TEXT NOT NULL,
    slot       TEXT NOT NULL,
    digest     TEXT NOT NULL,
    hint       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (resource, role, slot)
) WITHOUT ROWID;
