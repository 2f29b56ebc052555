-- Made by tests/adapters/schemas/make.py when schema 12 was released. Not to be changed.
BEGIN TRANSACTION;
CREATE TABLE api_key (
    resource   TEXT NOT NULL,
    role       TEXT NOT NULL,
    slot       TEXT NOT NULL,
    digest     TEXT NOT NULL,
    hint       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (resource, role, slot)
) WITHOUT ROWID;
INSERT INTO "api_key" VALUES('default','admin','key1','d160d0775179914a9833dfd5b64d1621ff5091eae7cda275ae7f364bb35ee9f1','6789',1760000000);
CREATE TABLE audit (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    resource   TEXT NOT NULL,
    who        TEXT NOT NULL,
    action     TEXT NOT NULL,
    object     TEXT NOT NULL,
    detail     TEXT NOT NULL,
    request_id TEXT NOT NULL
);
INSERT INTO "audit" VALUES(1,1760000000,'default','admin/key1','create_batch','batch_done','{}','00000000-0000-0000-0000-000000000001');
CREATE TABLE audit_horizon (
    only      INTEGER PRIMARY KEY CHECK (only = 1),
    kept_from INTEGER NOT NULL
);
INSERT INTO "audit_horizon" VALUES(1,0);
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
, idempotency_key TEXT, idempotency_digest TEXT, resource TEXT NOT NULL DEFAULT 'default', price TEXT, first_result_at INTEGER);
INSERT INTO "batch" VALUES(1,'batch_done','file-in','files/file-in','/chat/completions','/chat/completions','24h','completed','ended',1760000001,1760086401,0,'{"empty_files": "create", "window_elapsed": "continue", "validation": "azure", "output_expires_seconds": null, "output_filename": "{id}_results.jsonl", "error_filename": "{id}_errors.jsonl"}','demo-batch','echo','{"team":"tides"}',24,4,4,0,4,0,56,0,NULL,'file-out','file-err',1760000010,1760000020,1760000021,NULL,NULL,NULL,NULL,NULL,NULL,'default',NULL,NULL);
INSERT INTO "batch" VALUES(2,'batch_refused','file-in','files/file-in','/chat/completions',NULL,'24h','failed','ended',1760000002,1760086402,0,'{"empty_files": "create", "window_elapsed": "continue", "validation": "azure", "output_expires_seconds": null, "output_filename": "{id}_results.jsonl", "error_filename": "{id}_errors.jsonl"}',NULL,NULL,NULL,0,0,0,0,0,0,0,0,'[{"code":"invalid_request","message":"Missing required parameter: ''custom_id''.","param":"custom_id","line":1}]',NULL,NULL,NULL,NULL,NULL,1760000005,NULL,NULL,NULL,NULL,NULL,'default',NULL,NULL);
INSERT INTO "batch" VALUES(3,'batch_open','file-in','files/file-in','/chat/completions','/chat/completions','24h','in_progress','running',1760000003,1760086403,0,'{"empty_files": "create", "window_elapsed": "continue", "validation": "azure", "output_expires_seconds": null, "output_filename": "{id}_results.jsonl", "error_filename": "{id}_errors.jsonl"}','demo-batch','echo',NULL,24,4,1,0,0,0,0,0,NULL,NULL,NULL,1760000010,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'default',NULL,NULL);
INSERT INTO "batch" VALUES(4,'batch_new','file-in','files/file-in','/chat/completions',NULL,'24h','validating','new',1760000004,1760086404,0,'{"empty_files": "create", "window_elapsed": "continue", "validation": "azure", "output_expires_seconds": null, "output_filename": "{id}_results.jsonl", "error_filename": "{id}_errors.jsonl"}',NULL,NULL,NULL,0,0,0,0,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'default',NULL,NULL);
CREATE TABLE batch_count (
    resource TEXT NOT NULL,
    status   TEXT NOT NULL,
    batches  INTEGER NOT NULL,
    PRIMARY KEY (resource, status)
) WITHOUT ROWID;
INSERT INTO "batch_count" VALUES('default','completed',1);
INSERT INTO "batch_count" VALUES('default','failed',1);
INSERT INTO "batch_count" VALUES('default','in_progress',1);
INSERT INTO "batch_count" VALUES('default','validating',1);
CREATE TABLE batch_region (
    batch_seq INTEGER NOT NULL,
    region    TEXT NOT NULL,
    PRIMARY KEY (batch_seq, region)
) WITHOUT ROWID;
INSERT INTO "batch_region" VALUES(1,'swedencentral');
CREATE TABLE batch_text (
    resource TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    text     TEXT NOT NULL,
    PRIMARY KEY (resource, seq)
) WITHOUT ROWID;
CREATE TABLE deleted_file (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id     TEXT NOT NULL,
    seq    INTEGER NOT NULL
, resource TEXT NOT NULL DEFAULT 'default');
INSERT INTO "deleted_file" VALUES(1,'file-gone',5,'default');
CREATE TABLE deployment (
    resource   TEXT NOT NULL,
    name       TEXT NOT NULL,
    body       TEXT NOT NULL,
    etag       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER,
    PRIMARY KEY (resource, name)
) WITHOUT ROWID;
INSERT INTO "deployment" VALUES('default','made-over-the-api','{"sku":{"name":"GlobalBatch","capacity":10},"properties":{"model":{"name":"demo-batch"}}}','"1"',1760000000,1760000000,NULL);
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
, resource TEXT NOT NULL DEFAULT 'default');
INSERT INTO "file" VALUES(1,'file-in','file-in.jsonl','batch',628,1760000000,NULL,'processed',NULL,'files/file-in','default');
INSERT INTO "file" VALUES(2,'file-out','file-out.jsonl','batch_output',872,1760000000,NULL,'processed',NULL,'results/batch_done/file-out','default');
INSERT INTO "file" VALUES(3,'file-err','file-err.jsonl','batch_output',0,1760000000,NULL,'processed',NULL,'results/batch_done/file-err','default');
INSERT INTO "file" VALUES(4,'file-url','url.jsonl','batch',0,1760000000,NULL,'pending',NULL,'files/file-url','default');
CREATE TABLE import (
    file_id    TEXT PRIMARY KEY REFERENCES file (id) ON DELETE CASCADE,
    url        TEXT NOT NULL,
    tries      INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    check_line INTEGER NOT NULL
);
INSERT INTO "import" VALUES('file-url','https://store.example/url.jsonl',1,4000000000.0,1);
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
INSERT INTO "segment" VALUES(1,3,0,1,'logs/batch_open/dead-0-0.output',0,218,NULL,NULL,NULL);
CREATE TABLE session (
    digest     TEXT PRIMARY KEY,
    resource   TEXT NOT NULL,
    role       TEXT NOT NULL,
    name       TEXT NOT NULL,
    anywhere   INTEGER NOT NULL,
    origin     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
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
INSERT INTO "shard" VALUES(3,0,'demo-batch',0,314,2,12,'running',1.0,1,'dead-0',1760000040.5,X'01');
INSERT INTO "shard" VALUES(3,1,'demo-batch',314,314,2,12,'queued',2.0,0,NULL,NULL,X'');
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
, resource TEXT NOT NULL DEFAULT 'default');
INSERT INTO "upload" VALUES('upload_open','parts.jsonl','batch',628,'application/jsonl','pending',1760000000,4000000000,NULL,NULL,NULL,NULL,1,628,'default');
CREATE TABLE upload_part (
    id         TEXT PRIMARY KEY,
    upload_id  TEXT NOT NULL,
    block_id   TEXT NOT NULL,
    size       INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    blob       TEXT NOT NULL
);
INSERT INTO "upload_part" VALUES('part_one','upload_open','',628,1760000000,'uploads/part_one');
CREATE TABLE usage_day (
    resource         TEXT NOT NULL,
    day              INTEGER NOT NULL,
    deployment       TEXT NOT NULL,
    model            TEXT NOT NULL,
    price            TEXT NOT NULL,
    requests         INTEGER NOT NULL,
    input_tokens     INTEGER NOT NULL,
    cached_tokens    INTEGER NOT NULL,
    output_tokens    INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    PRIMARY KEY (resource, day, deployment, model, price)
) WITHOUT ROWID;
INSERT INTO "usage_day" VALUES('default',20370,'demo-batch','echo','',4,4,0,56,0);
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
INSERT INTO "webhook_delivery" VALUES(1,'msg_one','whe_one','evt_one','batch.completed','batch_done',4000000000,'delivered',1,1760000021.0,200,NULL,4000000000);
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
INSERT INTO "webhook_endpoint" VALUES(1,'whe_one','default','ours','https://hooks.example/batch','["batch.completed"]','[{"text":"whsec_c2xhY2t3YXRlci1zbGFja3dhdGVyLTEyMzQ=","until":null}]',1760000000,1760000000,NULL,NULL,NULL,NULL,0,0.0);
CREATE INDEX file_by_blob ON file (blob);
CREATE INDEX file_by_expiry ON file (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX batch_by_stage ON batch (stage, seq);
CREATE INDEX batch_by_deployment ON batch (deployment, stage);
CREATE INDEX batch_by_input ON batch (input_blob, stage);
CREATE INDEX shard_to_claim ON shard (deployment, rank, batch_seq, idx) WHERE state = 'queued' AND rank IS NOT NULL;
CREATE INDEX shard_unranked ON shard (batch_seq) WHERE rank IS NULL;
CREATE INDEX shard_running ON shard (owner) WHERE state = 'running';
CREATE INDEX segment_by_batch ON segment (batch_seq, seq);
CREATE INDEX segment_of_shard ON segment (batch_seq, idx, epoch, seq);
CREATE INDEX upload_to_expire ON upload (expires_at) WHERE ended_at IS NULL;
CREATE INDEX upload_to_empty ON upload (ended_at) WHERE ended_at IS NOT NULL AND parts > 0;
CREATE INDEX upload_to_forget ON upload (ended_at) WHERE ended_at IS NOT NULL AND parts = 0;
CREATE INDEX upload_part_of ON upload_part (upload_id);
CREATE INDEX deleted_file_by_id ON deleted_file (id);
CREATE INDEX file_lasting ON file (resource, seq) WHERE expires_at IS NULL AND purpose != 'batch_output';
CREATE INDEX file_expiring ON file (resource, seq) WHERE expires_at IS NOT NULL AND purpose != 'batch_output';
CREATE INDEX file_by_purpose ON file (resource, purpose, seq);
CREATE INDEX file_by_resource ON file (resource, seq);
CREATE UNIQUE INDEX batch_by_idempotency ON batch (resource, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX batch_by_creation ON batch (
    resource, created_at, seq, status, expires_at, in_progress_at, finalizing_at, completed_at, failed_at, expired_at,
    cancelling_at, cancelled_at, endpoint, input_file_id
);
CREATE INDEX batch_by_status ON batch (
    resource, status, created_at, seq, expires_at, in_progress_at, finalizing_at, completed_at, failed_at, expired_at,
    cancelling_at, cancelled_at, endpoint, input_file_id
);
CREATE INDEX webhook_endpoint_by_resource ON webhook_endpoint (resource, seq);
CREATE INDEX webhook_delivery_due ON webhook_delivery (endpoint_id, due_at) WHERE state = 'pending';
CREATE INDEX webhook_delivery_by_endpoint ON webhook_delivery (endpoint_id, seq);
CREATE INDEX webhook_delivery_ended ON webhook_delivery (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX audit_of_resource ON audit (resource, seq);
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is only ever added to');
END;
CREATE TRIGGER audit_is_never_replaced BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE seq = NEW.seq)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is only ever added to');
END;
CREATE TRIGGER audit_is_shortened_at_its_old_end BEFORE DELETE ON audit
WHEN OLD.at >= (SELECT kept_from FROM audit_horizon)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is only ever added to');
END;
CREATE INDEX session_by_expiry ON session (expires_at);
CREATE INDEX batch_newest ON batch (resource);
CREATE INDEX batch_newest_of_status ON batch (resource, status);
CREATE INDEX batch_newest_of_deployment ON batch (resource, deployment);
CREATE TRIGGER batch_counted AFTER INSERT ON batch BEGIN
    INSERT INTO batch_count (resource, status, batches) VALUES (new.resource, new.status, 1)
    ON CONFLICT (resource, status) DO UPDATE SET batches = batches + 1;
END;
CREATE TRIGGER batch_recounted AFTER UPDATE OF status ON batch WHEN old.status != new.status BEGIN
    UPDATE batch_count SET batches = batches - 1 WHERE resource = old.resource AND status = old.status;
    INSERT INTO batch_count (resource, status, batches) VALUES (new.resource, new.status, 1)
    ON CONFLICT (resource, status) DO UPDATE SET batches = batches + 1;
END;
CREATE TRIGGER batch_uncounted AFTER DELETE ON batch BEGIN
    UPDATE batch_count SET batches = batches - 1 WHERE resource = old.resource AND status = old.status;
END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('deleted_file',1);
INSERT INTO "sqlite_sequence" VALUES('webhook_endpoint',1);
INSERT INTO "sqlite_sequence" VALUES('webhook_delivery',1);
INSERT INTO "sqlite_sequence" VALUES('audit',1);
COMMIT;
