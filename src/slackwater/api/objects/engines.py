"""Engines, and what operators do with engines, deployments and batches."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from slackwater.api.objects.pacing import EnginePacing, PacingPoint
from slackwater.api.objects.times import Moment
from slackwater.api.objects.watching import PauseObject


class NewPause(Struct, frozen=True, kw_only=True):
    """Why something is paused. Others read it."""

    reason: Annotated[str, Meta(max_length=300)] = ""


class NewPace(Struct, frozen=True, kw_only=True):
    """How much of an engine batches may take."""

    pace: Annotated[str, Meta(max_length=40)]
    """`gentle`, `strict`, `full`, `fixed`, a time between two tokens such as `50ms`, or `configured` for what is configured."""


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
    quiet_since: Moment | None
    """Since when calls are out and none has come back; null where none is out."""
    in_flight: int
    slots: int
    """How many requests it may have at once, over all deployments."""
    deaths: int
    """How often it has stopped listening with requests out, since the service started."""
    deployments: list[str]
    """Their names; of another resource than the default one, as `resource/name`."""
    pause: PauseObject | None
    pacing: EnginePacing | None
    """Null for one that no deployment uses."""


class EngineHistoryPoint(Struct, frozen=True, kw_only=True):
    """What became of an engine in one step of time, over all processes that used it."""

    at: Moment
    """When the step began."""
    state: Literal["ok", "busy", "refusing", "blocked", "down", "paused"]
    """The one that it was in longest."""
    seconds: float
    """For how long it was looked at: less than the step where the service did not run."""
    paused_seconds: float
    """For how long of these it was not `ok`."""
    slots: int
    in_flight_mean: float
    in_flight_max: int
    requests: int
    """Calls that ended by themselves."""
    failed: int
    """Of these, those that brought no usable answer."""
    tokens: int
    requests_per_second: float
    tokens_per_second: float
    latency_mean: float | None
    """Seconds; null where no call ended."""
    latency_p50: float | None
    """Guessed between the bounds of a histogram, as `latency_p95` is."""
    latency_p95: float | None
    pacing: PacingPoint


class EngineHistoryObject(Struct, frozen=True, kw_only=True):
    """What became of an engine, in steps. Steps in which nothing looked at it are left out."""

    object: Literal["engine.history"] = "engine.history"
    engine: str
    step: int
    """Seconds."""
    data: list[EngineHistoryPoint]


class EngineList(Struct, frozen=True, kw_only=True):
    """Every engine of the service, by name."""

    object: Literal["list"] = "list"
    data: list[EngineStatus]
