-- How an engine was paced in a minute: sums over the seconds in which its metrics page was read, or in which others were there.
ALTER TABLE engine_minute ADD COLUMN paced_seconds DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN window_seconds DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN others_seconds DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN waiting_seconds DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN frozen_seconds DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN cache_full_seconds DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN lost_seconds DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN shared_seconds DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN step_sum DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN alone_sum DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN target_seconds DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE engine_minute ADD COLUMN target_sum DOUBLE PRECISION NOT NULL DEFAULT 0;
