-- How large the input file of a batch is; 0 where that is not known. What is small is validated in no time, and found apart.
ALTER TABLE batch ADD COLUMN input_bytes INTEGER NOT NULL DEFAULT 0;

-- Whose turn it is to be validated: one tenant after the other, and of each the oldest.
CREATE INDEX batch_to_validate ON batch (resource, seq) WHERE stage = 'new';
CREATE INDEX batch_small_to_validate ON batch (resource, seq) WHERE stage = 'new' AND input_bytes BETWEEN 1 AND 65536;

-- Results of small batches until they end. They lie in their logs, too, but these need not be synced for them.
CREATE TABLE kept_text (
    seq       INTEGER PRIMARY KEY,
    batch_seq INTEGER NOT NULL,
    key       TEXT NOT NULL,
    offset_   INTEGER NOT NULL,
    text      BLOB NOT NULL
);
CREATE INDEX kept_text_of_batch ON kept_text (batch_seq);
