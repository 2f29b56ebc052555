"""The part of the SQL ledger that keeps accounts: what completed work has used, and who did what.

Usage is added to in the transaction that journals results (shards.py), so it is counted exactly when they are: once.
"""

from collections.abc import Collection
from typing import Any

import msgspec

from slackwater.adapters.sql.base import SqlPart, slow
from slackwater.adapters.sql.db import Db, Row, SearchTooLong
from slackwater.adapters.sql.rows import pattern_of, price_record, text_of
from slackwater.core.accounts.cost import GroupBy, UsageEntry
from slackwater.core.accounts.usage import Usage
from slackwater.core.errors import InvalidRequest
from slackwater.ports import AuditEntry, AuditSearch, FileCounts

LAST = 2**62
TOO_LONG = (
    "Too many entries would have to be looked at for this page. Search for something that is found sooner, or ask the "
    "operator for all of them, which 'slackwater audit export' writes."
)
_detail = msgspec.json.Decoder(dict[str, Any])


def _entry(row: Row) -> UsageEntry:
    return UsageEntry(
        resource=row["resource"],
        day=row["day"],
        deployment=row["deployment"],
        model=row["model"],
        price=price_record(row["price"]),
        requests=row["requests"],
        usage=Usage(
            input_tokens=row["input_tokens"],
            cached_tokens=row["cached_tokens"],
            output_tokens=row["output_tokens"],
            reasoning_tokens=row["reasoning_tokens"],
        ),
    )


def _audit_record(row: Row) -> AuditEntry:
    return AuditEntry(
        seq=row["seq"],
        at=row["at"],
        resource=row["resource"],
        who=row["who"],
        action=row["action"],
        object=row["object"],
        detail=_detail.decode(row["detail"]),
        request_id=row["request_id"],
    )


class SqlAccounts(SqlPart):
    """The methods of the port that concern accounts."""

    async def usage(
        self, *, resource: str | None, first_day: int, last_day: int, by: Collection[GroupBy], limit: int
    ) -> list[UsageEntry]:
        values: dict[str, Any] = {f"by_{group.value}": group in by for group in GroupBy}
        values |= {"resource": resource, "first": first_day, "last": last_day, "limit": limit}
        try:
            rows = await self._sql.database.search(lambda db: self._sql.all(db, "usage", values))
        except SearchTooLong as error:
            if first_day == last_day:
                raise slow(error) from error
            raise InvalidRequest(
                "There is too much usage in this period. Ask for fewer days.", param="start"
            ) from error
        return [_entry(row) for row in rows]

    async def file_counts(self, resource: str) -> FileCounts:
        values = {"resource": resource}
        return FileCounts(
            lasting=await self._sql.look_number("lasting_files", values),
            expiring=await self._sql.look_number("expiring_files", values),
        )

    async def add_audit(self, entry: AuditEntry, *, durable: bool = True) -> None:
        values = msgspec.structs.asdict(entry) | {"detail": text_of(entry.detail)}
        await self._sql.write(lambda db: self._sql.run(db, "add_audit", values), durable=durable)

    async def audit(
        self,
        *,
        resource: str | None,
        after: int | None = None,
        limit: int,
        descending: bool = False,
        search: AuditSearch | None = None,
    ) -> list[AuditEntry]:
        name = ("newest_" if descending else "") + ("audit" if resource is None else "audit_of_resource")
        cursor = (LAST if descending else 0) if after is None else after
        wanted = AuditSearch() if search is None else search
        values: dict[str, Any] = {each: pattern_of(text) for each, text in msgspec.structs.asdict(wanted).items()}
        values |= {"resource": resource, "after": cursor, "limit": limit}
        if not descending:
            values["settled"] = await self._sql.look_number("audit_settled", {})
        if wanted == AuditSearch():
            # No more rows are looked at than are returned.
            return [_audit_record(row) for row in await self._sql.look_all(name, values)]
        try:
            rows = await self._sql.database.search(lambda db: self._sql.all(db, name, values))
        except SearchTooLong as error:
            raise InvalidRequest(TOO_LONG) from error
        return [_audit_record(row) for row in rows]

    async def trim_audit(self, *, before: int, limit: int) -> int:
        values = {"before": before, "limit": limit}
        # Looked at without a write transaction first: most rounds find nothing.
        if not await self._sql.database.read(lambda db: self._sql.all(db, "audit_to_trim", values)):
            return 0

        def work(db: Db) -> int:
            # The database refuses to delete what is not behind this moment.
            self._sql.run(db, "set_audit_horizon", values)
            return self._sql.run(db, "trim_audit", values)

        return await self._sql.write(work)
