"""What `model` may be, as each family lists it."""

from typing import Literal

from msgspec import Struct

from slackwater.api.objects.times import Moment


class ModelObject(Struct, frozen=True, kw_only=True):
    """A name that `model` may have, as OpenAI and Azure v1 show it."""

    id: str
    object: Literal["model"] = "model"
    created: Moment
    owned_by: str


class ModelList(Struct, frozen=True, kw_only=True):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[ModelObject]


class ModelCapabilities(Struct, frozen=True, kw_only=True):
    """What a model can be used for, as Azure's dated versions say it (spec 9.3)."""

    fine_tune: bool
    inference: bool
    completion: bool
    chat_completion: bool
    embeddings: bool


class ModelDeprecation(Struct, frozen=True, kw_only=True):
    """Until when a model answers."""

    inference: Moment


class AzureModel(Struct, frozen=True, kw_only=True):
    """A name that `model` may have, as Azure's dated versions show it."""

    object: Literal["model"] = "model"
    id: str
    status: Literal["succeeded"] = "succeeded"
    created_at: Moment
    capabilities: ModelCapabilities
    lifecycle_status: Literal["generally-available"] = "generally-available"
    deprecation: ModelDeprecation
    model: str
    """The model behind the deployment."""


class AzureModelList(Struct, frozen=True, kw_only=True):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[AzureModel]


class ScaleSettings(Struct, frozen=True, kw_only=True):
    """How many requests a deployment has in flight at most."""

    capacity: int
    scale_type: Literal["manual"] = "manual"


class LegacyDeployment(Struct, frozen=True, kw_only=True):
    """A deployment as api-version 2022-12-01 showed it (spec 9.3)."""

    object: Literal["deployment"] = "deployment"
    id: str
    model: str
    owner: str
    status: Literal["succeeded"] = "succeeded"
    scale_settings: ScaleSettings
    created_at: Moment
    updated_at: Moment


class LegacyDeploymentList(Struct, frozen=True, kw_only=True):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[LegacyDeployment]
