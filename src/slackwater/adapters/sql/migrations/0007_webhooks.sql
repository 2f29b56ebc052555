-- Schema 7: endpoints that hear how batches end, and the outbox of what they are to hear. A delivery is one event for one
-- endpoint; it is written in the transaction that ends the batch. Secrets are needed to sign, so they are kept as they are.

CREATE TABLE webhook_endpoint (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL UNIQUE,
    resource        TEXT NOT NULL,
    name            TEXT NOT NULL,
    url             TEXT NOT NULL,
    event_types     TEXT NOT NULL,
    secrets         TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    disabled_at     INTEGER,
    last_success_at INTEGER,
    last_failure_at INTEGER,
    last_failure    TEXT,
    failures        INTEGER NOT NULL DEFAULT 0,
    paused_until    REAL NOT NULL DEFAULT 0
);
CREATE INDEX webhook_endpoint_by_resource ON webhook_endpoint (resource, seq);

CREATE TABLE webhook_delivery (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,
    endpoint_id  TEXT NOT NULL REFERENCES webhook_endpoint (id) ON DELETE CASCADE,
    event_id     TEXT NOT NULL,
    type         TEXT NOT NULL,
    batch_id     TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    state        TEXT NOT NULL DEFAULT 'pending',
    tries        INTEGER NOT NULL DEFAULT 0,
    due_at       REAL NOT NULL,
    last_status  INTEGER,
    last_failure TEXT,
    ended_at     INTEGER
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (endpoint_id, due_at) WHERE state = 'pending';
CREATE INDEX webhook_delivery_by_endpoint ON webhook_delivery (endpoint_id, seq);
CREATE INDEX webhook_delivery_ended ON webhook_delivery (ended_at) WHERE ended_at IS NOT NULL;
