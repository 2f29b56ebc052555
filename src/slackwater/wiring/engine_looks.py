"""Looks at an engine that somebody wants to add, in the doctor's words: is it there, does it take the key, which models, does it
answer.

It is asked on the way that batches would take, within seconds, and not more is read than a list of models has. Redirects are not
followed.
"""

import asyncio

import msgspec

from slackwater.adapters.system_clock import SystemClock
from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.config import BackendConfig, ConnectedBackend
from slackwater.core.errors import BackendError, ConfigError
from slackwater.core.masking import masked
from slackwater.core.sending.engine_names import other_urls
from slackwater.core.sending.evidence import Kind, evidence_of
from slackwater.core.sending.probe import probe_body
from slackwater.ports import Backend, EngineCheck, EngineLook, FoundEngine
from slackwater.wiring.backends import backend_of
from slackwater.wiring.doctor.finding import Finding, fault, note, ok, warning
from slackwater.wiring.doctor.network import Fixes, models_in, no_way_in
from slackwater.wiring.doctor.probe import Answer
from slackwater.wiring.find_engine import find_engines

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 20.0
# A list of models has some hundred bytes for each.
BODY_BYTES_MAX = 1 << 20
# So many are shown to choose from; any other name can be written.
MODELS_MAX, NAME_LENGTH_MAX = 200, 200
# A model that does not chat may do one of these.
PATHS = ("/chat/completions", "/embeddings", "/completions")
FIXES = Fixes(
    away=lambda answer: "start it, or correct its URL",
    no_key="it wants a key; give one",
    address="write the address that it sends to",
)


class EngineLooks:
    """The looks of one server, whose own port is `port`. An answer has `seconds`, and a whole look twice as many."""

    def __init__(self, *, port: int, seconds: float = ANSWER_SECONDS) -> None:
        self._port = port
        self._seconds = seconds

    async def find(self) -> list[FoundEngine]:
        """Engines on the usual ports of this machine."""
        found = await find_engines(but=self._port)
        return [FoundEngine(usual=each.usual, url=each.url, models=_shown(each.models)) for each in found]

    async def look(
        self, url: str, *, key: str | None, key_header: str | None, model: str | None, anywhere: bool
    ) -> EngineLook:
        """Everything that is to be said, in the order in which a batch would stumble over it."""
        try:
            async with asyncio.timeout(2 * self._seconds):
                return await _look(self._backend(url, key_header, anywhere=anywhere), key, model)
        except TimeoutError:
            late = fault("engine", f"{url}: no whole answer within {2 * self._seconds:g} s", FIXES.away(""))
            return EngineLook(checks=[_check(late)])

    def _backend(self, url: str, key_header: str | None, *, anywhere: bool) -> ConnectedBackend:
        return ConnectedBackend(
            url=url,
            api_key_header=key_header,
            connection="",
            listed=anywhere,
            connect_seconds=min(CONNECT_SECONDS, self._seconds),
            first_byte_seconds=self._seconds,
            total_seconds=self._seconds,
            concurrency=1,
        )


async def _look(config: ConnectedBackend, key: str | None, model: str | None) -> EngineLook:
    try:
        client = _client(config, key)
    except ConfigError as error:
        return EngineLook(checks=[_check(fault("engine", error.faults[0], "correct its URL"))])
    try:
        found, models = await _asked(config, client, key, model)
    finally:
        await client.close()
    return EngineLook(
        checks=[_check(each) for each in found],
        models=_shown(models),
        models_left_out=max(0, len(models) - MODELS_MAX),
    )


def _client(config: BackendConfig, key: str | None) -> Backend:
    return backend_of(config, key=key, clock=SystemClock(), answer_bytes=BODY_BYTES_MAX)


async def _asked(
    config: ConnectedBackend, client: Backend, key: str | None, model: str | None
) -> tuple[list[Finding], list[str]]:
    url = config.url or ""
    answer = await _get(client)
    shut = no_way_in("engine", url, answer, has_key=key is not None, fixes=FIXES)
    if shut is not None or isinstance(answer, str):
        there = [] if isinstance(answer, str) else [ok("engine", f"{url} answers")]
        return ([*there, shut] if shut is not None else there), []
    found = [ok("engine", f"{url} answers")]
    models = models_in(answer.body) if answer.status == 200 else None
    if models is None:
        for other in other_urls(url):
            elsewhere = _client(_at(config, other), key)
            try:
                said = await _get(elsewhere)
            finally:
                await elsewhere.close()
            if not isinstance(said, str) and said.status == 200 and models_in(said.body) is not None:
                message = f"{url} lists no models (status {answer.status}), and {other} does"
                return [*found, fault("models", message, f"write the URL {other}")], []
        found.append(
            note("models", f"it does not say which models it has (status {answer.status})", "write the name of one")
        )
    elif models:
        found.append(ok("models", f"it has {len(models)} model{'s' * (len(models) != 1)}"))
    else:
        found.append(warning("models", "it lists no models", "load one there"))
    listed = models or []
    wanted = model or next(iter(listed), None)
    if wanted is not None:
        if model and listed and model not in listed:
            found.append(note("models", f"it does not list the model {model}"))
        found.append(await _request(client, wanted[:NAME_LENGTH_MAX]))
    return found, listed


def _at(config: ConnectedBackend, url: str) -> ConnectedBackend:
    return msgspec.structs.replace(config, url=url)


async def _get(client: Backend) -> Answer | str:
    assert isinstance(client, HttpBackend), "a connection has a URL"
    try:
        reply = await client.get("/models")
    except BackendError as error:
        return str(error)
    return Answer(status=reply.status, body=reply.body, ahead=None, certificate_ends_at=None)


async def _request(client: Backend, model: str) -> Finding:
    """What becomes of the smallest request, at the first endpoint that the model answers at."""
    first: Finding | None = None
    for path in PATHS:
        body = probe_body(path, model)
        assert body is not None, "these have one"
        try:
            reply = await client.send(path, body)
        except BackendError as error:
            return fault("request", f"a request for {model} is not answered: {error}", "see the log of that server")
        if 200 <= reply.status < 300:
            return ok("request", f"{model} answers a request of one token at {path}")
        said = evidence_of(reply.status, reply.body, retry_after=None)
        why = said.reason or f"status {reply.status}"
        if reply.status in (401, 403):
            return fault("key", f"a request is refused: {why}", "correct the key, or what it may do there")
        if reply.status == 429 or said.kind is Kind.BUSY:
            return note("request", f"it is busy, or its quota is used up: {why}", "try again later")
        if reply.status >= 500:
            return fault(
                "request", f"a request for {model} is answered with status {reply.status}", "see the log of that server"
            )
        first = first or fault("request", f"a request for {model} is refused: {why}", "choose a model that it has")
    assert first is not None, "there is a path"
    return first


def _check(finding: Finding) -> EngineCheck:
    return EngineCheck(
        level=finding.level.value, about=finding.about, message=masked(finding.message)[:1_000], fix=finding.fix
    )


def _shown(models: list[str]) -> list[str]:
    return [each for each in models if each and len(each) <= NAME_LENGTH_MAX][:MODELS_MAX]
