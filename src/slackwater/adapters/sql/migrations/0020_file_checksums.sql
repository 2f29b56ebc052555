-- Schema 20. A checksum of the whole for each file and each part of an upload, made while the bytes were written. What was written
-- before has none, and is taken as it is as long as it has its size.

ALTER TABLE file ADD COLUMN checksum INTEGER;
ALTER TABLE upload_part ADD COLUMN checksum INTEGER;
