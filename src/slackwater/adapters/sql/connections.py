"""The part of the SQL ledger that keeps connections. Their keys come sealed, and lie in a table of their own."""

from typing import Any

import msgspec

from slackwater.adapters.sql.base import SqlPart
from slackwater.adapters.sql.db import Db
from slackwater.core.accounts.connection import names_in
from slackwater.core.errors import NoRoom
from slackwater.ports import ANY_VERSION, StoredConnection

_body = msgspec.json.Decoder(dict[str, Any])


class SqlConnections(SqlPart):
    """The methods of the port that concern connections."""

    async def connections(self) -> list[StoredConnection]:
        return [
            StoredConnection(**(dict(row) | {"key_stored": bool(row["key_stored"])}))
            for row in await self._sql.look_all("connections", {})
        ]

    async def put_connection(
        self, connection: StoredConnection, *, over: str | None = ANY_VERSION, most: int = 0
    ) -> bool:
        row = msgspec.structs.asdict(connection) | {"key_stored": int(connection.key_stored)}

        def work(db: Db) -> bool:
            before = self._sql.one(db, "connection_version", row)
            if over != ANY_VERSION and over != (None if before is None else before["etag"]):
                return False
            if before is None and most and (there := self._sql.number(db, "count_connections", {})) >= most:
                raise NoRoom(there)
            self._sql.run(db, "put_connection", row)
            self._change_secret(
                db, "remove_connection_secret" if connection.sealed is None else "put_connection_secret", row
            )
            return True

        return await self._sql.write(work)

    async def reseal_connection(self, connection: StoredConnection, *, sealed: str) -> bool:
        values = {
            "resource": connection.resource,
            "name": connection.name,
            "before": connection.sealed,
            "sealed": sealed,
        }
        return bool(await self._sql.write(lambda db: self._change_secret(db, "reseal_connection", values)))

    async def remove_connection(self, connection: StoredConnection) -> list[str]:
        values = {"resource": connection.resource, "name": connection.name, "etag": connection.etag}

        def work(db: Db) -> list[str]:
            found = self._sql.all(db, "deployments_of_resource", values)
            using = [row["name"] for row in found if connection.name in names_in(_body.decode(row["body"]))]
            if not using and self._sql.run(db, "remove_connection", values):
                self._change_secret(db, "remove_connection_secret", values)
            return using

        return await self._sql.write(work)

    def _change_secret(self, db: Db, statement: str, values: dict[str, Any]) -> int:
        self._sql.run(db, "overwrites_deleted", {})
        try:
            return self._sql.run(db, statement, values)
        finally:
            self._sql.run(db, "leaves_deleted", {})
