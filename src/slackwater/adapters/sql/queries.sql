-- Every statement of the ledger, under the name of the method that uses it. Policy is not here: it comes in as a
-- parameter (a status, a rank, a limit, a moment). Stages are read here by their names, which core/batch.py gives them; the
-- one statement that writes them is in batches.py.

-- name: identity
SELECT name, generation FROM identity;

-- name: raise_generation
-- Once for each start; with `above`, beyond what the files have seen.
UPDATE identity SET generation = CASE WHEN generation > :above THEN generation ELSE :above END + 1 RETURNING name, generation;

-- name: wall_time
SELECT alive_at, expire_from FROM wall_time;

-- name: note_alive!
UPDATE wall_time SET alive_at = :now, expire_from = :expire_from WHERE one = 1;

-- name: add_file!
-- A file is visible from here on; its blob is durable already.
INSERT INTO file (id, resource, filename, purpose, size, created_at, expires_at, status, status_details, blob, checksum)
VALUES (:id, :resource, :filename, :purpose, :size, :created_at, :expires_at, :status, :status_details, :blob, :checksum);

-- name: file
SELECT id, resource, filename, purpose, size, created_at, blob, expires_at, status, status_details, checksum FROM file
WHERE id = :id;

-- name: file_seq
-- Also of a file that has been deleted a short while ago.
SELECT seq FROM file WHERE id = :id AND resource = :resource
UNION ALL SELECT seq FROM deleted_file WHERE id = :id AND resource = :resource LIMIT 1;

-- name: files_descending
-- A page of files, newest first; `before` is the cursor.
SELECT id, resource, filename, purpose, size, created_at, blob, expires_at, status, status_details, checksum FROM file
WHERE resource = :resource AND seq < :before AND (CAST(:purpose AS TEXT) IS NULL OR purpose = :purpose)
  AND (expires_at IS NULL OR expires_at > :now)
ORDER BY seq DESC LIMIT :limit;

-- name: files_ascending
SELECT id, resource, filename, purpose, size, created_at, blob, expires_at, status, status_details, checksum FROM file
WHERE resource = :resource AND seq > :after AND (CAST(:purpose AS TEXT) IS NULL OR purpose = :purpose)
  AND (expires_at IS NULL OR expires_at > :now)
ORDER BY seq LIMIT :limit;

-- name: lasting_files
-- Uploads that live until they are deleted. Results of batches do not count.
SELECT COUNT(*) FROM file WHERE resource = :resource AND expires_at IS NULL AND purpose != 'batch_output';

-- name: expiring_files
SELECT COUNT(*) FROM file WHERE resource = :resource AND expires_at IS NOT NULL AND purpose != 'batch_output';

-- name: remember_deleted!
INSERT INTO deleted_file (id, seq, resource) SELECT id, seq, resource FROM file WHERE id = :id;

-- name: forget_deleted!
DELETE FROM deleted_file WHERE number <= (SELECT MAX(number) FROM deleted_file) - :kept;

-- name: delete_file
DELETE FROM file WHERE id = :id
RETURNING id, resource, filename, purpose, size, created_at, blob, expires_at, status, status_details, checksum;

-- name: blob_in_use
-- Bytes are needed while a file names them, or a batch that has not ended reads them.
SELECT EXISTS (SELECT 1 FROM file WHERE blob = :key)
    OR EXISTS (SELECT 1 FROM batch WHERE input_blob = :key AND stage != 'ended');

-- name: expired_files
SELECT id, resource, filename, purpose, size, created_at, blob, expires_at, status, status_details, checksum FROM file
WHERE expires_at IS NOT NULL AND expires_at <= :now ORDER BY expires_at LIMIT :limit;

-- name: add_batch!
INSERT INTO batch (id, resource, input_file_id, input_blob, endpoint, completion_window, status, stage, created_at, expires_at,
                   expires, policies, metadata, total, deployment, enqueued_tokens, input_bytes, storage, idempotency_key,
                   idempotency_digest)
VALUES (:id, :resource, :input_file_id, :input_blob, :endpoint, :completion_window, :status, :stage, :created_at, :expires_at,
        :expires, :policies, :metadata, :total, :deployment, :enqueued_tokens, :input_bytes, :storage, :idempotency_key,
        :idempotency_digest);

-- name: batch_of_key
SELECT * FROM batch WHERE resource = :resource AND idempotency_key = :key;

-- name: batch
SELECT * FROM batch WHERE id = :id;

-- name: batch_by_seq
SELECT * FROM batch WHERE seq = :seq;

-- name: batches
-- The rows of a page; lists.py has found which ones, and knows their order.
SELECT * FROM batch WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: next_to_bring
-- Of tenants that have none in hand before all others.
SELECT * FROM batch INDEXED BY batch_by_stage WHERE stage = 'bringing' AND NOT (:busy LIKE '% ' || resource || ' %')
ORDER BY seq LIMIT :limit;

-- name: keep_brought!
UPDATE batch SET input_blob = :blob, input_bytes = :size, deployment = :deployment, enqueued_tokens = :tokens, storage = :storage
WHERE seq = :seq;

-- name: tenant_to_validate
-- The first tenant behind another one that has a batch to validate.
SELECT resource FROM batch INDEXED BY batch_to_validate
WHERE stage = 'new' AND resource > :after ORDER BY resource LIMIT 1;

-- name: tenant_to_validate_small
SELECT resource FROM batch INDEXED BY batch_small_to_validate
WHERE stage = 'new' AND input_bytes BETWEEN 1 AND 65536 AND resource > :after
ORDER BY resource LIMIT 1;

-- name: next_to_validate
SELECT * FROM batch INDEXED BY batch_to_validate
WHERE stage = 'new' AND resource = :resource ORDER BY seq LIMIT :limit;

-- name: next_to_validate_small
SELECT * FROM batch INDEXED BY batch_small_to_validate
WHERE stage = 'new' AND input_bytes BETWEEN 1 AND 65536 AND resource = :resource ORDER BY seq LIMIT :limit;

-- name: accept_batch!
UPDATE batch SET deployment = :deployment, dispatch_endpoint = :endpoint, total = :total, enqueued_tokens = :tokens,
                 price = :price, shards = :shards
WHERE seq = :seq;

-- name: add_shard!
INSERT INTO shard (batch_seq, idx, deployment, offset_, length, lines, tokens, checksums, state)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queued');

-- name: set_errors!
UPDATE batch SET errors = :errors WHERE seq = :seq;

-- name: waiting_deployments
-- Where batches wait for room, and the tokens held there by those that were let in and have not ended.
SELECT deployment, (SELECT COALESCE(SUM(tokens), 0) FROM batch_load AS others
                    WHERE others.deployment = batch_load.deployment AND others.stage IN ('running', 'ending')) AS held
FROM batch_load WHERE stage = 'waiting' ORDER BY deployment;

-- name: load_of
-- How many batches of a deployment wait for room, and the tokens that those hold that were let in and have not ended.
SELECT (SELECT COALESCE(SUM(batches), 0) FROM batch_load WHERE stage = 'waiting' AND deployment = :deployment) AS waiting,
       (SELECT COALESCE(SUM(tokens), 0) FROM batch_load
        WHERE stage IN ('running', 'ending') AND deployment = :deployment) AS held;

-- name: waiting
-- The oldest of a deployment that wait for room. An index has all of it.
SELECT id, enqueued_tokens FROM batch WHERE deployment = :deployment AND stage = 'waiting' ORDER BY seq LIMIT :limit;

-- name: counted_tokens
SELECT COALESCE(SUM(tokens), 0) FROM batch_load
WHERE deployment = :deployment AND stage IN ('waiting', 'running', 'ending');

-- name: enqueued_tokens
-- Also those of batches that are not validated yet: what was estimated for them when they were made.
SELECT COALESCE(SUM(tokens), 0) FROM batch_load
WHERE deployment = :deployment AND stage IN ('bringing', 'new', 'waiting', 'running', 'ending');

-- name: unranked
-- One that an operator has paused gets its ranks when it goes on.
SELECT id, deployment, shards FROM batch WHERE stage = 'running' AND ranked = 0 AND paused = 0 ORDER BY seq LIMIT :limit;

-- name: rank_shard!
UPDATE shard SET rank = ? WHERE batch_seq = ? AND idx = ?;

-- name: mark_ranked!
UPDATE batch SET ranked = 1 WHERE seq = :seq;

-- name: queued_batches
-- Batches of a deployment that have got shards to claim since the number that is known, oldest news first.
SELECT queued_number, id, in_progress_at, created_at, enqueued_tokens, total, completed + failed AS ended
FROM batch WHERE deployment = :deployment AND stage = 'running' AND queued_number > :after
ORDER BY queued_number LIMIT :limit;

-- name: batch_to_claim
SELECT seq, id, input_blob, dispatch_endpoint, in_progress_at, created_at, enqueued_tokens, total, completed, failed
FROM batch WHERE id = :id AND stage = 'running';

-- name: claim_shard
-- The first queued shard of a batch goes to the caller, under a new epoch.
UPDATE shard SET state = 'running', owner = :owner, lease_until = :lease_until, epoch = epoch + 1
WHERE (batch_seq, idx) = (
    SELECT batch_seq, idx FROM shard WHERE batch_seq = :batch_seq AND state = 'queued' AND rank IS NOT NULL
    ORDER BY rank, idx LIMIT 1)
RETURNING batch_seq, idx, epoch, offset_, length, lines, tokens, done, deployment, checksums,
          EXISTS (SELECT 1 FROM shard AS others WHERE others.batch_seq = :batch_seq AND others.state = 'queued'
                  AND others.rank IS NOT NULL AND others.idx != shard.idx) AS more;

-- name: renew_lease!
-- Only where it is still that epoch's.
UPDATE shard SET lease_until = :lease_until
WHERE batch_seq = :batch_seq AND idx = :idx AND epoch = :epoch AND state = 'running';

-- name: held_shard
-- The shard, where this epoch may write to it.
SELECT shard.batch_seq, shard.done, shard.lines FROM shard JOIN batch ON batch.seq = shard.batch_seq
WHERE batch.id = :id AND shard.idx = :idx AND shard.epoch = :epoch AND shard.state = 'running';

-- name: mark_done!
UPDATE shard SET done = :done, lease_until = :lease_until WHERE batch_seq = :batch_seq AND idx = :idx;

-- name: end_shard!
-- With its last results.
UPDATE shard SET done = :done, state = 'done', owner = NULL, lease_until = NULL WHERE batch_seq = :batch_seq AND idx = :idx;

-- name: add_results!
UPDATE batch SET completed = completed + :completed, failed = failed + :failed,
                 input_tokens = input_tokens + :input_tokens, cached_tokens = cached_tokens + :cached_tokens,
                 output_tokens = output_tokens + :output_tokens, reasoning_tokens = reasoning_tokens + :reasoning_tokens,
                 model = COALESCE(model, :model), first_result_at = COALESCE(first_result_at, :at),
                 answers_mended = answers_mended + :mended
WHERE seq = :batch_seq;

-- name: add_usage!
-- Adds these results to the account of the day, at the batch's price.
INSERT INTO usage_day (resource, day, deployment, model, price,
                       requests, input_tokens, cached_tokens, output_tokens, reasoning_tokens)
SELECT resource, :day, deployment, COALESCE(model, ''), COALESCE(price, ''),
       :completed, :input_tokens, :cached_tokens, :output_tokens, :reasoning_tokens
FROM batch WHERE seq = :batch_seq
ON CONFLICT (resource, day, deployment, model, price) DO UPDATE SET
    requests = usage_day.requests + excluded.requests, input_tokens = usage_day.input_tokens + excluded.input_tokens,
    cached_tokens = usage_day.cached_tokens + excluded.cached_tokens,
    output_tokens = usage_day.output_tokens + excluded.output_tokens,
    reasoning_tokens = usage_day.reasoning_tokens + excluded.reasoning_tokens;

-- name: account_of
-- To which row of the account a batch's results go, of one day.
SELECT resource, deployment, COALESCE(model, ''), COALESCE(price, '') FROM batch WHERE seq = :batch_seq;

-- name: keep_text!
INSERT INTO kept_text (batch_seq, key, offset_, text) VALUES (:batch_seq, :key, :offset, :text);

-- name: kept_texts
-- In the order in which they were written.
SELECT seq, key, offset_, text FROM kept_text WHERE seq > :after ORDER BY seq LIMIT :limit;

-- name: forget_texts!
DELETE FROM kept_text WHERE batch_seq = :seq;

-- name: last_segment
SELECT seq, output_key, output_offset, output_length, error_key, error_offset, error_length, output_checksums, error_checksums
FROM segment
WHERE batch_seq = :batch_seq AND idx = :idx AND epoch = :epoch ORDER BY seq DESC LIMIT 1;

-- name: add_segment!
INSERT INTO segment (batch_seq, idx, epoch, output_key, output_offset, output_length, error_key, error_offset, error_length,
                     output_checksums, error_checksums)
VALUES (:batch_seq, :idx, :epoch, :output_key, :output_offset, :output_length, :error_key, :error_offset, :error_length,
        :output_checksums, :error_checksums);

-- name: extend_segment!
UPDATE segment SET output_key = :output_key, output_offset = :output_offset, output_length = :output_length,
                   error_key = :error_key, error_offset = :error_offset, error_length = :error_length,
                   output_checksums = :output_checksums, error_checksums = :error_checksums
WHERE seq = :seq;

-- name: set_shard_state!
UPDATE shard SET state = :state, owner = NULL, lease_until = NULL WHERE batch_seq = :batch_seq AND idx = :idx;

-- name: shard_batch_stage
SELECT shard.batch_seq, shard.idx, shard.epoch, shard.lease_until, batch.id, batch.stage, batch.status, batch.paused
FROM shard JOIN batch ON batch.seq = shard.batch_seq
WHERE batch.id = :id AND shard.idx = :idx AND shard.epoch = :epoch AND shard.state = 'running';

-- name: held_leases
-- Of leases that somebody believes to have (a batch, an index and an epoch each), those that are held, with the stage of their batch.
SELECT shard.batch_seq, shard.idx, shard.epoch, shard.lease_until, batch.id, batch.stage, batch.status, batch.paused
FROM json_each(:leases) AS held JOIN batch ON batch.id = json_extract(held.value, '$[0]')
JOIN shard ON shard.batch_seq = batch.seq AND shard.idx = json_extract(held.value, '$[1]')
WHERE shard.epoch = json_extract(held.value, '$[2]') AND shard.state = 'running';

-- name: segments
SELECT seq, idx, epoch, output_key, output_offset, output_length, error_key, error_offset, error_length, output_checksums,
       error_checksums
FROM segment WHERE batch_seq = (SELECT seq FROM batch WHERE id = :id) AND seq > :after ORDER BY seq LIMIT :limit;

-- name: stop_shards!
UPDATE shard SET state = 'stopped' WHERE batch_seq = :seq AND state IN ('queued', 'paused');

-- name: exhausted
-- Batches whose every shard is done.
SELECT * FROM batch WHERE stage = 'running' AND shards_done = shards AND (storage IS NOT NULL) = (:elsewhere = 1)
ORDER BY seq LIMIT :limit;

-- name: ending
-- Batches that are ending and have no shard in anybody's hands.
SELECT * FROM batch WHERE stage = 'ending' AND shards_in_hand = 0 AND (storage IS NOT NULL) = (:elsewhere = 1)
ORDER BY seq LIMIT :limit;

-- name: unfinished_shards
SELECT shard.idx, shard.offset_, shard.length, shard.lines, shard.done, shard.checksums, batch.input_blob
FROM shard JOIN batch ON batch.seq = shard.batch_seq
WHERE batch.id = :id AND shard.state != 'done' ORDER BY shard.idx;

-- name: shard
SELECT shard.idx, shard.offset_, shard.length, shard.lines, shard.done, shard.checksums, batch.input_blob
FROM shard JOIN batch ON batch.seq = shard.batch_seq
WHERE batch.id = :id AND shard.idx = :idx;

-- name: set_files!
-- Results that were completed and cannot be read any more are in the error file, and have failed.
UPDATE batch SET output_file_id = :output, error_file_id = :error, completed = completed - :lost, failed = failed + :lost
WHERE seq = :seq;

-- name: set_storage!
UPDATE batch SET storage = :storage WHERE seq = :seq;

-- name: forget_shards!
DELETE FROM shard WHERE batch_seq = :seq;

-- name: forget_segments!
DELETE FROM segment WHERE batch_seq = :seq;

-- name: lost_leases
-- Shards whose lease is over. What their batch says is asked for one by one, here and below: they are few, and batches are not.
SELECT batch_seq, idx, (SELECT stage FROM batch WHERE seq = batch_seq) AS stage,
       (SELECT paused FROM batch WHERE seq = batch_seq) AS paused FROM shard
WHERE shard.state = 'running' AND shard.lease_until < :now;

-- name: leases_of_the_dead
-- Also those whose owner is known to be dead, because only one can live: after a restart all that are in hand, or most.
SELECT batch_seq, idx, (SELECT stage FROM batch WHERE seq = batch_seq) AS stage,
       (SELECT paused FROM batch WHERE seq = batch_seq) AS paused FROM shard
WHERE shard.state = 'running' AND (shard.lease_until < :now OR shard.owner != :survivor);

-- name: elapsed
SELECT * FROM batch INDEXED BY batch_to_expire WHERE expires = 1 AND expires_at <= :now AND stage IN ('new', 'waiting', 'running')
ORDER BY expires_at, seq LIMIT 100;

-- name: elapsed_elsewhere
-- Those whose input has not come yet. There are few.
SELECT * FROM batch INDEXED BY batch_by_stage WHERE stage = 'bringing' AND expires = 1 AND expires_at <= :now
ORDER BY seq LIMIT 100;

-- Uploads: files that come in parts.

-- name: add_upload!
INSERT INTO upload (id, resource, filename, purpose, size, mime_type, status, created_at, expires_at, file_lifetime_seconds)
VALUES (:id, :resource, :filename, :purpose, :size, :mime_type, :status, :created_at, :expires_at, :file_lifetime_seconds);

-- name: upload
SELECT * FROM upload WHERE id = :id;

-- name: count_upload_part!
-- Makes room for one more part, where the upload still takes any and its bounds allow it.
UPDATE upload SET parts = parts + 1, part_bytes = part_bytes + :size
WHERE id = :upload_id AND ended_at IS NULL AND expires_at > :now
AND parts < :parts_max AND part_bytes + :size <= :bytes_max;

-- name: add_upload_part!
INSERT INTO upload_part (id, upload_id, block_id, size, created_at, blob, checksum)
VALUES (:id, :upload_id, :block_id, :size, :created_at, :blob, :checksum);

-- name: has_upload_part
SELECT EXISTS (SELECT 1 FROM upload_part WHERE id = :id);

-- name: upload_parts
SELECT id, upload_id, block_id, size, created_at, blob, checksum FROM upload_part WHERE upload_id = :id;

-- name: end_upload!
-- An end is final: nothing leaves it.
UPDATE upload SET status = :status, ended_at = :now, file_id = :file_id, completed_with = :completed_with
WHERE id = :id AND ended_at IS NULL;

-- name: uploads_to_expire
SELECT id FROM upload WHERE ended_at IS NULL AND expires_at <= :now ORDER BY expires_at LIMIT :limit;

-- name: uploads_to_empty
-- Uploads that have ended and still have bytes.
SELECT id FROM upload WHERE ended_at IS NOT NULL AND parts > 0 ORDER BY ended_at LIMIT :limit;

-- name: forget_upload_parts!
DELETE FROM upload_part WHERE upload_id = :id;

-- name: empty_upload!
UPDATE upload SET parts = 0, part_bytes = 0 WHERE id = :id;

-- name: forget_uploads!
DELETE FROM upload WHERE id IN (
    SELECT id FROM upload WHERE ended_at IS NOT NULL AND parts = 0 AND ended_at <= :ended_before
    ORDER BY ended_at LIMIT :limit);

-- Imports: files that are still to be fetched.

-- name: pending_imports
SELECT COUNT(*) FROM import;

-- name: add_import!
INSERT INTO import (file_id, url, check_line, seq)
VALUES (:file_id, :url, :check_line, (SELECT seq FROM file WHERE id = :file_id));

-- name: next_import
-- The oldest files that are to be fetched now.
SELECT file.id, resource, filename, purpose, size, created_at, blob, expires_at, status, status_details, checksum, url, tries,
    check_line
FROM import JOIN file ON file.id = import.file_id
WHERE not_before <= :now ORDER BY import.seq LIMIT :limit;

-- name: postpone_import!
UPDATE import SET tries = :tries, not_before = :not_before WHERE file_id = :file_id;

-- name: forget_import!
DELETE FROM import WHERE file_id = :file_id;

-- name: fill_file!
-- An import has ended: the file has its bytes, or will never have any.
UPDATE file SET status = :status, size = :size, checksum = :checksum, status_details = :status_details,
                blob = COALESCE(:blob, blob)
WHERE id = :id;

-- name: keys
SELECT resource, role, slot, digest, hint, created_at FROM api_key ORDER BY resource, role, slot;

-- name: put_key!
INSERT INTO api_key (resource, role, slot, digest, hint, created_at)
VALUES (:resource, :role, :slot, :digest, :hint, :created_at)
ON CONFLICT (resource, role, slot) DO UPDATE SET digest = excluded.digest, hint = excluded.hint, created_at = excluded.created_at;

-- name: has_keys
SELECT EXISTS (SELECT 1 FROM api_key WHERE resource = :resource AND role = :role);

-- name: delete_keys!
DELETE FROM api_key WHERE resource = :resource AND role = :role AND (CAST(:slot AS TEXT) IS NULL OR slot = :slot);

-- Webhooks: endpoints, and the outbox of what they are to hear.

-- name: count_webhook_endpoints
SELECT COUNT(*) FROM webhook_endpoint WHERE resource = :resource;

-- name: add_webhook_endpoint!
INSERT INTO webhook_endpoint (id, resource, name, url, event_types, secrets, created_at, updated_at)
VALUES (:id, :resource, :name, :url, :event_types, :secrets, :created_at, :updated_at);

-- name: webhook_endpoint
SELECT * FROM webhook_endpoint WHERE id = :id AND resource = :resource;

-- name: webhook_endpoint_seq
SELECT seq FROM webhook_endpoint WHERE id = :id AND resource = :resource;

-- name: webhook_endpoints
-- A page, newest first; `before` is the cursor.
SELECT * FROM webhook_endpoint WHERE resource = :resource AND seq < :before ORDER BY seq DESC LIMIT :limit;

-- name: change_webhook_endpoint!
-- What users change; with it, whatever stood in the way of sending is over.
UPDATE webhook_endpoint SET name = :name, url = :url, event_types = :event_types, secrets = :secrets,
       updated_at = :updated_at, disabled_at = :disabled_at, failures = :failures,
       paused_until = CASE WHEN :failures = 0 THEN 0 ELSE paused_until END
WHERE id = :id;

-- name: hasten_deliveries!
UPDATE webhook_delivery SET due_at = :now WHERE endpoint_id = :id AND state = 'pending' AND due_at > :now;

-- name: delete_webhook_endpoint!
DELETE FROM webhook_endpoint WHERE id = :id AND resource = :resource;

-- name: webhook_listeners
-- The endpoints that hear of such an event of the batch's resource.
SELECT webhook_endpoint.id FROM batch JOIN webhook_endpoint USING (resource)
WHERE batch.id = :batch_id AND disabled_at IS NULL
  AND EXISTS (SELECT 1 FROM json_each(event_types) WHERE value = :type)
ORDER BY webhook_endpoint.seq;

-- name: add_delivery!
INSERT INTO webhook_delivery (id, endpoint_id, event_id, type, batch_id, created_at, due_at)
VALUES (:id, :endpoint_id, :event_id, :type, :batch_id, :now, :now);

-- name: next_delivery
-- Of each endpoint that may be sent to, the delivery that has been due longest; of these the oldest.
SELECT webhook_delivery.* FROM webhook_endpoint JOIN webhook_delivery ON webhook_delivery.seq = (
    SELECT seq FROM webhook_delivery WHERE endpoint_id = webhook_endpoint.id AND state = 'pending' ORDER BY due_at LIMIT 1)
WHERE disabled_at IS NULL AND paused_until <= :now AND due_at <= :now
  AND webhook_endpoint.id NOT IN (SELECT value FROM json_each(:skip))
ORDER BY due_at, webhook_delivery.seq LIMIT 1;

-- name: endpoint_of_delivery
SELECT * FROM webhook_endpoint WHERE id = :endpoint_id;

-- name: record_delivery
-- How a try went. A delivery that has ended is not tried again, so nothing is counted twice.
UPDATE webhook_delivery SET state = :state, tries = :tries, last_status = :status, last_failure = :failure,
       due_at = :due_at, ended_at = CASE WHEN :state = 'pending' THEN NULL ELSE :at END
WHERE id = :id AND state = 'pending' AND tries < :tries RETURNING endpoint_id;

-- name: endpoint_answered!
UPDATE webhook_endpoint SET last_success_at = :at, failures = 0, paused_until = 0 WHERE id = :endpoint_id;

-- name: endpoint_failed!
UPDATE webhook_endpoint SET last_failure_at = :at, last_failure = :failure, failures = failures + 1,
       paused_until = :paused_until, disabled_at = CASE WHEN :gone THEN :at ELSE disabled_at END
WHERE id = :endpoint_id;

-- name: end_deliveries!
-- Nothing that waits for this endpoint is sent any more.
UPDATE webhook_delivery SET state = 'dead', last_failure = :failure, ended_at = :at
WHERE endpoint_id = :endpoint_id AND state = 'pending';

-- name: webhook_delivery_seq
SELECT seq FROM webhook_delivery WHERE id = :id AND endpoint_id = :endpoint_id;

-- name: webhook_deliveries
SELECT * FROM webhook_delivery WHERE endpoint_id = :endpoint_id AND seq < :before ORDER BY seq DESC LIMIT :limit;

-- name: overdue_deliveries
-- Their time is over, and they or others to the same endpoint have been tried in vain.
SELECT seq FROM webhook_delivery WHERE state = 'pending' AND tries > 0 AND created_at <= :created_by
UNION ALL
SELECT webhook_delivery.seq FROM webhook_endpoint INDEXED BY webhook_endpoint_failing CROSS JOIN webhook_delivery
WHERE endpoint_id = webhook_endpoint.id AND failures > 0 AND state = 'pending' AND tries = 0 AND webhook_delivery.created_at <= :created_by
LIMIT :limit;

-- name: end_delivery!
UPDATE webhook_delivery SET state = 'dead', ended_at = :now,
       last_failure = COALESCE(last_failure, 'The endpoint has not taken anything in all this time.')
WHERE seq = :seq;

-- name: forget_deliveries!
DELETE FROM webhook_delivery WHERE seq IN (
    SELECT seq FROM webhook_delivery WHERE ended_at IS NOT NULL AND ended_at <= :ended_by LIMIT :limit);

-- Accounts: what completed work has used, and who did what.

-- name: usage
SELECT CASE WHEN :by_resource THEN resource END AS resource, CASE WHEN :by_day THEN day END AS day,
       CASE WHEN :by_deployment THEN deployment END AS deployment, CASE WHEN :by_model THEN model END AS model, price,
       SUM(requests) AS requests, SUM(input_tokens) AS input_tokens, SUM(cached_tokens) AS cached_tokens,
       SUM(output_tokens) AS output_tokens, SUM(reasoning_tokens) AS reasoning_tokens
FROM usage_day WHERE (CAST(:resource AS TEXT) IS NULL OR resource = :resource) AND day BETWEEN :first AND :last
GROUP BY 1, 2, 3, 4, price ORDER BY 2, 1, 3, 4, price LIMIT :limit;

-- name: add_audit!
INSERT INTO audit (at, resource, who, action, object, detail, request_id)
VALUES (:at, :resource, :who, :action, :object, :detail, :request_id);

-- name: audit_settled
-- The number below which no entry can come any more: whoever reads on from the last one that was seen misses none.
SELECT 4611686018427387904;

-- name: audit
-- Behind a cursor, in either order; what is not searched for has a pattern that everything fits.
SELECT seq, at, resource, who, action, object, detail, request_id FROM audit
WHERE seq > :after AND seq <= :settled
  AND who LIKE :who ESCAPE '\' AND action LIKE :action ESCAPE '\' AND object LIKE :object ESCAPE '\'
ORDER BY seq LIMIT :limit;

-- name: audit_of_resource
SELECT seq, at, resource, who, action, object, detail, request_id FROM audit
WHERE resource = :resource AND seq > :after AND seq <= :settled
  AND who LIKE :who ESCAPE '\' AND action LIKE :action ESCAPE '\' AND object LIKE :object ESCAPE '\'
ORDER BY seq LIMIT :limit;

-- name: newest_audit
SELECT seq, at, resource, who, action, object, detail, request_id FROM audit
WHERE seq < :after AND who LIKE :who ESCAPE '\' AND action LIKE :action ESCAPE '\' AND object LIKE :object ESCAPE '\'
ORDER BY seq DESC LIMIT :limit;

-- name: newest_audit_of_resource
SELECT seq, at, resource, who, action, object, detail, request_id FROM audit
WHERE resource = :resource AND seq < :after
  AND who LIKE :who ESCAPE '\' AND action LIKE :action ESCAPE '\' AND object LIKE :object ESCAPE '\'
ORDER BY seq DESC LIMIT :limit;

-- Only the oldest are looked at, so that a round costs the same however long the log is.
-- name: audit_to_trim
SELECT seq FROM (SELECT seq, at FROM audit ORDER BY seq LIMIT :limit) AS oldest WHERE at < :before;

-- name: set_audit_horizon!
UPDATE audit_horizon SET kept_from = :before;

-- name: trim_audit!
DELETE FROM audit WHERE seq IN (
    SELECT seq FROM (SELECT seq, at FROM audit ORDER BY seq LIMIT :limit) AS oldest WHERE at < :before);

-- Deployments that were made over the API.

-- name: deployments
SELECT resource, name, body, etag, created_at, updated_at, deleted_at FROM deployment ORDER BY resource, name;

-- name: put_deployment!
INSERT INTO deployment (resource, name, body, etag, created_at, updated_at, deleted_at)
VALUES (:resource, :name, :body, :etag, :created_at, :updated_at, :deleted_at)
ON CONFLICT (resource, name) DO UPDATE SET body = excluded.body, etag = excluded.etag, created_at = excluded.created_at,
    updated_at = excluded.updated_at, deleted_at = excluded.deleted_at;

-- name: deployment_version
SELECT etag, deleted_at FROM deployment WHERE resource = :resource AND name = :name;

-- name: count_deployments
SELECT COUNT(*) FROM deployment;

-- name: remove_deployment!
-- In one statement with the look at its batches, so that none can come in between.
DELETE FROM deployment WHERE resource = :resource AND name = :name AND NOT EXISTS (
    SELECT 1 FROM batch WHERE deployment = :key AND stage != 'ended');

-- Connections: engines that administrators have added.

-- name: connections
SELECT resource, name, url, key_env, key_header, key_stored, made_by, etag, created_at, updated_at,
       (SELECT sealed FROM connection_secret AS secret
        WHERE secret.resource = connection.resource AND secret.name = connection.name) AS sealed
FROM connection ORDER BY resource, name;

-- name: connection_version
SELECT etag FROM connection WHERE resource = :resource AND name = :name;

-- name: count_connections
SELECT COUNT(*) FROM connection;

-- name: put_connection!
INSERT INTO connection (resource, name, url, key_env, key_header, key_stored, made_by, etag, created_at, updated_at)
VALUES (:resource, :name, :url, :key_env, :key_header, :key_stored, :made_by, :etag, :created_at, :updated_at)
ON CONFLICT (resource, name) DO UPDATE SET url = excluded.url, key_env = excluded.key_env, key_header = excluded.key_header,
    key_stored = excluded.key_stored, etag = excluded.etag, updated_at = excluded.updated_at;

-- name: put_connection_secret!
INSERT INTO connection_secret (resource, name, sealed, set_at) VALUES (:resource, :name, :sealed, :updated_at)
ON CONFLICT (resource, name) DO UPDATE SET sealed = excluded.sealed, set_at = excluded.set_at;

-- name: reseal_connection!
UPDATE connection_secret SET sealed = :sealed WHERE resource = :resource AND name = :name AND sealed = :before;

-- name: deployments_of_resource
SELECT name, body FROM deployment WHERE resource = :resource ORDER BY name;

-- name: remove_connection!
DELETE FROM connection WHERE resource = :resource AND name = :name AND etag = :etag;

-- name: overwrites_deleted!
-- Bytes that are deleted are overwritten from here on, so that no copy of the file has what is not there any more.
PRAGMA secure_delete = ON;

-- name: leaves_deleted!
PRAGMA secure_delete = OFF;

-- name: remove_connection_secret!
DELETE FROM connection_secret WHERE resource = :resource AND name = :name;

-- name: open_batches
SELECT (SELECT COALESCE(SUM(batches), 0) FROM batch_load
        WHERE deployment = :deployment AND stage IN ('bringing', 'new', 'waiting', 'running', 'ending')) AS count,
       (SELECT MIN(expires_at) FROM batch WHERE deployment = :deployment AND stage != 'ended') AS first_expires_at;

-- name: add_region!
INSERT INTO batch_region (batch_seq, region) VALUES (:batch_seq, :region) ON CONFLICT DO NOTHING;

-- name: batch_regions
SELECT region FROM batch_region WHERE batch_seq = (SELECT seq FROM batch WHERE id = :id) ORDER BY region;

-- Monitoring: sums for the metrics page.

-- name: open_readings
-- By deployment and status. Rows of batches that have ended are not touched.
SELECT COALESCE(deployment, '') AS deployment, status, COUNT(*) AS batches, SUM(enqueued_tokens) AS enqueued_tokens,
       MIN(CASE WHEN stage IN ('bringing', 'new', 'waiting', 'running') AND completed + failed = 0 THEN created_at END) AS unbegun_since,
       COUNT(CASE WHEN expires_at <= :now THEN 1 END) AS overdue
FROM batch INDEXED BY batch_by_stage WHERE stage IN ('bringing', 'new', 'waiting', 'running', 'ending') GROUP BY 1, 2;

-- name: ended_readings
-- An index has all of it, in this order, so no row of a batch is read and nothing is sorted.
SELECT status, SUM(batches) AS batches FROM (
    SELECT resource, status, COUNT(*) AS batches FROM batch INDEXED BY batch_by_status GROUP BY resource, status) AS of_resource
GROUP BY status;

-- name: pending_reading
-- The oldest one is found by its number, which the index has; its row is the only one that is read.
SELECT COUNT(*) AS deliveries,
       (SELECT created_at FROM webhook_delivery WHERE seq = (
            SELECT MIN(seq) FROM webhook_delivery WHERE state = 'pending')) AS since
FROM webhook_delivery WHERE state = 'pending';

-- Studio: what people who watch need.

-- name: forget_sessions!
-- Those that are over, and the oldest of what would be too many with one more.
DELETE FROM session WHERE expires_at <= :now
    OR digest IN (SELECT digest FROM session WHERE expires_at > :now ORDER BY created_at DESC LIMIT -1 OFFSET :most - 1);

-- name: add_session!
INSERT INTO session (digest, resource, role, name, anywhere, origin, created_at, expires_at)
VALUES (:digest, :resource, :role, :name, :anywhere, :origin, :created_at, :expires_at);

-- name: session
SELECT digest, resource, role, name, anywhere, origin, created_at, expires_at FROM session WHERE digest = :digest;

-- name: delete_session!
DELETE FROM session WHERE digest = :digest;

-- name: batch_counts
SELECT status, batches FROM batch_count WHERE resource = :resource AND batches > 0;

-- name: completed_with_failures
SELECT COUNT(*) FROM (SELECT 1 FROM batch INDEXED BY batch_with_failures
                      WHERE resource = :resource AND status = 'completed' AND failed > 0 LIMIT :most) AS found;

-- name: overview_rows
-- The rows of a page; overview.py has found which ones.
SELECT batch.*, (SELECT filename FROM file WHERE file.id = batch.input_file_id) AS filename
FROM batch WHERE seq IN (SELECT value FROM json_each(:seqs)) ORDER BY seq DESC;

-- name: add_batch_text!
-- What it is found by.
INSERT INTO batch_text (resource, seq, text) SELECT resource, seq, :text FROM batch WHERE id = :id;

-- name: batch_histories
-- Of some batches; what has been forgotten is not there.
SELECT id, seq, (SELECT history FROM batch_history WHERE batch_seq = seq) AS history
FROM batch WHERE id IN (SELECT value FROM json_each(:ids));

-- name: put_batch_history!
INSERT INTO batch_history (batch_seq, history) VALUES (?, ?)
ON CONFLICT (batch_seq) DO UPDATE SET history = excluded.history;

-- name: batch_history
SELECT history FROM batch_history WHERE batch_seq = (SELECT seq FROM batch WHERE id = :id);

-- name: waiting_between
-- How many of a deployment wait for room, of those that came in between.
SELECT COUNT(*) FROM batch WHERE deployment = :deployment AND stage = 'waiting' AND seq >= :first AND seq < :end;

-- name: queue_position
-- Whoever waits for room starts after every older one of its deployment.
SELECT 1 + (SELECT COUNT(*) FROM batch AS older
            WHERE older.deployment = batch.deployment AND older.stage = 'waiting' AND older.seq < batch.seq)
FROM batch WHERE id = :id AND stage = 'waiting';

-- name: batches_at_work
SELECT id, completed + failed AS finished, input_tokens + output_tokens AS tokens FROM batch
WHERE stage = 'running' ORDER BY seq LIMIT :limit;

-- name: deployment_load
SELECT stage = 'waiting' AS waits, SUM(batches) AS batches, SUM(tokens) AS tokens FROM batch_load
WHERE deployment = :deployment AND stage IN ('bringing', 'new', 'waiting', 'running', 'ending') GROUP BY waits;

-- name: deployments_at_work
-- One that has batches in two stages is there twice.
SELECT deployment FROM batch_load WHERE stage IN ('new', 'waiting', 'running') AND batches > 0;

-- name: shard_sizes
SELECT lines FROM shard WHERE batch_seq = (SELECT seq FROM batch WHERE id = :id) ORDER BY idx;

-- name: results_behind
-- What lies in the logs of a batch behind the offsets that a reader has come to; of each log in the order of its bytes.
SELECT segment.seq AS seq, 'completed' AS outcome, output_key AS key,
       MAX(output_offset, COALESCE(seen.value, 0)) AS start, output_offset + output_length AS finish
FROM segment LEFT JOIN json_each(:seen) AS seen ON seen.key = output_key
WHERE batch_seq = (SELECT seq FROM batch WHERE id = :id) AND :completed AND output_key IS NOT NULL
  AND output_offset + output_length > COALESCE(seen.value, 0)
UNION ALL
SELECT segment.seq, 'failed', error_key,
       MAX(error_offset, COALESCE(seen.value, 0)), error_offset + error_length
FROM segment LEFT JOIN json_each(:seen) AS seen ON seen.key = error_key
WHERE batch_seq = (SELECT seq FROM batch WHERE id = :id) AND :failed AND error_key IS NOT NULL
  AND error_offset + error_length > COALESCE(seen.value, 0)
ORDER BY key, start LIMIT :limit;

-- What operators have paused.

-- name: pauses
SELECT what, target, resource, who, reason, since FROM pause WHERE what = :what ORDER BY target;

-- name: pause_of
SELECT what, target, resource, who, reason, since FROM pause WHERE what = :what AND target = :target;

-- name: pause_readings
SELECT what, COUNT(*) AS pauses, MIN(since) AS since FROM pause GROUP BY what;

-- name: add_pause!
-- Who was first is the one who has paused it.
INSERT INTO pause (what, target, resource, who, reason, since)
VALUES (:what, :target, :resource, :who, :reason, :since) ON CONFLICT DO NOTHING;

-- name: remove_pause!
DELETE FROM pause WHERE what = :what AND target = :target;

-- name: paces
SELECT engine, pace, who, since FROM engine_pace ORDER BY engine;

-- name: set_pace!
INSERT INTO engine_pace (engine, pace, who, since) VALUES (:engine, :pace, :who, :since)
ON CONFLICT (engine) DO UPDATE SET pace = excluded.pace, who = excluded.who, since = excluded.since;

-- name: forget_pace!
DELETE FROM engine_pace WHERE engine = :engine;

-- name: mark_paused!
UPDATE batch SET paused = :paused WHERE seq = :seq;

-- name: pause_shards!
UPDATE shard SET state = 'paused' WHERE batch_seq = :seq AND state = 'queued';

-- name: resume_shards!
UPDATE shard SET state = 'queued' WHERE batch_seq = :seq AND state = 'paused';

-- What became of engines.

-- name: add_engine!
INSERT INTO engine (name) VALUES (:name) ON CONFLICT DO NOTHING;

-- name: engine_number
SELECT number FROM engine WHERE name = :name;

-- name: engine_minute
SELECT * FROM engine_minute WHERE engine = :engine AND minute = :minute AND owner = :owner;

-- name: put_engine_minute!
INSERT INTO engine_minute (engine, minute, owner, state, seconds, paused_seconds, slots, in_flight_seconds,
                           in_flight_max, calls, failed, tokens, call_seconds, call_counts, paced_seconds,
                           window_seconds, others_seconds, waiting_seconds, frozen_seconds, cache_full_seconds,
                           lost_seconds, shared_seconds, step_sum, alone_sum, target_seconds, target_sum)
VALUES (:engine, :minute, :owner, :state, :seconds, :paused_seconds, :slots, :in_flight_seconds,
        :in_flight_max, :calls, :failed, :tokens, :call_seconds, :call_counts, :paced_seconds,
        :window_seconds, :others_seconds, :waiting_seconds, :frozen_seconds, :cache_full_seconds,
        :lost_seconds, :shared_seconds, :step_sum, :alone_sum, :target_seconds, :target_sum)
ON CONFLICT (engine, minute, owner) DO UPDATE SET
    state = excluded.state, seconds = excluded.seconds, paused_seconds = excluded.paused_seconds, slots = excluded.slots,
    in_flight_seconds = excluded.in_flight_seconds, in_flight_max = excluded.in_flight_max, calls = excluded.calls,
    failed = excluded.failed, tokens = excluded.tokens, call_seconds = excluded.call_seconds, call_counts = excluded.call_counts,
    paced_seconds = excluded.paced_seconds, window_seconds = excluded.window_seconds,
    others_seconds = excluded.others_seconds, waiting_seconds = excluded.waiting_seconds,
    frozen_seconds = excluded.frozen_seconds, cache_full_seconds = excluded.cache_full_seconds,
    lost_seconds = excluded.lost_seconds, shared_seconds = excluded.shared_seconds, step_sum = excluded.step_sum,
    alone_sum = excluded.alone_sum, target_seconds = excluded.target_seconds, target_sum = excluded.target_sum;

-- name: engine_minutes
SELECT * FROM engine_minute WHERE engine = (SELECT number FROM engine WHERE name = :name)
AND minute >= :first AND minute < :last ORDER BY minute, owner;

-- name: engines_to_trim
-- One look for each engine, at its oldest minute.
SELECT number FROM engine WHERE EXISTS (
    SELECT 1 FROM engine_minute WHERE engine_minute.engine = engine.number AND minute < :before);

-- name: trim_engine_minutes!
DELETE FROM engine_minute WHERE engine = :engine AND minute < :before AND (minute, owner) IN (
    SELECT minute, owner FROM engine_minute WHERE engine = :engine AND minute < :before ORDER BY minute, owner LIMIT :limit);

-- name: forget_engines!
DELETE FROM engine WHERE NOT EXISTS (SELECT 1 FROM engine_minute WHERE engine_minute.engine = engine.number);

-- name: retention_rules
SELECT resource, kept, days, since FROM retention;

-- name: keep_for!
INSERT INTO retention (resource, kept, days, since) VALUES (:resource, :kept, :days, :since)
ON CONFLICT (resource, kept) DO UPDATE SET days = excluded.days, since = excluded.since;

-- name: keep_for_ever!
DELETE FROM retention WHERE resource = :resource AND kept = :kept;

-- name: batches_to_forget
SELECT seq, id FROM batch INDEXED BY batch_by_end
WHERE resource = :resource AND stage = 'ended'
    AND coalesce(completed_at, failed_at, expired_at, cancelled_at) < :before
ORDER BY coalesce(completed_at, failed_at, expired_at, cancelled_at), seq LIMIT :limit;

-- name: forget_batch_regions!
DELETE FROM batch_region WHERE batch_seq = :seq;

-- name: forget_batch_text!
DELETE FROM batch_text WHERE resource = :resource AND seq = :seq;

-- name: forget_batch_history!
DELETE FROM batch_history WHERE batch_seq = :seq;

-- name: forget_batch!
DELETE FROM batch WHERE seq = :seq;

-- name: files_to_forget
SELECT id, resource, filename, purpose, size, created_at, blob, expires_at, status, status_details, checksum
FROM file INDEXED BY file_by_age
WHERE resource = :resource AND purpose = :purpose AND created_at < :before
    AND NOT EXISTS (SELECT 1 FROM batch INDEXED BY batch_open_input WHERE input_blob = file.blob AND stage != 'ended')
ORDER BY created_at, seq LIMIT :limit;

-- Members: who works with a ledger where those are several, and what each of them is doing.

-- name: add_member!
-- Whose answer was lost may be one already: nobody else ever has its name.
INSERT INTO member (id, host, version, kind, started_at, until, sends_for)
VALUES (:id, :host, :version, :kind, :started_at, :until, :sends_for)
ON CONFLICT (id) DO UPDATE SET until = excluded.until WHERE member.dead_at IS NULL;

-- name: send_for!
UPDATE member SET sends_for = :sends_for WHERE id = :id;

-- name: members
SELECT id, host, version, kind, started_at, until, dead_at, sends_for FROM member ORDER BY started_at, id;

-- name: member_that_watches
-- Whose turn it is to bury the dead. Where there are no members, it is nobody's.
SELECT '' AS id LIMIT 0;

-- name: shards_in_hand
SELECT owner, deployment, COUNT(*) AS shards FROM shard WHERE state = 'running'
GROUP BY owner, deployment ORDER BY owner, deployment;

-- name: duties_in_hand
SELECT member, kind, thing FROM duty ORDER BY member, kind, thing LIMIT :limit;

-- name: slots_in_hand
-- The graves of those who are buried are under no engine's name.
SELECT member, engine, slots, wanted FROM engine_slots WHERE engine != '' AND until > :now ORDER BY engine, member LIMIT :limit;

-- name: forget_member!
DELETE FROM member WHERE id = :id;

-- name: tell_members
-- That one was buried. PostgreSQL passes it on; here nobody is to hear of it.
SELECT :id;

-- name: leases_of_member
-- Names of owners are made of their member's: those lie side by side in the index of owners.
SELECT batch_seq, idx, (SELECT stage FROM batch WHERE seq = batch_seq) AS stage,
       (SELECT paused FROM batch WHERE seq = batch_seq) AS paused FROM shard
WHERE shard.state = 'running' AND shard.owner >= :first AND shard.owner < :last ORDER BY shard.batch_seq, shard.idx;

-- name: leases_of_no_member
SELECT batch_seq, idx, (SELECT stage FROM batch WHERE seq = batch_seq) AS stage,
       (SELECT paused FROM batch WHERE seq = batch_seq) AS paused FROM shard
WHERE shard.state = 'running' AND (shard.lease_until < :now OR NOT EXISTS (
    SELECT 1 FROM member WHERE shard.owner >= member.id || '-' AND shard.owner < member.id || '.'))
ORDER BY shard.batch_seq, shard.idx;

-- name: duties_of_others
SELECT thing FROM duty WHERE kind = :kind AND member != :member;

-- name: take_duty!
-- One that this member has already is taken once more.
INSERT INTO duty (kind, thing, member) VALUES (:kind, :thing, :member)
ON CONFLICT (kind, thing) DO UPDATE SET member = excluded.member WHERE duty.member = excluded.member;

-- name: end_duty!
DELETE FROM duty WHERE kind = :kind AND thing = :thing AND member = :member;

-- name: end_duties!
DELETE FROM duty WHERE member = :member;

-- name: still_to_validate
SELECT 1 FROM batch WHERE id = :thing AND stage = 'new';

-- name: still_to_bring
SELECT 1 FROM batch WHERE id = :thing AND stage = 'bringing';

-- name: still_to_end
SELECT 1 FROM batch WHERE id = :thing AND stage = 'ending' AND shards_in_hand = 0;

-- name: still_to_fetch
SELECT 1 FROM import WHERE file_id = :thing AND tries = :tries;

-- name: still_to_deliver
SELECT 1 FROM webhook_delivery WHERE id = :id AND state = 'pending' AND tries = :tries;
-- What the members of a cluster share of engines. Only a ledger that several servers have has rows here.

-- name: database_now
-- Of a database that has no clock but its caller's.
SELECT :now;

-- name: hurry
-- Whoever stands still in this transaction loses it soon, where a database has others who wait for it.
SELECT 1;

-- name: lock_shared_engine!
-- From here to the end of the transaction nobody else divides the slots of this engine.
INSERT INTO shared_engine (engine, asked) VALUES (:engine, 1)
ON CONFLICT (engine) DO UPDATE SET asked = shared_engine.asked + 1;

-- name: engine_holdings
SELECT member, wanted, slots, most, until, serial, longest, known, alone, gone FROM engine_slots WHERE engine = :engine ORDER BY member;

-- name: put_engine_slots!
INSERT INTO engine_slots (engine, member, wanted, slots, most, serial, until, longest, known, alone)
VALUES (:engine, :member, :wanted, :slots, :most, :serial, :until, :longest, :known, :alone)
ON CONFLICT (engine, member) DO UPDATE SET
    wanted = excluded.wanted, slots = excluded.slots, most = excluded.most, serial = excluded.serial, until = excluded.until,
    longest = excluded.longest, known = excluded.known, alone = excluded.alone;

-- name: forget_engine_slots!
DELETE FROM engine_slots WHERE engine = :engine AND until < :before;

-- name: leave_engine!
-- Not what was asked for later, nor the grave of one that is buried.
DELETE FROM engine_slots WHERE engine = :engine AND member = :member AND serial <= :serial;

-- name: forget_grave!
DELETE FROM engine_slots WHERE member = :id;

-- name: bury_engine_slots!
UPDATE engine_slots SET serial = :buried, wanted = 0, alone = 0, gone = :gone,
    until = CASE WHEN :gone = 1 AND until > :closed THEN :closed ELSE until END WHERE member = :member;

-- name: bury_member!
-- Under the name of no engine: it shows at all of them that a member is buried.
INSERT INTO engine_slots (engine, member, wanted, slots, most, serial, until, longest, known, alone)
VALUES ('', :member, 0, 0, 0, :buried, :until, 0, 0, 0) ON CONFLICT DO NOTHING;

-- name: is_buried
SELECT 1 FROM engine_slots WHERE engine = '' AND member = :member;

-- name: say_word!
INSERT INTO member_word (topic, member, text, number, until) VALUES (:topic, :member, :text, :number, :until)
ON CONFLICT (topic, member) DO UPDATE SET text = excluded.text, number = excluded.number, until = excluded.until;

-- name: take_word_back!
DELETE FROM member_word WHERE topic = :topic AND member = :member;

-- name: forget_words!
DELETE FROM member_word WHERE until < :before;

-- name: words_of_others
SELECT topic, member, text, until, number FROM member_word
WHERE topic IN (SELECT value FROM json_each(:topics)) AND member != :member AND until > :now ORDER BY topic, member;
