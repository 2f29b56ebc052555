"""Files that are fetched from a URL instead of being uploaded. Before: the user's order. After: admission, as for an upload.

The order makes a `pending` file; a step fetches the oldest one and gives it its end, `processed` or `error`. The bytes are
durable before the transaction that says `processed`. A crash before that transaction leaves the file `pending`, and the
next start fetches it again from its beginning. Several steps may run at once, each for a file of its own, so that a slow
host holds up its own imports only.
"""

import logging
import random
from collections.abc import Callable

from slackwater.core.errors import FetchFailed, InvalidRequest, StorageTrouble, UserError
from slackwater.core.files.file import FILENAME_MAX, File, FileLimits, FileStatus, Purpose
from slackwater.core.input.peek import HEAD_BYTES, first_line_is_json
from slackwater.core.members import Duty
from slackwater.core.outside.imports import OFF, off
from slackwater.core.sending.judgement import RetryPolicy
from slackwater.pipeline.loops import Pace
from slackwater.ports import NO_LIMITS, BlobStore, BlobWriter, Clock, Fetcher, Ledger, PendingImport
from slackwater.telemetry import event

# Imports that may wait. Their URLs are kept until they have ended, and one caller must not fill the ledger with them.
PENDING_MAX = 1_000
RETRY = RetryPolicy(attempts_max=3, delay_first=2.0, delay_max=30.0)
FAULT = "The file could not be imported because of a fault in the batch service. Try again, or upload it."
NOT_JSONL = "The file must be in the .jsonl format, with a JSON object on its first line."


class _Deleted(Exception):
    """The file was deleted while its bytes were coming."""


class Importer:
    """Takes orders, and fetches one file per step."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: BlobStore,
        clock: Clock,
        *,
        fetcher: Fetcher | None,
        new_id: Callable[[], str],
        wake: Callable[[], None] = lambda: None,
        limits: FileLimits = NO_LIMITS,
        retry: RetryPolicy = RETRY,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Without a `fetcher`, imports are turned off: orders are refused, and what waits from before ends as `error`."""
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._fetcher = fetcher
        self._new_id = new_id
        self._wake = wake
        self._limits = limits
        self._retry = retry
        self._chance = chance
        self._running: set[str] = set()

    def check(self) -> None:
        """Raises Forbidden where imports are turned off."""
        if self._fetcher is None:
            raise off()

    async def begin(
        self, *, purpose: Purpose, filename: str, url: str, expires_seconds: int | None, check_first_line: bool
    ) -> File:
        """A new file, `pending`. `check_first_line`: it fails unless its first line is JSON.

        Raises Forbidden, InvalidRequest, ImportRefused and QuotaExceeded.
        """
        if self._fetcher is None:
            raise off()
        if len(filename) > FILENAME_MAX:
            raise InvalidRequest(f"The file name is longer than {FILENAME_MAX} characters.", param="filename")
        host = self._fetcher.check(url)
        file_id, now = self._new_id(), int(self._clock.now())
        file = File(
            id=file_id,
            filename=filename,
            purpose=purpose,
            size=0,
            created_at=now,
            blob=f"files/{file_id}",
            expires_at=None if expires_seconds is None else now + expires_seconds,
            status=FileStatus.PENDING,
        )
        await self._ledger.add_import(
            file, url=url, check_first_line=check_first_line, pending_max=PENDING_MAX, limits=self._limits
        )
        event("import_ordered", file=file.id, host=host, purpose=purpose.value)
        self._wake()
        return file

    async def step(self) -> Pace:
        """Fetches the oldest file that waits and that no other step has."""
        pending = await self._ledger.next_import(now=self._clock.now(), skip=self._running)
        if pending is None:
            return Pace.IDLE
        file_id = pending.file.id
        if file_id in self._running:
            # Another step took it while the ledger was asked; the next look passes over it.
            return Pace.BUSY
        self._running.add(file_id)
        try:
            await self._import(pending)
        finally:
            await self._ledger.end_duty(Duty.IMPORT, file_id)
            self._running.discard(file_id)
        return Pace.BUSY

    async def _import(self, pending: PendingImport) -> None:
        if self._fetcher is None:
            await self._give_up(pending, OFF)
            return
        try:
            brought = await self._bring(self._fetcher, pending)
        except StorageTrouble:
            raise
        except _Deleted:
            event("import_dropped", file=pending.file.id)
        except UserError as refused:
            await self._give_up(pending, refused.message)
        except FetchFailed as failed:
            await self._failed(pending, failed.message, again=failed.again, cause=failed)
        except Exception as fault:
            await self._failed(pending, FAULT, again=True, cause=fault, level=logging.ERROR)
        else:
            await self._keep(pending, *brought)

    async def _bring(self, fetcher: Fetcher, pending: PendingImport) -> tuple[str, int, int]:
        """Makes the bytes durable: where, how many they are, and their checksum. Nothing stays where they did not all come."""
        # Each try has a key of its own: a late one must not overwrite what an earlier one has published.
        blob = f"files/{self._new_id()}"
        writer = await self._blobs.create(blob)
        try:
            incoming = _Incoming(self._ledger, writer, pending.file.id)
            await fetcher.fetch(pending.url, incoming.write)
            if pending.check_first_line and not first_line_is_json(incoming.head, size=writer.size):
                raise FetchFailed(NOT_JSONL, again=False)
            await writer.publish()
            return blob, writer.size, writer.checksum
        finally:
            await writer.discard()

    async def _keep(self, pending: PendingImport, blob: str, size: int, checksum: int) -> None:
        file, status = pending.file, FileStatus.PROCESSED
        if await self._ledger.finish_import(file.id, status=status, size=size, checksum=checksum, blob=blob):
            event("file_imported", file=file.id, bytes=size, purpose=file.purpose.value)
            return
        # Deleted after its last bytes had come, or brought by somebody else: nobody knows of these.
        await self._blobs.delete(blob)
        event("import_dropped", file=file.id)

    async def _failed(
        self, pending: PendingImport, message: str, *, again: bool, cause: Exception, level: int = logging.WARNING
    ) -> None:
        tries = pending.tries + 1
        reason = repr(cause.__cause__ or cause)
        event("import_failed", level=level, file=pending.file.id, time=tries, reason=reason)
        if not again or tries >= self._retry.attempts_max:
            await self._give_up(pending, message)
            return
        delay = self._retry.delay(tries, chance=self._chance())
        await self._ledger.postpone_import(pending.file.id, tries=tries, not_before=self._clock.now() + delay)

    async def _give_up(self, pending: PendingImport, message: str) -> None:
        await self._ledger.finish_import(pending.file.id, status=FileStatus.ERROR, status_details=message)
        event("import_ended", level=logging.WARNING, file=pending.file.id, reason=message)


class _Incoming:
    """The bytes of one file on their way into its blob, and the first of them for a look."""

    def __init__(self, ledger: Ledger, writer: BlobWriter, file_id: str) -> None:
        self._ledger = ledger
        self._writer = writer
        self._file_id = file_id
        self.head = b""

    async def write(self, data: bytes) -> None:
        """Adds bytes. Raises _Deleted as soon as nobody wants them any more."""
        if await self._ledger.file(self._file_id) is None:
            raise _Deleted
        if len(self.head) < HEAD_BYTES:
            self.head += data[: HEAD_BYTES - len(self.head)]
        await self._writer.write(data)
