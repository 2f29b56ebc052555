-- Schema 14. How many answers of a batch had to be made valid JSON before they could be written.

ALTER TABLE batch ADD COLUMN answers_mended INTEGER NOT NULL DEFAULT 0;
