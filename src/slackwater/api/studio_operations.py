"""The operations for people who watch: Studio's pages are made of them, and programs may use them too. All are ours."""

from slackwater.api import (
    deployment_history,
    deployment_status,
    file_validation,
    lines,
    objects,
    overview,
    progress,
    result_tables,
)
from slackwater.api.operation import AFTER, SPAN, Operation, Parameter, limit, text

TAG = "Extensions"
SEARCH = text(
    "search",
    "What to look for in ids, names of input files and values of metadata, in any case.",
    maxLength=overview.SEARCH_LENGTH_MAX,
)
ORDER = text(
    "order", "What rows are in order of.", enum=["arrival", "line", "output_tokens", "latency"], default="arrival"
)
DESCENDING = text(
    "descending", "`true`: the largest first. What has no value comes last, either way.", enum=["true", "false"]
)
OFFSET = Parameter(
    name="offset", description="How many rows to pass over.", schema={"type": "integer", "minimum": 0, "default": 0}
)
OF_WHICH = (
    text("outcome", "Only those; by default both.", enum=["completed", "failed"]),
    text("code", "Only errors with this code, as in the groups of errors.", maxLength=result_tables.CODE_LENGTH_MAX),
    Parameter(
        name="status_code",
        description="Only those of them with this status.",
        schema={"type": "integer", "minimum": 100, "maximum": 999},
    ),
)
TEXT = text(
    "text",
    "What to look for, in any case and any normal form of Unicode. It is a text and no pattern.",
    maxLength=result_tables.TEXT_LENGTH_MAX,
)
PLACES = text("in", "Where, with commas between them: `custom_id`, `answer`, `prompt`. By default in all three.")
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
        path="/batches/{batch_id}/result_table",
        handler=result_tables.get_table,
        name="get_batch_result_table",
        tag=TAG,
        summary="Read any page of the results of a batch, in an order, while it runs and afterwards",
        parameters=(
            limit(50, result_tables.LIMIT_MAX),
            ORDER,
            DESCENDING,
            OFFSET,
            Parameter(
                name="line",
                description="Instead of `offset`, in order of lines: the page with the request of this number.",
                schema={"type": "integer", "minimum": 1},
            ),
            *OF_WHICH,
        ),
        answer=objects.BatchResultTable,
        errors=(400, 404),
    ),
    Operation(
        method="GET",
        path="/batches/{batch_id}/result_search",
        handler=result_tables.search,
        name="search_batch_results",
        tag=TAG,
        summary="Look for a text in the ids, answers and prompts of a batch's results, a bounded piece at a time",
        parameters=(
            limit(50, result_tables.LIMIT_MAX),
            text("after", "The `next` of the call before, to go on from there."),
            TEXT,
            PLACES,
            *OF_WHICH,
        ),
        answer=objects.BatchResultSearch,
        errors=(400, 404),
    ),
    Operation(
        method="GET",
        path="/batches/{batch_id}/comparison",
        handler=result_tables.compare,
        name="compare_batches",
        tag=TAG,
        summary="Read the results of two batches side by side, by `custom_id`",
        parameters=(
            limit(50, result_tables.LIMIT_MAX),
            text("with", "The id of the other batch; required."),
            text(
                "show",
                "Which lines. All: those that differ first, those of one batch only behind them.",
                enum=["all", "different", "same", "only_here", "only_there"],
                default="all",
            ),
            OFFSET,
        ),
        answer=objects.BatchComparison,
        errors=(400, 404),
    ),
    Operation(
        method="GET",
        path="/batches/{batch_id}/result_export",
        handler=result_tables.export,
        name="export_batch_results",
        tag=TAG,
        summary="Read the rows of a table of results, or what a search finds, as one file",
        parameters=(
            text("format", "A table, or the lines as they are.", enum=["csv", "jsonl"], default="csv"),
            ORDER,
            DESCENDING,
            *OF_WHICH,
            TEXT,
            PLACES,
            text(
                "formulas",
                "`true`: texts that a spreadsheet would run as formulas are not marked as texts in the table.",
                enum=["true", "false"],
            ),
        ),
        answer="text/csv",
        answer_also=("application/jsonl",),
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
