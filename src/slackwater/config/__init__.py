"""What an operator can choose. Read once, validated once, faults all at once.

Nothing else reads the environment. Secrets are named by the environment variable that holds them, never written here.
"""

from slackwater.config.reading import LOOPBACK, endpoint_of, load
from slackwater.config.sections import (
    DEMO_DEPLOYMENT,
    BackendConfig,
    Config,
    DeploymentConfig,
    EchoConfig,
    ImportsConfig,
    LimitsConfig,
    ServerConfig,
    WorkerConfig,
)

__all__ = [
    "DEMO_DEPLOYMENT",
    "LOOPBACK",
    "BackendConfig",
    "Config",
    "DeploymentConfig",
    "EchoConfig",
    "ImportsConfig",
    "LimitsConfig",
    "ServerConfig",
    "WorkerConfig",
    "endpoint_of",
    "load",
]
