"""How deployments and engines are, for people: as one server sees it, and put together of what several of them say.

Who has work of a deployment in hand knows how its backends are; the others have only not asked them lately. So those speak who
have some, and all of them where nobody has. What is counted is added up over all. Moments are seconds since 1970.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from slackwater.core.sending.door import DoorState
from slackwater.core.sending.pacing_view import PacingView
from slackwater.core.sending.pause import Pause

T = TypeVar("T")


class BackendView(Struct, frozen=True, kw_only=True):
    """One backend now, and over about the last minute."""

    name: str
    region: str
    data_zone: str
    health: DoorState
    reason: str
    """Why it is not `ok`, in the engine's words: for operators."""
    since: int | None
    """Since when it has been so, in seconds since 1970; None for `ok`."""
    until: int | None
    """When it is looked at again."""
    quiet_since: int | None
    """Since when calls are out and none has come back; None where none is out."""
    in_flight: int
    window: int
    pacing: PacingView
    """That of its engine; `frozen_since` in seconds since 1970."""
    own_engine: bool
    """Whether nobody of another resource uses the engine."""
    latency_seconds: float | None
    requests_per_second: float
    tokens_per_second: float
    last_error: str | None


class WaitingOn(Struct, frozen=True, kw_only=True):
    """Why nothing of a batch is sent: what is paused, the backend of its deployment that opens first, or what holds it alone."""

    what: Literal["batch", "deployment", "engine", "backend", "content_filter", "disk", "storage"]
    backend: str | None = None
    health: DoorState = DoorState.PAUSED
    reason: str
    since: int | None
    until: int | None = None
    who: str | None = None
    """Who has paused it."""


class Out(Struct, frozen=True, kw_only=True):
    """The calls that are out for a deployment, of all of its batches."""

    in_flight: int
    quiet_since: int | None
    """Since when none of them has come back, in seconds since 1970; None where none is out."""


class EngineView(Struct, frozen=True, kw_only=True):
    """One engine now. Moments are seconds since 1970."""

    id: str
    name: str
    state: DoorState
    reason: str
    since: int | None
    until: int | None
    quiet_since: int | None
    """Since when calls are out and none has come back; None where none is out."""
    in_flight: int
    slots: int
    deaths: int
    deployments: list[str]
    """Their keys; none for an engine that is paused and not used."""
    pause: Pause | None
    pacing: PacingView | None
    """None for an engine that is not used."""


class Says(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one server says of one deployment."""

    at_work: bool = False
    """Whether it has shards of it in hand."""
    backends: list[BackendView] = []
    out: Out = Out(in_flight=0, quiet_since=None)
    shut: WaitingOn | None = None
    """What keeps all of its batches waiting."""
    others: WaitingOn | None = None
    """What keeps those waiting of which nothing is in hand here."""
    batches: dict[str, WaitingOn | None] = {}
    """Those of which something is in hand here, and what keeps each of them waiting; None: nothing."""
    sending: list[str] = []
    """Those of which a request is out."""
    tokens_per_second: float = 0.0
    """What its backends have been seen to do here."""


class SaysOfItself(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one server says that is not about one deployment."""

    engines: list[EngineView] = []
    """Those to which something goes that it has in hand."""
    leaving: bool = False
    """Whether it is about to end."""
    clock_ahead_seconds: float | None = None
    """By how much the clock of its machine is before that of the ledger; None where that is one clock."""
    sections: dict[str, str] = {}
    """Checksums of sections of its configuration."""
    scraped_since: float | None = None
    """Since when somebody asks for its metrics page, over and over; None where nobody does."""
    has_page: bool = False
    """Whether it has one that can be asked for, as far as it knows: a worker does not."""


def speakers(said: Sequence[Says]) -> Sequence[Says]:
    """Those who know how it is."""
    return [each for each in said if each.at_work] or said


def out_of_all(said: Iterable[Out]) -> Out:
    """The calls that are out at all of them."""
    outs = [each for each in said if each.in_flight]
    return Out(in_flight=sum(each.in_flight for each in outs), quiet_since=_quiet([each.quiet_since for each in outs]))


def _quiet(since: Sequence[int | None]) -> int | None:
    """Since when nothing has come back anywhere. Where one of them is not quiet, they are not."""
    known = [each for each in since if each is not None]
    return max(known) if known and len(known) == len(since) else None


def shut_of(said: Sequence[Says]) -> WaitingOn | None:
    """What keeps all batches waiting: where each of them says so, what opens first."""
    return _first([each.shut for each in speakers(said)])


def waiting_of(batch_id: str, said: Sequence[Says]) -> WaitingOn | None:
    """What keeps one batch waiting of a deployment that is not shut."""
    if any(batch_id in each.sending for each in said):
        return None
    holding = [each.batches[batch_id] for each in said if batch_id in each.batches]
    return _first(holding or [each.others for each in speakers(said)])


def _first(waits: Sequence[WaitingOn | None]) -> WaitingOn | None:
    known = [each for each in waits if each is not None]
    if len(known) < len(waits):
        return None
    return min(known, key=lambda each: math.inf if each.until is None else each.until, default=None)


def backends_of(said: Sequence[Says]) -> list[BackendView]:
    """The backends of a deployment, as all of them together see them."""
    speaking = speakers(said)
    places: dict[tuple[str, str, int], list[tuple[BackendView, bool]]] = {}
    for each in said:
        counted: dict[tuple[str, str], int] = {}
        for view in each.backends:
            # Two entries of a configuration may have the same name.
            number = counted[view.name, view.region] = counted.get((view.name, view.region), 0) + 1
            places.setdefault((view.name, view.region, number), []).append((view, each in speaking))
    return [
        _backend([view for view, _ in views], [view for view, speaks in views if speaks]) for views in places.values()
    ]


def _backend(views: Sequence[BackendView], speaking: Sequence[BackendView]) -> BackendView:
    best = _best(speaking or views, lambda each: (each.health, each.until))
    busy = max(views, key=lambda each: each.in_flight)
    calls = sum(each.requests_per_second for each in views)
    timed = [each for each in views if each.latency_seconds is not None and each.requests_per_second > 0]
    weight = sum(each.requests_per_second for each in timed)
    return msgspec.structs.replace(
        best,
        quiet_since=_quiet([each.quiet_since for each in views if each.in_flight]),
        in_flight=sum(each.in_flight for each in views),
        # Of those who have nothing to send, each could send as much.
        window=sum(each.window for each in speaking) if any(each.in_flight for each in views) else best.window,
        pacing=(busy if busy.in_flight else best).pacing,
        latency_seconds=sum((each.latency_seconds or 0.0) * each.requests_per_second for each in timed) / weight
        if weight
        else best.latency_seconds,
        requests_per_second=calls,
        tokens_per_second=sum(each.tokens_per_second for each in views),
        last_error=next((each.last_error for each in [*speaking, *views] if each.last_error is not None), None),
    )


def _best(views: Sequence[T], of: Callable[[T], tuple[DoorState, int | None]]) -> T:
    """The one that is open, or opens first."""
    return min(views, key=lambda each: (of(each)[0] is not DoorState.OK, of(each)[1] or 0))


def engine_of_all(views: Sequence[EngineView], speaking: Sequence[EngineView]) -> EngineView:
    """An engine as several servers see it; `speaking` are those of them that have something in hand that goes there."""
    best = _best(speaking or views, lambda each: (each.state, each.until))
    busy = max(views, key=lambda each: each.in_flight)
    return msgspec.structs.replace(
        best,
        quiet_since=_quiet([each.quiet_since for each in views if each.in_flight]),
        in_flight=sum(each.in_flight for each in views),
        slots=max(each.slots for each in views),
        deaths=max(each.deaths for each in views),
        deployments=sorted({key for each in views for key in each.deployments}),
        pacing=(busy if busy.in_flight else best).pacing,
    )
