"""Reads a configuration once and checks it once, relations between fields included. Every fault is found, a line each."""

import difflib
import os
import tomllib
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from slackwater.config.sections import (
    DEMO_DEPLOYMENT,
    ENDPOINTS,
    BackendConfig,
    Config,
    DeploymentConfig,
    EchoConfig,
    ImportsConfig,
    LimitsConfig,
    ServerConfig,
    WorkerConfig,
)
from slackwater.core.endpoints import REQUIRED_KEY, normalised
from slackwater.core.errors import ConfigError
from slackwater.core.imports import fault_of_host

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

S = TypeVar("S", bound=Struct)


def load(path: Path | None, environ: Mapping[str, str] | None = None) -> Config:
    """Reads and checks a TOML file; without one, the defaults with the demo deployment. Raises ConfigError with every fault."""
    environ = os.environ if environ is None else environ
    if path is None:
        return Config(deployments=(DEMO_DEPLOYMENT,))
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: is not valid TOML: {error}"]) from error
    faults: list[str] = []
    config = _read(raw, environ, faults)
    if faults or config is None:
        raise ConfigError([f"{path}: {fault}" for fault in faults])
    return config


def _read(raw: dict[str, Any], environ: Mapping[str, str], faults: list[str]) -> Config | None:
    raw = dict(raw)
    server = _section(raw.pop("server", {}), ServerConfig, "[server]", faults)
    limits = _section(raw.pop("limits", {}), LimitsConfig, "[limits]", faults)
    worker = _section(raw.pop("worker", {}), WorkerConfig, "[worker]", faults)
    imports = _section(raw.pop("imports", {}), ImportsConfig, "[imports]", faults)
    deployments = _deployments(raw.pop("deployments", []), faults)
    for name in raw:
        known = ("server", "limits", "worker", "imports", "deployments")
        faults.append(f"{name}: unknown section{_suggest(name, known)}")
    if server is None or limits is None or worker is None or imports is None or faults:
        return None
    config = Config(server=server, limits=limits, worker=worker, imports=imports, deployments=tuple(deployments))
    api_keys = [_secret(name, "[server] api_key_envs", environ, faults) for name in server.api_key_envs]
    backend_keys = {
        backend.api_key_env: _secret(backend.api_key_env, f"deployment '{deployment.name}'", environ, faults)
        for deployment in deployments
        for backend in deployment.backends
        if backend.api_key_env is not None
    }
    _check(config, faults)
    return msgspec.structs.replace(config, api_keys=tuple(api_keys), backend_keys=backend_keys)


def _deployments(raw: object, faults: list[str]) -> list[DeploymentConfig]:
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        faults.append("deployments: must be written as [[deployments]] sections")
        return []
    deployments = []
    for number, entry in enumerate(raw, 1):
        where = f"deployment '{entry['name']}'" if isinstance(entry.get("name"), str) else f"deployment {number}"
        backends = entry.get("backends", [])
        if not isinstance(backends, list) or not all(isinstance(backend, dict) for backend in backends):
            faults.append(f"{where}: backends must be written as [[deployments.backends]] sections")
            continue
        read = []
        for index, backend in enumerate(backends, 1):
            there = f"{where} backend {index}"
            backend = dict(backend)
            echo = backend.pop("echo", None)
            if echo is not None:
                _section(echo, EchoConfig, f"{there} echo", faults)
            struct = _section(backend, BackendConfig, there, faults)
            if struct is not None:
                if echo is not None and isinstance(echo, dict):
                    known = {field: echo[field] for field in EchoConfig.__struct_fields__ if field in echo}
                    try:
                        struct = msgspec.structs.replace(struct, echo=msgspec.convert(known, EchoConfig))
                    except msgspec.ValidationError:
                        continue
                read.append(struct)
        rest = {key: value for key, value in entry.items() if key != "backends"}
        deployment = _section(rest, DeploymentConfig, where, faults)
        if deployment is not None:
            deployments.append(
                msgspec.structs.replace(deployment, backends=read, model=deployment.model or deployment.name)
            )
    return deployments


def _section(raw: object, kind: type[S], where: str, faults: list[str]) -> S | None:
    """One struct out of one table, with a fault per wrong field instead of only the first."""
    if not isinstance(raw, dict):
        faults.append(f"{where}: must be a table of settings")
        return None
    before = len(faults)
    values: dict[str, Any] = {}
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for name, value in raw.items():
        if name not in fields:
            faults.append(f"{where}: unknown setting '{name}'{_suggest(name, fields)}")
            continue
        try:
            values[name] = msgspec.convert(value, fields[name].type)
        except msgspec.ValidationError as error:
            text = str(error).split(" - at")[0]
            faults.append(f"{where}: {name}: {text[0].lower()}{text[1:]}")
    for name, field in fields.items():
        if field.required and name not in raw:
            faults.append(f"{where}: {name} is missing: {name} = ...")
    return kind(**values) if len(faults) == before else None


def _suggest(name: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known are {', '.join(sorted(known))}"


def _secret(name: str, where: str, environ: Mapping[str, str], faults: list[str]) -> str:
    value = environ.get(name, "")
    if not value:
        faults.append(f"{where}: the environment variable {name} is not set; set it to the key before starting")
    return value


def _check(config: Config, faults: list[str]) -> None:
    """Rules between fields."""
    server = config.server
    if not 0 <= server.port <= 65535:
        faults.append(f"[server]: port {server.port} is not between 0 and 65535")
    if server.host not in LOOPBACK and not server.api_key_envs:
        faults.append(
            f"[server]: host {server.host} is open to others, but no API key is configured; "
            'set api_key_envs = ["SLACKWATER_API_KEY"], or listen on 127.0.0.1'
        )
    for section, struct in (("[limits]", config.limits), ("[worker]", config.worker)):
        for name in struct.__struct_fields__:
            if getattr(struct, name) < 0:
                faults.append(f"{section}: {name} must not be negative")
    _check_imports(config.imports, faults)
    if not config.deployments:
        faults.append(
            "no deployment: add a [[deployments]] section with a name and one [[deployments.backends]] section"
        )
    seen: set[str] = set()
    for deployment in config.deployments:
        where = f"deployment '{deployment.name}'"
        if deployment.name in seen:
            faults.append(f"{where}: the name is used twice; names must be unique")
        seen.add(deployment.name)
        offered = [endpoint_of(name) for name in deployment.endpoints]
        if not offered:
            faults.append(f"{where}: endpoints is empty; name what it offers, or leave it out for all")
        for name, endpoint in zip(deployment.endpoints, offered, strict=True):
            if endpoint not in REQUIRED_KEY:
                faults.append(f"{where}: there is no endpoint '{name}'{_suggest(endpoint[1:], ENDPOINTS)}")
        if not deployment.backends:
            faults.append(f"{where}: has no backend; add a [[deployments.backends]] section with a url")
        if deployment.tokenizer not in ("o200k_base", "cl100k_base"):
            faults.append(f"{where}: tokenizer must be 'o200k_base' or 'cl100k_base'")
        for index, backend in enumerate(deployment.backends, 1):
            _check_backend(backend, f"{where} backend {index}", faults)


def endpoint_of(name: str) -> str:
    """An endpoint as validation knows it, `/chat/completions`, from any spelling: with `/v1`, or without a first slash."""
    return normalised(f"/{name.strip('/')}")


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


def _check_backend(backend: BackendConfig, where: str, faults: list[str]) -> None:
    if (backend.url is None) == (backend.echo is None):
        faults.append(f"{where}: needs either a url or echo = {{}}, not both and not none")
    if backend.url is not None:
        parts = urllib.parse.urlsplit(backend.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            faults.append(f"{where}: url '{backend.url}' must look like http://host:port/v1")
    if backend.api_key_header not in (None, "authorization", "api-key"):
        faults.append(f"{where}: api_key_header must be 'authorization' or 'api-key'")
    if not 1 <= backend.concurrency <= 10_000:
        faults.append(f"{where}: concurrency must be between 1 and 10000")
    if backend.attempts < 1:
        faults.append(f"{where}: attempts must be at least 1")
    for name in ("connect_seconds", "first_byte_seconds", "total_seconds"):
        if getattr(backend, name) <= 0:
            faults.append(f"{where}: {name} must be more than 0")
