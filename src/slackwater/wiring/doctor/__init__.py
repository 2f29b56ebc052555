"""Looks at everything that a server needs, without being one: configuration, disk, ledger, limits, and who answers."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from slackwater.config import Config, load
from slackwater.core.errors import ConfigError
from slackwater.wiring.checks import check_backends
from slackwater.wiring.doctor.data import data_findings, holder_of
from slackwater.wiring.doctor.finding import Finding, Level, fault, note, ok
from slackwater.wiring.doctor.ledger import ledger_findings
from slackwater.wiring.doctor.machine import clock_findings, limit_findings
from slackwater.wiring.doctor.network import backend_findings, issuer_findings, server_findings

__all__ = ["Finding", "Level", "examine"]


def examine(
    config_path: Path | None, data: Path | None, *, now: Callable[[], float], deep: bool = False
) -> list[Finding]:
    """Everything that was found, in the order in which a start would stumble over it. `deep` reads every byte of the data."""
    config, found = _read(config_path)
    directory = data or Path(config.server.data)
    holder = holder_of(directory)
    found += data_findings(directory, config, holder)
    found += ledger_findings(directory, config, now=now(), deep=deep)
    found += limit_findings(config, holder)
    answers = asyncio.run(_ask(config, running=holder is not None, now=now))
    return found + answers


def _read(path: Path | None) -> tuple[Config, list[Finding]]:
    """The configuration; the default one where it cannot be used, so that everything else is still looked at."""
    if path is None:
        return load(None), [note("configuration", "none is given: the built-in demo", "name yours with --config")]
    try:
        config = load(path)
        check_backends(config)
    except ConfigError as error:
        return load(None), [
            fault("configuration", each, "correct it; see docs/configuration.md") for each in error.faults
        ]
    count = len(config.deployments)
    return config, [ok("configuration", f"{path}: {count} deployment{'s' * (count != 1)}")]


async def _ask(config: Config, *, running: bool, now: Callable[[], float]) -> list[Finding]:
    backends, dates = await backend_findings(config, now=now)
    found = await server_findings(config) if running else []
    return [*found, *clock_findings(dates, now=now()), *backends, *await issuer_findings(config)]
