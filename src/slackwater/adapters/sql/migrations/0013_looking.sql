-- Schema 13. Looking for work costs the same however much there is: whoever looks finds what it looks for at the beginning of an
-- index that has nothing else in it, and sums that are asked for again and again are kept, not made.

-- How many shards a batch was cut into, how many of them are done, how many are in a worker's hands; and whether they have ranks.
ALTER TABLE batch ADD COLUMN shards INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch ADD COLUMN shards_done INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch ADD COLUMN shards_in_hand INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch ADD COLUMN ranked INTEGER NOT NULL DEFAULT 0;
UPDATE batch SET
    shards = (SELECT COUNT(*) FROM shard WHERE batch_seq = seq),
    shards_done = (SELECT COUNT(*) FROM shard WHERE batch_seq = seq AND state = 'done'),
    shards_in_hand = (SELECT COUNT(*) FROM shard WHERE batch_seq = seq AND state = 'running'),
    ranked = NOT EXISTS (SELECT 1 FROM shard WHERE batch_seq = seq AND rank IS NULL)
WHERE stage IN ('waiting', 'running', 'ending');

-- Kept by the database itself, so that no statement can forget it.
CREATE TRIGGER shard_counted AFTER UPDATE OF state ON shard
WHEN (old.state = 'done') != (new.state = 'done') OR (old.state = 'running') != (new.state = 'running')
BEGIN
    UPDATE batch SET shards_done = shards_done + (new.state = 'done') - (old.state = 'done'),
                     shards_in_hand = shards_in_hand + (new.state = 'running') - (old.state = 'running')
    WHERE seq = new.batch_seq;
END;

CREATE INDEX batch_unranked ON batch (stage, seq) WHERE stage = 'running' AND ranked = 0;
CREATE INDEX batch_exhausted ON batch (stage, seq) WHERE stage = 'running' AND shards_done = shards;
CREATE INDEX batch_to_end ON batch (stage, seq) WHERE stage = 'ending' AND shards_in_hand = 0;
CREATE INDEX batch_to_expire ON batch (expires_at, seq) WHERE expires = 1 AND stage IN ('new', 'waiting', 'running');
-- Whoever waits for room, with all that is asked of it.
CREATE INDEX batch_waiting ON batch (stage, deployment, seq, id, enqueued_tokens) WHERE stage = 'waiting';
-- What has not ended, so that neither grows with what has.
CREATE INDEX batch_open ON batch (deployment, expires_at) WHERE stage != 'ended';
CREATE INDEX batch_open_input ON batch (input_blob) WHERE stage != 'ended';
DROP INDEX batch_by_deployment;
DROP INDEX batch_by_input;

DROP INDEX shard_unranked;
CREATE INDEX shard_lease ON shard (lease_until) WHERE state = 'running';
CREATE INDEX shard_served ON shard (deployment, rank) WHERE state = 'running';

-- How many batches of a deployment are in each stage but the last, and their tokens.
CREATE TABLE batch_load (
    stage      TEXT NOT NULL,
    deployment TEXT NOT NULL,
    batches    INTEGER NOT NULL,
    tokens     INTEGER NOT NULL,
    PRIMARY KEY (stage, deployment)
) WITHOUT ROWID;
INSERT INTO batch_load (stage, deployment, batches, tokens)
SELECT stage, deployment, COUNT(*), SUM(enqueued_tokens) FROM batch
WHERE stage != 'ended' AND deployment IS NOT NULL GROUP BY stage, deployment;

CREATE TRIGGER batch_loaded AFTER INSERT ON batch WHEN new.stage != 'ended' AND new.deployment IS NOT NULL BEGIN
    INSERT INTO batch_load (stage, deployment, batches, tokens)
    VALUES (new.stage, new.deployment, 1, new.enqueued_tokens)
    ON CONFLICT (stage, deployment) DO UPDATE SET batches = batches + 1, tokens = tokens + excluded.tokens;
END;
CREATE TRIGGER batch_reloaded AFTER UPDATE OF stage, deployment, enqueued_tokens ON batch BEGIN
    UPDATE batch_load SET batches = batches - 1, tokens = tokens - old.enqueued_tokens
    WHERE stage = old.stage AND deployment = old.deployment;
    INSERT INTO batch_load (stage, deployment, batches, tokens)
    SELECT new.stage, new.deployment, 1, new.enqueued_tokens WHERE new.stage != 'ended' AND new.deployment IS NOT NULL
    ON CONFLICT (stage, deployment) DO UPDATE SET batches = batches + 1, tokens = tokens + excluded.tokens;
    DELETE FROM batch_load WHERE stage = old.stage AND deployment = old.deployment AND batches = 0;
END;
CREATE TRIGGER batch_unloaded AFTER DELETE ON batch BEGIN
    UPDATE batch_load SET batches = batches - 1, tokens = tokens - old.enqueued_tokens
    WHERE stage = old.stage AND deployment = old.deployment;
    DELETE FROM batch_load WHERE stage = old.stage AND deployment = old.deployment AND batches = 0;
END;

-- Imports in the order of their files, in a column of their own: what is to be fetched next is the first that may be.
ALTER TABLE import ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
UPDATE import SET seq = (SELECT seq FROM file WHERE file.id = import.file_id);
CREATE INDEX import_in_order ON import (seq, not_before, file_id);

-- What can be overdue: a delivery that was tried, or one to an endpoint that fails.
CREATE INDEX webhook_delivery_tried ON webhook_delivery (created_at) WHERE state = 'pending' AND tries > 0;
CREATE INDEX webhook_delivery_waiting ON webhook_delivery (endpoint_id, created_at) WHERE state = 'pending';
CREATE INDEX webhook_endpoint_failing ON webhook_endpoint (id) WHERE failures > 0;
