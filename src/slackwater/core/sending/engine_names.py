"""How engines are called: by scheme, host and port, whatever the path behind them. And backends, where others read it."""

import urllib.parse

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
    """A backend's URL for logs and metrics: without user name and query, which may hold a key. Other names stay."""
    parts = urllib.parse.urlsplit(name)
    if not parts.netloc:
        return name
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
