-- How many shards of a batch are in hand is asked only once it is ending: so it is counted in that moment, and down from there on. A claim
-- writes no row of its batch, and waits for nobody who records results of it. Whoever ends a batch stops its queued shards in the same
-- transaction: a claim that it does not see yet has one of those, and one of the two comes later.
CREATE OR REPLACE FUNCTION shard_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE batch SET
        shards_done = shards_done + CAST(NEW.state = 'done' AS INT) - CAST(OLD.state = 'done' AS INT),
        shards_in_hand = shards_in_hand - CAST(stage = 'ending' AND OLD.state = 'running' AS INT)
    WHERE seq = NEW.batch_seq;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER shard_counted AFTER UPDATE OF state ON shard FOR EACH ROW
WHEN ((OLD.state = 'done') != (NEW.state = 'done') OR (OLD.state = 'running' AND NEW.state != 'running'))
EXECUTE FUNCTION shard_counted();
CREATE FUNCTION batch_in_hand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.shards_in_hand = (SELECT COUNT(*) FROM shard WHERE batch_seq = NEW.seq AND state = 'running');
    RETURN NEW;
END $$;
CREATE TRIGGER batch_in_hand BEFORE UPDATE OF stage ON batch FOR EACH ROW
WHEN (NEW.stage = 'ending' AND OLD.stage != 'ending') EXECUTE FUNCTION batch_in_hand();
