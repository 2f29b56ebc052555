"""Who is to answer: the running server, backends, classifiers, and issuers of tokens."""

import asyncio
import contextlib
import http.client
import json
import ssl
import urllib.parse
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from slackwater.adapters.identity.issuer_keys import Discovery, KeySet, fetch_with
from slackwater.config import BackendConfig, Config, DeploymentConfig, endpoint_of
from slackwater.config.tables import is_address
from slackwater.core.errors import ConfigError, SlackwaterError
from slackwater.core.sending.engine_names import other_urls
from slackwater.core.sending.evidence import Kind, evidence_of
from slackwater.core.sending.probe import probe_body
from slackwater.wiring.backends import DIRECTLY, headers_of, way_to
from slackwater.wiring.doctor.finding import Finding, fault, note, ok, warning
from slackwater.wiring.doctor.probe import SECONDS, Answer, probe

CERTIFICATE_DAYS_MIN = 14
DAY_SECONDS = 86_400
LISTED_MAX = 5
UNTRUSTED = "its certificate is not trusted"


async def _ask(
    url: str, headers: Mapping[str, str], backend: BackendConfig | None = None, *, body: bytes | None = None
) -> Answer | str:
    """The answer, or why there is none. A backend is asked on the way that its calls take."""
    try:
        way = DIRECTLY if backend is None else way_to(backend)
        return await asyncio.to_thread(probe, url, headers, way, body=body)
    except ConfigError as error:
        return "; ".join(error.faults)
    except ssl.SSLCertVerificationError as error:
        return f"{UNTRUSTED}: {error.verify_message}"
    except TimeoutError:
        return f"no answer within {SECONDS:.0f} s"
    except OSError as error:
        return error.strerror or str(error)
    except (http.client.HTTPException, ValueError) as error:
        return f"it does not speak HTTP ({type(error).__name__})"


async def server_findings(config: Config, *, given: bool) -> list[Finding]:
    """What a running server says of itself. `given`: whether the configuration was, in which it may have another address."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.server.host, config.server.host)  # noqa: S104
    url = f"http://[{host}]:{config.server.port}" if ":" in host else f"http://{host}:{config.server.port}"
    about = "server"
    answer = await _ask(f"{url}/readyz", {})
    if isinstance(answer, str):
        elsewhere = "see its log" if given else "name its --config"
        fix = f"if it listens elsewhere, because of another --config or --port, {elsewhere}"
        return [warning(about, f"one runs, and {url} does not answer: {answer}", fix)]
    if answer.status == 200:
        return [ok(about, f"{url} is ready")]
    reasons = ["it is no Slackwater of this version"]
    with contextlib.suppress(ValueError, KeyError, TypeError):
        reasons = [reason["message"] for reason in json.loads(answer.body)["reasons"]]
    return [fault(about, f"{url} is not ready: {' '.join(reasons)}", "see its log")]


async def backend_findings(config: Config, *, now: Callable[[], float]) -> tuple[list[Finding], dict[str, float]]:
    """What is to be said of each backend and classifier; and how far their clocks are ahead of ours."""
    asked = [
        (f"backend of {deployment.name}", backend, backend.model or deployment.name, _tried(deployment))
        for deployment in config.deployments
        for backend in deployment.backends
        # What is no address is a fault of the configuration.
        if backend.url is not None and is_address(backend.url)
    ]
    answers = await asyncio.gather(
        *(
            _ask(
                models_url(backend.url or ""),
                headers_of(backend, key=config.backend_keys.get(backend.key_name or "")),
                backend,
            )
            for _, backend, _, _ in asked
        )
    )
    found, dates = [], {}
    for (about, backend, model, path), answer in zip(asked, answers, strict=True):
        key = config.backend_keys.get(backend.key_name or "")
        found += await _of_backend(about, backend, model, path, answer, headers_of(backend, key=key))
        if not isinstance(answer, str):
            found += _of_certificate(about, backend.url or "", answer, now=now())
            if answer.ahead is not None:
                dates[backend.url or ""] = answer.ahead
    for content_filter in config.content_filters:
        if (classifier := content_filter.classifier) is not None and classifier.url and is_address(classifier.url):
            about = f"classifier of {content_filter.name}"
            answer = await _ask(classifier.url, {}, BackendConfig(url=classifier.url))
            if isinstance(answer, str):
                found.append(fault(about, f"{classifier.url}: {answer}", _remedy(answer, "SSL_CERT_FILE")))
            else:
                found += [
                    ok(about, f"{classifier.url} answers"),
                    *_of_certificate(about, classifier.url, answer, now=now()),
                ]
    return found, dates


def _remedy(answer: str, authorities: str) -> str:
    """What to do about no answer; `authorities` is where those are named whose certificates are trusted."""
    if answer.startswith(UNTRUSTED):
        return (
            f"where its authority is one of your own, name it with {authorities}; else have its certificate corrected"
        )
    return "start it, or correct its url"


def models_url(base: str) -> str:
    """Where a backend says which models it has."""
    return beside(base, "/models")


def beside(base: str, path: str) -> str:
    """A path of the API of a backend."""
    parts = urllib.parse.urlsplit(base)
    return parts._replace(path=parts.path.rstrip("/") + path).geturl()


def _tried(deployment: DeploymentConfig) -> str | None:
    """The endpoint with which it is tried whether a model is there; None where the smallest request is a dear one."""
    offered = [endpoint_of(name) for name in deployment.endpoints]
    return next((path for path in offered if probe_body(path, "m") is not None), None)


async def _of_backend(
    about: str, backend: BackendConfig, model: str, path: str | None, answer: Answer | str, headers: Mapping[str, str]
) -> list[Finding]:
    url = backend.url or ""
    shut = no_way_in(about, url, answer, has_key=backend.key_name is not None, fixes=FIXES)
    if shut is not None or isinstance(answer, str):
        return [] if shut is None else [shut]
    models = models_in(answer.body) if answer.status == 200 else None
    if models is None:
        for other in other_urls(url):
            there = await _ask(models_url(other), headers, backend)
            if not isinstance(there, str) and there.status == 200 and models_in(there.body) is not None:
                message = f"{models_url(url)} lists no models (status {answer.status}), and {models_url(other)} does"
                return [fault(about, message, f'write url = "{other}"')]
        return [note(about, f"{url} answers (status {answer.status}), and does not say which models it has")]
    if _any_model(answer.body):
        return [ok(about, f"{url} answers, to every name of a model")]
    if model not in models:
        some = ", ".join(models[:LISTED_MAX]) or "none"
        fix = "set `model` of the backend to a name that it knows"
        message = f"{url} does not list the model {model}; it has {some}"
        # Some answer under names that they do not list. A request of one token tells.
        if path is None:
            return [warning(about, message, fix)]
        elsewhere = {endpoint_of(name): each for name, each in backend.paths.items()}.get(path)
        place = beside(url, path) if elsewhere is None else urllib.parse.urljoin(url, elsewhere)
        asked = await _ask(place, headers, backend, body=probe_body(path, model))
        if isinstance(asked, str):
            return [warning(about, message, fix)]
        if 200 <= asked.status < 300:
            return [note(about, f"{message}; it answers all the same")]
        said = evidence_of(asked.status, asked.body, retry_after=None)
        if said.kind is Kind.REFUSED:
            return [fault(about, f"{message}; a request for {model} is refused: {said.reason}", fix)]
        return [warning(about, f"{message}; a request for {model} is answered with status {asked.status}", fix)]
    return [ok(about, f"{url} answers and has {model}")]


class Fixes(Struct, frozen=True, kw_only=True):
    """What to do about a server that lets nobody in, where its URL and its key are written."""

    away: Callable[[str], str]
    no_key: str
    address: str = "write the address that it sends to"


FIXES = Fixes(away=lambda answer: _remedy(answer, "ca_file"), no_key="name its key with api_key_env or api_key_file")


def no_way_in(about: str, url: str, answer: Answer | str, *, has_key: bool, fixes: Fixes) -> Finding | None:
    """What to say where a server was asked for its models, and does not let us in; None where it does."""
    if isinstance(answer, str):
        return fault(about, f"{url}: {answer}", fixes.away(answer))
    if answer.status in (401, 403):
        return fault(
            about,
            f"{url} refuses the key (status {answer.status})",
            "correct the key" if has_key else fixes.no_key,
        )
    if 300 <= answer.status < 400:
        return fault(about, f"{url} sends elsewhere (status {answer.status})", fixes.address)
    if answer.status >= 500:
        return fault(about, f"{url} answers with status {answer.status}", "see the log of that server")
    return None


def models_in(body: bytes) -> list[str] | None:
    """The ids of a list of models; None where a text is none."""
    try:
        return [str(model["id"]) for model in json.loads(body)["data"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _any_model(body: bytes) -> bool:
    """Whether it says that it answers under every name, as `slackwater sim-engine` does. `body` lists models."""
    return json.loads(body).get("any_model") is True


def _of_certificate(about: str, url: str, answer: Answer, *, now: float) -> list[Finding]:
    if answer.certificate_ends_at is None:
        return []
    days = (answer.certificate_ends_at - now) / DAY_SECONDS
    if days >= CERTIFICATE_DAYS_MIN:
        return []
    return [warning(about, f"the certificate of {url} ends in {max(0, int(days))} days", "have it renewed")]


async def issuer_findings(config: Config) -> list[Finding]:
    """Whether the keys of each issuer can be had, the way the service gets them."""
    fetch = fetch_with(ssl.create_default_context(), seconds=SECONDS)
    found = []
    for issuer in config.oidc.issuers:
        about, url = f"issuer {issuer}", config.oidc.jwks_url
        try:
            if not url:
                discovered = await fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
                discovery = msgspec.json.decode(discovered, type=Discovery)
                if discovery.issuer != issuer:
                    fix = "write the issuer as it writes itself"
                    found.append(fault(about, f"it calls itself {discovery.issuer}", fix))
                    continue
                url = discovery.jwks_uri
            keys = msgspec.json.decode(await fetch(url), type=KeySet).keys
        except (SlackwaterError, msgspec.DecodeError, ValueError) as error:
            fix = "correct [oidc] issuers or jwks_url, or let this machine reach it"
            found.append(fault(about, f"its keys cannot be had: {error}", fix))
            continue
        if keys:
            found.append(ok(about, f"it publishes {len(keys)} keys"))
        else:
            found.append(fault(about, f"{url} has no keys", "correct [oidc] jwks_url"))
    return found
