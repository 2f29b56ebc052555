"""Deployments in the words of Azure's control plane (spec 9.2), and the table of regions."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType


class NewSku(Struct, frozen=True, kw_only=True):
    """Which kind of deployment, and how much of it."""

    name: str = "GlobalBatch"
    capacity: Annotated[int, Meta(ge=0)] | None = None
    """Thousands of enqueued tokens."""


class ChangedSku(Struct, frozen=True, kw_only=True):
    """What is to be different."""

    name: str | None = None
    capacity: Annotated[int, Meta(ge=0)] | None = None


class NewModel(Struct, frozen=True, kw_only=True):
    """The model behind a deployment."""

    format: str | None = None
    """`OpenAI`."""
    name: str | None = None
    version: str | None = None


class NewBackend(Struct, frozen=True, kw_only=True):
    """A server that answers for a deployment: a connection, or a URL whose host the operator allows."""

    connection: str | None = None
    """An engine that was added, by its name: it has the URL and the key."""
    url: str | None = None
    model: str | None = None
    """The name that this server knows the model by."""
    apiKeyEnv: str | None = None
    """The environment variable of the service that has its key."""
    apiKeyHeader: Literal["authorization", "api-key"] | None = None
    region: str | None = None
    dataZone: str | None = None
    concurrency: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    attempts: Annotated[int, Meta(ge=1)] | None = None
    stream: Literal["auto", "never"] | None = None
    """`never`: none of its answers is asked for as a stream."""
    paths: dict[str, str] | None = None
    """Endpoints that it has elsewhere, with their paths from its root."""
    forms: Literal["auto", "json", "form"] | None = None
    """How edits of images and videos are asked for."""
    videoSeconds: Annotated[float, Meta(gt=0)] | None = None
    """Time for a video to be made."""


class NewProperties(Struct, frozen=True, kw_only=True):
    """What a deployment is to be. The last five are not Azure's."""

    model: NewModel | None = None
    versionUpgradeOption: (
        Literal["OnceNewDefaultVersionAvailable", "OnceCurrentVersionExpired", "NoAutoUpgrade"] | None
    ) = None
    raiPolicyName: str | None = None
    """A content filter of the operator's."""
    dynamicThrottlingEnabled: bool | None = None
    """Let in more than the capacity while there is measured room for it."""
    backendsOf: str | None = None
    """A deployment of the configuration whose backends it uses; by default the first with the same model."""
    backends: list[NewBackend] | None = None
    """Backends of its own, instead."""
    dataZone: str | None = None
    """For `DataZoneBatch`: where its requests may go."""
    whenFull: Literal["fail", "queue"] | None = None
    """What becomes of a batch that finds no room."""
    endpoints: list[str] | None = None
    """What it offers, such as `/v1/rerank`; by default what the deployment offers whose backends it uses."""


class NewDeployment(Struct, frozen=True, kw_only=True):
    """A deployment, in the words of Azure's control plane (spec 9.2)."""

    sku: NewSku = NewSku()
    properties: NewProperties = NewProperties()
    tags: dict[str, Any] | None = None


class ChangedDeployment(Struct, frozen=True, kw_only=True):
    """What is to be different; the rest stays."""

    sku: ChangedSku | None = None
    properties: NewProperties | None = None
    tags: dict[str, Any] | None = None


class SkuObject(Struct, frozen=True, kw_only=True):
    """Which kind of deployment, and how much of it."""

    name: str
    capacity: int | UnsetType = UNSET
    """Thousands of enqueued tokens; left out where there is no limit."""


class DeployedModel(Struct, frozen=True, kw_only=True):
    """The model behind a deployment."""

    format: str
    name: str
    version: str | UnsetType = UNSET


class DynamicQuota(Struct, frozen=True, kw_only=True):
    """What dynamic quota allows at this moment, and why."""

    enqueuedTokensNow: int | None
    """How many enqueued tokens the deployment may hold now."""
    tokensPerSecond: float
    """What its backends were measured to finish."""
    secondsLeft: int
    """Until the first window of its open batches ends."""


class DeployedBackend(Struct, frozen=True, kw_only=True):
    """A server that answers for a deployment."""

    url: str
    """`built-in` for the one that echoes."""
    model: str | UnsetType = UNSET
    connection: str | UnsetType = UNSET
    """The connection that leads there."""
    region: str | UnsetType = UNSET
    dataZone: str | UnsetType = UNSET
    concurrency: int
    """The most requests that may be out there now: as configured, or by default 64, and 256 while the engine is paced."""


class DeploymentDetails(Struct, frozen=True, kw_only=True):
    """What Azure does not say."""

    source: Literal["api", "configuration"]
    """Who made it; what the configuration has, the API cannot change."""
    fault: str | None
    """Why it cannot be served, where it cannot."""
    enqueuedTokens: int
    enqueuedTokenLimit: int | None
    whenFull: Literal["fail", "queue"] | UnsetType = UNSET
    """What becomes of a batch that finds no room."""
    endpoints: list[str] | UnsetType = UNSET
    """What batches on it may ask for."""
    dynamicQuota: DynamicQuota | UnsetType = UNSET
    backends: list[DeployedBackend]


class DeploymentProperties(Struct, frozen=True, kw_only=True):
    """What a deployment is."""

    model: DeployedModel
    provisioningState: Literal["Accepted", "Succeeded", "Deleting", "Failed"]
    versionUpgradeOption: str | UnsetType = UNSET
    raiPolicyName: str | UnsetType = UNSET
    dynamicThrottlingEnabled: bool
    currentCapacity: int | UnsetType = UNSET
    backendsOf: str | UnsetType = UNSET
    dataZone: str | UnsetType = UNSET
    slackwater: DeploymentDetails


class DeploymentObject(Struct, frozen=True, kw_only=True):
    """A deployment, as Azure's control plane shows it (spec 9.2)."""

    id: str
    name: str
    type: Literal["Microsoft.CognitiveServices/accounts/deployments"] = (
        "Microsoft.CognitiveServices/accounts/deployments"
    )
    sku: SkuObject
    properties: DeploymentProperties
    tags: dict[str, Any] | UnsetType = UNSET
    etag: str | UnsetType = UNSET


class DeploymentList(Struct, frozen=True, kw_only=True):
    """Every deployment of a resource."""

    value: list[DeploymentObject]


class RegionModel(Struct, frozen=True, kw_only=True):
    """A model, and the deployments that may send to a region for it."""

    model: str
    skus: list[str]
    deployments: list[str]


class RegionRow(Struct, frozen=True, kw_only=True):
    """A region, and the models that answer there."""

    region: str | None
    """Null for backends of which nobody has said where they stand."""
    data_zone: str | None
    models: list[RegionModel]


class RegionTable(Struct, frozen=True, kw_only=True):
    """Which model answers where."""

    object: Literal["list"] = "list"
    home: str | None
    """Where files are."""
    data: list[RegionRow]
