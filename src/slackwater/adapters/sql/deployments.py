"""The part of the SQL ledger that keeps deployments which were made over the API, and where answers came from."""

from typing import Any

import msgspec

from slackwater.adapters.sql.base import SqlPart
from slackwater.adapters.sql.db import Db
from slackwater.adapters.sql.rows import text_of
from slackwater.core.errors import NoRoom
from slackwater.core.sending.pause import Target
from slackwater.ports import ANY_VERSION, OpenBatches, StoredDeployment

_body = msgspec.json.Decoder(dict[str, Any])


class SqlDeployments(SqlPart):
    """The methods of the port that concern deployments."""

    async def deployments(self) -> list[StoredDeployment]:
        return [
            StoredDeployment(**(dict(row) | {"body": _body.decode(row["body"])}))
            for row in await self._sql.look_all("deployments", {})
        ]

    async def put_deployment(
        self, deployment: StoredDeployment, *, over: str | None = ANY_VERSION, most: int = 0
    ) -> bool:
        row = msgspec.structs.asdict(deployment) | {"body": text_of(deployment.body)}

        def work(db: Db) -> bool:
            before = self._sql.one(db, "deployment_version", row)
            if over != ANY_VERSION:
                found = None if before is None else before["etag"]
                if found != over or (before is not None and before["deleted_at"] is not None):
                    return False
            if before is None and most and (there := self._sql.number(db, "count_deployments", {})) >= most:
                raise NoRoom(there)
            self._sql.run(db, "put_deployment", row)
            return True

        return await self._sql.write(work)

    async def remove_deployment(self, deployment: StoredDeployment, *, key: str) -> bool:
        values = {"resource": deployment.resource, "name": deployment.name, "key": key}

        def work(db: Db) -> bool:
            gone = bool(self._sql.run(db, "remove_deployment", values))
            if gone:
                # Another one of the same name would be paused without anybody's doing.
                self._sql.run(db, "remove_pause", {"what": Target.DEPLOYMENT.value, "target": key})
            return gone

        return await self._sql.write(work)

    async def open_batches(self, deployment: str) -> OpenBatches:
        row = await self._sql.look_one("open_batches", {"deployment": deployment})
        assert row is not None, "a sum always has a row"
        return OpenBatches(count=row["count"], first_expires_at=row["first_expires_at"])

    async def batch_regions(self, batch_id: str) -> list[str]:
        return [row["region"] for row in await self._sql.look_all("batch_regions", {"id": batch_id})]
