"""What an operator can choose about metrics and traces."""

import urllib.parse
from collections.abc import Mapping

from msgspec import Struct

from slackwater.config.tables import is_address


class MetricsConfig(Struct, frozen=True, kw_only=True):
    """`[metrics]`: the page for Prometheus. See metrics.md."""

    enabled: bool = True
    """Whether there is a page at all, at `/metrics`."""
    listen: str = ""
    """An address and port of its own for the page, such as `127.0.0.1:9090`. A loopback address needs no key; elsewhere, and \
without this setting, the page needs a key of the service."""


class TracingConfig(Struct, frozen=True, kw_only=True):
    """`[tracing]`: spans of calls and requests for an OpenTelemetry collector. Needs more packages: in a checkout,
    `pip install '.[tracing]'`."""

    endpoint: str = ""
    """Where the collector takes OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`. None: the standard environment \
variables `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` and `OTEL_EXPORTER_OTLP_ENDPOINT` count; without those nothing is traced."""
    sample: float = 0.01
    """Share of requests, and of API calls that bring no `traceparent`, that are traced: from 0 to 1."""


def collector_of(tracing: TracingConfig, environ: Mapping[str, str]) -> str:
    """The collector: the one in the file, else the one that the standard variables name; empty for none."""
    if tracing.endpoint:
        return tracing.endpoint
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ""
    base = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    return environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "") or (base and f"{base.rstrip('/')}/v1/traces")


def split_listen(listen: str) -> tuple[str, int]:
    """The address and the port. Raises ValueError with what to correct."""
    try:
        place = urllib.parse.urlsplit(f"//{listen}")
        host, port = place.hostname, place.port
    except ValueError:
        host, port = None, None
    if not host or port is None or place.netloc != listen:
        raise ValueError(f"listen '{listen}' must look like 127.0.0.1:9090")
    return host, port


def faults_of_monitoring(
    metrics: MetricsConfig, tracing: TracingConfig, *, keys: bool, loopback: frozenset[str]
) -> list[str]:
    """What is wrong, a line per fault. `keys`: whether the service has keys of its own."""
    faults = []
    if metrics.listen:
        try:
            host, _ = split_listen(metrics.listen)
        except ValueError as error:
            faults.append(f"[metrics]: {error}")
        else:
            if host not in loopback and not keys:
                faults.append(
                    f"[metrics]: listen {metrics.listen} is open to others, and there is no key to ask for; "
                    'set api_key_envs = ["SLACKWATER_API_KEY"] under [server], or listen on 127.0.0.1'
                )
    if not 0 <= tracing.sample <= 1:
        faults.append("[tracing]: sample must be between 0 and 1")
    if tracing.endpoint and not is_address(tracing.endpoint):
        faults.append("[tracing]: endpoint must be a URL such as http://127.0.0.1:4318/v1/traces")
    return faults
