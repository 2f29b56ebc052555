"""Every operation that is served, once: the routes and the API document are both made of this table.

A path here comes after the prefix of a family (api/dialects.py). Parameters in a path are strings.
"""

from typing import Any

from slackwater.api import batches, download, extensions, files, imports, keys, models, objects, uploads
from slackwater.api.account_operations import ACCOUNTS
from slackwater.api.deployment_operations import DEPLOYMENT_OPERATIONS
from slackwater.api.dialects import AZURE, AZURE_V1, OPENAI
from slackwater.api.operation import Operation, Parameter
from slackwater.api.webhook_operations import WEBHOOK_OPERATIONS
from slackwater.core.resource import Role

JSON_LINES = "application/jsonl"
OCTETS = "application/octet-stream"
NOT_DATED = (AZURE_V1.name, OPENAI.name)


def _text(name: str, description: str, **schema: Any) -> Parameter:
    return Parameter(name=name, description=description, schema={"type": "string", **schema})


def _limit(default: int, most: int) -> Parameter:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return Parameter(name="limit", description="How many at most.", schema=schema)


AFTER = _text("after", "The id of the last one of the page before.")
IDEMPOTENCY = Parameter(
    name="Idempotency-Key",
    description="A repeated call with the same key and the same body returns what the first one made.",
    schema={"type": "string", "minLength": 1, "maxLength": 255},
    place="header",
)
RANGE = Parameter(
    name="Range",
    description="Only these bytes, such as `bytes=0-1023`.",
    schema={"type": "string"},
    place="header",
)
EXPIRES_AFTER = {
    "expires_after[anchor]": {"enum": ["created_at"]},
    "expires_after[seconds]": {"type": "integer", "minimum": 3_600, "maximum": 2_592_000},
}
FILE_FORM = {
    "type": "object",
    "properties": {
        "purpose": {"type": "string", "description": "`batch` for the input of a batch."},
        "file": {"type": "string", "format": "binary"},
        **EXPIRES_AFTER,
    },
    "required": ["purpose", "file"],
}
PART_FORM = {
    "type": "object",
    "properties": {"data": {"type": "string", "format": "binary", "description": "Up to 64 MiB."}},
    "required": ["data"],
}
TOKENS = ("deployment-enqueued-tokens", "deployment-maximum-enqueued-tokens")

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/files",
        handler=files.upload,
        name="upload_file",
        tag="Files",
        summary="Upload a file",
        form=FILE_FORM,
        answer=objects.FileObject,
        status=None,
        answer_headers=("Location",),
        errors=(400,),
    ),
    Operation(
        method="GET",
        path="/files",
        handler=files.list_files,
        name="list_files",
        tag="Files",
        summary="List files, newest first",
        parameters=(
            _text("purpose", "Only files with this purpose."),
            _limit(10_000, 10_000),
            _text("order", "By creation.", enum=["asc", "desc"], default="desc"),
            AFTER,
        ),
        answer=objects.FileList,
        errors=(400,),
    ),
    Operation(
        method="POST",
        path="/files/import",
        handler=imports.create,
        name="import_file",
        tag="Files",
        summary="Fetch a file from a URL that the operator allows",
        body=objects.NewImport,
        answer=objects.FileObject,
        status=201,
        answer_headers=("Location",),
        errors=(400, 403, 413),
    ),
    Operation(
        method="GET",
        path="/files/{file_id}",
        handler=files.get_file,
        name="get_file",
        tag="Files",
        summary="Get a file",
        answer=objects.FileObject,
        errors=(404,),
    ),
    Operation(
        method="DELETE",
        path="/files/{file_id}",
        handler=files.delete_file,
        name="delete_file",
        tag="Files",
        summary="Delete a file; a batch that runs on it goes on",
        answer=objects.FileDeleted,
        errors=(404,),
    ),
    Operation(
        method="GET",
        path="/files/{file_id}/content",
        handler=download.content,
        name="get_file_content",
        tag="Files",
        summary="Download a file",
        parameters=(RANGE,),
        answer=OCTETS,
        answer_headers=("Content-Disposition",),
        errors=(400, 404),
    ),
    Operation(
        method="POST",
        path="/uploads",
        handler=uploads.create,
        name="create_upload",
        tag="Uploads",
        summary="Begin a file that comes in parts",
        body=objects.NewUpload,
        answer=objects.UploadObject,
        errors=(400, 413),
    ),
    Operation(
        method="POST",
        path="/uploads/{upload_id}/parts",
        handler=uploads.add_part,
        name="add_upload_part",
        tag="Uploads",
        summary="Send a part; parts may come at once and in any order",
        form=PART_FORM,
        answer=objects.UploadPartObject,
        errors=(400, 404),
    ),
    Operation(
        method="POST",
        path="/uploads/{upload_id}/complete",
        handler=uploads.complete,
        name="complete_upload",
        tag="Uploads",
        summary="Make the file of its parts",
        body=objects.CompleteUpload,
        answer=objects.UploadObject,
        errors=(400, 404, 413),
    ),
    Operation(
        method="POST",
        path="/uploads/{upload_id}/cancel",
        handler=uploads.cancel,
        name="cancel_upload",
        tag="Uploads",
        summary="Give an upload up",
        answer=objects.UploadObject,
        errors=(400, 404),
    ),
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
            _limit(20, 100),
            AFTER,
            _text("$filter", "Such as `created_at gt 1728773533 and status eq 'Completed'`."),
            _text("$orderby", "Such as `created_at asc`."),
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
        answer_headers=("slackwater-regions",),
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
        parameters=(_text("after", "The header `slackwater-results-cursor` of an earlier answer."),),
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
    Operation(
        method="GET",
        path="/models",
        handler=models.list_models,
        name="list_models",
        tag="Models",
        summary="List what `model` may be",
        answer=objects.ModelList,
        families=NOT_DATED,
    ),
    Operation(
        method="GET",
        path="/models/{model:path}",
        handler=models.get_model,
        name="get_model",
        tag="Models",
        summary="Get one model",
        answer=objects.ModelObject,
        errors=(404,),
        families=NOT_DATED,
    ),
    Operation(
        method="GET",
        path="/models",
        handler=models.list_models,
        name="list_models",
        tag="Models",
        summary="List what `model` may be",
        answer=objects.AzureModelList,
        families=(AZURE.name,),
    ),
    Operation(
        method="GET",
        path="/models/{model:path}",
        handler=models.get_model,
        name="get_model",
        tag="Models",
        summary="Get one model",
        answer=objects.AzureModel,
        errors=(404,),
        families=(AZURE.name,),
    ),
    Operation(
        method="GET",
        path="/deployments",
        handler=models.legacy_deployments,
        name="list_deployments",
        tag="Models",
        summary="List deployments as api-version 2022-12-01 did",
        answer=objects.LegacyDeploymentList,
        families=(AZURE.name,),
    ),
    *WEBHOOK_OPERATIONS,
    *DEPLOYMENT_OPERATIONS,
    Operation(
        method="GET",
        path="/keys",
        handler=keys.list_keys,
        name="list_keys",
        tag="Administration",
        summary="List the keys of the resource, without their values",
        answer=objects.KeyList,
        needs=Role.ADMIN,
    ),
    Operation(
        method="POST",
        path="/keys",
        handler=keys.create,
        name="create_keys",
        tag="Administration",
        summary="Make both keys of a role; those that it had stop working",
        body=objects.NewKeys,
        answer=objects.KeyList,
        errors=(400, 413),
        needs=Role.ADMIN,
    ),
    Operation(
        method="POST",
        path="/keys/{role}/rotate",
        handler=keys.rotate,
        name="rotate_key",
        tag="Administration",
        summary="Make one key of a role anew, while the other goes on working",
        body=objects.RotateKey,
        answer=objects.KeyList,
        errors=(400, 404, 413),
        needs=Role.ADMIN,
    ),
    Operation(
        method="DELETE",
        path="/keys/{role}",
        handler=keys.delete,
        name="delete_keys",
        tag="Administration",
        summary="Take both keys of a role away",
        answer=objects.KeysDeleted,
        errors=(400, 404),
        needs=Role.ADMIN,
    ),
    *ACCOUNTS,
)
