-- What servers that work with one ledger tell each other. Facts are elsewhere: with all of this lost, each of them would find out by
-- itself, a little later.

-- A number for each kind of what servers keep in memory. It is raised in the transaction that changes something of that kind, so
-- that whoever has read since the number was raised has read the change.
CREATE TABLE changed (
    what   TEXT PRIMARY KEY,
    number INTEGER NOT NULL
);

-- How the deployments of each server get on, as it was a few seconds ago: a row for each that has something to say, and one without
-- a deployment, whose `at` (the database's time) says that the server lives. `facts` are JSON.
CREATE TABLE standing (
    member     TEXT NOT NULL,
    deployment TEXT NOT NULL,
    at         REAL NOT NULL,
    facts      TEXT NOT NULL,
    PRIMARY KEY (member, deployment)
);

CREATE FUNCTION has_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changed (what, number) VALUES (TG_ARGV[0], 1) ON CONFLICT (what) DO UPDATE SET number = changed.number + 1;
    PERFORM pg_notify('slackwater', TG_TABLE_SCHEMA || ' changed');
    RETURN NULL;
END $$;
CREATE TRIGGER has_changed AFTER INSERT OR UPDATE OR DELETE ON api_key FOR EACH ROW EXECUTE FUNCTION has_changed('keys');
CREATE TRIGGER has_changed AFTER INSERT OR UPDATE OR DELETE ON deployment FOR EACH ROW EXECUTE FUNCTION has_changed('deployments');
CREATE TRIGGER has_changed AFTER INSERT OR UPDATE OR DELETE ON pause FOR EACH ROW EXECUTE FUNCTION has_changed('pauses');
CREATE TRIGGER has_changed AFTER INSERT OR UPDATE OR DELETE ON engine_pace FOR EACH ROW EXECUTE FUNCTION has_changed('pauses');
CREATE TRIGGER has_changed AFTER INSERT OR UPDATE OR DELETE ON retention FOR EACH ROW EXECUTE FUNCTION has_changed('retention');

-- Hints for the stages of other servers, in the transaction that makes something to do. One word each, as `Hints.heard` knows them; of
-- those that say the same in one transaction, one is sent.
CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('slackwater', TG_TABLE_SCHEMA || ' ' || TG_ARGV[0]);
    RETURN NULL;
END $$;
CREATE FUNCTION told_claimable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('slackwater', TG_TABLE_SCHEMA || ' claimable ' || left(NEW.deployment, 1000));
    RETURN NULL;
END $$;
CREATE TRIGGER told_of_new AFTER INSERT ON batch FOR EACH ROW EXECUTE FUNCTION told('asked');
CREATE TRIGGER told_of_waiting AFTER UPDATE OF stage ON batch FOR EACH ROW
WHEN (NEW.stage = 'waiting' AND OLD.stage != 'waiting') EXECUTE FUNCTION told('waiting');
CREATE TRIGGER told_of_unranked AFTER UPDATE OF stage, paused ON batch FOR EACH ROW
WHEN (NEW.stage = 'running' AND NEW.ranked = 0 AND NEW.paused = 0) EXECUTE FUNCTION told('unranked');
CREATE TRIGGER told_of_claimable AFTER UPDATE OF queued_number ON batch FOR EACH ROW
WHEN (NEW.queued_number != OLD.queued_number) EXECUTE FUNCTION told_claimable();
CREATE TRIGGER told_of_ending AFTER UPDATE OF stage, shards_in_hand ON batch FOR EACH ROW
WHEN (NEW.stage = 'ending' AND NEW.shards_in_hand = 0 AND (OLD.stage != 'ending' OR OLD.shards_in_hand != 0))
EXECUTE FUNCTION told('ending');
CREATE TRIGGER told_of_exhausted AFTER UPDATE OF shards_done ON batch FOR EACH ROW
WHEN (NEW.shards > 0 AND NEW.shards_done = NEW.shards AND OLD.shards_done != NEW.shards) EXECUTE FUNCTION told('ending');
CREATE TRIGGER told_of_end AFTER UPDATE OF stage ON batch FOR EACH ROW
WHEN (NEW.stage = 'ended' AND OLD.stage != 'ended') EXECUTE FUNCTION told('ended');
CREATE TRIGGER told_of_upload AFTER UPDATE OF ended_at ON upload FOR EACH ROW
WHEN (NEW.ended_at IS NOT NULL AND OLD.ended_at IS NULL) EXECUTE FUNCTION told('upload');
CREATE TRIGGER told_of_import AFTER INSERT ON import FOR EACH ROW EXECUTE FUNCTION told('import');
CREATE TRIGGER told_of_delivery AFTER INSERT ON webhook_delivery FOR EACH ROW EXECUTE FUNCTION told('delivery');
