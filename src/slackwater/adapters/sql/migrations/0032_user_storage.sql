-- Where a batch has its input and its results whose user keeps both: JSON, as core/batch.py has it. NULL: they are files here.
ALTER TABLE batch ADD COLUMN storage TEXT;
