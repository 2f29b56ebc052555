"""The metrics page of each engine: where it is, what it does not say, and what that means for how batches are paced."""

import asyncio
from collections.abc import Sequence

from slackwater.adapters.system_clock import SystemClock
from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.config import BackendConfig, Config, EngineConfig
from slackwater.config.deployments import is_cloud
from slackwater.config.tables import is_address
from slackwater.core.errors import BackendError, ConfigError
from slackwater.core.masking import shown_url
from slackwater.core.sending.engine_counters import Counters, credible, unsaid
from slackwater.core.sending.engine_names import engine_of
from slackwater.core.sending.metrics_page import counters_in
from slackwater.core.sending.pace import USUAL, EnginePace
from slackwater.core.sending.step_target import Point
from slackwater.pipeline.sending.page_watch import TRIED_MAX
from slackwater.wiring.backends import backend_of
from slackwater.wiring.doctor.finding import Finding, note, ok, warning
from slackwater.wiring.engines import configured_pace

FIX = (
    "vLLM and TGI have one, SGLang with --enable-metrics, llama.cpp with --metrics, at /metrics of their own host and port; "
    'where there is none, pace = "fixed" in [[engines]] and a concurrency say what goes; see docs/pacing.md'
)


async def page_findings(config: Config) -> list[Finding]:
    """What is to be said of each engine, by name. A vendor's is not asked, nor one whose pace is `fixed`, as by a server."""
    said = {engine_of(each.url): each for each in config.engines if is_address(each.url)}
    engines: dict[str, list[BackendConfig]] = {}
    for deployment in config.deployments:
        for backend in deployment.backends:
            # What is an echo as well is a fault of the configuration.
            if backend.url is not None and backend.echo is None and is_address(backend.url):
                engines.setdefault(engine_of(backend.url), []).append(backend)
    asked = [_of_engine(name, engines[name], said.get(name), config) for name in sorted(engines)]
    return list(await asyncio.gather(*asked))


async def _of_engine(
    name: str, backends: Sequence[BackendConfig], said: EngineConfig | None, config: Config
) -> Finding:
    about, pace = f"engine {name}", configured_pace(said, backends[0])
    if pace is not None and pace.point is Point.FIXED:
        why = "a vendor has no metrics page for us" if is_cloud(backends[0].url) else "nobody looks at its metrics page"
        return note(about, f"its pace is fixed: {why}, and its concurrency is what goes, whoever else is there")
    found = await _page(backends, config)
    place = f"{name}/metrics"
    if isinstance(found, str):
        return _without(about, f"no metrics page that can be read at {place} ({found})", pace)
    holds = f"its metrics page is at {place}; batches are paced there: {pace or USUAL}"
    if missing := unsaid(found):
        fix = "some of it is there only once the engine has answered something; see docs/pacing.md"
        return note(about, f"{holds}. The page does not say {'; '.join(missing)}", fix)
    return ok(about, holds)


def _without(about: str, message: str, pace: EnginePace | None) -> Finding:
    if pace is None:
        return note(about, f"{message}: batches are not paced, and its concurrency is what goes", FIX)
    if pace.point is Point.FULL:
        return note(about, f"{message}: the pace full is all that its concurrency allows", FIX)
    poor = f"the pace {pace} is held by how long answers take, which is a poor guess"
    return warning(about, f"{message}: {poor}", FIX)


async def _page(backends: Sequence[BackendConfig], config: Config) -> Counters | str:
    """What the page says, asked for as a server does, or why it says nothing."""
    why = ""
    for backend in backends[:TRIED_MAX]:
        try:
            key = config.backend_keys.get(backend.key_name or "")
            client = backend_of(backend, key=key, clock=SystemClock())
        except ConfigError:
            # What is wrong with it has been said.
            why = f"{shown_url(backend.url or '')} cannot be asked"
            continue
        assert isinstance(client, HttpBackend), "a backend with a URL is called over HTTP"
        try:
            reply = await client.metrics()
        except BackendError as error:
            why = str(error)
            continue
        finally:
            await client.close()
        counters = counters_in(reply.body) if reply.status == 200 else None
        if counters is not None and credible(counters):
            return counters
        why = f"status {reply.status}" if reply.status != 200 else "no counters on it are known"
    return why
