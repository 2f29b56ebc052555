"""What a resource has used, what it may use, and who did what in it."""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from slackwater.api.objects.times import Moment


class UsageRow(Struct, frozen=True, kw_only=True):
    """Completed requests, their tokens, and what they cost, for one value of everything that was grouped by.

    Currencies are never added up: each has rows of its own, and so has what had no price.
    """

    day: str | UnsetType = UNSET
    """In UTC, such as `2026-01-31`: the day on which the requests were completed."""
    deployment: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    """As the backend named it; empty where it named none."""
    requests: int
    input_tokens: int
    cached_tokens: int
    """Those of the input tokens that a cache answered."""
    output_tokens: int
    reasoning_tokens: int
    """Those of the output tokens that were reasoning."""
    currency: str | None
    """Null where the work had no price."""
    cost: str | None
    """A decimal number with every digit, such as `0.003625`, the batch discount taken off."""


class UsageReport(Struct, frozen=True, kw_only=True):
    """What a resource has completed on some days."""

    object: Literal["usage"] = "usage"
    start: str
    """The first day."""
    end: str
    """The last day; it is included."""
    group_by: list[Literal["day", "deployment", "model"]]
    data: list[UsageRow]
    total: list[UsageRow]
    """The same over all groups: a row per currency."""


class PriceObject(Struct, frozen=True, kw_only=True):
    """What a million tokens cost, as decimal numbers, before the discount."""

    currency: str
    input: str
    cached_input: str
    output: str
    batch_discount: int
    """In per cent."""


class BatchCost(Struct, frozen=True, kw_only=True):
    """What a batch has cost so far: the sum over the lines of its output file."""

    object: Literal["batch.cost"] = "batch.cost"
    batch_id: str
    price: PriceObject | None
    """The price at which the batch was accepted; null where there was none, or where it is not accepted yet."""
    usage: UsageRow


class QuotaName(Struct, frozen=True, kw_only=True):
    """What is counted."""

    value: str
    """For programs."""
    localizedValue: str
    """For people."""


class QuotaUsage(Struct, frozen=True, kw_only=True):
    """How much of a quota is taken, in the shape of Azure's control plane (spec 9.2)."""

    name: QuotaName
    unit: Literal["Count"] = "Count"
    currentValue: int
    limit: int | None
    """Null where there is none."""


class QuotaUsages(Struct, frozen=True, kw_only=True):
    """Every quota of a resource."""

    value: list[QuotaUsage]


class AuditEntryObject(Struct, frozen=True, kw_only=True):
    """Who did what to which object."""

    object: Literal["audit.entry"] = "audit.entry"
    id: str
    """Its number in the order of the log, and the cursor of the list."""
    at: Moment
    who: str
    """The name of the key or the bearer of the token; `anonymous` where no key is needed, `command line` for the operator's."""
    action: str
    """The name of the operation, such as `create_batch`."""
    target: str
    """The id of what was made, changed or deleted."""
    detail: dict[str, Any]
    request_id: str
    """The `x-request-id` of the answer; empty for the command line."""


class AuditPage(Struct, frozen=True, kw_only=True):
    """A page of the audit log, in the order that was asked for. The next one is asked for with `after=last_id`."""

    object: Literal["list"] = "list"
    data: list[AuditEntryObject]
    last_id: str | None
    has_more: bool
