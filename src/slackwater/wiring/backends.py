"""Clients of backends, as they are configured."""

import os
import ssl
import urllib.parse

from msgspec import Struct

from slackwater.adapters.upstream.echo_backend import EchoBackend
from slackwater.adapters.upstream.http_backend import REPLY_BYTES_MAX, HttpBackend
from slackwater.adapters.upstream.http_pool import Pools, Timeouts
from slackwater.config import BackendConfig, ConnectedBackend, endpoint_of, takes_forms
from slackwater.core.errors import ConfigError
from slackwater.core.outside.engine_addresses import refuse_no_engine
from slackwater.core.outside.proxies import Proxy, proxy_for
from slackwater.core.sending.budget import Budget
from slackwater.core.sending.engine_names import DEFAULT_PORTS, backend_label
from slackwater.ports import Backend, Clock


def headers_of(config: BackendConfig, *, key: str | None) -> dict[str, str]:
    """The headers of every request to a backend, with its key where that kind of server looks for it."""
    headers = dict(config.headers)
    if key:
        host = urllib.parse.urlsplit(config.url or "").hostname or ""
        azure = host.endswith((".azure.com", ".azure.us", ".azure.cn"))
        if (config.api_key_header or ("api-key" if azure else "authorization")) == "api-key":
            headers["api-key"] = key
        else:
            headers["Authorization"] = f"Bearer {key}"
    return headers


class Way(Struct, frozen=True):
    """How a server is reached: through a proxy, and with which trust; None is the usual of each."""

    proxy: Proxy | None = None
    tls: ssl.SSLContext | None = None


DIRECTLY = Way()


def way_to(config: BackendConfig) -> Way:
    """As the environment and the configuration say. Raises ConfigError for what cannot be used."""
    try:
        url = urllib.parse.urlsplit(config.url or "")
        port = url.port or (443 if url.scheme == "https" else 80)
        proxy = proxy_for(url.scheme, url.hostname or "", port, os.environ) if url.scheme in DEFAULT_PORTS else None
    except ValueError as error:
        raise ConfigError([f"backend {config.url}: {error}"]) from error
    return Way(proxy, None if config.ca_file is None else _trusting(config))


def _trusting(config: BackendConfig) -> ssl.SSLContext:
    """The system's certificates and those of a file. Raises ConfigError."""
    assert config.ca_file is not None, "there is a file"
    tls = ssl.create_default_context()
    try:
        tls.load_verify_locations(config.ca_file)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror if isinstance(error, OSError) and error.errno else "there is no certificate (PEM) in it"
        raise ConfigError([f"backend {config.url}: ca_file '{config.ca_file}' cannot be used: {why}"]) from error
    tls.set_alpn_protocols(["http/1.1"])
    return tls


def backend_of(
    config: BackendConfig,
    *,
    key: str | None,
    clock: Clock,
    answer_bytes: int = REPLY_BYTES_MAX,
    budget: Budget | None = None,
    pools: Pools | None = None,
) -> Backend:
    """The client for one configured backend. Raises ConfigError.

    Answers have at most `answer_bytes`, and large ones are read as the budget allows. Those who share `pools` share the
    connections to an engine.
    """
    if config.echo is not None:
        echo = config.echo
        return EchoBackend(
            clock=clock,
            latency_seconds=echo.latency_seconds,
            jitter_seconds=echo.jitter_seconds,
            error_rate=echo.error_rate,
            busy_rate=echo.busy_rate,
            hang_rate=echo.hang_rate,
            refusal_rate=echo.refusal_rate,
        )
    assert config.url is not None, "a checked backend has a url or is the built-in one"
    way = way_to(config)
    try:
        return HttpBackend(
            config.url,
            headers=headers_of(config, key=key),
            timeouts=Timeouts(
                connect=config.connect_seconds, first_byte=config.first_byte_seconds, total=config.total_seconds
            ),
            reply_bytes_max=answer_bytes,
            connections_max=config.most,
            budget=budget,
            pools=pools,
            proxy=way.proxy,
            tls=way.tls,
            paths={endpoint_of(name): path for name, path in config.paths.items()},
            forms=takes_forms(config),
            judge=refuse_no_engine if isinstance(config, ConnectedBackend) and not config.listed else None,
        )
    except ValueError as error:
        raise ConfigError([f"backend {config.url}: {error}"]) from error


def label_of(name: str) -> str:
    """What a backend is called in metrics."""
    return backend_label(name)
