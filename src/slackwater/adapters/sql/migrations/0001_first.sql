-- Schema 1. Rows are few: files, batches, shards of running batches, segments of running batches. Bytes live in blobs.
-- Moments are whole seconds since 1970, leases fractions of them. `seq` is the order of creation and the cursor of lists.

CREATE TABLE file (
    seq            INTEGER PRIMARY KEY,
    id             TEXT NOT NULL UNIQUE,
    filename       TEXT NOT NULL,
    purpose        TEXT NOT NULL,
    size           INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER,
    status         TEXT NOT NULL,
    status_details TEXT,
    blob           TEXT NOT NULL
);
CREATE INDEX file_by_purpose ON file (purpose, seq);
CREATE INDEX file_by_blob ON file (blob);
CREATE INDEX file_by_expiry ON file (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE batch (
    seq               INTEGER PRIMARY KEY,
    id                TEXT NOT NULL UNIQUE,
    input_file_id     TEXT NOT NULL,
    input_blob        TEXT NOT NULL,
    endpoint          TEXT NOT NULL,
    dispatch_endpoint TEXT,
    completion_window TEXT NOT NULL,
    status            TEXT NOT NULL,
    stage             TEXT NOT NULL,
    created_at        INTEGER NOT NULL,
    expires_at        INTEGER NOT NULL,
    expires           INTEGER NOT NULL,
    policies          TEXT NOT NULL,
    deployment        TEXT,
    model             TEXT,
    metadata          TEXT,
    enqueued_tokens   INTEGER NOT NULL DEFAULT 0,
    total             INTEGER NOT NULL DEFAULT 0,
    completed         INTEGER NOT NULL DEFAULT 0,
    failed            INTEGER NOT NULL DEFAULT 0,
    input_tokens      INTEGER NOT NULL DEFAULT 0,
    cached_tokens     INTEGER NOT NULL DEFAULT 0,
    output_tokens     INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens  INTEGER NOT NULL DEFAULT 0,
    errors            TEXT,
    output_file_id    TEXT,
    error_file_id     TEXT,
    in_progress_at    INTEGER,
    finalizing_at     INTEGER,
    completed_at      INTEGER,
    failed_at         INTEGER,
    expired_at        INTEGER,
    cancelling_at     INTEGER,
    cancelled_at      INTEGER
);
CREATE INDEX batch_by_stage ON batch (stage, seq);
CREATE INDEX batch_by_deployment ON batch (deployment, stage);
CREATE INDEX batch_by_input ON batch (input_blob, stage);

CREATE TABLE shard (
    batch_seq   INTEGER NOT NULL,
    idx         INTEGER NOT NULL,
    deployment  TEXT NOT NULL,
    offset_     INTEGER NOT NULL,
    length      INTEGER NOT NULL,
    lines       INTEGER NOT NULL,
    tokens      INTEGER NOT NULL,
    state       TEXT NOT NULL,
    rank        REAL,
    epoch       INTEGER NOT NULL DEFAULT 0,
    owner       TEXT,
    lease_until REAL,
    done        BLOB NOT NULL DEFAULT X'',
    PRIMARY KEY (batch_seq, idx)
) WITHOUT ROWID;
CREATE INDEX shard_to_claim ON shard (deployment, rank, batch_seq, idx) WHERE state = 'queued' AND rank IS NOT NULL;
CREATE INDEX shard_unranked ON shard (batch_seq) WHERE rank IS NULL;
CREATE INDEX shard_running ON shard (owner) WHERE state = 'running';

CREATE TABLE segment (
    seq           INTEGER PRIMARY KEY,
    batch_seq     INTEGER NOT NULL,
    idx           INTEGER NOT NULL,
    epoch         INTEGER NOT NULL,
    output_key    TEXT,
    output_offset INTEGER,
    output_length INTEGER,
    error_key     TEXT,
    error_offset  INTEGER,
    error_length  INTEGER
);
CREATE INDEX segment_by_batch ON segment (batch_seq, seq);
CREATE INDEX segment_of_shard ON segment (batch_seq, idx, epoch, seq);
