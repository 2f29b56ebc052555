"""The operations on batches. Results while a batch runs, and retries, are ours; the rest is in both vendors' families."""

from slackwater.api import batches, extensions, objects
from slackwater.api.dialects import AZURE
from slackwater.api.operation import AFTER, Operation, Parameter, limit, text

JSON_LINES = "application/jsonl"
TOKENS = ("deployment-enqueued-tokens", "deployment-maximum-enqueued-tokens")
IDEMPOTENCY = Parameter(
    name="Idempotency-Key",
    description="A repeated call with the same key and the same body returns what the first one made.",
    schema={"type": "string", "minLength": 1, "maxLength": 255},
    place="header",
)

BATCH_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/batches",
        handler=batches.create,
        name="create_batch",
        tag="Batches",
        summary="Create a batch",
        body=objects.NewBatch,
        parameters=(IDEMPOTENCY,),
        answer=objects.BatchObject,
        answer_headers=TOKENS,
        errors=(400, 409, 413),
    ),
    Operation(
        # openai-node's AzureOpenAI puts its deployment into this one path (spec 1.1). The file names it too, and counts.
        method="POST",
        path="/deployments/{deployment}/batches",
        handler=batches.create,
        name="create_batch_of_deployment",
        tag="Batches",
        summary="Create a batch (the path of the Node client; the deployment is that of the file)",
        body=objects.NewBatch,
        parameters=(IDEMPOTENCY,),
        answer=objects.BatchObject,
        answer_headers=TOKENS,
        errors=(400, 409, 413),
        families=(AZURE.name,),
    ),
    Operation(
        method="GET",
        path="/batches",
        handler=batches.list_batches,
        name="list_batches",
        tag="Batches",
        summary="List batches, newest first unless `$orderby` says otherwise",
        parameters=(
            limit(20, 100),
            AFTER,
            text("$filter", "Such as `created_at gt 1728773533 and status eq 'Completed'`."),
            text("$orderby", "Such as `created_at asc`."),
        ),
        answer=objects.BatchList,
        errors=(400,),
    ),
    Operation(
        method="GET",
        path="/batches/{batch_id}",
        handler=batches.get_batch,
        name="get_batch",
        tag="Batches",
        summary="Get a batch",
        answer=objects.BatchObject,
        answer_headers=("slackwater-regions", "slackwater-queue-position", "slackwater-waiting-on"),
        errors=(404,),
    ),
    Operation(
        method="POST",
        path="/batches/{batch_id}/cancel",
        handler=batches.cancel,
        name="cancel_batch",
        tag="Batches",
        summary="Cancel a batch; what has finished is kept",
        answer=objects.BatchObject,
        errors=(404, 409),
    ),
    Operation(
        method="GET",
        path="/batches/{batch_id}/results",
        handler=extensions.results,
        name="get_batch_results",
        tag="Extensions",
        summary="Read the results of a batch while it runs",
        parameters=(text("after", "The header `slackwater-results-cursor` of an earlier answer."),),
        answer=JSON_LINES,
        answer_headers=("slackwater-results-cursor",),
        errors=(400, 404),
    ),
    Operation(
        method="POST",
        path="/batches/{batch_id}/retry",
        handler=extensions.retry,
        name="retry_batch",
        tag="Extensions",
        summary="Make a new batch of the lines that failed or never ran",
        body=objects.RetryBatch,
        body_optional=True,
        parameters=(IDEMPOTENCY,),
        answer=objects.BatchObject,
        answer_headers=TOKENS,
        errors=(400, 404, 409, 413),
    ),
)
