"""A page of batches as SQL: which rows a query picks, in its order, behind a cursor.

The order of creation is that of two indexes (migration 4). A page is cut from ranges of them that begin at the cursor, so
that what earlier pages showed is never passed again: one range per allowed status, merged here. Other moments have no
index of their own; their pages are the best of one pass over an index. Names come from tables in this module, and
everything that a user wrote is a parameter.
"""

import heapq
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from slackwater.adapters.sql.base import SqlPart, slow
from slackwater.adapters.sql.db import Db, Row, SearchTooLong
from slackwater.adapters.sql.rows import batch_record, text_of
from slackwater.core.accounts.resource import DEFAULT
from slackwater.core.batch import Batch, Status
from slackwater.core.errors import InvalidRequest
from slackwater.core.watching.listing import (
    EVERY_BATCH,
    INTEGER_LEAST,
    BatchQuery,
    Field,
    Operator,
    allowed_statuses,
    creation_span,
    other_conditions,
)

# An endpoint is the same with and without its version, which only some families write back (spec 1.1).
EXPRESSIONS = {field: field.value for field in Field} | {
    Field.ENDPOINT: "CASE WHEN substr(endpoint, 1, 4) = '/v1/' THEN substr(endpoint, 4) ELSE endpoint END",
    # Of a key, which comes before the value that it is compared with.
    Field.METADATA: "(SELECT value FROM json_each(metadata) WHERE key = ?)",
}
OPERATORS = {
    Operator.EQ: "=",
    # True for a moment that is not there, as in OData.
    Operator.NE: "IS NOT",
    Operator.GT: ">",
    Operator.GE: ">=",
    Operator.LT: "<",
    Operator.LE: "<=",
}
Key = tuple[int, int]


class _Part(Struct, frozen=True):
    """Some conditions as SQL, each with its ` AND `, and their parameters."""

    text: str = ""
    values: tuple[Any, ...] = ()

    def __add__(self, other: "_Part") -> "_Part":
        return _Part(self.text + other.text, self.values + other.values)


class SqlLists(SqlPart):
    """The part of the SQL ledger that lists batches."""

    async def batches(
        self, query: BatchQuery = EVERY_BATCH, *, after: str | None = None, limit: int, resource: str = DEFAULT
    ) -> list[Batch]:
        def work(db: Db) -> list[Batch]:
            cursor = None if after is None else self._sql.one(db, "batch", {"id": after})
            if after is not None and (cursor is None or cursor["resource"] != resource):
                raise InvalidRequest(f"after: there is no batch '{after[:80]}'", param="after")
            seqs = _find(db, query, resource, cursor=cursor, limit=limit)
            rows = {row["seq"]: row for row in self._sql.all(db, "batches", {"seqs": text_of(seqs)})}
            return [batch_record(rows[seq]) for seq in seqs]

        try:
            return await self._sql.database.search(work)
        except SearchTooLong as error:
            if not query.conditions and query.ordering == EVERY_BATCH.ordering:
                # A page of it looks at no more than it has, so it is the ledger that is slow.
                raise slow(error) from error
            raise InvalidRequest(
                "Too many batches would have to be looked at for this page. Narrow '$filter' down by status or created_at, "
                "and order by created_at.",
                param="$filter",
            ) from error


def _find(db: Db, query: BatchQuery, resource: str, *, cursor: Row | None, limit: int) -> list[int]:
    """The `seq` of the next batches behind the row `cursor`, which need not match the conditions itself."""
    statuses = allowed_statuses(query)
    first, last = creation_span(query)
    if statuses == [] or first > last:
        return []
    match query.ordering.field:
        case Field.CREATED_AT:
            keys = _by_creation(db, query, resource, statuses or [None], cursor=cursor, limit=limit)
        case Field.STATUS:
            keys = _by_status(db, query, resource, statuses or sorted(Status), cursor=cursor, limit=limit)
        case _:
            keys = _by_moment(db, query, resource, statuses, cursor=cursor, limit=limit)
    return [seq for _, seq in keys]


def _by_creation(
    db: Db,
    query: BatchQuery,
    resource: str,
    statuses: list[Status] | list[None],
    *,
    cursor: Row | None,
    limit: int,
) -> list[Key]:
    """The batches of all these statuses, merged."""
    runs = [_run(db, query, resource, status, cursor=cursor, limit=limit) for status in statuses]
    return list(heapq.merge(*runs, reverse=query.ordering.descending))[:limit]


def _by_status(
    db: Db,
    query: BatchQuery,
    resource: str,
    statuses: list[Status],
    *,
    cursor: Row | None,
    limit: int,
) -> list[Key]:
    """The batches of one status after another. The cursor's status may be one that the query does not allow."""
    descending = query.ordering.descending
    keys: list[Key] = []
    for status in sorted(statuses, reverse=descending):
        inside = cursor is not None and cursor["status"] == status
        if cursor is not None and not inside and (status < cursor["status"]) is not descending:
            continue
        keys += _run(db, query, resource, status, cursor=cursor if inside else None, limit=limit - len(keys))
        if len(keys) == limit:
            break
    return keys


def _run(
    db: Db,
    query: BatchQuery,
    resource: str,
    status: Status | None,
    *,
    cursor: Row | None,
    limit: int,
) -> list[Key]:
    """The next batches of one status, or of any, in order of creation."""
    index = "batch_by_creation" if status is None else "batch_by_status"
    whose = _Part("resource = ?", (resource,))
    if status is not None:
        whose += _Part(" AND status = ?", (status.value,))
    direction = "DESC" if query.ordering.descending else "ASC"
    rest = _rest(query)
    keys: list[Key] = []
    for span in _spans(query, cursor):
        where = whose + span + rest
        text = (
            f"SELECT created_at, seq FROM batch INDEXED BY {index} WHERE {where.text} "  # noqa: S608 - our names only
            f"ORDER BY created_at {direction}, seq {direction} LIMIT ?"
        )
        keys += [(row[0], row[1]) for row in db.execute(text, (*where.values, limit - len(keys)))]
        if len(keys) == limit:
            break
    return keys


def _spans(query: BatchQuery, cursor: Row | None) -> Iterator[_Part]:
    """What is left behind the cursor, in order: the rest of its own second, then the other seconds.

    SQLite would not use an index for the comparison of pairs with a row id, hence two ranges.
    """
    first, last = creation_span(query)
    descending = query.ordering.descending
    if cursor is not None:
        second = cursor["created_at"]
        if first <= second <= last:
            yield _Part(f" AND created_at = ? AND seq {'<' if descending else '>'} ?", (second, cursor["seq"]))
        if descending:
            last = min(last, second - 1)
        else:
            first = max(first, second + 1)
    if first <= last:
        yield _Part(" AND created_at BETWEEN ? AND ?", (first, last))


def _by_moment(
    db: Db,
    query: BatchQuery,
    resource: str,
    statuses: list[Status] | None,
    *,
    cursor: Row | None,
    limit: int,
) -> list[Key]:
    """The best of a pass over every batch that is allowed. A moment that is not there comes before all others."""
    field, descending = query.ordering.field, query.ordering.descending
    index = "batch_by_creation" if statuses is None else "batch_by_status"
    value, direction = f"COALESCE({field.value}, {INTEGER_LEAST + 1})", "DESC" if descending else "ASC"
    where = _Part("resource = ? AND created_at BETWEEN ? AND ?", (resource, *creation_span(query))) + _rest(query)
    if statuses is not None:
        marks = ", ".join("?" for _ in statuses)
        where += _Part(f" AND status IN ({marks})", tuple(status.value for status in statuses))
    if cursor is not None:
        moment = INTEGER_LEAST + 1 if cursor[field.value] is None else cursor[field.value]
        comparison = f" AND ({value}, created_at, seq) {'<' if descending else '>'} (?, ?, ?)"
        where += _Part(comparison, (moment, cursor["created_at"], cursor["seq"]))
    text = (
        f"SELECT created_at, seq FROM batch INDEXED BY {index} WHERE {where.text} "  # noqa: S608 - our names only
        f"ORDER BY {value} {direction}, created_at {direction}, seq {direction} LIMIT ?"
    )
    return [(row[0], row[1]) for row in db.execute(text, (*where.values, limit))]


def _rest(query: BatchQuery) -> _Part:
    """The conditions that no range of an index can say."""
    rest = _Part()
    for condition in other_conditions(query):
        value = condition.value
        if condition.field is Field.ENDPOINT:
            value = str(value).removeprefix("/v1") if str(value).startswith("/v1/") else value
        values = (condition.key, value) if condition.field is Field.METADATA else (value,)
        rest += _Part(f" AND {EXPRESSIONS[condition.field]} {OPERATORS[condition.operator]} ?", values)
    return rest
