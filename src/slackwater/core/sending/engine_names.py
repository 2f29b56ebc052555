"""How engines are called: by scheme, host and port, whatever the path behind them. And backends, where others read it."""

import re
import urllib.parse

from slackwater.core.masking import masked

DEFAULT_PORTS = {"http": 80, "https": 443}
ENDPOINTS = ("/chat/completions", "/completions", "/embeddings", "/responses", "/models")
LOOPBACK = re.compile(r"^(\w+://)(?:localhost|127(?:\.\d+){3}|\[::1\])(:\d+)?$")
# What the paths of an API are behind: `/v1`, `/api/v3`, `/v1beta`, or a deployment of Azure's dated API.
BASE = re.compile(r"/v\d[^/]*(/|$)|/deployments/")


def engine_of(url: str) -> str:
    """The name of the engine behind a URL: scheme, host and port, whatever the path. Raises ValueError for no port."""
    parts = urllib.parse.urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}:{parts.port or DEFAULT_PORTS.get(parts.scheme, 0)}"


def one_name(engine: str) -> str:
    """The name of an engine, the same for all that one host calls itself: for whoever compares names, and for nobody to read."""
    return LOOPBACK.sub(r"\1localhost\2", engine)


def engine_id(name: str) -> str:
    """The same in one piece of a path: `http:engine.local:8000`, or `built-in-1-of-demo-batch`."""
    return name.replace("://", ":").replace("/", ":").replace(" ", "-")


def is_named(engine: str, given: str) -> bool:
    """Whether somebody who says that means this engine: its URL with or without scheme and path, by any name of this host."""
    url = re.sub(r"^(https?):(?!//)", r"\1://", given)
    urls = (url,) if "://" in url else (f"http://{url}", f"https://{url}")
    for each in urls:
        try:
            if one_name(engine_of(each)) == one_name(engine):
                return True
        except ValueError:
            continue
    return False


def backend_label(name: str) -> str:
    """A backend's URL for logs and metrics: its place, without what is masked of it. Other names stay."""
    return masked(name).partition("?")[0].partition("#")[0] if "://" in name else name


def other_urls(url: str) -> list[str]:
    """What a base URL behind which nothing is found may have been meant to be, the likeliest first.

    People leave /v1 out, double it, or add an endpoint. Empty where none of this is to be seen.
    """
    url, _, _ = url.partition("?")
    url = whole = url.rstrip("/")
    if "://" not in url:
        return []
    for ending in ENDPOINTS:
        url = url.removesuffix(ending)
    while url.endswith("/v1/v1"):
        url = url.removesuffix("/v1")
    guesses = [url] if url != whole else []
    if BASE.search(urllib.parse.urlsplit(url).path) is None:
        guesses.insert(0, f"{url}/v1")
    return guesses


def where_else(url: str, reason: str) -> str:
    """The same as an end of the sentence `reason`, which says what a backend answered.

    Empty where it is not a 404 or 405, or is about the model.
    """
    lost = reason.startswith(("status 404", "status 405")) and "model" not in reason.lower()
    if not lost or not (guesses := other_urls(backend_label(url))):
        return ""
    return f"; is its url right? It may have to be {guesses[0]}"
