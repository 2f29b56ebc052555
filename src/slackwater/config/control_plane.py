"""Deployments that are made over the API: what their bodies mean, given the configuration of the operator.

Whoever administers a resource is not whoever runs the service. So a body brings no backends of its own, unless the operator
has listed their hosts: it uses those of a deployment that is configured in the same resource, or a connection of that resource.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Struct

from slackwater.config.deployments import MICROSOFTS, check_deployment, deployment_of, limit_of
from slackwater.config.engines import limits_of, with_limits
from slackwater.config.sections import BackendConfig, Config, ConnectedBackend, ControlPlaneConfig, DeploymentConfig
from slackwater.core.accounts.connection import Connection
from slackwater.core.errors import ConfigError, ImportRefused, InvalidRequest
from slackwater.core.masking import MASK
from slackwater.core.outside.imports import Origins


class Sources(Struct, frozen=True, kw_only=True):
    """Deployments that others may take their backends from: those of the configuration, in the same resource."""

    by_name: dict[str, DeploymentConfig]

    def of_model(self, model: str) -> DeploymentConfig | None:
        """The first one with this model."""
        return next((each for each in self.by_name.values() if each.model.lower() == model.lower()), None)


NONE: Mapping[str, Connection] = MappingProxyType({})


def ordered_deployment(
    body: dict[str, Any], *, resource: str, name: str, config: Config, connections: Mapping[str, Connection] = NONE
) -> DeploymentConfig:
    """The deployment that a body asks for, with the connections of its resource. Raises ConfigError with every fault."""
    faults: list[str] = []
    where = f"deployment '{name}'"
    properties = dict(body.get("properties") or {})
    source_name = properties.pop("backendsOf", None)
    used = _without_connections(properties, connections, where, faults)
    if faults:
        raise ConfigError(faults)
    entry = {"sku": body.get("sku") or {}, "properties": properties, "name": name, "resource": resource}
    asked = deployment_of(entry, where, faults)
    if asked is None:
        raise ConfigError(faults)
    sources = Sources(by_name={each.name: each for each in config.deployments if each.resource == resource})
    if asked.backends:
        if source_name is not None:
            faults.append(f"{where}: has both backends and backendsOf; leave one out")
        for index, backend in enumerate(asked.backends, 1):
            if index not in used:
                _check_own(backend, f"{where} backend {index}", config, faults)
        ordered = msgspec.structs.replace(
            asked,
            backends=[
                _connected(backend, used[index]) if index in used else backend
                for index, backend in enumerate(asked.backends, 1)
            ],
        )
    else:
        source = sources.by_name.get(source_name) if source_name else sources.of_model(asked.model)
        if source is None:
            known = ", ".join(f"'{each}'" for each in sources.by_name) or "none"
            faults.append(
                f"{where}: nothing is known of the model '{asked.model}', so name a configured deployment whose backends it "
                f'is to use: "backendsOf" under "properties". Configured are: {known}'
            )
            raise ConfigError(faults)
        given = properties.get("model") or {}
        ordered = _on(source, asked, own_model="name" in given, own=properties)
    ordered = with_limits(ordered, limits_of(config.deployments, config.engines))
    _check_capacity(ordered, where, config.control_plane, faults)
    check_deployment(ordered, {None, *(each.name for each in config.content_filters)}, faults)
    if faults:
        raise ConfigError(faults)
    return ordered


def _without_connections(
    properties: dict[str, Any], connections: Mapping[str, Connection], where: str, faults: list[str]
) -> dict[int, Connection]:
    """Takes the names of connections out of backends, and puts their URLs there; returns which backend has which."""
    given = properties.get("backends")
    if not isinstance(given, list):
        return {}
    used, plain = {}, []
    for index, backend in enumerate(given, 1):
        name = backend.get("connection") if isinstance(backend, dict) else None
        if name is None:
            plain.append(backend)
            continue
        rest = {key: value for key, value in backend.items() if key != "connection"}
        plain.append(rest)
        connection = connections.get(name)
        at = f"{where} backend {index}"
        for own in ("url", "apiKeyEnv", "apiKeyHeader"):
            if own in rest:
                faults.append(f"{at}: has both connection and {own}; leave {own} out, the connection has it")
        if connection is None:
            known = ", ".join(f"'{each}'" for each in connections) or "none"
            faults.append(f"{at}: there is no connection '{str(name)[:80]}'; there are: {known}")
        elif connection.fault is not None:
            faults.append(f"{at}: the connection '{connection.name}' cannot be used: {connection.fault}")
        else:
            rest["url"] = connection.url
            used[index] = connection
    properties["backends"] = plain
    return used


def _connected(backend: BackendConfig, connection: Connection) -> ConnectedBackend:
    given = {name: getattr(backend, name) for name in backend.__struct_fields__}
    return ConnectedBackend(
        **given | {"api_key_env": connection.key_env, "api_key_header": connection.key_header},
        connection=connection.name,
        key=connection.key,
        listed=connection.listed,
    )


def _on(source: DeploymentConfig, asked: DeploymentConfig, *, own_model: bool, own: dict[str, Any]) -> DeploymentConfig:
    """What was asked for, on the backends of a source. What was not said is as it is there."""
    policy = asked.rai_policy_name
    return msgspec.structs.replace(
        source,
        name=asked.name,
        resource=asked.resource,
        model=asked.model if own_model else source.model,
        version=asked.version or source.version,
        sku=asked.sku,
        data_zone=asked.data_zone or source.data_zone,
        capacity=asked.capacity,
        quota_tier=None,
        enqueued_token_limit=limit_of(source) if asked.capacity is None else None,
        when_full=asked.when_full if "whenFull" in own else source.when_full,
        endpoints=asked.endpoints if "endpoints" in own else source.endpoints,
        dynamic_quota=asked.dynamic_quota if "dynamicThrottlingEnabled" in own else source.dynamic_quota,
        # A filter of the operator's does not go because somebody pasted the name of one of Azure's.
        rai_policy_name=source.rai_policy_name if policy is None or policy.startswith(MICROSOFTS) else policy,
        version_upgrade_option=asked.version_upgrade_option,
    )


def _check_own(backend: BackendConfig, where: str, config: Config, faults: list[str]) -> None:
    """A backend that did not come with the configuration may only be where the operator allows."""
    allowed = config.control_plane
    if backend.url is None:
        faults.append(f"{where}: needs a connection, or a url")
        return
    if backend.url.endswith(f"?{MASK}"):
        # As a look at the deployment shows it.
        faults.append(f"{where}: url: its query is masked here; give the whole URL")
    try:
        Origins(hosts=tuple(allowed.backend_hosts), allow_http=True).locate(backend.url)
    except ImportRefused:
        faults.append(
            f"{where}: its host is not allowed; use backendsOf with a configured deployment, or ask the operator to add it "
            "to backend_hosts under [control_plane]"
        )
    except InvalidRequest as error:
        faults.append(f"{where}: url: {error.message}")
    if backend.ca_file is not None:
        faults.append(f"{where}: ca_file is for the operator's configuration")
    if backend.api_key_file is not None:
        faults.append(f"{where}: api_key_file is for the operator's configuration; use api_key_env with a listed name")
    if backend.api_key_env is not None and backend.api_key_env not in allowed.backend_key_envs:
        faults.append(
            f"{where}: api_key_env '{backend.api_key_env}' is not allowed; ask the operator to add it to backend_key_envs "
            "under [control_plane]"
        )


def _check_capacity(deployment: DeploymentConfig, where: str, allowed: ControlPlaneConfig, faults: list[str]) -> None:
    most = allowed.capacity_max
    if most and (deployment.capacity or 0) > most:
        faults.append(f"{where}: sku.capacity is {deployment.capacity:,}; the operator allows {most:,}")
