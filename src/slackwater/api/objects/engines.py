"""Engines, and what operators do with engines, deployments and batches."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from slackwater.api.objects.times import Moment
from slackwater.api.objects.watching import PauseObject


class NewPause(Struct, frozen=True, kw_only=True):
    """Why something is paused. Others read it."""

    reason: Annotated[str, Meta(max_length=300)] = ""


class EngineStatus(Struct, frozen=True, kw_only=True):
    """One engine now: an upstream (scheme, host, port), shared by every deployment whose backends name it."""

    object: Literal["engine.status"] = "engine.status"
    id: str
    """What it is called in paths: `http:engine.local:8000`."""
    name: str
    state: Literal["ok", "busy", "refusing", "blocked", "down", "paused"]
    """That of its best backend."""
    reason: str | None
    since: Moment | None
    until: Moment | None
    """When it is looked at again, where that is known."""
    in_flight: int
    slots: int
    """How many requests it may have at once, over all deployments."""
    deaths: int
    """How often it has stopped listening with requests out, since the service started."""
    deployments: list[str]
    """Their names; of another resource than the default one, as `resource/name`."""
    pause: PauseObject | None


class EngineList(Struct, frozen=True, kw_only=True):
    """Every engine of the service, by name."""

    object: Literal["list"] = "list"
    data: list[EngineStatus]
