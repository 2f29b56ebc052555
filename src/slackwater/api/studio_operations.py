"""The operations for people who watch: Studio's pages are made of them, and programs may use them too. All are ours."""

from slackwater.api import deployment_history, deployment_status, file_validation, lines, objects, overview, progress
from slackwater.api.operation import AFTER, SPAN, Operation, Parameter, limit, text

TAG = "Extensions"
SEARCH = text(
    "search",
    "What to look for in ids, names of input files and values of metadata, in any case.",
    maxLength=overview.SEARCH_LENGTH_MAX,
)
METADATA = Parameter(
    name="metadata",
    description="Only those whose metadata has this value at this key: `metadata[team]=tides`. May be given for several keys.",
    schema={"type": "object", "additionalProperties": {"type": "string"}},
    style="deepObject",
)

STUDIO_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/batch_overview",
        handler=overview.batch_overview,
        name="get_batch_overview",
        tag=TAG,
        summary="List batches in short, newest first, and count them by status",
        parameters=(
            limit(20, 100),
            AFTER,
            text("status", "Statuses, with commas between them; by default all."),
            text("deployment", "The name of a deployment."),
            text("with_failures", "`true`: only those of which requests have failed.", enum=["true", "false"]),
            SEARCH,
            METADATA,
        ),
        answer=objects.BatchOverviewPage,
        errors=(400,),
    ),
    Operation(
        method="GET",
        path="/batches/{batch_id}/progress",
        handler=progress.get_progress,
        name="get_batch_progress",
        tag=TAG,
        summary="Read how a batch gets on: counts, rates, and the time that is left",
        answer=objects.BatchProgress,
        errors=(404,),
    ),
    Operation(
        method="GET",
        path="/batches/{batch_id}/history",
        handler=progress.get_history,
        name="get_batch_history",
        tag=TAG,
        summary="Read how a batch went: what ended when, how long calls took, how long answers were",
        answer=objects.BatchHistoryObject,
        errors=(404,),
    ),
    Operation(
        method="GET",
        path="/batches/{batch_id}/lines",
        handler=lines.list_lines,
        name="list_batch_lines",
        tag=TAG,
        summary="Read results in short, as they come and afterwards",
        parameters=(
            limit(50, 200),
            text("after", "The `next` of an earlier answer."),
            text("custom_id", "Only those whose `custom_id` has this text in it, in any case."),
            Parameter(
                name="outcome", description="Only those; by default both.", schema={"enum": ["completed", "failed"]}
            ),
        ),
        answer=objects.BatchLineList,
        errors=(400, 404),
    ),
    Operation(
        method="GET",
        path="/batches/{batch_id}/line",
        handler=lines.get_line,
        name="get_batch_line",
        tag=TAG,
        summary="Read one request of a batch, and its result",
        parameters=(text("custom_id", "Its `custom_id`; required.", minLength=1, maxLength=lines.ID_LENGTH_MAX),),
        answer=objects.BatchLineDetail,
        errors=(400, 404),
    ),
    Operation(
        method="GET",
        path="/batches/{batch_id}/error_groups",
        handler=lines.list_error_groups,
        name="list_batch_error_groups",
        tag=TAG,
        summary="Read what went wrong in a batch, grouped by code, the largest group first",
        answer=objects.ErrorGroupList,
        errors=(404,),
    ),
    Operation(
        method="POST",
        path="/files/{file_id}/validate",
        handler=file_validation.validate,
        name="validate_file",
        tag=TAG,
        summary="Validate an input file without making a batch of it",
        body=objects.ValidateFile,
        body_optional=True,
        answer=objects.FileValidation,
        errors=(400, 404, 413, 429),
        changes=False,
    ),
    Operation(
        method="GET",
        path="/deployment_status",
        handler=deployment_status.list_deployment_status,
        name="list_deployment_status",
        tag=TAG,
        summary="Read how deployments and their backends are at the moment",
        answer=objects.DeploymentStatusList,
    ),
    Operation(
        method="GET",
        path="/deployment_status/{name}/history",
        handler=deployment_history.get_deployment_history,
        name="get_deployment_history",
        tag=TAG,
        summary="Read what became of the engines of a deployment, minute by minute, for 35 days",
        parameters=SPAN,
        answer=objects.DeploymentHistory,
        errors=(400, 404),
    ),
)
