"""The ledger as one resource sees it. What belongs to another is answered like what never existed.

Handlers, and the parts of the pipeline that work for a caller, are given a view instead of the ledger, so that no place can
forget to ask whose a thing is. Whatever is not listed here cannot be reached through a view.
"""

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from slackwater.core.accounts.cost import UsageEntry
from slackwater.core.batch import Batch
from slackwater.core.files.file import File, FileLimits, Purpose
from slackwater.core.files.upload import Upload, UploadPart
from slackwater.core.watching.listing import EVERY_BATCH, BatchQuery
from slackwater.ports import NO_LIMITS, AuditEntry, FileCounts, IdempotencyKey, Ledger, Overview, Segment

# Of these only what `file`, `batch` or `upload` has found can be an argument; a deployment's key names its resource.
SAFE = frozenset(
    {
        "blob_in_use",
        "enqueued_tokens",
        "deployment_load",
        "add_upload_part",
        "batch_history",
        "batch_regions",
        "queue_position",
        "results_behind",
        "shard_sizes",
    }
)


class ResourceView:
    """Reads and writes of one resource."""

    def __init__(self, ledger: Ledger, resource: str) -> None:
        self._ledger = ledger
        self.resource = resource

    @classmethod
    def of(cls, ledger: Ledger, resource: str) -> Ledger:
        """A view in the place of a ledger."""
        return cast(Ledger, cls(ledger, resource))

    def __getattr__(self, name: str) -> Any:
        if name in SAFE:
            return getattr(self._ledger, name)
        raise AttributeError(f"a resource cannot reach '{name}' of the ledger")

    # Files

    async def add_file(self, file: File, *, limits: FileLimits = NO_LIMITS) -> None:
        await self._ledger.add_file(self._stamped(file), limits=limits)

    async def add_import(self, file: File, **more: Any) -> None:
        await self._ledger.add_import(self._stamped(file), **more)

    async def file(self, file_id: str) -> File | None:
        file = await self._ledger.file(file_id)
        return file if file is not None and file.resource == self.resource else None

    async def files(
        self, *, purpose: Purpose | None, after: str | None, limit: int, descending: bool, now: int
    ) -> list[File]:
        return await self._ledger.files(
            purpose=purpose, after=after, limit=limit, descending=descending, now=now, resource=self.resource
        )

    async def delete_file(self, file_id: str) -> File | None:
        # A file never changes its resource, so nothing can come between the look and the deed.
        return None if await self.file(file_id) is None else await self._ledger.delete_file(file_id)

    # Uploads

    async def add_upload(self, upload: Upload) -> None:
        await self._ledger.add_upload(msgspec.structs.replace(upload, resource=self.resource))

    async def upload(self, upload_id: str) -> Upload | None:
        upload = await self._ledger.upload(upload_id)
        return upload if upload is not None and upload.resource == self.resource else None

    async def upload_parts(self, upload_id: str) -> list[UploadPart]:
        return [] if await self.upload(upload_id) is None else await self._ledger.upload_parts(upload_id)

    async def cancel_upload(self, upload_id: str, *, now: int) -> Upload | None:
        return None if await self.upload(upload_id) is None else await self._ledger.cancel_upload(upload_id, now=now)

    async def complete_upload(self, upload_id: str, *, file: File, **more: Any) -> bool:
        return await self._ledger.complete_upload(upload_id, file=self._stamped(file), **more)

    # Batches

    async def add_batch(
        self, batch: Batch, *, key: IdempotencyKey | None = None, token_limit: int | None = None
    ) -> Batch:
        mine = msgspec.structs.replace(batch, resource=self.resource)
        return await self._ledger.add_batch(mine, key=None if key is None else self._own(key), token_limit=token_limit)

    async def batch_of_key(self, key: IdempotencyKey) -> Batch | None:
        return await self._ledger.batch_of_key(self._own(key))

    async def batch(self, batch_id: str) -> Batch | None:
        batch = await self._ledger.batch(batch_id)
        return batch if batch is not None and batch.resource == self.resource else None

    async def batches(self, query: BatchQuery = EVERY_BATCH, *, after: str | None = None, limit: int) -> list[Batch]:
        return await self._ledger.batches(query, after=after, limit=limit, resource=self.resource)

    async def request_cancel(self, batch_id: str, *, now: int) -> Batch | None:
        return None if await self.batch(batch_id) is None else await self._ledger.request_cancel(batch_id, now=now)

    async def segments(self, batch_id: str, *, after: int = 0, limit: int = 1000) -> Sequence[tuple[int, Segment]]:
        if await self.batch(batch_id) is None:
            return []
        return await self._ledger.segments(batch_id, after=after, limit=limit)

    async def batch_overview(self, **asked: Any) -> Overview:
        return await self._ledger.batch_overview(**(asked | {"resource": self.resource}))

    # Accounts

    async def usage(self, **asked: Any) -> list[UsageEntry]:
        return await self._ledger.usage(**(asked | {"resource": self.resource}))

    async def file_counts(self, resource: str) -> FileCounts:
        return await self._ledger.file_counts(self.resource)

    async def add_audit(self, entry: AuditEntry, *, durable: bool = True) -> None:
        await self._ledger.add_audit(msgspec.structs.replace(entry, resource=self.resource), durable=durable)

    async def audit(self, **asked: Any) -> list[AuditEntry]:
        return await self._ledger.audit(**(asked | {"resource": self.resource}))

    def _stamped(self, file: File) -> File:
        return msgspec.structs.replace(file, resource=self.resource)

    def _own(self, key: IdempotencyKey) -> IdempotencyKey:
        return msgspec.structs.replace(key, resource=self.resource)
