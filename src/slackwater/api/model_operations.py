"""The operations that list what `model` may be. The families answer them differently."""

from slackwater.api import models, objects
from slackwater.api.dialects import AZURE, AZURE_V1, OPENAI
from slackwater.api.operation import Operation

NOT_DATED = (AZURE_V1.name, OPENAI.name)

MODEL_OPERATIONS: tuple[Operation, ...] = (
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
)
