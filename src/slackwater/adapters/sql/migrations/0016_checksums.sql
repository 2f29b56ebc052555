-- Schema 16. A checksum for each line of an input that was validated, and for each line of the logs, so that damage is found and
-- costs the lines that it has hit. What was written before has none, and is taken as it is.

ALTER TABLE shard ADD COLUMN checksums BLOB NOT NULL DEFAULT X'';
ALTER TABLE segment ADD COLUMN output_checksums BLOB NOT NULL DEFAULT X'';
ALTER TABLE segment ADD COLUMN error_checksums BLOB NOT NULL DEFAULT X'';
