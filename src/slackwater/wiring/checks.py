"""What can be found wrong with a configuration only by making what it asks for."""

import importlib.util
from pathlib import Path

from slackwater.adapters.shared_memory.peer_board import why_unusable
from slackwater.adapters.system_clock import SystemClock
from slackwater.config import Config
from slackwater.core.errors import ConfigError, DataDirectoryError
from slackwater.wiring.backends import backend_of
from slackwater.wiring.content_filters import content_filter_of
from slackwater.wiring.files import MISSING, is_installed, store_of
from slackwater.wiring.tracing import faults_of_tracing
from slackwater.wiring.user_storages import faults_of_user_storages


def check_backends(config: Config) -> None:
    """Makes every backend's client once, without a call. Raises ConfigError with what they refuse, such as a header."""
    faults: list[str] = []
    for deployment in config.deployments:
        for backend in deployment.backends:
            try:
                backend_of(backend, key=config.backend_keys.get(backend.key_name or ""), clock=SystemClock())
            except ConfigError as error:
                faults += [f"deployment '{deployment.name}': {fault}" for fault in error.faults]
    for content_filter in config.content_filters:
        try:
            content_filter_of(content_filter, config.backend_keys, SystemClock())
        except ConfigError as error:
            faults += [f"content filter '{content_filter.name}': {fault}" for fault in error.faults]
    faults += faults_of_tracing(config)
    if config.database:
        faults += _faults_of_database(config.database)
    faults += faults_of_user_storages(config)
    if config.server.files:
        faults += _faults_of_files(config)
    if faults:
        raise ConfigError(faults)


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
