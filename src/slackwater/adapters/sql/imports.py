"""The part of the SQL ledger that knows files which are still to be fetched. A deleted file takes its import with it."""

from collections.abc import Collection

from slackwater.adapters.sql.base import SqlBase, SqlPart
from slackwater.adapters.sql.db import Db
from slackwater.adapters.sql.duties import Duties
from slackwater.adapters.sql.files import SqlFiles
from slackwater.adapters.sql.rows import file_record
from slackwater.core.errors import QuotaExceeded
from slackwater.core.files.file import File, FileLimits, FileStatus
from slackwater.core.members import Duty
from slackwater.ports import NO_LIMITS, PendingImport


class SqlImports(SqlPart):
    """The methods of the port that concern imports."""

    def __init__(self, base: SqlBase, files: SqlFiles, duties: Duties) -> None:
        super().__init__(base)
        self._duties = duties
        self._files = files

    async def add_import(
        self, file: File, *, url: str, check_first_line: bool, pending_max: int, limits: FileLimits = NO_LIMITS
    ) -> None:
        def work(db: Db) -> None:
            if self._sql.number(db, "pending_imports", {}) >= pending_max:
                raise QuotaExceeded(
                    f"{pending_max:,} imports are waiting already. Try again when some of them have ended."
                )
            self._files.add(db, file, limits)
            self._sql.run(db, "add_import", {"file_id": file.id, "url": url, "check_line": int(check_first_line)})

        await self._sql.write(work)

    async def next_import(self, *, now: float, skip: Collection[str] = ()) -> PendingImport | None:
        return await self._duties.next(
            Duty.IMPORT,
            lambda passed: self._next_import(now=now, skip=passed),
            lambda found: {"thing": found.file.id, "tries": found.tries},
            skip=skip,
            stands="still_to_fetch",
        )

    async def _next_import(self, *, now: float, skip: Collection[str]) -> PendingImport | None:
        rows = await self._sql.look_all("next_import", {"now": now, "limit": len(skip) + 1})
        row = next((row for row in rows if row["id"] not in skip), None)
        if row is None:
            return None
        return PendingImport(
            file=file_record(row), url=row["url"], tries=row["tries"], check_first_line=bool(row["check_line"])
        )

    async def postpone_import(self, file_id: str, *, tries: int, not_before: float) -> bool:
        values = {"file_id": file_id, "tries": tries, "not_before": not_before}
        return bool(await self._sql.write(lambda db: self._sql.run(db, "postpone_import", values)))

    async def finish_import(
        self,
        file_id: str,
        *,
        status: FileStatus,
        size: int = 0,
        checksum: int | None = None,
        status_details: str | None = None,
        blob: str | None = None,
    ) -> bool:
        def work(db: Db) -> bool:
            if not self._sql.run(db, "forget_import", {"file_id": file_id}):
                return False
            values = {"id": file_id, "status": status.value, "status_details": status_details}
            return bool(self._sql.run(db, "fill_file", values | {"size": size, "checksum": checksum, "blob": blob}))

        return await self._sql.write(work)
