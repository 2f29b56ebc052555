"""Connections: engines that administrators add while the service runs."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

KeyHeader = Literal["authorization", "api-key"]
KeyPlace = Literal["none", "stored", "environment"]
CheckLevel = Literal["ok", "note", "warning", "fault"]
Url = Annotated[str, Meta(max_length=4096)]
Key = Annotated[str, Meta(max_length=16_384)]


class NewConnection(Struct, frozen=True, kw_only=True):
    """An engine that is to be added."""

    url: Url
    """Base URL up to where `/chat/completions` follows, such as `http://127.0.0.1:8000/v1`."""
    api_key: Key | None = None
    """Its key, which is stored sealed and never shown again."""
    api_key_env: str | None = None
    """Instead: the environment variable of the service that has its key."""
    api_key_header: KeyHeader | None = None
    """Where the key goes; by default `api-key` for Azure hosts."""


class ChangedConnection(Struct, frozen=True, kw_only=True):
    """What is to be different; the rest stays. A key is for the server that it was given for: with another, give it again."""

    url: Url | None = None
    api_key: Key | None = None
    """Empty: it needs none any more."""
    api_key_env: str | None = None
    api_key_header: KeyHeader | None = None


class ConnectionTest(Struct, frozen=True, kw_only=True):
    """What is to be looked at, without being kept. Of a connection that is there, what is left out is as it is kept."""

    url: Url | None = None
    api_key: Key | None = None
    api_key_env: str | None = None
    api_key_header: KeyHeader | None = None
    model: Annotated[str, Meta(max_length=200)] | None = None
    """The model that a request of one token is sent for; by default the first that it lists."""


class ConnectionObject(Struct, frozen=True, kw_only=True):
    """An engine that was added. Its key is never in it."""

    name: str
    url: str
    """Without its query, which may be secret."""
    key: KeyPlace
    """Where its key is."""
    api_key_env: str | None
    api_key_header: KeyHeader | None
    fault: str | None
    """Why nothing can be sent there, where that is so."""
    used_by: list[str]
    """The deployments that use it. It cannot be removed while there are any."""
    made_by: str
    created_at: int
    updated_at: int
    etag: str


class DeletedConnection(Struct, frozen=True, kw_only=True):
    """An engine that is not there any more, nor its key."""

    id: str
    object: Literal["connection"] = "connection"
    deleted: bool = True


class ConnectionList(Struct, frozen=True, kw_only=True):
    """Every connection of a resource, and what the operator allows."""

    object: Literal["list"] = "list"
    data: list[ConnectionObject]
    key_envs: list[str]
    """Environment variables that may be named."""
    cannot_store: str | None
    """Why no key can be stored; null where one can."""
    hosts: list[str] | None
    """The only hosts where engines of this caller's may be; null: any."""


class EngineCheckObject(Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    level: CheckLevel
    about: str
    message: str
    fix: str
    """What to do; empty where nothing is to be done."""


class ConnectionTestResult(Struct, frozen=True, kw_only=True):
    """What an engine said."""

    well: bool
    """Whether nothing is a fault."""
    checks: list[EngineCheckObject]
    models: list[str]
    """Those that it lists, 200 at most."""
    models_left_out: int


class FoundEngineObject(Struct, frozen=True, kw_only=True):
    """Somebody who answers like an engine on the service's own machine."""

    what: str
    """Whose usual port it is."""
    url: str
    models: list[str]


class FoundEngines(Struct, frozen=True, kw_only=True):
    """Engines on the usual ports of the machine that the service runs on."""

    object: Literal["list"] = "list"
    data: list[FoundEngineObject]
