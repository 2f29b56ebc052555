-- Schema 35. Connections: engines that an administrator has added while the service runs. Keys that are stored with them have a table of
-- their own, sealed as they are: it is left out of back-ups, and can be left out of a dump.

CREATE TABLE connection (
    resource   TEXT NOT NULL,
    name       TEXT NOT NULL,
    url        TEXT NOT NULL,
    key_env    TEXT,
    key_header TEXT,
    key_stored INTEGER NOT NULL,
    made_by    TEXT NOT NULL,
    etag       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (resource, name)
) WITHOUT ROWID;

CREATE TABLE connection_secret (
    resource TEXT NOT NULL,
    name     TEXT NOT NULL,
    sealed   TEXT NOT NULL,
    set_at   INTEGER NOT NULL,
    PRIMARY KEY (resource, name)
) WITHOUT ROWID;
