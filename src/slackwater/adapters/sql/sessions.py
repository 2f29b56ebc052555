"""The part of the SQL ledger that keeps sessions of browsers."""

import msgspec

from slackwater.adapters.sql.base import SqlPart
from slackwater.adapters.sql.db import Db
from slackwater.core.accounts.resource import Role
from slackwater.core.accounts.session import Session


class SqlSessions(SqlPart):
    """The methods of the port that concern sessions."""

    async def add_session(self, session: Session, *, most: int) -> None:
        def work(db: Db) -> None:
            self._sql.run(db, "forget_sessions", {"now": session.created_at, "most": most})
            row = msgspec.structs.asdict(session) | {"role": session.role.value, "anywhere": int(session.anywhere)}
            self._sql.run(db, "add_session", row)

        await self._sql.write(work)

    async def session(self, digest: str) -> Session | None:
        row = await self._sql.look_one("session", {"digest": digest})
        if row is None:
            return None
        return Session(
            digest=row["digest"],
            resource=row["resource"],
            role=Role(row["role"]),
            name=row["name"],
            anywhere=bool(row["anywhere"]),
            origin=row["origin"],
            created_at=row["created_at"],
            expires_at=row["expires_at"],
        )

    async def delete_session(self, digest: str) -> bool:
        return bool(await self._sql.write(lambda db: self._sql.run(db, "delete_session", {"digest": digest})))
