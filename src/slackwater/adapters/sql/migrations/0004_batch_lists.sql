-- Schema 4. Lists of batches by condition and in either order, each page at the cost of what it shows.
--
-- Both indexes carry every column that a list can be filtered or ordered by, so that a batch which does not belong on the
-- page is passed over in the index, and its row (metadata, errors) is not read. `seq` stands right behind `created_at`:
-- among batches of the same second a cursor continues inside the index too. What results change while a batch runs
-- (counts, usage) is in neither, so a commit of results does not touch them; the few moves of a status do.

CREATE INDEX batch_by_creation ON batch (
    created_at, seq, status, expires_at, in_progress_at, finalizing_at, completed_at, failed_at, expired_at, cancelling_at,
    cancelled_at, endpoint, input_file_id
);
CREATE INDEX batch_by_status ON batch (
    status, created_at, seq, expires_at, in_progress_at, finalizing_at, completed_at, failed_at, expired_at, cancelling_at,
    cancelled_at, endpoint, input_file_id
);
