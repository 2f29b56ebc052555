SELECT CAST(COALESCE(SUM(total - completed - failed), 0) AS BIGINT) FROM batch WHERE stage = 'running' AND paused = 0
