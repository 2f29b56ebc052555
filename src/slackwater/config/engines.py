"""The sections about engines: each names one server, once, and as its backends do."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from slackwater.config.sections import DeploymentConfig, EngineConfig
from slackwater.config.tables import is_address, section
from slackwater.core.masking import shown_url
from slackwater.core.sending.engine_names import engine_of, one_name
from slackwater.core.sending.pace import pace_of
from slackwater.core.sending.streaming import AUTO, NEVER


def engines_of(raw: object, faults: list[str]) -> list[EngineConfig]:
    """What `[[engines]]` say, each by itself."""
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        faults.append("engines: must be written as [[engines]] sections")
        return []
    read = [section(entry, EngineConfig, f"engine {number}", faults) for number, entry in enumerate(raw, 1)]
    engines = [engine for engine in read if engine is not None]
    for engine in engines:
        if not is_address(engine.url):
            faults.append(f"engine '{shown_url(engine.url)}': url must look like http://host:port")
        if engine.concurrency is not None and not 1 <= engine.concurrency <= 10_000:
            faults.append(f"engine '{shown_url(engine.url)}': concurrency must be between 1 and 10000")
        if engine.slices not in (AUTO, NEVER):
            faults.append(f"engine '{shown_url(engine.url)}': slices must be 'auto' or 'never'")
        if engine.concurrency is None and engine.pace is None and engine.slices == AUTO:
            faults.append(
                f"engine '{shown_url(engine.url)}': says nothing; set concurrency, pace or slices, or leave it out"
            )
        if engine.pace is not None:
            try:
                pace_of(engine.pace)
            except ValueError as error:
                faults.append(f"engine '{shown_url(engine.url)}': pace: {error}")
    return engines


def check_engines(engines: Sequence[EngineConfig], deployments: Iterable[DeploymentConfig], faults: list[str]) -> None:
    """Rules between engines, and between them and the backends that are there. Only one of two sections could hold."""
    named: dict[str, str] = {}
    for engine in engines:
        name = _name(engine.url)
        if name is None:
            continue
        before = named.get(one_name(name))
        if before is None:
            named[one_name(name)] = engine.url
            continue
        faults.append(
            f"engine '{shown_url(engine.url)}': is the same server as '{shown_url(before)}', which has a section "
            "already; write one [[engines]] section for it, with all that holds there"
        )
    backends = _backends(deployments)
    for engine in engines:
        name = _name(engine.url)
        alike = sorted(each for each in backends if name is not None and one_name(each) == one_name(name))
        if alike and name not in alike:
            faults.append(
                f"engine '{shown_url(engine.url)}': no backend is there, but one is at {alike[0]}, which is the same server; "
                f'write it as that backend does: url = "{alike[0]}"'
            )


def limits_of(deployments: Iterable[DeploymentConfig], engines: Iterable[EngineConfig]) -> dict[str, int]:
    """How many requests each engine takes from everybody together, by its `one_name`: what its section says, else the smallest
    number that a backend names for it. Those of which nobody says anything are not there.
    """
    limits: dict[str, int] = {}
    for name, number in _numbers(deployments):
        limits[one_name(name)] = min(number, limits.get(one_name(name), number))
    for each in engines:
        if each.concurrency and (of := _name(each.url)) is not None:
            limits[one_name(of)] = each.concurrency
    return limits


def with_limits(deployment: DeploymentConfig, limits: Mapping[str, int]) -> DeploymentConfig:
    """The deployment, whose backends that name no number of their own may have all that their engine takes."""
    backends = [
        msgspec.structs.replace(backend, concurrency=limits.get(one_name(name)))
        if backend.concurrency is None and backend.url is not None and (name := _name(backend.url)) is not None
        else backend
        for backend in deployment.backends
    ]
    return msgspec.structs.replace(deployment, backends=backends)


def unused_engines(engines: Iterable[EngineConfig], deployments: Iterable[DeploymentConfig]) -> list[str]:
    """What is no fault, because deployments can be made while a server runs, and likely a slip: sections that nobody uses."""
    backends = _backends(deployments)
    there = ", ".join(sorted(backends)) or "none is configured"
    return [
        f"engine '{shown_url(engine.url)}': no backend of this file is there, so its section does nothing yet (backends: {there})"
        for engine in engines
        if (name := _name(engine.url)) is not None and name not in backends
    ]


def unequal_numbers(engines: Iterable[EngineConfig], deployments: Iterable[DeploymentConfig]) -> list[str]:
    """What is no fault, and perhaps not meant: engines without a section, for which backends name different numbers."""
    said = limits_of((), engines)
    named: dict[str, set[int]] = {}
    for name, number in _numbers(deployments):
        named.setdefault(one_name(name), set()).add(number)
    return [
        f"engine '{name}': its backends name {' and '.join(map(str, sorted(numbers)))} for concurrency, and the smallest holds "
        "for all of them together; where it takes more, say how many in an [[engines]] section: each then has its own at most"
        for name, numbers in sorted(named.items())
        if len(numbers) > 1 and name not in said
    ]


def _numbers(deployments: Iterable[DeploymentConfig]) -> Iterator[tuple[str, int]]:
    """How many requests backends say that an engine takes, by its name."""
    for deployment in deployments:
        for backend in deployment.backends:
            if backend.concurrency and backend.url is not None and (name := _name(backend.url)) is not None:
                yield name, backend.concurrency


def _backends(deployments: Iterable[DeploymentConfig]) -> set[str]:
    return {
        name
        for deployment in deployments
        for backend in deployment.backends
        if backend.url is not None and (name := _name(backend.url)) is not None
    }


def _name(url: str) -> str | None:
    """The name of an engine; None for what is no address, which has been said."""
    try:
        return engine_of(url) if is_address(url) else None
    except ValueError:
        return None
