"""Looks at everything that a server needs, without being one: configuration, disk, ledger, limits, and who answers."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from slackwater.config import Config, data_in, load
from slackwater.config.deployments import assumed_quotas
from slackwater.config.engines import unequal_numbers, unused_engines
from slackwater.core.errors import ConfigError
from slackwater.core.masking import shown_url
from slackwater.wiring.checks import read_whole
from slackwater.wiring.doctor.data import closed, data_findings, guarded, holder_of
from slackwater.wiring.doctor.files import file_findings
from slackwater.wiring.doctor.finding import Finding, Level, fault, note, ok, warning
from slackwater.wiring.doctor.ledger import ledger_findings
from slackwater.wiring.doctor.machine import clock_findings, limit_findings, peer_findings
from slackwater.wiring.doctor.network import backend_findings, issuer_findings, server_findings
from slackwater.wiring.doctor.pages import page_findings
from slackwater.wiring.doctor.storages import storage_findings

__all__ = ["Finding", "Level", "examine"]


def examine(
    config_path: Path | None,
    data: Path | None,
    *,
    now: Callable[[], float],
    deep: bool = False,
    looking: Callable[[str], None] = lambda what: None,
) -> list[Finding]:
    """Everything that was found, in the order in which a start would stumble over it. `deep` reads every byte of the data.

    `looking` is told what is looked at from then on.
    """
    read, found = _read(config_path)
    config = load(None) if read is None else read
    directory = data or _directory(config_path, config)
    holder = holder_of(directory)
    shut = closed(directory)
    if shut is not None:
        found.append(shut)
    else:
        looking(f"the data directory {directory}")
        found += guarded("data directory", lambda: data_findings(directory, config, holder))
        looking(f"the ledger in {shown_url(config.database)}" if config.database else "the ledger")
        found += guarded("ledger", lambda: ledger_findings(directory, config, now=now(), deep=deep))
    looking("limits and other processes on this machine")
    found += [*limit_findings(config, holder), *guarded("peers", lambda: peer_findings(config))]
    answers = asyncio.run(
        _ask(
            config,
            None if shut is not None else directory,
            running=holder is not None and read is not None,
            given=config_path is not None,
            now=now,
            looking=looking,
        )
    )
    if holder is not None and read is None:
        answers.insert(
            0, note("server", "one runs; where it listens is not known while its configuration cannot be read")
        )
    return found + answers


def _directory(path: Path | None, config: Config) -> Path:
    """The data directory, also of a configuration that is wrong elsewhere."""
    try:
        return Path(config.server.data) if path is None else data_in(path)
    except ConfigError:
        return Path(config.server.data)


def _read(path: Path | None) -> tuple[Config | None, list[Finding]]:
    """The configuration with its faults, so that everything else is still looked at; None where it cannot be read."""
    if path is None:
        return load(None), [note("configuration", "none is given: the built-in demo", "name yours with --config")]
    config: Config | None = None
    faults: list[str] = []
    try:
        config, faults = read_whole(path)
    except ConfigError as error:
        faults = error.faults
    if config is None or faults:
        return config, [fault("configuration", each, "correct it; see docs/configuration.md") for each in faults]
    count = len(config.deployments)
    unused = [
        note("configuration", each, "write its url as that backend does, or leave the section out")
        for each in unused_engines(config.engines, config.deployments)
    ]
    unequal = [
        note("configuration", each, "name one number, or write an [[engines]] section")
        for each in unequal_numbers(config.engines, config.deployments)
    ]
    assumed = [
        warning("configuration", each, "write the figure that your subscription shows")
        for each in assumed_quotas(config.deployments)
    ]
    return config, [ok("configuration", f"{path}: {count} deployment{'s' * (count != 1)}"), *unused, *unequal, *assumed]


async def _ask(
    config: Config,
    directory: Path | None,
    *,
    running: bool,
    given: bool,
    now: Callable[[], float],
    looking: Callable[[str], None],
) -> list[Finding]:
    looking("the engines")
    backends, dates = await backend_findings(config, now=now)
    looking("the server that runs")
    found = await server_findings(config, given=given) if running else []
    looking("the engines' metrics pages")
    pages = await page_findings(config)
    looking(f"the files in {config.server.files}" if config.server.files else "the files")
    found_files = [] if directory is None else await file_findings(directory, config)
    looking("the users' storages")
    files = [*found_files, *await storage_findings(config)]
    looking("the issuers of tokens")
    return [*files, *found, *clock_findings(dates, now=now()), *backends, *pages, *await issuer_findings(config)]
