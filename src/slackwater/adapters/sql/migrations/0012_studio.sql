-- Schema 12. What people who watch need: sessions of browsers, lists of batches that are quick however many there are, and
-- when the first result of a batch came.

-- Only the digest of what a browser carries is kept.
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
CREATE INDEX session_by_expiry ON session (expires_at);

ALTER TABLE batch ADD COLUMN first_result_at INTEGER;

-- The row id, which is `seq`, ends every index: a page is the end of a range, whatever it is filtered by.
CREATE INDEX batch_newest ON batch (resource);
CREATE INDEX batch_newest_of_status ON batch (resource, status);
CREATE INDEX batch_newest_of_deployment ON batch (resource, deployment);

-- How many batches of each status a resource has, kept by the database itself: to count them would take longer every day.
CREATE TABLE batch_count (
    resource TEXT NOT NULL,
    status   TEXT NOT NULL,
    batches  INTEGER NOT NULL,
    PRIMARY KEY (resource, status)
) WITHOUT ROWID;
INSERT INTO batch_count (resource, status, batches) SELECT resource, status, COUNT(*) FROM batch GROUP BY resource, status;

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

-- What people look for in a batch: its id, the name of its input file, the values of its metadata, a line each, in small
-- letters. A table of its own is a twentieth of the rows of `batch`, so that looking through all of it is quick.
CREATE TABLE batch_text (
    resource TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    text     TEXT NOT NULL,
    PRIMARY KEY (resource, seq)
) WITHOUT ROWID;
INSERT INTO batch_text (resource, seq, text)
SELECT batch.resource, batch.seq, lower(
    batch.id || char(10) || COALESCE((SELECT filename FROM file WHERE file.id = batch.input_file_id), '') || char(10)
    || COALESCE((SELECT group_concat(value, char(10)) FROM json_each(batch.metadata)), ''))
FROM batch;
