"""Finds a running engine on the loopback ports where people usually have one."""

import asyncio
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.adapters.upstream.http_pool import Timeouts
from slackwater.core.errors import BackendError

# By port; llama.cpp has announced that its 8080 becomes 9931 (its pull request 26508).
WELL_KNOWN = {
    11434: "Ollama",
    8000: "vLLM",
    30000: "SGLang",
    8080: "llama.cpp",
    9931: "llama.cpp",
    1234: "LM Studio",
}
# A list of models has some hundred bytes for each.
LIST_BYTES_MAX = 1 << 20


class Engine(Struct, frozen=True, kw_only=True):
    """Somebody who answered: what to call it, its base URL, and the models it names."""

    usual: str
    url: str
    models: list[str]


class _Model(Struct):
    id: str
    lifecycle_status: str = ""
    """What Azure's lists have, and so those of another Slackwater, which is no engine."""


class _Models(Struct):
    data: list[_Model]


async def models_at(url: str) -> list[str] | None:
    """The model ids that `URL/models` lists; None where nobody answers, or not like an engine."""
    client = HttpBackend(url, timeouts=Timeouts(connect=0.5, first_byte=3.0, total=3.0), reply_bytes_max=LIST_BYTES_MAX)
    try:
        reply = await client.get("/models")
        if reply.status != 200:
            return None
        return [model.id for model in msgspec.json.decode(reply.body, type=_Models).data if not model.lifecycle_status]
    except (BackendError, msgspec.MsgspecError, RecursionError):
        return None
    finally:
        await client.close()


async def nobody_at(url: str) -> str:
    """Why nobody answers at a URL; empty where somebody does, like an engine or not."""
    client = HttpBackend(url, timeouts=Timeouts(connect=0.5, first_byte=3.0, total=3.0))
    try:
        await client.get("/models")
    except BackendError as error:
        return str(error)
    finally:
        await client.close()
    return ""


async def find_engine() -> Engine | None:
    """The first engine that answers with at least one model, in the order of WELL_KNOWN."""
    return next(iter(await find_engines(WELL_KNOWN)), None)


async def find_engines(ports: Mapping[int, str] = WELL_KNOWN, *, but: int = 0) -> list[Engine]:
    """Every engine on these ports that answers with at least one model, in their order. The port `but` is our own."""
    urls = {f"http://127.0.0.1:{port}/v1": usual for port, usual in ports.items() if port != but}
    found = await asyncio.gather(*(models_at(url) for url in urls))
    return [
        Engine(usual=f"what answers on the port of {usual}", url=url, models=models)
        for (url, usual), models in zip(urls.items(), found, strict=True)
        if models
    ]
