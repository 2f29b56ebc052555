-- Schema 3: files that are still to be fetched. The URL may carry a secret, so its row goes when the file is processed, has
-- failed or is deleted. `tries` have failed; the next one is not before `not_before`. `check_line`: the first line must be JSON.

CREATE TABLE import (
    file_id    TEXT PRIMARY KEY REFERENCES file (id) ON DELETE CASCADE,
    url        TEXT NOT NULL,
    tries      INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    check_line INTEGER NOT NULL
);
