-- Schema 18. Batches with failed requests, newest first: an index that has nothing else in it. A batch comes into it with its first
-- failure and moves in it with its status, so results pay for it once.
CREATE INDEX batch_with_failures ON batch (resource, status) WHERE failed > 0;
