"""The part of the SQL ledger that knows files in parts. A part's row, and an end, are refused where the upload has ended."""

import msgspec

from slackwater.adapters.sql.base import SqlBase, SqlPart
from slackwater.adapters.sql.db import Db
from slackwater.adapters.sql.files import SqlFiles
from slackwater.adapters.sql.rows import part_record, upload_record, upload_row
from slackwater.core.files.file import File, FileLimits
from slackwater.core.files.upload import Upload, UploadPart, UploadStatus
from slackwater.ports import NO_LIMITS


class SqlUploads(SqlPart):
    """The methods of the port that concern uploads."""

    def __init__(self, base: SqlBase, files: SqlFiles) -> None:
        super().__init__(base)
        self._files = files

    async def add_upload(self, upload: Upload) -> None:
        await self._sql.write(lambda db: self._sql.run(db, "add_upload", upload_row(upload)))

    async def upload(self, upload_id: str) -> Upload | None:
        return await self._sql.database.look(lambda db: self._upload(db, upload_id))

    def _upload(self, db: Db, upload_id: str) -> Upload | None:
        row = self._sql.one(db, "upload", {"id": upload_id})
        return None if row is None else upload_record(row)

    async def add_upload_part(self, part: UploadPart, *, now: int, parts_max: int, bytes_max: int) -> bool:
        bounds = {"now": now, "parts_max": parts_max, "bytes_max": bytes_max}

        def work(db: Db) -> bool:
            values = msgspec.structs.asdict(part)
            if not self._sql.run(db, "count_upload_part", values | bounds):
                return False
            self._sql.run(db, "add_upload_part", values)
            return True

        return await self._sql.write(work)

    async def upload_parts(self, upload_id: str) -> list[UploadPart]:
        rows = await self._sql.database.read(lambda db: self._sql.all(db, "upload_parts", {"id": upload_id}))
        return [part_record(row) for row in rows]

    async def has_upload_part(self, part_id: str) -> bool:
        return bool(await self._sql.look_number("has_upload_part", {"id": part_id}))

    async def complete_upload(
        self, upload_id: str, *, file: File, completed_with: str, now: int, limits: FileLimits = NO_LIMITS
    ) -> bool:
        def work(db: Db) -> bool:
            end = {"file_id": file.id, "completed_with": completed_with}
            if not self._end(db, upload_id, UploadStatus.COMPLETED, now=now, **end):
                return False
            self._files.add(db, file, limits)
            return True

        return await self._sql.write(work)

    def _end(
        self,
        db: Db,
        upload_id: str,
        status: UploadStatus,
        *,
        now: int,
        file_id: str | None = None,
        completed_with: str | None = None,
    ) -> bool:
        values = {"id": upload_id, "status": status.value, "now": now}
        return bool(self._sql.run(db, "end_upload", values | {"file_id": file_id, "completed_with": completed_with}))

    async def cancel_upload(self, upload_id: str, *, now: int) -> Upload | None:
        def work(db: Db) -> Upload | None:
            upload = self._upload(db, upload_id)
            if upload is None or upload.status_at(now) is not UploadStatus.PENDING:
                return upload
            self._end(db, upload_id, UploadStatus.CANCELLED, now=now)
            return self._upload(db, upload_id)

        return await self._sql.write(work)

    async def expire_uploads(self, *, now: int, limit: int) -> list[str]:
        values = {"now": now, "limit": limit}
        # Looked at without a write transaction first: most rounds find nothing.
        if not await self._sql.database.read(lambda db: self._sql.all(db, "uploads_to_expire", values)):
            return []

        def work(db: Db) -> list[str]:
            ids: list[str] = [row["id"] for row in self._sql.all(db, "uploads_to_expire", values)]
            for upload_id in ids:
                self._end(db, upload_id, UploadStatus.EXPIRED, now=now)
            return ids

        return await self._sql.write(work)

    async def uploads_to_empty(self, *, limit: int) -> list[str]:
        rows = await self._sql.database.read(lambda db: self._sql.all(db, "uploads_to_empty", {"limit": limit}))
        return [row["id"] for row in rows]

    async def forget_upload_parts(self, upload_id: str) -> None:
        def work(db: Db) -> None:
            self._sql.run(db, "forget_upload_parts", {"id": upload_id})
            self._sql.run(db, "empty_upload", {"id": upload_id})

        await self._sql.write(work)

    async def forget_uploads(self, *, ended_before: int, limit: int) -> int:
        values = {"ended_before": ended_before, "limit": limit}
        return await self._sql.write(lambda db: self._sql.run(db, "forget_uploads", values))
