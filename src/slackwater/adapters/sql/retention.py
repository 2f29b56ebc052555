"""The part of the ledger that forgets by age."""

from slackwater.adapters.sql.base import SqlPart
from slackwater.adapters.sql.db import Db
from slackwater.adapters.sql.files import DELETED_KEPT
from slackwater.adapters.sql.rows import file_record
from slackwater.core.files.file import File, Purpose
from slackwater.core.files.retention import Kept, Rule


class SqlRetention(SqlPart):
    """Rules, and what goes by them."""

    async def retention_rules(self) -> dict[tuple[str, Kept], Rule]:
        rows = await self._sql.database.read(lambda db: self._sql.all(db, "retention_rules", {}))
        rules = [(row["resource"], Rule(Kept(row["kept"]), row["days"], row["since"])) for row in rows]
        return {(resource, rule.kept): rule for resource, rule in rules}

    async def set_rule(self, resource: str, kept: Kept, rule: Rule | None) -> None:
        values = {"resource": resource, "kept": kept.value}

        def work(db: Db) -> None:
            if rule is None:
                self._sql.run(db, "keep_for_ever", values)
            else:
                self._sql.run(db, "keep_for", values | {"days": rule.days, "since": rule.since})

        await self._sql.write(work)

    async def forget_batches(self, resource: str, *, ended_before: int, limit: int) -> list[str]:
        values = {"resource": resource, "before": ended_before, "limit": limit}
        # Looked at without a write transaction first: most rounds find nothing.
        if not await self._sql.database.read(lambda db: self._sql.all(db, "batches_to_forget", values | {"limit": 1})):
            return []

        def work(db: Db) -> list[str]:
            rows = self._sql.all(db, "batches_to_forget", values)
            for row in rows:
                for statement in (
                    "forget_batch_regions",
                    "forget_batch_text",
                    "forget_batch_history",
                    "forget_batch",
                ):
                    self._sql.run(db, statement, {"resource": resource, "seq": row["seq"]})
            return [row["id"] for row in rows]

        return await self._sql.write(work)

    async def forget_files(self, resource: str, purpose: Purpose, *, created_before: int, limit: int) -> list[File]:
        values = {"resource": resource, "purpose": purpose.value, "before": created_before, "limit": limit}
        if not await self._sql.database.read(lambda db: self._sql.all(db, "files_to_forget", values | {"limit": 1})):
            return []

        def work(db: Db) -> list[File]:
            rows = self._sql.all(db, "files_to_forget", values)
            for row in rows:
                self._sql.run(db, "remember_deleted", {"id": row["id"]})
                self._sql.one(db, "delete_file", {"id": row["id"]})
            self._sql.run(db, "forget_deleted", {"kept": DELETED_KEPT})
            return [file_record(row) for row in rows]

        return await self._sql.write(work)

    async def give_back_pages(self, limit: int) -> int:
        return await self._sql.database.give_back_pages(limit)
