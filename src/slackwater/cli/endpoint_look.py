"""A look at an endpoint before anything is sent to it: does it list models, and the one that is asked for?

Nothing that it says keeps a run from beginning: engines answer under names that they do not list, and not every endpoint has
a list. But if the endpoint refuses the requests, what was seen here says what to correct.
"""

from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.adapters.upstream.http_pool import Timeouts
from slackwater.cli.output import safe
from slackwater.config import BackendConfig
from slackwater.core.errors import BackendError
from slackwater.core.masking import masked
from slackwater.core.sending.engine_names import backend_label, other_urls
from slackwater.core.sending.request import Reply
from slackwater.wiring.backends import headers_of, way_to

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 5.0
# Of a list that may have thousands.
NAMES_SHOWN, NAME_LENGTH_MAX = 8, 80


class _Model(Struct):
    id: str


class _Models(Struct):
    data: list[_Model]
    any_model: bool = False
    """What `slackwater sim-engine` says: it answers under every name."""


async def look(backend: BackendConfig, *, key: str | None, key_env: str | None, model: str | None) -> str:
    """What is not as it should be, in one sentence that says what to correct; empty where nothing is, or nothing can be told.

    `key` was read from the variable `key_env`. Raises BackendError where nobody can be reached, and ValueError for a URL that
    is none.
    """
    assert backend.url is not None, "a run has an endpoint"
    reply, url = await _get(backend, backend.url, key), backend_label(backend.url)
    if reply is None:
        return f"the endpoint gives no answer to GET {url}/models"
    if reply.status in (401, 403):
        return refused_key(f"answers {reply.status}", key_env)
    if 300 <= reply.status < 400:
        where = f" to {safe(reply.location)}" if reply.location else ""
        return f"the endpoint sends GET {url}/models elsewhere{where}; give --backend the URL where it leads"
    if reply.status == 404 and (elsewhere := await _elsewhere(backend, key)) is not None:
        return f"there is no {url}/models; did you mean --backend {masked(elsewhere)}?"
    names = _names(reply)
    if names is None or model is None or model in names:
        return ""
    return f"the endpoint does not list the model '{safe(model)[:NAME_LENGTH_MAX]}'; it lists {_some(names)}"


def refused_key(does: str, key_env: str | None) -> str:
    """What to correct where an endpoint wants another key, or one at all. `does` is what it does, as `answers 401`."""
    if key_env is None:
        return f"the endpoint {does}: it wants a key; name the variable that holds it with --api-key-env NAME"
    return f"the endpoint {does} to the key in {key_env}; put the right one there, or name another variable"


async def _elsewhere(backend: BackendConfig, key: str | None) -> str | None:
    """The URL at which the same server lists models, where people have left out or doubled its /v1."""
    assert backend.url is not None, "a run has an endpoint"
    url = backend.url.rstrip("/")
    if urlsplit(url).query:
        return None
    for guess in other_urls(url):
        try:
            reply = await _get(backend, guess, key)
        except BackendError:
            return None
        if reply is not None and _names(reply) is not None:
            return guess
    return None


async def _get(backend: BackendConfig, url: str, key: str | None) -> Reply | None:
    """The answer to GET `url`/models; None where there is none in time, or none that is HTTP."""
    timeouts = Timeouts(connect=CONNECT_SECONDS, first_byte=ANSWER_SECONDS, total=ANSWER_SECONDS)
    way = way_to(backend)
    client = HttpBackend(url, headers=headers_of(backend, key=key), timeouts=timeouts, proxy=way.proxy, tls=way.tls)
    try:
        return await client.get("/models")
    except BackendError as error:
        if not error.sent:
            raise
        return None
    finally:
        await client.close()


def _names(reply: Reply) -> list[str] | None:
    """The models that it lists; None where it lists none, in whatever way."""
    if reply.status != 200:
        return None
    try:
        found = msgspec.json.decode(reply.body, type=_Models)
        return None if found.any_model else [model.id for model in found.data] or None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _some(names: list[str]) -> str:
    shown = ", ".join(safe(name)[:NAME_LENGTH_MAX] for name in names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN:,} more"
