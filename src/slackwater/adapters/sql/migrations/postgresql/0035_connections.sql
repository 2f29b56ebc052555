-- Schema 35. Connections: engines that an administrator has added while the service runs. Keys that are stored with them have a table of
-- their own, sealed as they are, which can be left out of a dump. What deployments are made of has changed with either.

CREATE TABLE connection (
    resource   TEXT NOT NULL,
    name       TEXT NOT NULL,
    url        TEXT NOT NULL,
    key_env    TEXT,
    key_header TEXT,
    key_stored BIGINT NOT NULL,
    made_by    TEXT NOT NULL,
    etag       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (resource, name)
);

CREATE TABLE connection_secret (
    resource TEXT NOT NULL,
    name     TEXT NOT NULL,
    sealed   TEXT NOT NULL,
    set_at   BIGINT NOT NULL,
    PRIMARY KEY (resource, name)
);
CREATE TRIGGER has_changed AFTER INSERT OR UPDATE OR DELETE ON connection FOR EACH ROW EXECUTE FUNCTION has_changed('deployments');
CREATE TRIGGER has_changed AFTER INSERT OR UPDATE OR DELETE ON connection_secret FOR EACH ROW EXECUTE FUNCTION has_changed('deployments');
