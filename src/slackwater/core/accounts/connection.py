"""Connections: engines that administrators have added while the service runs, as deployments use them."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class Secret(Struct, frozen=True):
    """A key in memory. Whoever prints it sees nothing."""

    value: str

    def __repr__(self) -> str:
        return "<secret>"


class Connection(Struct, frozen=True, kw_only=True):
    """How a deployment reaches an engine that was added."""

    name: str
    url: str
    key_env: str | None = None
    key_header: str | None = None
    key: Secret | None = None
    """Where it is stored with it."""
    listed: bool = False
    """Whether its host is one that the operator has listed, wherever that leads."""
    fault: str | None = None
    """Why nothing is sent there."""


def names_in(body: Mapping[str, Any]) -> frozenset[str]:
    """The connections that a deployment uses, by its body."""
    properties = body.get("properties")
    backends = properties.get("backends") if isinstance(properties, Mapping) else None
    if not isinstance(backends, list):
        return frozenset()
    named = (each.get("connection") for each in backends if isinstance(each, Mapping))
    return frozenset(name for name in named if isinstance(name, str))
