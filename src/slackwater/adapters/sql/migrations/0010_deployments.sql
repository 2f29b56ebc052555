-- Schema 10. Deployments that were made over the API, as they were asked for; those of the configuration are not here. And the
-- regions that have answered requests of a batch: a row for each, so few.

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

CREATE TABLE batch_region (
    batch_seq INTEGER NOT NULL,
    region    TEXT NOT NULL,
    PRIMARY KEY (batch_seq, region)
) WITHOUT ROWID;
