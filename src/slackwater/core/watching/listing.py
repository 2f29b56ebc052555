"""What a list of batches is asked for: conditions that hold together, and one order. Values only.

`api/odata.py` reads them from a query string, the ledger answers them. Every order is total: batches with the same value
come in order of creation (`created_at`, then the order in which they were recorded), in the same direction.
"""

from enum import StrEnum

from msgspec import Struct

from slackwater.core.batch import Status

# What SQL and clients of many languages call an integer.
INTEGER_LEAST, INTEGER_MOST = -(2**63), 2**63 - 1


class Field(StrEnum):
    """What a batch can be selected by, under the names that its object has on the wire."""

    CREATED_AT = "created_at"
    STATUS = "status"
    EXPIRES_AT = "expires_at"
    IN_PROGRESS_AT = "in_progress_at"
    FINALIZING_AT = "finalizing_at"
    COMPLETED_AT = "completed_at"
    FAILED_AT = "failed_at"
    EXPIRED_AT = "expired_at"
    CANCELLING_AT = "cancelling_at"
    CANCELLED_AT = "cancelled_at"
    ENDPOINT = "endpoint"
    INPUT_FILE_ID = "input_file_id"
    METADATA = "metadata"


TEXTS = frozenset({Field.ENDPOINT, Field.INPUT_FILE_ID, Field.METADATA})
NUMBERS = frozenset(Field) - TEXTS - {Field.STATUS}
ORDERED = NUMBERS | {Field.STATUS}


class Operator(StrEnum):
    """How a field is compared with a value, by OData's names."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GE = "ge"
    LT = "lt"
    LE = "le"


EQUALITY = frozenset({Operator.EQ, Operator.NE})


class Condition(Struct, frozen=True):
    """One comparison. A moment that a batch does not have is unequal to every number, and neither above nor below one; a key that
    its metadata does not have is unequal to every text.

    The value is an integer of 64 bits for a moment, a Status for `status`, and text for the rest.
    """

    field: Field
    operator: Operator
    value: int | str
    key: str = ""
    """Which one, where the field is `metadata`."""


class Ordering(Struct, frozen=True, kw_only=True):
    """One field and a direction. A moment that a batch does not have comes before every number, as in OData."""

    field: Field = Field.CREATED_AT
    descending: bool = True


class BatchQuery(Struct, frozen=True, kw_only=True):
    """Which batches, and in which order. By default all of them, newest first."""

    conditions: tuple[Condition, ...] = ()
    ordering: Ordering = Ordering()


EVERY_BATCH = BatchQuery()


def allowed_statuses(query: BatchQuery) -> list[Status] | None:
    """The statuses that a batch may have, in alphabetical order; None where the query does not speak of them."""
    conditions = [condition for condition in query.conditions if condition.field is Field.STATUS]
    if not conditions:
        return None
    return [
        status
        for status in sorted(Status)
        if all((status == condition.value) is (condition.operator is Operator.EQ) for condition in conditions)
    ]


def creation_span(query: BatchQuery) -> tuple[int, int]:
    """The first and the last `created_at` that a batch may have; the first is larger where none may be."""
    first, last = INTEGER_LEAST, INTEGER_MOST
    for condition in query.conditions:
        if condition.field is not Field.CREATED_AT:
            continue
        value, operator = condition.value, condition.operator
        assert isinstance(value, int), "moments are compared with integers"
        if operator in (Operator.EQ, Operator.GE, Operator.GT):
            first = max(first, value + (operator is Operator.GT))
        if operator in (Operator.EQ, Operator.LE, Operator.LT):
            last = min(last, value - (operator is Operator.LT))
    return first, last


def other_conditions(query: BatchQuery) -> list[Condition]:
    """What neither `allowed_statuses` nor `creation_span` has said."""
    return [
        condition
        for condition in query.conditions
        if condition.field not in (Field.STATUS, Field.CREATED_AT)
        or (condition.field is Field.CREATED_AT and condition.operator is Operator.NE)
    ]
