-- How an engine was paced in a minute: sums over the seconds in which its metrics page was read, or in which others were there.
ALTER TABLE engine_minute ADD COLUMN paced_seconds REAL NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN window_seconds REAL NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN others_seconds REAL NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN waiting_seconds REAL NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN frozen_seconds REAL NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN cache_full_seconds REAL NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN lost_seconds REAL NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN shared_seconds REAL NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN step_sum REAL NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN alone_sum REAL NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN target_seconds REAL NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN target_sum REAL NOT NULL DEFAULT 0;
