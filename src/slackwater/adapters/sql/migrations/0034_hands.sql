-- How many shards of a batch are in hand is asked only once it is ending: so it is counted in that moment, and down from there on. A claim
-- writes no row of its batch.
DROP TRIGGER shard_counted;
CREATE TRIGGER shard_counted AFTER UPDATE OF state ON shard
WHEN (old.state = 'done') != (new.state = 'done') OR (old.state = 'running' AND new.state != 'running')
BEGIN
    UPDATE batch SET shards_done = shards_done + (new.state = 'done') - (old.state = 'done'),
                     shards_in_hand = shards_in_hand - (stage = 'ending' AND old.state = 'running')
    WHERE seq = new.batch_seq;
END;
CREATE TRIGGER batch_in_hand AFTER UPDATE OF stage ON batch
WHEN new.stage = 'ending' AND old.stage != 'ending'
BEGIN
    UPDATE batch SET shards_in_hand = (SELECT COUNT(*) FROM shard WHERE batch_seq = new.seq AND state = 'running')
    WHERE seq = new.seq;
END;
