-- How each batch went, for pictures (core/watching/batch_history): JSON of at most some kilobytes, one row whatever the batch has. It goes with
-- its batch; one that is older has none.
CREATE TABLE batch_history (
    batch_seq INTEGER NOT NULL,
    history   TEXT NOT NULL,
    PRIMARY KEY (batch_seq)
) WITHOUT ROWID;
