"""What a cluster looked like that did not get well: what the database has, and what each member knows and said last."""

import os
import signal
import time

import psycopg

from tests.cluster.crew import Crew, Member
from tests.cluster.customers import Customers
from tests.cluster.inside import OVER
from tests.cluster.witness import Witness

LEFT = "round(CAST(until - extract(epoch FROM clock_timestamp()) AS NUMERIC), 2) AS left"
TABLES = {
    "members": f"SELECT id, kind, {LEFT}, dead_at FROM member",
    "slots": "SELECT engine, member, wanted, slots, most, serial, longest, known, alone, gone, "
    f"{LEFT} FROM engine_slots ORDER BY until DESC LIMIT 20",
    "batches": "SELECT stage, status, ranked, paused, count(*), min(id), max(queued_number) FROM batch "
    "WHERE stage != 'ended' GROUP BY 1, 2, 3, 4",
    "open": "SELECT id, stage, shards, shards_done, shards_in_hand, queued_number, total, completed, failed FROM batch "
    "WHERE stage != 'ended' ORDER BY seq LIMIT 40",
    "shards": "SELECT shard.state, shard.owner, rank IS NOT NULL AS ranked, count(*) FROM shard GROUP BY 1, 2, 3",
    "numbers": "SELECT * FROM queued_count",
    "duties": "SELECT * FROM duty",
    "pauses": "SELECT * FROM pause",
    "paces": "SELECT * FROM engine_pace",
    "words": f"SELECT topic, member, left(text, 200), {LEFT} FROM member_word ORDER BY until DESC LIMIT 30",
    "connections": "SELECT application_name, state, wait_event_type, wait_event, "
    "round(extract(epoch FROM clock_timestamp() - xact_start), 2), "
    "round(extract(epoch FROM clock_timestamp() - state_change), 2),"
    "left(query, 80) FROM pg_stat_activity WHERE datname IS NOT NULL ORDER BY 1",
    "locks": "SELECT locktype, mode, granted, classid, objid, application_name FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'advisory' OR NOT granted",
}
# Members have so long to tell.
TOLD_SECONDS = 5.0
LAST_LINES = 25


def picture(crew: Crew, engine: Witness, customers: Customers) -> str:
    """All of it, for people."""
    parts = [f"== load {os.getloadavg()}", _of_engine(crew, engine), _of_customers(customers)]
    parts += [f"== {name}\n" + _rows(crew, query) for name, query in TABLES.items()]
    parts += [_of_member(each) for each in list(crew.members)]
    return "\n".join(parts)


def _of_engine(crew: Crew, engine: Witness) -> str:
    now = time.monotonic()
    lines = [f"{back:>4} s ago: {engine.use(now - back, now - back + 5):.1f}" for back in range(200, 0, -5)]
    out = {
        each.key: sum(not asked.ended_at for asked in engine.requests if asked.member == each.key)
        for each in crew.members
    }
    return f"== engine: out {engine.out}, of whom {out}\n" + "\n".join(lines)


def _of_customers(customers: Customers) -> str:
    return f"== customers: {customers.told()}"


def _rows(crew: Crew, query: str) -> str:
    try:
        return "\n".join(map(str, crew.asked(query)))
    except psycopg.Error as error:
        return repr(error)


def _of_member(member: Member) -> str:
    head = f"== {member.role} {member.key} {member.name} pid {member.process.pid} lives {member.lives} behind {member.behind}"
    said = member.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
    told: list[str] = []
    if member.lives:
        size = member.log.stat().st_size
        member.signal(signal.SIGUSR2)
        limit = time.monotonic() + TOLD_SECONDS
        while time.monotonic() < limit and OVER not in "\n".join(told):
            signal.sigtimedwait([], 0.05)
            told = member.log.read_bytes()[size:].decode(errors="replace").splitlines()
    return "\n".join([head, *said, *told])
