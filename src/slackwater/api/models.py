"""What `model` may be: the deployments, in the three shapes that clients know (spec 9.3)."""

from collections.abc import Callable

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import objects, wire
from slackwater.api.context import context_of, dialect_of
from slackwater.api.dialects import AZURE, AZURE_V1, OPENAI
from slackwater.api.operation import Operation
from slackwater.core.errors import NotFound
from slackwater.core.sending.deployment import Deployment

OWNER = "slackwater"
# Deployments are written in a configuration that has no dates. Clients show these two; nothing depends on them.
CREATED = 1_700_000_000
NEVER = 4_102_444_800


def _openai(deployment: Deployment) -> Struct:
    return objects.ModelObject(id=deployment.name, created=CREATED, owned_by=OWNER)


def _azure(deployment: Deployment) -> Struct:
    offered = deployment.capabilities.endpoints
    return objects.AzureModel(
        id=deployment.name,
        created_at=CREATED,
        model=deployment.model,
        capabilities=objects.ModelCapabilities(
            fine_tune=False,
            inference=True,
            completion="/completions" in offered,
            chat_completion="/chat/completions" in offered,
            embeddings="/embeddings" in offered,
        ),
        deprecation=objects.ModelDeprecation(inference=NEVER),
    )


def _shape(request: Request) -> Callable[[Deployment], Struct]:
    return _azure if dialect_of(request).dated else _openai


async def list_models(request: Request) -> Response:
    """Every deployment."""
    data = [_shape(request)(deployment) for deployment in context_of(request).deployments()]
    return wire.json_response({"object": "list", "data": data})


async def get_model(request: Request) -> Response:
    """One deployment."""
    name = request.path_params["model"]
    for deployment in context_of(request).deployments():
        if deployment.name == name:
            return wire.json_response(_shape(request)(deployment))
    raise NotFound(f"The model '{name[:80]}' does not exist here. GET models lists those that do.", param="model")


async def legacy_deployments(request: Request) -> Response:
    """Every deployment, as tools of the year 2022 ask for them."""
    data = [
        objects.LegacyDeployment(
            id=deployment.name,
            model=deployment.model,
            owner=OWNER,
            scale_settings=objects.ScaleSettings(capacity=deployment.slots),
            created_at=CREATED,
            updated_at=CREATED,
        )
        for deployment in context_of(request).deployments()
    ]
    return wire.json_response(objects.LegacyDeploymentList(data=data))


NOT_DATED = (AZURE_V1.name, OPENAI.name)

MODEL_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/models",
        handler=list_models,
        name="list_models",
        tag="Models",
        summary="List what `model` may be",
        answer=objects.ModelList,
        families=NOT_DATED,
    ),
    Operation(
        method="GET",
        path="/models/{model}",
        handler=get_model,
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
        handler=list_models,
        name="list_models",
        tag="Models",
        summary="List what `model` may be",
        answer=objects.AzureModelList,
        families=(AZURE.name,),
    ),
    Operation(
        method="GET",
        path="/models/{model}",
        handler=get_model,
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
        handler=legacy_deployments,
        name="list_deployments",
        tag="Models",
        summary="List deployments as api-version 2022-12-01 did",
        answer=objects.LegacyDeploymentList,
        families=(AZURE.name,),
    ),
)
