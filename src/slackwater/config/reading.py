"""Reads a configuration once and checks it once, relations between fields included. Every fault is found, a line each."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from slackwater.config.billing import BillingConfig, PriceConfig, faults_of_prices
from slackwater.config.content_filters import check_filters, filters_of, with_terms
from slackwater.config.database import faults_of_database, with_password
from slackwater.config.deployments import check_deployment, deployments_of, fits_header, place_of, read_key, with_files
from slackwater.config.engines import check_engines, engines_of, limits_of, with_limits
from slackwater.config.front_door import FrontDoorConfig, faults_of_origins
from slackwater.config.monitoring import MetricsConfig, TracingConfig, collector_of, faults_of_monitoring
from slackwater.config.object_files import faults_of_files
from slackwater.config.oidc import OidcConfig, faults_of_oidc
from slackwater.config.secrets import secrets_keys
from slackwater.config.sections import (
    DEMO_DEPLOYMENT,
    AuditConfig,
    Config,
    ControlPlaneConfig,
    ImportsConfig,
    LimitsConfig,
    ResourceConfig,
    RetentionConfig,
    ServerConfig,
    WebhooksConfig,
    WorkerConfig,
)
from slackwater.config.studio import StudioConfig, faults_of_studio
from slackwater.config.tables import names_twice, section, suggest
from slackwater.config.user_storages import faults_of_storages, storages_of
from slackwater.core.accounts.resource import DEFAULT
from slackwater.core.errors import ConfigError
from slackwater.core.outside.imports import fault_of_host
from slackwater.core.sending.turns import WEIGHT_MAX, WEIGHT_MIN

# Whoever means for ever says 0.
KEPT_DAYS_MAX = 36_500

SECTIONS = (
    "server",
    "front_door",
    "limits",
    "worker",
    "imports",
    "webhooks",
    "audit",
    "retention",
    "metrics",
    "tracing",
    "oidc",
    "studio",
    "billing",
    "prices",
    "engines",
    "deployments",
    "content_filters",
    "control_plane",
    "resources",
    "storage",
)
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def load(path: Path | None, environ: Mapping[str, str] | None = None) -> Config:
    """Reads and checks a TOML file; without one, the defaults with the demo deployment. Raises ConfigError with every fault."""
    environ = os.environ if environ is None else environ
    if path is None:
        return Config(deployments=(DEMO_DEPLOYMENT,), collector=collector_of(TracingConfig(), environ))
    config, faults = look(path, environ)
    if faults or config is None:
        raise ConfigError(faults)
    return config


def look(path: Path, environ: Mapping[str, str] | None = None) -> tuple[Config | None, list[str]]:
    """What can be read of a TOML file, and every fault; None where a section has not the right shape.

    It is to be looked at and not to be served: a key whose variable is not set is empty in it. Raises ConfigError for no TOML.
    """
    faults: list[str] = []
    config = _read(parsed(path), os.environ if environ is None else environ, faults, path.parent)
    return config, [f"{path}: {fault}" for fault in faults]


def parsed(path: Path) -> dict[str, Any]:
    """The tables of a TOML file, of which nothing is checked. Raises ConfigError."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: is not valid TOML: {error}"]) from error


def _read(raw: dict[str, Any], environ: Mapping[str, str], faults: list[str], folder: Path) -> Config | None:
    server = section(raw.get("server", {}), ServerConfig, "[server]", faults)
    front_door = section(raw.get("front_door", {}), FrontDoorConfig, "[front_door]", faults)
    limits = section(raw.get("limits", {}), LimitsConfig, "[limits]", faults)
    worker = section(raw.get("worker", {}), WorkerConfig, "[worker]", faults)
    imports = section(raw.get("imports", {}), ImportsConfig, "[imports]", faults)
    webhooks = section(raw.get("webhooks", {}), WebhooksConfig, "[webhooks]", faults)
    audit = section(raw.get("audit", {}), AuditConfig, "[audit]", faults)
    retention = section(raw.get("retention", {}), RetentionConfig, "[retention]", faults)
    metrics = section(raw.get("metrics", {}), MetricsConfig, "[metrics]", faults)
    tracing = section(raw.get("tracing", {}), TracingConfig, "[tracing]", faults)
    control_plane = section(raw.get("control_plane", {}), ControlPlaneConfig, "[control_plane]", faults)
    oidc = section(raw.get("oidc", {}), OidcConfig, "[oidc]", faults)
    studio = section(raw.get("studio", {}), StudioConfig, "[studio]", faults)
    billing = section(raw.get("billing", {}), BillingConfig, "[billing]", faults)
    prices = _prices(raw.get("prices", []), faults)
    engines = engines_of(raw.get("engines", []), faults)
    deployments = [with_files(each, folder) for each in deployments_of(raw.get("deployments", []), faults)]
    resources = resources_of(raw.get("resources", []), faults)
    storages = storages_of(raw.get("storage", []), faults)
    filters = filters_of(raw.get("content_filters", []), section, faults)
    check_names(raw, faults)
    # Said beside faults of either kind: of two sections of one name, one may be wrong because it is a half.
    twice = [
        *names_twice(raw, "deployments", "resource"),
        *names_twice(raw, "resources"),
        *names_twice(raw, "content_filters"),
    ]
    if faults:
        faults += twice
        return None
    if server is None or limits is None or worker is None or imports is None:
        return None
    if webhooks is None or oidc is None or billing is None or control_plane is None or audit is None:
        return None
    if metrics is None or tracing is None or retention is None:
        return None
    if studio is None or front_door is None:
        return None
    limits_of_engines = limits_of(deployments, engines)
    config = Config(
        server=server,
        front_door=front_door,
        limits=limits,
        worker=worker,
        imports=imports,
        webhooks=webhooks,
        audit=audit,
        retention=retention,
        metrics=metrics,
        tracing=tracing,
        collector=collector_of(tracing, environ),
        control_plane=control_plane,
        oidc=oidc,
        studio=studio,
        billing=billing,
        prices=tuple(prices),
        engines=tuple(engines),
        deployments=tuple(with_limits(each, limits_of_engines) for each in deployments),
        content_filters=tuple(with_terms(content_filter, folder, faults) for content_filter in filters),
        resources=tuple(resources),
        storage=tuple(storages),
    )
    api_keys = [secret_of(name, "[server] api_key_envs", environ, faults) for name in server.api_key_envs]
    backend_keys = {
        backend.api_key_env: secret_of(backend.api_key_env, place_of(deployment), environ, faults)
        for deployment in deployments
        for backend in deployment.backends
        if backend.api_key_env is not None
    }
    for deployment in deployments:
        for backend in deployment.backends:
            if backend.api_key_file is not None:
                in_file = _key_in(Path(backend.api_key_file), place_of(deployment), faults)
                backend_keys[f"file:{backend.api_key_file}"] = in_file
    for name in control_plane.backend_key_envs:
        backend_keys[name] = secret_of(name, "[control_plane] backend_key_envs", environ, faults)
    for content_filter in filters:
        classifier = content_filter.classifier
        if classifier is not None and (key := classifier.api_key_env) is not None:
            backend_keys[key] = secret_of(key, f"content filter '{content_filter.name}'", environ, faults)
    secret = server.database_password_env
    password = secret_of(secret, "[server] database_password_env", environ, faults, what="password") if secret else ""
    keys = secrets_keys(server.secrets_key_env, server.secrets_key_file, folder=folder, environ=environ, faults=faults)
    secret = server.files_key_env
    files_secret = secret_of(secret, "[server] files_key_env", environ, faults) if secret else ""
    storage_secrets = {
        each.key_env: secret_of(each.key_env, f"storage {number}: key_env", environ, faults)
        for number, each in enumerate(storages, 1)
        if each.key_env
    }
    secret = studio.oidc_client_secret_env
    studio_secret = (
        secret_of(secret, "[studio] oidc_client_secret_env", environ, faults, what="client secret") if secret else None
    )
    _check(config, faults)
    faults += twice
    return msgspec.structs.replace(
        config,
        api_keys=tuple(api_keys),
        backend_keys=backend_keys,
        studio_secret=studio_secret,
        secrets_keys=tuple(keys),
        files_secret=files_secret,
        storage_secrets=storage_secrets,
        database=with_password(server.database, password) if server.database and password else server.database,
    )


def check_names(raw: Mapping[str, Any], faults: list[str]) -> None:
    """Adds a fault for each section that there is not."""
    faults += [f"{name}: unknown section{suggest(name, SECTIONS)}" for name in raw if name not in SECTIONS]


def _prices(raw: object, faults: list[str]) -> list[PriceConfig]:
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        faults.append("prices: must be written as [[prices]] sections")
        return []
    read = [section(entry, PriceConfig, f"price {number}", faults) for number, entry in enumerate(raw, 1)]
    return [price for price in read if price is not None]


def resources_of(raw: object, faults: list[str]) -> list[ResourceConfig]:
    """The [[resources]] that have the right shape, and a fault for each that has not."""
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        faults.append("resources: must be written as [[resources]] sections")
        return []
    read = [section(entry, ResourceConfig, f"resource {number}", faults) for number, entry in enumerate(raw, 1)]
    return [resource for resource in read if resource is not None]


def secret_of(name: str, where: str, environ: Mapping[str, str], faults: list[str], *, what: str = "key") -> str:
    """The value of an environment variable; empty, and a fault, where it is not set."""
    value = environ.get(name, "")
    if not value:
        faults.append(f"{where}: the environment variable {name} is not set; set it to the {what} before starting")
    return value


def _key_in(path: Path, where: str, faults: list[str]) -> str:
    try:
        return read_key(path)
    except OSError as error:
        faults.append(
            f"{where}: api_key_file '{path}' cannot be read: {error.strerror}; correct the path or its rights"
        )
    except ValueError as error:
        faults.append(f"{where}: api_key_file '{path}': {error}")
    return ""


def _check(config: Config, faults: list[str]) -> None:
    """Rules between fields."""
    server = config.server
    if not 0 <= server.port <= 65535:
        faults.append(f"[server]: port {server.port} is not between 0 and 65535")
    faults += [f"[server]: {fault}" for fault in faults_of_database(server.database, server.database_password_env)]
    faults += [f"[server]: {fault}" for fault in faults_of_files(server)]
    faults += config.front_door.faults()
    faults += faults_of_origins(server.cors_origins)
    if server.free_bytes_min < 0:
        faults.append("[server]: free_bytes_min must not be negative")
    if server.lost_keep_days < 1:
        faults.append("[server]: lost_keep_days must be 1 or more: what is put aside by mistake has to be found first")
    # With resources, keys are made with `slackwater keys` and lie in the ledger; `serve` looks whether there are any.
    if server.host not in LOOPBACK and not (server.api_key_envs or config.resources or config.oidc.issuers):
        faults.append(
            f"[server]: host {server.host} is open to others, but no API key is configured; "
            "set api_key_envs = [\"SLACKWATER_API_KEY\"], or have [[resources]], whose keys 'slackwater keys create' makes, "
            "or listen on 127.0.0.1"
        )
    for where, struct in (("[limits]", config.limits), ("[worker]", config.worker)):
        for name in struct.__struct_fields__:
            if getattr(struct, name) < 0:
                faults.append(f"{where}: {name} must not be negative")
    if config.worker.answer_bytes == 0:
        faults.append("[worker]: answer_bytes must be more than 0")
    faults += faults_of_monitoring(config.metrics, config.tracing, keys=bool(server.api_key_envs), loopback=LOOPBACK)
    _check_imports(config.imports, faults)
    check_filters(config.content_filters, faults)
    policies = {None, *(content_filter.name for content_filter in config.content_filters)}
    _check_retention(config, faults)
    if config.audit.keep_days < 0:
        faults.append("[audit]: keep_days must not be negative; 0 keeps everything")
    if config.webhooks.timeout_seconds <= 0:
        faults.append("[webhooks]: timeout_seconds must be more than 0")
    _check_regions(config, faults)
    adds = config.control_plane.backend_hosts or server.secrets_key_env or server.secrets_key_file
    # Whoever has prepared for engines that are added needs none here; everybody else has forgotten something.
    if not config.deployments and not adds:
        faults.append(
            "no deployment: add a [[deployments]] section with a name and one [[deployments.backends]] section"
        )
    known = {DEFAULT, *(resource.name for resource in config.resources)}
    _check_resources(config.resources, faults)
    faults += faults_of_storages(config.storage, known)
    check_engines(config.engines, config.deployments, faults)
    faults += faults_of_prices(config.billing, config.prices)
    faults += [f"[oidc]: {fault}" for fault in faults_of_oidc(config.oidc, known)]
    faults += [f"[studio]: {fault}" for fault in faults_of_studio(config.studio, config.oidc)]
    for deployment in config.deployments:
        where = place_of(deployment)
        first, slash, _ = deployment.name.partition("/")
        if slash and deployment.resource == "default" and first in known - {"default"}:
            # The ledger could not tell the two, and so two tenants would be one.
            faults.append(
                f"{where}: names that begin with '{first}/' are those of the resource '{first}'; choose another"
            )
        if deployment.resource not in known:
            faults.append(
                f"{where}: there is no resource '{deployment.resource}'; add a [[resources]] section with that name"
            )
        check_deployment(deployment, policies, faults)


def _check_regions(config: Config, faults: list[str]) -> None:
    for host in config.control_plane.backend_hosts:
        fault = fault_of_host(host)
        if fault is not None:
            faults.append(f"[control_plane]: backend_hosts: '{host}' {fault}")
    if config.control_plane.capacity_max < 0:
        faults.append("[control_plane]: capacity_max must not be negative")
    named = [("[server]", config.server.region)]
    named += [(f"resource '{each.name}'", each.region) for each in config.resources]
    faults += [
        f"{where}: region must be printable ASCII without commas" for where, region in named if not fits_header(region)
    ]


def _check_resources(resources: tuple[ResourceConfig, ...], faults: list[str]) -> None:
    hosts: set[str] = set()
    for resource in resources:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?", resource.name):
            faults.append(f"resource '{resource.name}': the name must be 1 to 64 small letters, digits and dashes")
        if not WEIGHT_MIN <= resource.weight <= WEIGHT_MAX:
            faults.append(f"resource '{resource.name}': weight must be between {WEIGHT_MIN:g} and {WEIGHT_MAX:g}")
        for host in resource.hosts:
            if host.lower() in hosts:
                faults.append(f"resource '{resource.name}': the host '{host}' belongs to another resource already")
            hosts.add(host.lower())


def _check_retention(config: Config, faults: list[str]) -> None:
    said: list[tuple[str, int | None]] = [
        (f"[retention]: {name}", getattr(config.retention, name))
        for name in ("batches_days", "results_days", "inputs_days")
    ]
    said += [
        (f"resource '{resource.name}': {name}", getattr(resource, name))
        for resource in config.resources
        for name in ("keep_batches_days", "keep_results_days", "keep_inputs_days")
    ]
    faults += [
        f"{name} must be between 0 (for ever) and {KEPT_DAYS_MAX:,}"
        for name, days in said
        if days is not None and not 0 <= days <= KEPT_DAYS_MAX
    ]


def _check_imports(imports: ImportsConfig, faults: list[str]) -> None:
    if imports.enabled and not imports.hosts:
        faults.append(
            "[imports]: enabled, but no host is allowed; name those that files may come from, such as "
            'hosts = ["myaccount.blob.core.windows.net"]'
        )
    for host in imports.hosts:
        fault = fault_of_host(host)
        if fault is not None:
            faults.append(f"[imports]: hosts: '{host}' {fault}")
    if imports.bytes_max < 0:
        faults.append("[imports]: bytes_max must not be negative")
    for name in ("timeout_seconds", "connect_seconds"):
        if getattr(imports, name) <= 0:
            faults.append(f"[imports]: {name} must be more than 0")
