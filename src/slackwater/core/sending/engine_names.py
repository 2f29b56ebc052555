"""How engines are called: by scheme, host and port, whatever the path behind them. And backends, where others read it."""

import urllib.parse

from slackwater.core.masking import masked

DEFAULT_PORTS = {"http": 80, "https": 443}


def engine_of(url: str) -> str:
    """The name of the engine behind a URL: scheme, host and port, whatever the path. Raises ValueError for no port."""
    parts = urllib.parse.urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}:{parts.port or DEFAULT_PORTS.get(parts.scheme, 0)}"


def engine_id(name: str) -> str:
    """The same in one piece of a path: `http:engine.local:8000`, or `built-in-1-of-demo-batch`."""
    return name.replace("://", ":").replace("/", ":").replace(" ", "-")


def backend_label(name: str) -> str:
    """A backend's URL for logs and metrics: its place, without what is masked of it. Other names stay."""
    return masked(name).partition("?")[0].partition("#")[0] if "://" in name else name
