"""Who collects traces, as it is configured."""

import importlib.util
import logging
import random

from slackwater.config import Config
from slackwater.ports import Tracing
from slackwater.telemetry import event

EXPORTER = "opentelemetry.exporter.otlp.proto.http"


def tracing_of(config: Config) -> Tracing | None:
    """Who makes spans; None where no collector is named."""
    if not config.collector:
        return None
    if not _installed():
        # A platform may set the standard variable for everybody; that is no reason not to start.
        reason = "its packages are not installed; in a checkout: pip install '.[tracing]'"
        event("tracing_unavailable", level=logging.WARNING, reason=reason)
        return None
    # Only a service that traces pays for the libraries.
    from slackwater.adapters.telemetry.otlp_tracing import OtlpTracing

    return OtlpTracing(config.collector, sample=config.tracing.sample, chance=random.random)


def faults_of_tracing(config: Config) -> list[str]:
    """What is wrong with a collector that the configuration file names."""
    if config.tracing.endpoint and not _installed():
        return ["[tracing]: needs more packages; in a checkout: pip install '.[tracing]'"]
    return []


def _installed() -> bool:
    try:
        return importlib.util.find_spec(EXPORTER) is not None
    except ModuleNotFoundError:
        return False
