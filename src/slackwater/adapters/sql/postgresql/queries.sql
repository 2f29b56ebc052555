-- What PostgreSQL wants to be asked in other words, under the same names as in queries.sql; everything else it takes as it is.

-- name: batches
-- One by one, here and below: as a list, they may be what each row of the table is compared with.
SELECT batch.* FROM json_array_elements_text(CAST(:seqs AS JSON)) AS asked
CROSS JOIN LATERAL (SELECT * FROM batch WHERE seq = CAST(asked.value AS BIGINT) LIMIT 1) AS batch;

-- name: overview_rows
SELECT batch.*, (SELECT filename FROM file WHERE file.id = batch.input_file_id) AS filename
FROM json_array_elements_text(CAST(:seqs AS JSON)) AS asked
CROSS JOIN LATERAL (SELECT * FROM batch WHERE seq = CAST(asked.value AS BIGINT) LIMIT 1) AS batch ORDER BY batch.seq DESC;

-- name: batch_histories
SELECT batch.id, batch.seq, (SELECT history FROM batch_history WHERE batch_seq = batch.seq) AS history
FROM json_array_elements_text(CAST(:ids AS JSON)) AS asked
CROSS JOIN LATERAL (SELECT id, seq FROM batch WHERE id = asked.value LIMIT 1) AS batch;

-- name: queued_batches
-- In the words of its index (migrations/postgresql/0033_batches_by_stage.sql).
SELECT queued_number, id, in_progress_at, created_at, enqueued_tokens, total, completed + failed AS ended
FROM batch WHERE deployment = :deployment AND left(stage, 7) = 'running' AND queued_number > :after
ORDER BY queued_number LIMIT :limit;

-- name: claim_shards
-- A transaction of its own, which waits for nobody. What others are claiming in this moment is passed over: it is taken. The shard itself says
-- that its batch runs: whoever ends or pauses one takes its queued shards in the same transaction. The stage is asked for in words that no
-- index knows, here and below, so that a batch is found by its name, and not among all that run: of these there may be ten thousand
-- where statistics know of none. Who has been buried has no number to raise. A claim waits for no disk, so the database may have forgotten it
-- after a crash or a fail-over, while who has claimed lives. No two claims have the same epoch, so that one is known to be old.
WITH found AS (
    SELECT batch.*, shard.idx FROM json_array_elements_text(CAST(:ids AS JSON)) AS asked
    CROSS JOIN LATERAL (
        SELECT seq, id, input_blob, dispatch_endpoint, in_progress_at, created_at, enqueued_tokens, total, completed, failed
        FROM batch WHERE id = asked.value AND starts_with(stage, 'running') LIMIT 1) AS batch
    CROSS JOIN LATERAL (
        SELECT idx FROM shard WHERE batch_seq = batch.seq AND state = 'queued' AND rank IS NOT NULL
        ORDER BY rank, idx LIMIT 1 FOR UPDATE SKIP LOCKED) AS shard
    LIMIT :most),
raised AS (
    UPDATE writer SET number = :number, at = extract(epoch FROM clock_timestamp())
    WHERE id = :writer AND EXISTS (SELECT 1 FROM found) AND set_config('synchronous_commit', 'off', true) = 'off' RETURNING id),
claimed AS (
    UPDATE shard SET state = 'running', owner = :owner, lease_until = :lease_until,
                     epoch = epoch + 1 + CAST(floor(random() * 1000000000) AS BIGINT)
    FROM raised CROSS JOIN found WHERE shard.batch_seq = found.seq AND shard.idx = found.idx
    RETURNING batch_seq, epoch, offset_, length, lines, tokens, done, deployment, checksums,
              EXISTS (SELECT 1 FROM shard AS others WHERE others.batch_seq = found.seq AND others.state = 'queued'
                      AND others.rank IS NOT NULL AND others.idx != found.idx) AS more)
SELECT * FROM found LEFT JOIN claimed ON claimed.batch_seq = found.seq;

-- name: claimable_batches
-- Of which a claim found nothing. A shard that somebody has in hand is among those that are there until it is decided.
SELECT batch.id FROM json_array_elements_text(CAST(:ids AS JSON)) AS asked
CROSS JOIN LATERAL (SELECT seq, id FROM batch WHERE id = asked.value AND starts_with(stage, 'running') LIMIT 1) AS batch
CROSS JOIN LATERAL (SELECT 1 FROM shard WHERE batch_seq = batch.seq AND state = 'queued' AND rank IS NOT NULL LIMIT 1) AS shard;

-- name: claimed_shards
-- What a claim came to whose answer was lost.
SELECT batch.*, shard.* FROM json_array_elements_text(CAST(:ids AS JSON)) AS asked
CROSS JOIN LATERAL (
    SELECT seq, id, input_blob, dispatch_endpoint, in_progress_at, created_at, enqueued_tokens, total, completed, failed
    FROM batch WHERE id = asked.value LIMIT 1) AS batch
CROSS JOIN LATERAL (
    SELECT batch_seq, idx, epoch, offset_, length, lines, tokens, done, deployment, checksums, true AS more
    FROM shard WHERE batch_seq = batch.seq AND owner = :owner AND lease_until = :lease_until AND left(state, 7) = 'running' LIMIT 1) AS shard;

-- name: exhausted
-- By a column that is made of the two numbers: an index on these would change with every shard.
SELECT * FROM batch WHERE stage = 'running' AND exhausted AND (storage IS NOT NULL) = (:elsewhere = 1) ORDER BY seq LIMIT :limit;

-- name: held_shard
-- Locked from here to the end of the transaction, so that the epoch that was seen is the one that is written for. The state is asked for
-- in words that no index knows, so that the shard is found by its key, and not among all that are in hand.
SELECT batch_seq, done, lines FROM shard
WHERE batch_seq = (SELECT seq FROM batch WHERE id = :id) AND idx = :idx AND epoch = :epoch AND left(state, 7) = 'running' FOR UPDATE;

-- name: shard_batch_stage
SELECT shard.batch_seq, shard.idx, shard.epoch, shard.lease_until, batch.id, batch.stage, batch.status, batch.paused
FROM shard JOIN batch ON batch.seq = shard.batch_seq
WHERE shard.batch_seq = (SELECT seq FROM batch WHERE id = :id) AND shard.idx = :idx AND shard.epoch = :epoch
  AND left(shard.state, 7) = 'running';

-- name: files_to_forget
-- For each file that is old enough, whether there is one, and not all open batches beside all files.
SELECT id, resource, filename, purpose, size, created_at, blob, expires_at, status, status_details, checksum
FROM file WHERE resource = :resource AND purpose = :purpose AND created_at < :before
    AND (SELECT 1 FROM batch WHERE input_blob = file.blob AND stage != 'ended' LIMIT 1) IS NULL
ORDER BY created_at, seq LIMIT :limit;

-- name: held_leases
SELECT shard.batch_seq, shard.idx, shard.epoch, shard.lease_until, batch.id, batch.stage, batch.status, batch.paused
FROM json_array_elements(CAST(:leases AS JSON)) AS held
CROSS JOIN LATERAL (SELECT seq, id, stage, status, paused FROM batch WHERE id = held.value ->> 0 LIMIT 1) AS batch
CROSS JOIN LATERAL (
    SELECT batch_seq, idx, epoch, lease_until FROM shard
    WHERE batch_seq = batch.seq AND idx = CAST(held.value ->> 1 AS BIGINT) AND epoch = CAST(held.value ->> 2 AS BIGINT)
        AND left(state, 7) = 'running' LIMIT 1) AS shard;

-- name: webhook_listeners
SELECT webhook_endpoint.id FROM batch JOIN webhook_endpoint USING (resource)
WHERE batch.id = :batch_id AND disabled_at IS NULL
  AND :type IN (SELECT value FROM json_array_elements_text(CAST(event_types AS JSON)))
ORDER BY webhook_endpoint.seq;

-- name: next_delivery
SELECT webhook_delivery.* FROM webhook_endpoint JOIN webhook_delivery ON webhook_delivery.seq = (
    SELECT seq FROM webhook_delivery WHERE endpoint_id = webhook_endpoint.id AND state = 'pending' ORDER BY due_at LIMIT 1)
WHERE disabled_at IS NULL AND paused_until <= :now AND due_at <= :now
  AND webhook_endpoint.id NOT IN (SELECT value FROM json_array_elements_text(CAST(:skip AS JSON)))
ORDER BY due_at, webhook_delivery.seq LIMIT 1;

-- name: forget_sessions!
DELETE FROM session WHERE expires_at <= :now
    OR digest IN (SELECT digest FROM session WHERE expires_at > :now ORDER BY created_at DESC OFFSET :most - 1);

-- name: results_behind
SELECT segment.seq AS seq, 'completed' AS outcome, output_key AS key,
       GREATEST(output_offset, COALESCE(CAST(seen.value AS BIGINT), 0)) AS start, output_offset + output_length AS finish
FROM segment LEFT JOIN json_each_text(CAST(:seen AS JSON)) AS seen ON seen.key = output_key
WHERE batch_seq = (SELECT seq FROM batch WHERE id = :id) AND :completed AND output_key IS NOT NULL
  AND output_offset + output_length > COALESCE(CAST(seen.value AS BIGINT), 0)
UNION ALL
SELECT segment.seq, 'failed', error_key,
       GREATEST(error_offset, COALESCE(CAST(seen.value AS BIGINT), 0)), error_offset + error_length
FROM segment LEFT JOIN json_each_text(CAST(:seen AS JSON)) AS seen ON seen.key = error_key
WHERE batch_seq = (SELECT seq FROM batch WHERE id = :id) AND :failed AND error_key IS NOT NULL
  AND error_offset + error_length > COALESCE(CAST(seen.value AS BIGINT), 0)
ORDER BY key, start LIMIT :limit;

-- name: member_that_watches
-- Whoever holds that lock (postgresql/member_statements.py), by the end of the name of its connection.
SELECT split_part(application_name, ' ', 4) AS id FROM pg_stat_activity JOIN pg_locks AS l USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND datname = current_database()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (CAST(l.classid AS BIGINT) << 32) | CAST(l.objid AS BIGINT)
      = hashtextextended('slackwater watch ' || current_schema(), 0) LIMIT 1;

-- name: tell_members
SELECT pg_notify('slackwater_members', :id);

-- name: audit_settled
-- Waits for those who are writing entries at the moment.
SELECT audit_settled();
-- name: database_now
-- Of the moment at which it is asked, not of the one at which its transaction began: whoever had to wait for a lock asks then.
SELECT CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION);

-- name: words_of_others
SELECT topic, member, text, until, number FROM member_word
WHERE topic IN (SELECT value FROM json_array_elements_text(CAST(:topics AS JSON))) AND member != :member AND until > :now
ORDER BY topic, member;

-- name: hurry
SELECT set_config('idle_in_transaction_session_timeout', '2000', true);

-- name: overwrites_deleted
-- What vacuum has not taken away yet lies in the files of the database, which nobody copies row by row.
SELECT 1;

-- name: leaves_deleted
SELECT 1;
