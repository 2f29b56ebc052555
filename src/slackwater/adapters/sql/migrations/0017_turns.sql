-- Schema 17. Whose turn it is among the batches of a deployment is decided by whoever works for it, who has to know which of them
-- have shards to claim. Each time that one gets some it is given the next number, so that nobody looks at those that he knows.

CREATE TABLE queued_count (
    deployment TEXT NOT NULL PRIMARY KEY,
    number     INTEGER NOT NULL
) WITHOUT ROWID;
ALTER TABLE batch ADD COLUMN queued_number INTEGER NOT NULL DEFAULT 0;
UPDATE batch SET queued_number = seq WHERE stage = 'running' AND ranked = 1 AND deployment IS NOT NULL;
INSERT INTO queued_count (deployment, number) SELECT deployment, MAX(seq) FROM batch WHERE queued_number > 0 GROUP BY deployment;
CREATE INDEX batch_queued ON batch (deployment, queued_number) WHERE stage = 'running';

-- Kept by the database itself, so that no statement can forget it.
CREATE TRIGGER batch_ranked AFTER UPDATE OF ranked ON batch WHEN new.ranked BEGIN
    INSERT INTO queued_count (deployment, number) VALUES (new.deployment, 1)
    ON CONFLICT (deployment) DO UPDATE SET number = number + 1;
    UPDATE batch SET queued_number = (SELECT number FROM queued_count WHERE deployment = new.deployment) WHERE seq = new.seq;
END;
CREATE TRIGGER shard_queued AFTER UPDATE OF state ON shard WHEN new.state = 'queued' AND old.state != 'queued' BEGIN
    INSERT INTO queued_count (deployment, number) VALUES (new.deployment, 1)
    ON CONFLICT (deployment) DO UPDATE SET number = number + 1;
    UPDATE batch SET queued_number = (SELECT number FROM queued_count WHERE deployment = new.deployment) WHERE seq = new.batch_seq;
END;

-- The rank of a shard is its place in its batch.
DROP INDEX shard_to_claim;
DROP INDEX shard_served;
CREATE INDEX shard_to_claim ON shard (batch_seq, rank, idx) WHERE state = 'queued' AND rank IS NOT NULL;
