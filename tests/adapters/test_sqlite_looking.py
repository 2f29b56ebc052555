"""What is asked again and again without a change costs the same however much there is: the plans of those statements."""

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from slackwater.adapters import sql
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.sqlite import MIGRATIONS, migrate
from slackwater.adapters.sql.statements import QUERIES
from slackwater.core.batch import Batch
from tests.adapters.ledger_contract import batch, claimed, segment, started
from tests.adapters.test_sqlite_quota import LOAD, WRONG_COUNTS

ALONE: tuple[str, ...] = ()
# What loops ask for again and again, and what they do for each thing that they find; with the steps of a plan that may walk or
# sort nevertheless, and why.
POLLED: dict[str, tuple[str, ...]] = {
    "note_alive": ALONE,
    "tenant_to_validate": ALONE,
    "tenant_to_validate_small": ALONE,
    "next_to_validate": ALONE,
    "next_to_validate_small": ALONE,
    "load_of": ALONE,
    "waiting_deployments": ALONE,
    "waiting": ALONE,
    "counted_tokens": ALONE,
    "enqueued_tokens": ALONE,
    "open_batches": ALONE,
    "deployment_load": ("USE TEMP B-TREE FOR GROUP BY",),  # of four rows
    "remove_deployment": ALONE,
    "unranked": ALONE,
    "queued_batches": ALONE,
    "mark_ranked": ALONE,
    "rank_shard": ALONE,
    # As many as are looked at.
    "claim_shard": ALONE,
    "renew_lease": ALONE,
    "held_shard": ALONE,
    "mark_done": ALONE,
    "end_shard": ALONE,
    "add_results": ALONE,
    "add_usage": ALONE,
    "add_region": ALONE,
    "last_segment": ALONE,
    "add_segment": ALONE,
    "keep_text": ALONE,
    "forget_texts": ALONE,
    "extend_segment": ALONE,
    "set_shard_state": ALONE,
    "shard_batch_stage": ALONE,
    # As many as a worker has in hand.
    "held_leases": ("SCAN held",),
    "stop_shards": ALONE,
    "exhausted": ALONE,
    "ending": ALONE,
    "segments": ALONE,
    "unfinished_shards": ALONE,
    "blob_in_use": ALONE,
    "lost_leases": ALONE,
    "elapsed": ALONE,
    "elapsed_elsewhere": ALONE,
    "next_to_bring": ALONE,
    "keep_brought": ALONE,
    "set_storage": ALONE,
    "expired_files": ALONE,
    "uploads_to_expire": ALONE,
    "uploads_to_empty": ALONE,
    "forget_uploads": ALONE,
    # Its limit is inside, around the table.
    "audit_to_trim": ("SCAN audit", "SCAN oldest"),
    "trim_audit": ("SCAN audit", "SCAN oldest"),
    "set_audit_horizon": ("SCAN audit_horizon",),  # one row
    # Only those that fail; of each, only what is overdue.
    "overdue_deliveries": ("SCAN webhook_endpoint USING INDEX webhook_endpoint_failing",),
    "end_delivery": ALONE,
    "forget_deliveries": ALONE,
    # A hundred endpoints to a resource at most, and one delivery of each.
    "next_delivery": ("SCAN webhook_endpoint", "SCAN json_each", "USE TEMP B-TREE FOR ORDER BY"),
    "endpoint_of_delivery": ALONE,
    # A thousand imports at most wait, in their order.
    "next_import": ("SCAN import USING INDEX import_in_order",),
    "batches_at_work": ALONE,
    "deployments_at_work": ALONE,
    "pauses": ALONE,
    # There are few engines.
    "paces": ("SCAN engine_pace",),
    "batches_to_forget": ALONE,
    "files_to_forget": ALONE,
    "forget_batch_regions": ALONE,
    "forget_batch_text": ALONE,
    "forget_batch_history": ALONE,
    "forget_batch": ALONE,
    # Of those of which there is something new.
    "batch_histories": ("SCAN json_each",),
    "put_batch_history": ALONE,
    "add_engine": ALONE,
    "engine_number": ALONE,
    "engine_minute": ALONE,
    "put_engine_minute": ALONE,
    # There are few engines; of each, its oldest minute.
    "engines_to_trim": ("SCAN engine",),
    "trim_engine_minutes": ALONE,
    "forget_engines": ("SCAN engine",),
    "batch": ALONE,
    "batch_by_seq": ALONE,
    "batch_to_claim": ALONE,
    "account_of": ALONE,
    # What servers that share a ledger do at the moment: a handful each.
    "members": ("SCAN member", "USE TEMP B-TREE FOR ORDER BY"),
    "duties_of_others": ALONE,
    # What is in hand: at most 32 shards of each worker.
    "shards_in_hand": ("SCAN shard USING INDEX shard_running", "USE TEMP B-TREE FOR GROUP BY"),
    "take_duty": ALONE,
    "end_duty": ALONE,
    "still_to_validate": ALONE,
    "still_to_end": ALONE,
    "still_to_fetch": ALONE,
    "still_to_bring": ALONE,
    "still_to_deliver": ALONE,
}
# What users, operators and starts ask for, and what is done for something that has been found.
NOT_POLLED = {
    *("identity", "kept_texts", "raise_generation", "wall_time", "retention_rules", "keep_for", "keep_for_ever"),
    *("add_file", "file", "file_seq", "files_descending", "files_ascending", "lasting_files", "expiring_files"),
    *("remember_deleted", "forget_deleted", "delete_file", "add_batch", "batch_of_key", "batches"),
    *("accept_batch", "add_shard", "set_errors", "set_files", "forget_shards", "forget_segments", "leases_of_the_dead"),
    *("add_upload", "upload", "count_upload_part", "add_upload_part", "has_upload_part", "upload_parts", "end_upload"),
    *("forget_upload_parts", "empty_upload", "pending_imports", "add_import", "postpone_import", "forget_import"),
    *("fill_file", "keys", "put_key", "delete_keys", "count_webhook_endpoints", "add_webhook_endpoint"),
    *("webhook_endpoint", "webhook_endpoint_seq", "webhook_endpoints", "change_webhook_endpoint", "hasten_deliveries"),
    *("delete_webhook_endpoint", "webhook_listeners", "add_delivery", "record_delivery", "endpoint_answered"),
    *("endpoint_failed", "end_deliveries", "webhook_delivery_seq", "webhook_deliveries", "usage", "add_audit", "audit"),
    *("audit_of_resource", "newest_audit", "newest_audit_of_resource", "deployments", "put_deployment"),
    *("deployment_version", "count_deployments", "has_keys", "connections", "connection_version", "count_connections"),
    *("put_connection", "put_connection_secret", "reseal_connection", "deployments_of_resource", "remove_connection"),
    *("remove_connection_secret", "overwrites_deleted", "leaves_deleted", "batch_history"),
    *("batch_regions", "open_readings", "ended_readings", "pending_reading", "forget_sessions", "add_session"),
    *(
        "session",
        "delete_session",
        "batch_counts",
        "completed_with_failures",
        "overview_rows",
        "add_batch_text",
        "waiting_between",
    ),
    *(
        "queue_position",
        "results_behind",
        "shard_sizes",
        "shard",
        "pause_of",
        "add_pause",
        "remove_pause",
        "mark_paused",
        "pause_shards",
    ),
    *("resume_shards", "engine_minutes", "pause_readings", "set_pace", "forget_pace", "audit_settled"),
    *(
        "add_member",
        "send_for",
        # A row for each member, and what it has in hand, for an operator who asks.
        "member_that_watches",
        "duties_in_hand",
        "slots_in_hand",
        "forget_grave",
        "forget_member",
        "tell_members",
        "leases_of_member",
        "leases_of_no_member",
        "end_duties",
    ),
    # None of an embedded ledger, which has nobody to share with.
    *(
        "bury_engine_slots",
        "bury_member",
        "hurry",
        "database_now",
        "engine_holdings",
        "forget_engine_slots",
        "forget_words",
        "is_buried",
        "leave_engine",
        "lock_shared_engine",
        "put_engine_slots",
        "say_word",
        "take_word_back",
        "words_of_others",
    ),
}
QUERIES_TEXT = (Path(sql.__path__[0]) / "queries.sql").read_text("utf-8")


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    """An empty ledger: plans do not depend on what is in it, because nothing ever analyzes it."""
    connection = sqlite3.connect(":memory:")
    migrate(connection, ":memory:")
    yield connection
    connection.close()


def test_every_statement_says_whether_it_is_polled() -> None:
    """A new statement has to be put into one of the lists, and what is in a list exists."""
    names = {name.removesuffix("!") for name in re.findall(r"^-- name: (\S+)", QUERIES_TEXT, re.MULTILINE)}
    assert set(POLLED) | NOT_POLLED == names
    assert not set(POLLED) & NOT_POLLED


@pytest.mark.parametrize("name", POLLED)
def test_nothing_is_walked_or_sorted(database: sqlite3.Connection, name: str) -> None:
    """A statement that is polled goes straight to what it finds, by an index, and sorts nothing."""
    text = getattr(QUERIES, name).sql
    values = [1] * text.count("?") or {each: 1 for each in re.findall(r":(\w+)", text)}
    for step in (row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {text}", values)):
        if step.startswith("SCAN CONSTANT ROW"):
            continue
        if step.startswith("SCAN") or "TEMP B-TREE" in step:
            assert step.startswith(POLLED[name] or "nothing"), step


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("unranked", "batch_unranked"),
        ("exhausted", "batch_exhausted"),
        ("ending", "batch_to_end"),
        ("elapsed", "batch_to_expire"),
        ("waiting", "COVERING INDEX batch_waiting"),
        ("lost_leases", "shard_lease"),
        ("claim_shard", "shard_to_claim"),
        ("queued_batches", "batch_queued"),
        ("open_batches", "batch_open"),
        ("blob_in_use", "batch_open_input"),
        ("overdue_deliveries", "webhook_delivery_tried"),
        ("tenant_to_validate", "batch_to_validate"),
        ("tenant_to_validate_small", "batch_small_to_validate"),
        ("next_to_validate", "batch_to_validate"),
        ("next_to_validate_small", "batch_small_to_validate"),
    ],
)
def test_an_index_has_only_what_is_looked_for(database: sqlite3.Connection, name: str, index: str) -> None:
    """An index that merely fits would do for the plan, and walk every running batch."""
    text = getattr(QUERIES, name).sql
    values = {each: 1 for each in re.findall(r":(\w+)", text)}
    plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {text}", values)]
    assert any(index in step for step in plan), plan


def test_the_cost_of_looking_does_not_grow() -> None:
    """Counted in steps of SQLite's machine: a hundred running batches more, and not one step more."""

    async def story() -> None:
        ledger = SqlLedger.open(":memory:")
        db, steps = ledger.sql.database.reader, 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        async def look() -> int:
            nonlocal steps
            steps = 0
            db.set_progress_handler(count, 1)
            assert await ledger.next_to_validate() is None
            assert await ledger.waiting() == []
            assert await ledger.unranked() == []
            assert await ledger.queued_batches("d", after=1 << 40) == []
            assert await ledger.claim_shards(["nobody"], owner="w", now=0.0, lease_seconds=10.0) == []
            assert await ledger.renew_leases([], now=0.0, lease_seconds=10.0) == []
            assert await ledger.begin_finalizing(now=0) is None
            assert await ledger.release_leases(now=0.0) == 0
            assert await ledger.elapse_windows(now=0) == []
            assert await ledger.expired_files(now=0, limit=100) == []
            await ledger.open_batches("d")
            await ledger.enqueued_tokens("d")
            db.set_progress_handler(None, 0)
            return steps

        await started(ledger, 0, shards=(1, 1, 1))
        await claimed(ledger)
        few = await look()
        for number in range(1, 101):
            await started(ledger, number, shards=(1, 1, 1))
            await claimed(ledger)
        assert await look() <= few
        await ledger.close()

    asyncio.run(story())


def test_more_than_a_page_waits_and_starts(tmp_path: Path) -> None:
    """Deployments do not stand behind each other, and what does not fit on a page is on the next."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "ledger", inline=True)
        for number in range(60):
            name = "full" if number < 40 else "free"
            await ledger.add_batch(batch(number))
            await ledger.accept_batch(
                f"batch-{number}", deployment=name, endpoint="/x", total=0, tokens=number, shards=[]
            )
        seen: list[str] = []
        while waiting := {each.deployment: each for each in await ledger.waiting()}.get("free"):
            seen += [each.id for each in waiting.batches]
            assert waiting.held == sum(range(40, 40 + len(seen) - len(waiting.batches)))
            await ledger.enqueue([each.id for each in waiting.batches], now=1)
        assert seen == [f"batch-{number}" for number in range(40, 60)]
        (others,) = await ledger.waiting()
        assert [each.id for each in others.batches] == [f"batch-{number}" for number in range(25)]
        await ledger.close()

    asyncio.run(story())


def test_the_migration_counts_what_is_there(tmp_path: Path) -> None:
    """A ledger in the middle of its work has right counts after the upgrade, and ends its batches by them."""
    path = tmp_path / "ledger"
    old = sqlite3.connect(path)
    for number, script in enumerate(MIGRATIONS[:12], 1):
        old.executescript(f"{script.read_text('utf-8')} PRAGMA user_version = {number};")
    common = "INSERT INTO batch (seq, id, stage, status, deployment, enqueued_tokens, total, input_file_id, input_blob,"
    common += " endpoint, dispatch_endpoint, completion_window, created_at, expires_at, expires, policies) VALUES "
    for seq, stage, status in (
        (1, "new", "validating"),
        (2, "waiting", "validating"),
        (3, "running", "in_progress"),
        (4, "running", "in_progress"),
        (5, "ending", "cancelling"),
        (6, "ended", "completed"),
        (7, "running", "in_progress"),
    ):
        row = f"({seq}, 'batch-{seq}', '{stage}', '{status}', {'NULL' if seq == 1 else repr('d')}, {seq}, 2, 'f', 'b', '/x',"
        old.execute(f"{common} {row} '/x', '24h', 0, 9, 0, '{{}}')")
    shard = "INSERT INTO shard (batch_seq, idx, deployment, offset_, length, lines, tokens, state, rank, epoch, owner, done) "
    for seq, index, state, rank in (
        (2, 0, "queued", "NULL"),
        (3, 0, "done", "1.0"),
        (3, 1, "running", "2.0"),
        (4, 0, "queued", "NULL"),
        (5, 0, "running", "1.0"),
        (5, 1, "stopped", "NULL"),
        (7, 0, "done", "1.0"),
    ):
        owner = "'w'" if state == "running" else "NULL"
        old.execute(f"{shard} VALUES ({seq}, {index}, 'd', 0, 1, 1, 1, '{state}', {rank}, 1, {owner}, X'01')")
    old.commit()
    old.close()

    async def story() -> None:
        ledger = SqlLedger.open(path, inline=True)
        db = ledger.sql.database.reader
        assert not db.execute(WRONG_COUNTS).fetchall()
        kept = db.execute("SELECT stage, deployment, batches, tokens FROM batch_load").fetchall()
        assert sorted(map(tuple, kept)) == sorted(map(tuple, db.execute(LOAD).fetchall()))
        assert (await ledger.enqueued_tokens("d"), await ledger.counted_tokens("d")) == (21, 21)
        assert [each.batch_id for each in await ledger.unranked()] == ["batch-4"]
        first = await ledger.begin_finalizing(now=1)
        assert first is not None
        assert first.id == "batch-7"
        await ledger.publish_files(first.id, output=None, error=None, now=1)
        assert await ledger.begin_finalizing(now=1) is None
        assert await ledger.finish_shard("batch-3", 1, epoch=1)
        assert await ledger.release_shard("batch-5", 0, epoch=1)
        assert {each.id for each in await _all_that_end(ledger)} == {"batch-3", "batch-5"}
        await ledger.close()

    asyncio.run(story())


async def _all_that_end(ledger: SqlLedger) -> list[Batch]:
    ends = []
    while (each := await ledger.begin_finalizing(now=1)) is not None:
        ends.append(each)
        await ledger.publish_files(each.id, output=None, error=None, now=1)
    return ends


def test_most_heartbeats_write_nothing() -> None:
    """A lease is written anew when a third of it is gone; what a heartbeat tells is told by every one."""

    async def story() -> None:
        ledger = SqlLedger.open(":memory:")
        await started(ledger, shards=(1,))
        shard = await claimed(ledger, now=0.0)
        ours = [("batch-0", 0, shard.epoch)]
        before = ledger.sql.database.reader.total_changes
        (state,) = await ledger.renew_leases(ours, now=3.0, lease_seconds=10.0)
        assert (state.epoch, state.stop) == (shard.epoch, False)
        assert ledger.sql.database.reader.total_changes == before
        await ledger.renew_leases(ours, now=4.0, lease_seconds=10.0)
        assert ledger.sql.database.reader.total_changes > before
        assert await ledger.release_leases(now=13.0) == 0
        await ledger.request_cancel("batch-0", now=5)
        (state,) = await ledger.renew_leases(ours, now=5.0, lease_seconds=10.0)
        assert state.stop
        assert await ledger.commit_segments([segment(shard, 0)], now=5.0, lease_seconds=10.0) == []
        await ledger.close()

    asyncio.run(story())
