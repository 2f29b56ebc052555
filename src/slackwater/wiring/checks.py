"""What can be found wrong with a configuration only by making what it asks for."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from slackwater.adapters.shared_memory.peer_board import why_unusable
from slackwater.adapters.system_clock import SystemClock
from slackwater.config import Config, look
from slackwater.config.deployments import place_of
from slackwater.core.errors import ConfigError, DataDirectoryError
from slackwater.core.masking import masked
from slackwater.wiring.backends import backend_of
from slackwater.wiring.content_filters import content_filter_of
from slackwater.wiring.files import MISSING, is_installed, store_of
from slackwater.wiring.tracing import faults_of_tracing
from slackwater.wiring.user_storages import faults_of_user_storages


def read_whole(path: Path) -> tuple[Config | None, list[str]]:
    """What can be read of a TOML file, and every fault, also those that are found by making what it asks for.

    What has a fault already is not made. Raises ConfigError for no TOML.
    """
    config, faults = look(path)
    if config is not None:
        before = f"{path}: "
        known = [fault.removeprefix(before) for fault in faults]
        faults += [before + fault for fault in _faults_in_making(config, known)]
    return config, [masked(fault) for fault in faults]


def check_backends(config: Config) -> None:
    """Makes every backend's client once, without a call. Raises ConfigError with what they refuse, such as a header."""
    if faults := _faults_in_making(config, []):
        raise ConfigError(faults)


def _faults_in_making(config: Config, known: Sequence[str]) -> list[str]:
    """What is refused in making what has none of the `known` faults."""
    faults: list[str] = []

    def sound(*places: str) -> bool:
        return not any(fault.startswith(places) for fault in known)

    for deployment in config.deployments:
        for backend in deployment.backends if sound(f"{(where := place_of(deployment))}:", f"{where} ") else ():
            try:
                backend_of(backend, key=config.backend_keys.get(backend.key_name or ""), clock=SystemClock())
            except ConfigError as error:
                faults += [f"{where}: {fault}" for fault in error.faults]
    for content_filter in config.content_filters:
        if not sound(where := f"content filter '{content_filter.name}'"):
            continue
        try:
            content_filter_of(content_filter, config.backend_keys, SystemClock())
        except ConfigError as error:
            faults += [f"{where}: {fault}" for fault in error.faults]
    faults += faults_of_tracing(config)
    if config.database and sound("[server]: database:"):
        faults += _faults_of_database(config.database)
    if sound("storage"):
        faults += faults_of_user_storages(config)
    if config.server.files and sound("[server]: files", "[server] files"):
        faults += _faults_of_files(config)
    return faults


def _faults_of_database(address: str) -> list[str]:
    if importlib.util.find_spec("psycopg") is None:
        return ["[server]: database: psycopg is not installed; in a checkout: pip install '.[postgresql]'"]
    # Only who has one pays for the library.
    from slackwater.adapters.sql.postgresql.address import faults_of

    try:
        return [f"[server]: database: {fault}" for fault in faults_of(address)]
    except ValueError as error:
        return [f"[server]: database: {error}"]


def _faults_of_files(config: Config) -> list[str]:
    if not is_installed():
        return [f"[server]: files: {MISSING}"]
    try:
        store_of(config)
    except DataDirectoryError as error:
        return [f"[server]: files: {error}"]
    return []


def unheard_peers(config: Config) -> str:
    """That other servers of ours will not be heard where the configuration says that they meet; empty where they may be.

    It is no fault: a server works without them. What is looked at is this machine, as this user sees it.
    """
    meeting = config.server.peers
    why = why_unusable(Path(meeting)) if meeting else ""
    return (
        f"[server] peers: {meeting}: {why}; servers that share an engine take each other for online users"
        if why
        else ""
    )
