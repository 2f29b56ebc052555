"""The part of the SQL ledger that knows files: what is uploaded, and what batches have made."""

from slackwater.adapters.sql.base import SqlPart
from slackwater.adapters.sql.db import Db, Row
from slackwater.adapters.sql.rows import file_record, file_row
from slackwater.core.accounts.resource import DEFAULT
from slackwater.core.errors import InvalidRequest, QuotaExceeded
from slackwater.core.files.file import File, FileLimits, Purpose
from slackwater.ports import NO_LIMITS

LAST = 2**62
# As many as a list may have: whoever walks through one and deletes everything never loses the way.
DELETED_KEPT = 20_000


class SqlFiles(SqlPart):
    """The methods of the port that concern files."""

    def add(self, db: Db, file: File, limits: FileLimits) -> None:
        """Adds a file's row, where its kind has room. Part of a transaction, so two at once cannot both be the last."""
        if file.purpose is not Purpose.BATCH_OUTPUT:
            name, most, kind, advice = (
                ("lasting_files", limits.lasting, "without expiry", "Delete files, or give them an expiry.")
                if file.expires_at is None
                else ("expiring_files", limits.expiring, "with expiry", "Delete files, or wait until some expire.")
            )
            if most and self._sql.number(db, name, {"resource": file.resource}) >= most:
                raise QuotaExceeded(f"The quota for files {kind} is reached. The maximum is {most}. {advice}")
        self._sql.run(db, "add_file", file_row(file))

    async def add_file(self, file: File, *, limits: FileLimits = NO_LIMITS) -> None:
        await self._sql.write(lambda db: self.add(db, file, limits))

    async def file(self, file_id: str) -> File | None:
        row = await self._sql.look_one("file", {"id": file_id})
        return None if row is None else file_record(row)

    async def files(
        self,
        *,
        purpose: Purpose | None,
        after: str | None,
        limit: int,
        descending: bool,
        now: int,
        resource: str = DEFAULT,
    ) -> list[File]:
        cursor = None
        if after is not None:
            row = await self._sql.look_one("file_seq", {"id": after, "resource": resource})
            if row is None:
                raise InvalidRequest(f"after: there is no file '{after}'", param="after")
            cursor = row["seq"]
        wanted = {
            "purpose": None if purpose is None else purpose.value,
            "limit": limit,
            "now": now,
            "resource": resource,
        }
        if descending:
            rows = await self._sql.look_all("files_descending", wanted | {"before": LAST if cursor is None else cursor})
        else:
            rows = await self._sql.look_all("files_ascending", wanted | {"after": -1 if cursor is None else cursor})
        return [file_record(row) for row in rows]

    async def delete_file(self, file_id: str) -> File | None:
        def work(db: Db) -> Row | None:
            self._sql.run(db, "remember_deleted", {"id": file_id})
            self._sql.run(db, "forget_deleted", {"kept": DELETED_KEPT})
            return self._sql.one(db, "delete_file", {"id": file_id})

        row = await self._sql.write(work)
        return None if row is None else file_record(row)

    async def blob_in_use(self, key: str) -> bool:
        row = await self._sql.database.read(lambda db: self._sql.one(db, "blob_in_use", {"key": key}))
        return bool(row is not None and row[0])

    async def expired_files(self, *, now: int, limit: int) -> list[File]:
        rows = await self._sql.database.read(
            lambda db: self._sql.all(db, "expired_files", {"now": now, "limit": limit})
        )
        return [file_record(row) for row in rows]
