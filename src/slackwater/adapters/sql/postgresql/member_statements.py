"""What a member of a ledger asks of PostgreSQL: its lock, its word that it lives, a look at others, and the end of a dead one."""

from slackwater.adapters.sql.postgresql.writing_line import NOW

# Of a member, and of the one that watches: numbers that nobody else in this database locks.
LOCK = "hashtextextended('slackwater member ' || current_schema() || ' ' || {id}, 0)"
JOIN = f"SELECT pg_try_advisory_lock({LOCK.format(id='CAST(? AS TEXT)')})"
_WATCH, _DEPUTY = (f"(hashtextextended('slackwater {turn} ' || current_schema(), 0))" for turn in ("watch", "deputy"))
# The turn of who asks: its place among those of `watch_turn.TURNS`.
TRY = f"SELECT CASE WHEN pg_try_advisory_lock{_WATCH} THEN 0 WHEN pg_try_advisory_lock{_DEPUTY} THEN 1 ELSE 2 END"
TRY_AS_DEPUTY = f"SELECT CASE WHEN pg_try_advisory_lock{_WATCH} THEN 0 ELSE 1 END"
UNWATCH, UNDEPUTE = (f"SELECT pg_advisory_unlock{key}" for key in (_WATCH, _DEPUTY))
# A word of this moment is worth nothing after a crash: it waits for no disk and for no standby, which may be away.
SAY = f"""UPDATE member SET until = {NOW} + ? WHERE id = ? AND dead_at IS NULL
AND set_config('synchronous_commit', 'off', true) = 'off'"""  # noqa: S608 - no name of a user
# Somebody says that a member has ended. Who lives hears the word, and says so.
DOUBT = f"""UPDATE member SET until = LEAST(until, {NOW} + ?) WHERE id = ? AND dead_at IS NULL
AND pg_notify('slackwater_members', 'doubted ' || id) IS NOT NULL"""  # noqa: S608 - no name of a user
# All locks are looked at once, however many members there are.
HELD = f"""{LOCK.format(id="member.id")} IN (SELECT (CAST(l.classid AS BIGINT) << 32) | CAST(l.objid AS BIGINT) FROM pg_locks AS l
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))"""  # noqa: S608
SEE = f"""SELECT id, dead_at IS NOT NULL AS dead, GREATEST(0, {NOW} - until) AS overdue, {HELD} AS held,
    {NOW} AS now, pg_backend_pid() AS pid, extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()) AS up
FROM member"""  # noqa: S608
AGAIN = f"SELECT {HELD} AND until > {NOW} AND dead_at IS NULL FROM member WHERE id = ?"  # noqa: S608
# Every connection of a member has its name at the end of its own.
DISCONNECT = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND right(application_name, CAST(? AS INTEGER)) = ?"""
HOLD = "SELECT 1 FROM member WHERE id = ? FOR UPDATE"
DEAD = f"UPDATE member SET dead_at = {NOW} WHERE id = ? AND dead_at IS NULL"  # noqa: S608
# Transactions of a connection that has no number end without effect.
FENCE = "DELETE FROM writer WHERE right(id, CAST(? AS INTEGER)) = ?"
