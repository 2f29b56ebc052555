"""How engines are paced, now and in a step of time, as it is shown to whoever has something on them."""

from typing import Literal

from msgspec import Struct

from slackwater.api.objects.times import Moment


class EnginePacing(Struct, frozen=True, kw_only=True):
    """How an engine is paced now. What is not known is null, and what nobody reads now because nothing is to be sent."""

    pace: str
    pace_from: Literal["command", "configuration"]
    """Who says so: an operator while the service ran (`POST /engines/ENGINE/pace`), which goes first, or the configuration."""
    configured_pace: str
    """What the configuration says, its default included: it holds again once the operator's word is taken back."""
    state: Literal["looking", "paced", "lost", "absent", "answers", "off"]
    """Of its metrics page: not looked at yet, read, lost (it was there), not there, not there although a pace was named (how long
    answers take says how busy it is), not wanted (`fixed`). While it is not there or not wanted, requests are not paced."""
    why: str | None
    """Why the page is not read, where something was there: `status 401`; null where there is none, and where it is read."""
    window: int | None
    """How many requests may be out now."""
    in_flight: int | None
    """How many are, of all deployments; null where other resources use it, too."""
    others: int | None
    """Requests of others that run or wait there."""
    waiting: int | None
    """Requests of anybody that it has not begun with."""
    step_ms: float | None
    """A step of the engine, in milliseconds: what everybody waits for a token."""
    alone_ms: float | None
    """What it would be without us."""
    target_ms: float | None
    """Up to which step the window grows; null where nobody else is there."""
    slice_tokens: int | None
    """Longer prompts go in slices of so many tokens; null where they go whole."""
    frozen: str | None
    """Why nothing new is sent."""
    frozen_since: Moment | None
    slower: float | None
    """How many times slower others' slow steps were than without us, over about the last hour of them."""
    slower_most: float | None
    """How many times slower the pace allows; null where it promises nothing."""


class PacingPoint(Struct, frozen=True, kw_only=True):
    """How an engine was paced in one step of time: means over the seconds in which its metrics page was read."""

    seconds: float
    """For how long it was."""
    window: float | None
    others: float | None
    waiting: float | None
    shared_seconds: float
    """For how long others were there; the steps are those of this time."""
    step_ms: float | None
    alone_ms: float | None
    target_ms: float | None
    frozen_seconds: float
    """For how long nothing new was sent, because others waited or the cache was nearly full."""
    cache_full_seconds: float
    """For how long of these it was the cache."""
    lost_seconds: float
    """For how long the page could not be read."""


class DeploymentHistoryPoint(Struct, frozen=True, kw_only=True):
    """What became of an engine of a deployment in one step of time."""

    at: Moment
    """When the step began."""
    state: Literal["ok", "busy", "refusing", "blocked", "down", "paused"]
    """The one that it was in longest."""
    seconds: float
    """For how long it was looked at: less than the step where the service did not run."""
    paused_seconds: float
    """For how long of these it was not `ok`."""
    slots: int
    """How many requests might be out at most."""
    in_flight_mean: float | None
    """Of batches, of all deployments that use the engine. This and the next two are null where other resources use it, too."""
    requests_per_second: float | None
    tokens_per_second: float | None
    pacing: PacingPoint


class DeploymentEngineHistory(Struct, frozen=True, kw_only=True):
    """What became of one of its engines."""

    engine: str
    """Its URL; for others than administrators, its host."""
    data: list[DeploymentHistoryPoint]
    """Steps in which nothing looked at it are left out."""


class DeploymentHistory(Struct, frozen=True, kw_only=True):
    """What became of the engines that a deployment uses now."""

    object: Literal["deployment.history"] = "deployment.history"
    deployment: str
    step: int
    """Seconds."""
    engines: list[DeploymentEngineHistory]
