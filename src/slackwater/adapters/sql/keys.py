"""The part of the SQL ledger that keeps the digests of keys."""

from collections.abc import Sequence

import msgspec

from slackwater.adapters.sql.base import SqlPart
from slackwater.adapters.sql.db import Db
from slackwater.core.accounts.resource import Role, Slot, StoredKey


class SqlKeys(SqlPart):
    """The methods of the port that concern keys."""

    async def keys(self) -> list[StoredKey]:
        return [
            StoredKey(
                resource=row["resource"],
                role=Role(row["role"]),
                slot=Slot(row["slot"]),
                digest=row["digest"],
                hint=row["hint"],
                created_at=row["created_at"],
            )
            for row in await self._sql.look_all("keys", {})
        ]

    async def put_keys(self, keys: Sequence[StoredKey], *, instead: bool = False) -> bool:
        rows = [msgspec.structs.asdict(key) | {"role": key.role.value, "slot": key.slot.value} for key in keys]

        def work(db: Db) -> bool:
            if instead and not all(self._sql.number(db, "has_keys", row) for row in rows):
                return False
            for row in rows:
                self._sql.run(db, "put_key", row)
            return True

        return await self._sql.write(work)

    async def delete_keys(self, resource: str, role: Role, slot: Slot | None = None) -> int:
        values = {"resource": resource, "role": role.value, "slot": None if slot is None else slot.value}
        return await self._sql.write(lambda db: self._sql.run(db, "delete_keys", values))
