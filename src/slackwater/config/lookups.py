"""What commands look up in a configuration that they do not serve with: single settings, each without the rest of the file.

Whoever looks for keys, members or files needs neither the keys of backends nor each section to be right.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from slackwater.config.database import faults_of_database, with_password
from slackwater.config.object_files import faults_of_files
from slackwater.config.reading import check_names, parsed, resources_of, secret_of
from slackwater.config.sections import ServerConfig
from slackwater.config.tables import section
from slackwater.core.accounts.resource import DEFAULT
from slackwater.core.errors import ConfigError


def data_in(path: Path) -> Path:
    """The data directory that a configuration names. Raises ConfigError.

    Nothing else of it is checked: who opens the data needs neither the keys of backends nor the rest to be right.
    """
    server = parsed(path).get("server", {})
    data = server.get("data", ServerConfig().data) if isinstance(server, dict) else None
    if not isinstance(data, str) or not data:
        raise ConfigError([f"{path}: [server]: data must be the path of a directory"])
    return Path(data)


def server_in(path: Path) -> None:
    """Raises ConfigError where names in [server], or those of sections, are none that there are, or types are wrong.

    So is somebody told who has mistyped what one of the others here looks for, and would get what counts without it.
    """
    raw, faults = parsed(path), list[str]()
    section(raw.get("server", {}), ServerConfig, "[server]", faults)
    check_names(raw, faults)
    if faults:
        raise ConfigError([f"{path}: {fault}" for fault in faults])


def resources_in(path: Path) -> frozenset[str]:
    """The names of the resources that there are with a configuration. Raises ConfigError."""
    faults: list[str] = []
    resources = resources_of(parsed(path).get("resources", []), faults)
    if faults:
        raise ConfigError([f"{path}: {fault}" for fault in faults])
    return frozenset({DEFAULT, *(resource.name for resource in resources)})


def refuse_alone(path: Path) -> None:
    """Raises ConfigError where processes on several machines could not work with it together.

    Whether they see one directory is for them to find out; here is seen that each would have one of its own.
    """
    server = parsed(path).get("server", {})
    faults = []
    if not (isinstance(server, dict) and server.get("database")):
        faults.append(
            f"{path}: [server]: processes on several machines need a ledger that all of them reach: name database (see "
            "docs/postgresql.md)"
        )
    elif not data_in(path).is_absolute():
        faults.append(
            f"{path}: [server]: processes on several machines need one data directory, also where files are in an object store: "
            "name data, with the whole path at which all of them mount it (see docs/shared-directory.md)"
        )
    if faults:
        raise ConfigError(faults)


def database_in(path: Path, environ: Mapping[str, str] | None = None) -> str:
    """The address of the ledger that a configuration names; empty: it is a file in the data directory. Raises ConfigError."""
    environ = os.environ if environ is None else environ
    server = parsed(path).get("server", {})
    named = [server.get(name, "") if isinstance(server, dict) else "" for name in ("database", "database_password_env")]
    address, variable = (each if isinstance(each, str) else "" for each in named)
    faults = [f"[server]: {fault}" for fault in faults_of_database(address, variable)]
    password = (
        secret_of(variable, "[server] database_password_env", environ, faults, what="password") if variable else ""
    )
    if faults:
        raise ConfigError([f"{path}: {fault}" for fault in faults])
    return with_password(address, password) if password else address


def files_in(path: Path) -> str:
    """Where the files are that a configuration names, as it is written; empty: in the data directory. Raises ConfigError."""
    server = parsed(path).get("server", {})
    files = server.get("files", "") if isinstance(server, dict) else ""
    return files if isinstance(files, str) else ""


def store_in(path: Path, environ: Mapping[str, str] | None = None) -> tuple[ServerConfig, str]:
    """What a configuration says of the store of its files, and its key; empty where it has none. Raises ConfigError."""
    environ, faults = os.environ if environ is None else environ, list[str]()
    server = section(parsed(path).get("server", {}), ServerConfig, "[server]", faults) or ServerConfig()
    faults += [f"[server]: {fault}" for fault in faults_of_files(server)]
    named = server.files_key_env
    secret = secret_of(named, "[server] files_key_env", environ, faults) if named else ""
    if faults:
        raise ConfigError([f"{path}: {fault}" for fault in faults])
    return server, secret
