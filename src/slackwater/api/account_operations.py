"""The operations that tell what a resource has used, and who did what in it. Neither vendor has them, except for quotas."""

from slackwater.api import accounts, audit, objects
from slackwater.api.operation import Operation, Parameter, limit, text
from slackwater.core.accounts.resource import Role

TAG = "Accounts"


def _day(name: str, description: str) -> Parameter:
    return Parameter(name=name, description=description, schema={"type": "string", "format": "date"})


ACCOUNTS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/usage",
        handler=accounts.usage,
        name="get_usage",
        tag=TAG,
        summary="Read what was completed and what it cost, by day, deployment and model",
        parameters=(
            _day("start", "The first day, in UTC; by default the first of the month of `end`."),
            _day("end", "The last day; by default today."),
            Parameter(
                name="group_by",
                description="What to keep apart: `day`, `deployment`, `model`, with commas between them.",
                schema={"type": "string", "default": "day,deployment"},
            ),
            Parameter(
                name="format",
                description="`csv` for a table, as `Accept: text/csv` asks for too.",
                schema={"enum": ["json", "csv"], "default": "json"},
            ),
        ),
        answer=objects.UsageReport,
        answer_also=("text/csv",),
        errors=(400,),
    ),
    Operation(
        method="GET",
        path="/batches/{batch_id}/cost",
        handler=accounts.batch_cost,
        name="get_batch_cost",
        tag=TAG,
        summary="Read what a batch has cost so far",
        answer=objects.BatchCost,
        errors=(404,),
    ),
    Operation(
        method="GET",
        path="/usages",
        handler=accounts.quotas,
        name="list_quota_usages",
        tag=TAG,
        summary="Read how much of each quota is taken, in the shape of Azure's control plane",
        answer=objects.QuotaUsages,
    ),
    Operation(
        method="GET",
        path="/audit",
        handler=audit.list_entries,
        name="list_audit_entries",
        tag=TAG,
        summary="Read who did what, oldest first unless asked otherwise",
        parameters=(
            limit(100, audit.PAGE_MAX),
            Parameter(
                name="after",
                description="The `last_id` of the page before.",
                schema={"type": "string", "pattern": "^[0-9]{1,18}$"},
            ),
            text("order", "By their numbers: `desc` is newest first.", enum=["asc", "desc"], default="asc"),
            text("who", "Only entries whose `who` contains this text.", maxLength=audit.TEXT_MAX),
            text("action", "Only entries whose `action` contains this text.", maxLength=audit.TEXT_MAX),
            text("target", "Only entries whose `target` contains this text.", maxLength=audit.TEXT_MAX),
        ),
        answer=objects.AuditPage,
        errors=(400, 403),
        needs=Role.ADMIN,
    ),
)
