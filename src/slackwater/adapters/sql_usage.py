"""The part of the SQL ledger that keeps accounts: what completed work has used, and who did what.

Usage is added to in the transaction that journals results (sql_work.py), so it is counted exactly when they are: once.
"""

import sqlite3
from collections.abc import Collection
from typing import Any

import msgspec

from slackwater.adapters.sql_rows import price_record, text_of
from slackwater.adapters.sql_work import SqlWork
from slackwater.adapters.sqlite import SearchTooLong
from slackwater.core.batch import Usage
from slackwater.core.cost import GroupBy, UsageEntry
from slackwater.core.errors import InvalidRequest
from slackwater.ports import AuditEntry, FileCounts

_detail = msgspec.json.Decoder(dict[str, Any])


def _entry(row: sqlite3.Row) -> UsageEntry:
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


def _audit_record(row: sqlite3.Row) -> AuditEntry:
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


class SqlUsage(SqlWork):
    """The methods of the port that concern accounts."""

    async def usage(
        self, *, resource: str | None, first_day: int, last_day: int, by: Collection[GroupBy], limit: int
    ) -> list[UsageEntry]:
        values: dict[str, Any] = {f"by_{group.value}": int(group in by) for group in GroupBy}
        values |= {"resource": resource, "first": first_day, "last": last_day, "limit": limit}
        try:
            rows = await self._database.search(lambda db: self._all(db, "usage", values))
        except SearchTooLong as error:
            raise InvalidRequest(
                "There is too much usage in this period. Ask for fewer days.", param="start"
            ) from error
        return [_entry(row) for row in rows]

    async def file_counts(self, resource: str) -> FileCounts:
        values = {"resource": resource}
        return FileCounts(
            lasting=self._number(self._reader, "lasting_files", values),
            expiring=self._number(self._reader, "expiring_files", values),
        )

    async def add_audit(self, entry: AuditEntry) -> None:
        values = msgspec.structs.asdict(entry) | {"detail": text_of(entry.detail)}
        await self._write(lambda db: self._run(db, "add_audit", values))

    async def audit(self, *, resource: str | None, after: int = 0, limit: int) -> list[AuditEntry]:
        name = "audit" if resource is None else "audit_of_resource"
        rows = self._all(self._reader, name, {"resource": resource, "after": after, "limit": limit})
        return [_audit_record(row) for row in rows]
