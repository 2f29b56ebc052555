"""What an operator can choose. Read once, validated once, faults all at once.

Nothing else reads the environment. Secrets are named by the environment variable that holds them, never written here.
"""

from slackwater.config.billing import BillingConfig, PriceConfig, price_list
from slackwater.config.content_filters import (
    BlocklistConfig,
    CategoryConfig,
    ClassifierConfig,
    ContentFilterConfig,
    ScoresConfig,
)
from slackwater.config.control_plane import ordered_deployment
from slackwater.config.deployments import endpoint_of, limit_of, may_stream, read_key, takes_forms, usable_backends
from slackwater.config.front_door import FrontDoorConfig
from slackwater.config.lookups import data_in, database_in, files_in, refuse_alone, resources_in, server_in, store_in
from slackwater.config.monitoring import MetricsConfig, TracingConfig, split_listen
from slackwater.config.oidc import OidcConfig
from slackwater.config.reading import LOOPBACK, load, look
from slackwater.config.secrets import NO_KEY
from slackwater.config.sections import (
    CONCURRENCY,
    DEMO_DEPLOYMENT,
    ENCODINGS,
    AuditConfig,
    BackendConfig,
    Config,
    ConnectedBackend,
    ControlPlaneConfig,
    DeploymentConfig,
    EchoConfig,
    EngineConfig,
    ImportsConfig,
    LimitsConfig,
    ResourceConfig,
    ServerConfig,
    WebhooksConfig,
    WorkerConfig,
)
from slackwater.config.studio import StudioConfig
from slackwater.config.user_storages import StorageConfig

__all__ = [
    "CONCURRENCY",
    "DEMO_DEPLOYMENT",
    "ENCODINGS",
    "LOOPBACK",
    "NO_KEY",
    "AuditConfig",
    "BackendConfig",
    "BillingConfig",
    "BlocklistConfig",
    "CategoryConfig",
    "ClassifierConfig",
    "Config",
    "ConnectedBackend",
    "ContentFilterConfig",
    "ControlPlaneConfig",
    "DeploymentConfig",
    "EchoConfig",
    "EngineConfig",
    "FrontDoorConfig",
    "ImportsConfig",
    "LimitsConfig",
    "MetricsConfig",
    "OidcConfig",
    "PriceConfig",
    "ResourceConfig",
    "ScoresConfig",
    "ServerConfig",
    "StorageConfig",
    "StudioConfig",
    "TracingConfig",
    "WebhooksConfig",
    "WorkerConfig",
    "data_in",
    "database_in",
    "endpoint_of",
    "files_in",
    "limit_of",
    "load",
    "look",
    "may_stream",
    "ordered_deployment",
    "price_list",
    "read_key",
    "refuse_alone",
    "resources_in",
    "server_in",
    "split_listen",
    "store_in",
    "takes_forms",
    "usable_backends",
]
