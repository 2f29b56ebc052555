"""The moments between the steps of a service, and the end of the process at one of them.

`Watched` stands before a port and lets everything through. Before and after each call that writes it says so to `Moments`,
which notes the moment and, at the one that was chosen, ends the process with kill -9: nothing runs after that, no handler,
no buffer is flushed.
"""

import contextvars
import inspect
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from slackwater.ports import BlobStore, Sender

# What only looks. A method that is not here is taken for one that writes, so a new one is watched before anybody thinks of it.
LEDGER_READS = frozenset(
    {
        "claimable_batches",
        "audit",
        "batch",
        "batch_history",
        "batch_of_key",
        "batch_overview",
        "batch_regions",
        "batches",
        "batches_at_work",
        "blob_in_use",
        "close",
        "cluster",
        "counted_tokens",
        "deployment_load",
        "deployments",
        "deployments_at_work",
        # In a ledger without members there are no duties.
        "end_duty",
        "engine_history",
        "enqueued_tokens",
        "expired_files",
        "file",
        "file_counts",
        "files",
        "has_upload_part",
        "kept_texts",
        "keys",
        "members",
        "next_delivery",
        "next_import",
        "next_to_bring",
        "next_to_validate",
        "connections",
        "open_batches",
        "others",
        "pause_of",
        "queue_position",
        "retention_rules",
        "results_behind",
        "shard_sizes",
        "segments",
        "session",
        "shard",
        "unfinished_shards",
        "unranked",
        "upload",
        "upload_parts",
        "uploads_to_empty",
        "usage",
        "waiting",
        "wall_time",
        "webhook_deliveries",
        "webhook_endpoint",
        "webhook_endpoints",
    }
)
BLOB_READS = frozenset({"checksum", "close", "names", "read", "reader", "stat", "stream", "stream_whole"})
SENDER_READS = frozenset({"check"})
# What a stage calls again and again, mostly to find nothing. Only a call that has found something is a moment.
POLLS = frozenset(
    {
        "begin_finalizing",
        "claim_shards",
        "queued_batches",
        "elapse_windows",
        "end_overdue_deliveries",
        "expire_uploads",
        "forget_deliveries",
        "forget_uploads",
        "release_leases",
        "renew_leases",
        "trim_audit",
        "forget_batches",
        "forget_files",
        "give_back_pages",
    }
)
BEFORE, BETWEEN, AFTER = "before", "between", "after"
# The call of the ledger that is under way, and how many transactions it has had so far.
_call: contextvars.ContextVar[tuple[str, int, list[None]] | None] = contextvars.ContextVar("call", default=None)


class Moment(Struct, frozen=True, order=True):
    """Right before or right after a call of a method, its first or a later one: `ledger.add_batch after 1`.

    Of a method that is polled, `after` counts the calls that have found something, and `before` all of them. `between` is
    before the second transaction of one call. There should be none: one method of the ledger is one transaction.
    """

    name: str
    phase: str
    number: int = 1

    def __str__(self) -> str:
        return f"{self.name} {self.phase} {self.number}"


def moment_of(text: str) -> Moment:
    """The moment that was written so."""
    name, phase, number = text.split()
    return Moment(name, phase, int(number))


class Moments:
    """Counts calls, notes every moment in a file, and ends the process at the chosen one."""

    def __init__(self, record: Path, chosen: Moment | None) -> None:
        self._file = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._chosen = chosen
        self._calls: Counter[str] = Counter()
        self._finds: Counter[str] = Counter()

    async def watch(self, name: str, call: Callable[[], Awaitable[Any]], *, polled: bool) -> Any:
        """Makes a call. One that raises has no moment behind it: it has changed nothing."""
        self._calls[name] += 1
        before = Moment(name, BEFORE, self._calls[name])
        if not polled:
            self._note(before)
        self._reach(before)
        _call.set((name, before.number, []))
        result = await call()
        if polled and not result:
            return result
        if polled:
            self._note(before)
        self._finds[name] += 1
        after = Moment(name, AFTER, self._finds[name])
        self._note(after)
        self._reach(after)
        return result

    def transaction(self) -> None:
        """One begins."""
        under_way = _call.get()
        if under_way is None:
            return
        name, number, earlier = under_way
        if earlier:
            self._note(moment := Moment(name, BETWEEN, number))
            self._reach(moment)
        earlier.append(None)

    def _note(self, moment: Moment) -> None:
        os.write(self._file, f"{moment}\n".encode())

    def _reach(self, moment: Moment) -> None:
        if moment == self._chosen:
            os.kill(os.getpid(), signal.SIGKILL)


class Watched:
    """Stands before an object of ours. What is not a writing method is passed on as it is."""

    def __init__(self, target: Any, name: str, moments: Moments, *, reads: frozenset[str]) -> None:
        self._target = target
        self._name = name
        self._moments = moments
        self._reads = reads

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._target, name)
        if name.startswith("_") or name in self._reads or not inspect.iscoroutinefunction(attribute):
            return attribute

        async def watched(*arguments: Any, **named: Any) -> Any:
            return await self._moments.watch(
                self._called(name, arguments), lambda: attribute(*arguments, **named), polled=name in POLLS
            )

        return watched

    def _called(self, name: str, arguments: tuple[Any, ...]) -> str:
        return f"{self._name}.{name}"


class WatchedBlobs(Watched):
    """The blobs, and the writers and logs that come from them. Their moments are named after the place of the key."""

    def _called(self, name: str, arguments: tuple[Any, ...]) -> str:
        return f"{_place(getattr(arguments[0], 'key', arguments[0]))}.{name}"

    def __getattr__(self, name: str) -> Any:
        method = super().__getattr__(name)
        if name not in ("create", "open_log"):
            return method

        async def opened(key: str) -> Watched:
            return Watched(await method(key), _place(key), self._moments, reads=BLOB_READS)

        return opened


class WatchedDatabase:
    """The database of a ledger: every transaction is known before it begins."""

    def __init__(self, database: Any, moments: Moments) -> None:
        self._database = database
        self._moments = moments

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def write(self, work: Callable[[Any], Any], *, durable: bool = True, **more: Any) -> Any:
        self._moments.transaction()
        return await self._database.write(work, durable=durable, **more)


def _place(key: str) -> str:
    return key.partition("/")[0]


def watched_ledger(ledger: Any, moments: Moments) -> Any:
    """The ledger behind its watch."""
    ledger.sql.database = WatchedDatabase(ledger.sql.database, moments)
    return Watched(ledger, "ledger", moments, reads=LEDGER_READS)


def watched_blobs(blobs: BlobStore, moments: Moments) -> Any:
    """The blobs behind theirs."""
    return WatchedBlobs(blobs, "blobs", moments, reads=BLOB_READS)


def watched_sender(sender: Sender | None, moments: Moments) -> Any:
    """The sender behind its own."""
    return Watched(sender, "sender", moments, reads=SENDER_READS)
