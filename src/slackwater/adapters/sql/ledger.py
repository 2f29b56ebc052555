"""The Ledger on SQL: every method of the port, and the part that it belongs to. One method, one transaction."""

import functools
import importlib.util
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from slackwater.adapters.sql.accounts import SqlAccounts
from slackwater.adapters.sql.base import SqlBase, SqlPart
from slackwater.adapters.sql.batch_histories import SqlBatchHistories
from slackwater.adapters.sql.batches import SqlBatches
from slackwater.adapters.sql.bringing import SqlBringing
from slackwater.adapters.sql.connections import SqlConnections
from slackwater.adapters.sql.db import Database, Db, Row
from slackwater.adapters.sql.deployments import SqlDeployments
from slackwater.adapters.sql.duties import Duties
from slackwater.adapters.sql.engines import SqlEngines
from slackwater.adapters.sql.files import SqlFiles
from slackwater.adapters.sql.identity import Found, ServerFound
from slackwater.adapters.sql.imports import SqlImports
from slackwater.adapters.sql.keys import SqlKeys
from slackwater.adapters.sql.lists import SqlLists
from slackwater.adapters.sql.members import SqlMembers
from slackwater.adapters.sql.overview import SqlOverview
from slackwater.adapters.sql.pauses import SqlPauses
from slackwater.adapters.sql.queue import SqlQueue
from slackwater.adapters.sql.readings import SqlReadings
from slackwater.adapters.sql.retention import SqlRetention
from slackwater.adapters.sql.sessions import SqlSessions
from slackwater.adapters.sql.shards import SqlShards
from slackwater.adapters.sql.sharing import SqlSharing
from slackwater.adapters.sql.sqlite import SCHEMA_VERSION, SEARCH_STEPS, SqliteDatabase
from slackwater.adapters.sql.times import SqlTimes
from slackwater.adapters.sql.uploads import SqlUploads
from slackwater.adapters.sql.webhooks import SqlWebhooks
from slackwater.core.errors import LedgerRefused
from slackwater.core.files.belonging import Mark
from slackwater.core.members import Member
from slackwater.ports import Away, Presence, Together

S = TypeVar("S", bound=SqlPart)
P = ParamSpec("P")
R = TypeVar("R")


def part(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate["SqlLedger", P], Coroutine[Any, Any, R]]:
    """A method of the ledger that is one of a part."""
    kind = method.__qualname__.partition(".")[0]

    @functools.wraps(method)
    async def call(ledger: "SqlLedger", /, *arguments: P.args, **named: P.kwargs) -> R:
        return await method(ledger._parts[kind], *arguments, **named)  # type: ignore[arg-type]

    return call


def _need_driver() -> None:
    if importlib.util.find_spec("psycopg") is None:
        raise LedgerRefused(
            "the ledger is on PostgreSQL, and psycopg is not installed; in a checkout: pip install '.[postgresql]'"
        )


class SqlLedger:
    """Durable facts in a database: SQLite in a file or in memory, or PostgreSQL."""

    def __init__(self, database: Database, *, together: Together | None = None) -> None:
        self.sql = sql = SqlBase(database)
        self.together = together
        """What servers on this ledger tell each other; None where it can have only one."""
        self.duties = duties = Duties(sql)
        overview, webhooks, files, shards = SqlOverview(sql), SqlWebhooks(sql, duties), SqlFiles(sql), SqlShards(sql)
        sharing = SqlSharing(sql)
        batches = SqlBatches(sql, overview=overview, webhooks=webhooks, duties=duties)
        parts = (
            batches,
            SqlBringing(sql, batches, duties),
            shards,
            SqlQueue(sql),
            files,
            SqlUploads(sql, files),
            SqlImports(sql, files, duties),
            SqlMembers(sql, shards, duties, sharing),
            SqlLists(sql),
            overview,
            SqlReadings(sql),
            webhooks,
            SqlKeys(sql),
            SqlSessions(sql),
            SqlAccounts(sql),
            SqlDeployments(sql),
            SqlConnections(sql),
            SqlPauses(sql),
            SqlEngines(sql),
            SqlBatchHistories(sql),
            SqlRetention(sql),
            SqlTimes(sql),
            sharing,
        )
        self._parts: dict[str, SqlPart] = {type(each).__name__: each for each in parts}

    @classmethod
    def open(cls, path: Path | str, *, inline: bool = False, search_steps: int = SEARCH_STEPS) -> "SqlLedger":
        """Opens or makes the database. `inline` runs everything on the caller's thread (simulation, `:memory:`).

        Raises DataDirectoryError where a newer version has been.
        """
        inline = inline or str(path) == ":memory:"
        return cls(SqliteDatabase(path, inline=inline, search_steps=search_steps))

    @classmethod
    def connect(
        cls, address: str, *, alone: bool = False, member: Member | None = None, read_only: bool = False
    ) -> "SqlLedger":
        """Opens or makes a ledger on PostgreSQL, which `address` names; `alone` refuses one that a server has.

        As a `member` it works with it beside others, of which `presence` tells.

        Raises LedgerUnavailable, and LedgerRefused where it cannot be used.
        """
        _need_driver()
        from slackwater.adapters.sql.postgresql.database import PostgresqlDatabase
        from slackwater.adapters.sql.postgresql.together import PostgresqlTogether

        if read_only and (schema := cls.found_at(address).schema) != SCHEMA_VERSION:
            raise LedgerRefused(
                f"the ledger is of another version of Slackwater (schema {schema}; this version knows {SCHEMA_VERSION}): use the "
                "version that serves it, or start this version's server on it first"
            )
        database = PostgresqlDatabase(address, alone=alone, member=member, read_only=read_only)
        ledger = cls(database, together=PostgresqlTogether(database))
        if member is not None:
            ledger.act_as(member.id)
        return ledger

    @staticmethod
    def found_at(address: str) -> Found:
        """What the ledger on PostgreSQL is that `address` names. Changes nothing. Raises LedgerUnavailable and LedgerRefused."""
        _need_driver()
        from slackwater.adapters.sql.postgresql.looking import found_at

        return found_at(address)

    @staticmethod
    def server_of(address: str) -> ServerFound:
        """The server of it. Raises LedgerUnavailable and LedgerRefused."""
        from slackwater.adapters.sql.postgresql.looking import server_of

        return server_of(address)

    @staticmethod
    def asked_at(address: str, ask: Callable[[Db], R]) -> R:
        """What `ask` finds in the ledger on PostgreSQL that `address` names. Raises LedgerUnavailable and LedgerRefused."""
        from slackwater.adapters.sql.postgresql.looking import asked_of

        return asked_of(address, ask)

    @classmethod
    def look(cls, path: Path) -> "SqlLedger":
        """Opens a database to read it, also one that a server has open. Raises DataDirectoryError where it cannot."""
        return cls(SqliteDatabase(path, inline=True, read_only=True))

    async def mark(self) -> Mark:
        """Which ledger this is, and how often it was taken up."""
        return self._mark(await self.sql.look_one("identity", {}))

    async def raise_generation(self, *, above: int = 0) -> Mark:
        """Takes it up once more, and beyond that generation."""
        return self._mark(await self.sql.write(lambda db: self.sql.one(db, "raise_generation", {"above": above})))

    @staticmethod
    def _mark(row: Row | None) -> Mark:
        assert row is not None, "a ledger knows which one it is"
        return Mark(*row)

    @property
    def presence(self) -> Presence | None:
        """That this process is a member of those who work with the ledger; None where nobody else does."""
        return self.sql.database.presence

    def act_as(self, member_id: str) -> None:
        """From now on duties are taken in the name of this member, and leases of those who are none are nobody's."""
        self.sql.member = member_id

    async def close(self) -> None:
        """Waits for what is being written and closes the database."""
        if self.together is not None:
            await self.together.close()
        await self.sql.database.close()

    @property
    def refuses_writes(self) -> bool:
        """Whether the last write failed for a reason that is the database's or the disk's."""
        return self.sql.database.refuses_writes

    @property
    def away(self) -> Away | None:
        """That its database cannot be used; None while it can, and where it is a file."""
        return self.sql.database.away

    @property
    def damaged(self) -> bool:
        """Whether something was read that is not what was written."""
        return self.sql.database.damaged

    async def try_write(self) -> None:
        """Writes something that means nothing. Raises what a write raises; else the ledger refuses no more."""
        await self.sql.database.try_write()

    # The life of batches
    add_batch = part(SqlBatches.add_batch)
    batch_of_key = part(SqlBatches.batch_of_key)
    batch = part(SqlBatches.batch)
    request_cancel = part(SqlBatches.request_cancel)
    next_to_validate = part(SqlBatches.next_to_validate)
    accept_batch = part(SqlBatches.accept_batch)
    reject_batch = part(SqlBatches.reject_batch)
    enqueue = part(SqlBatches.enqueue)
    begin_finalizing = part(SqlBatches.begin_finalizing)
    publish_files = part(SqlBatches.publish_files)
    elapse_windows = part(SqlBatches.elapse_windows)

    # Working
    queued_batches = part(SqlShards.queued_batches)
    claimable_batches = part(SqlShards.claimable_batches)
    claim_shards = part(SqlShards.claim_shards)
    renew_leases = part(SqlShards.renew_leases)
    commit_segments = part(SqlShards.commit_segments)
    finish_shard = part(SqlShards.finish_shard)
    release_shard = part(SqlShards.release_shard)
    release_leases = part(SqlShards.release_leases)
    kept_texts = part(SqlShards.kept_texts)
    segments = part(SqlShards.segments)
    unfinished_shards = part(SqlShards.unfinished_shards)
    shard = part(SqlShards.shard)

    # Quota and scheduling
    waiting = part(SqlQueue.waiting)
    enqueued_tokens = part(SqlQueue.enqueued_tokens)
    counted_tokens = part(SqlQueue.counted_tokens)
    unranked = part(SqlQueue.unranked)
    rank_shards = part(SqlQueue.rank_shards)

    # Files
    add_file = part(SqlFiles.add_file)
    file = part(SqlFiles.file)
    files = part(SqlFiles.files)
    delete_file = part(SqlFiles.delete_file)
    blob_in_use = part(SqlFiles.blob_in_use)
    expired_files = part(SqlFiles.expired_files)

    # Uploads
    add_upload = part(SqlUploads.add_upload)
    upload = part(SqlUploads.upload)
    add_upload_part = part(SqlUploads.add_upload_part)
    upload_parts = part(SqlUploads.upload_parts)
    has_upload_part = part(SqlUploads.has_upload_part)
    complete_upload = part(SqlUploads.complete_upload)
    cancel_upload = part(SqlUploads.cancel_upload)
    expire_uploads = part(SqlUploads.expire_uploads)
    uploads_to_empty = part(SqlUploads.uploads_to_empty)
    forget_upload_parts = part(SqlUploads.forget_upload_parts)
    forget_uploads = part(SqlUploads.forget_uploads)

    # Imports
    add_import = part(SqlImports.add_import)
    next_import = part(SqlImports.next_import)
    postpone_import = part(SqlImports.postpone_import)
    finish_import = part(SqlImports.finish_import)

    # Input in storages of users
    next_to_bring = part(SqlBringing.next_to_bring)
    finish_bringing = part(SqlBringing.finish_bringing)

    # Lists of batches
    batches = part(SqlLists.batches)

    # For people who watch
    batch_overview = part(SqlOverview.batch_overview)
    queue_position = part(SqlOverview.queue_position)
    batches_at_work = part(SqlOverview.batches_at_work)
    deployment_load = part(SqlOverview.deployment_load)
    deployments_at_work = part(SqlOverview.deployments_at_work)
    results_behind = part(SqlOverview.results_behind)
    shard_sizes = part(SqlOverview.shard_sizes)

    # Monitoring
    readings = part(SqlReadings.readings)

    # Webhooks
    add_webhook_endpoint = part(SqlWebhooks.add_webhook_endpoint)
    webhook_endpoint = part(SqlWebhooks.webhook_endpoint)
    webhook_endpoints = part(SqlWebhooks.webhook_endpoints)
    change_webhook_endpoint = part(SqlWebhooks.change_webhook_endpoint)
    delete_webhook_endpoint = part(SqlWebhooks.delete_webhook_endpoint)
    next_delivery = part(SqlWebhooks.next_delivery)
    record_delivery = part(SqlWebhooks.record_delivery)
    webhook_deliveries = part(SqlWebhooks.webhook_deliveries)
    end_overdue_deliveries = part(SqlWebhooks.end_overdue_deliveries)
    forget_deliveries = part(SqlWebhooks.forget_deliveries)

    # Keys
    keys = part(SqlKeys.keys)
    put_keys = part(SqlKeys.put_keys)
    delete_keys = part(SqlKeys.delete_keys)

    # Sessions of browsers
    add_session = part(SqlSessions.add_session)
    session = part(SqlSessions.session)
    delete_session = part(SqlSessions.delete_session)

    # Usage and audit
    usage = part(SqlAccounts.usage)
    file_counts = part(SqlAccounts.file_counts)
    add_audit = part(SqlAccounts.add_audit)
    audit = part(SqlAccounts.audit)
    trim_audit = part(SqlAccounts.trim_audit)
    retention_rules = part(SqlRetention.retention_rules)
    set_rule = part(SqlRetention.set_rule)
    forget_batches = part(SqlRetention.forget_batches)
    forget_files = part(SqlRetention.forget_files)
    give_back_pages = part(SqlRetention.give_back_pages)

    # Deployments made over the API
    deployments = part(SqlDeployments.deployments)
    put_deployment = part(SqlDeployments.put_deployment)
    remove_deployment = part(SqlDeployments.remove_deployment)
    open_batches = part(SqlDeployments.open_batches)
    batch_regions = part(SqlDeployments.batch_regions)

    # Connections
    connections = part(SqlConnections.connections)
    put_connection = part(SqlConnections.put_connection)
    reseal_connection = part(SqlConnections.reseal_connection)
    remove_connection = part(SqlConnections.remove_connection)

    # What operators have paused
    pauses = part(SqlPauses.pauses)
    pause_of = part(SqlPauses.pause_of)
    pause = part(SqlPauses.pause)
    paces = part(SqlPauses.paces)
    set_pace = part(SqlPauses.set_pace)
    forget_pace = part(SqlPauses.forget_pace)
    resume = part(SqlPauses.resume)

    # What became of engines
    add_engine_minutes = part(SqlEngines.add_engine_minutes)
    engine_history = part(SqlEngines.engine_history)
    trim_engine_minutes = part(SqlEngines.trim_engine_minutes)

    # How batches went
    add_batch_histories = part(SqlBatchHistories.add_batch_histories)
    batch_history = part(SqlBatchHistories.batch_history)

    # Members
    add_member = part(SqlMembers.add_member)
    members = part(SqlMembers.members)
    send_for = part(SqlMembers.send_for)
    cluster = part(SqlMembers.cluster)
    others = part(SqlMembers.others)
    bury = part(SqlMembers.bury)
    end_duty = part(SqlMembers.end_duty)

    # The time of day
    wall_time = part(SqlTimes.wall_time)
    note_alive = part(SqlTimes.note_alive)

    # What the members of a cluster share of engines
    share_engines = part(SqlSharing.share_engines)
    leave_engines = part(SqlSharing.leave_engines)
    bury_shares = part(SqlSharing.bury_shares)
    exchange_words = part(SqlSharing.exchange_words)
