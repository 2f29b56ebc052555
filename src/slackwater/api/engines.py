"""Engines, for whoever runs the service: they are shared by every resource, so an administrator of one does not see them."""

from typing import cast

from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import audit, objects, wire
from slackwater.api.bodies import read_body
from slackwater.api.context import Context, context_of, principal_of
from slackwater.api.dialects import AZURE_V1, OPENAI
from slackwater.api.operation import SPAN, Operation
from slackwater.api.pacing import State, asked_span, shown_minute, shown_pacing
from slackwater.core.accounts.resource import Role
from slackwater.core.errors import InvalidRequest, NotFound
from slackwater.core.sending.pace import pace_of
from slackwater.core.sending.pause import Pause, Target
from slackwater.core.watching.engine_minutes import EngineMinute, latency
from slackwater.core.watching.standings import EngineView
from slackwater.telemetry.meters import REQUEST_BOUNDS

# Instead of a pace: what the configuration says.
CONFIGURED = "configured"


async def list_engines(request: Request) -> Response:
    """Every engine."""
    views = await context_of(request).engine_watch.views()
    return wire.json_response(objects.EngineList(data=[_shown(view) for view in views]))


async def get_engine(request: Request) -> Response:
    """One engine."""
    context = context_of(request)
    return await _answer(context, await _name(request, context))


async def pause_engine(request: Request) -> Response:
    """Sends it nothing new, whoever asks, until it is resumed."""
    context, principal = context_of(request), principal_of(request)
    body = await read_body(request, objects.NewPause, optional=True)
    name = await _name(request, context)
    pause = await context.pauses.pause(
        Target.ENGINE, name, resource=context.resource, who=principal.name, reason=body.reason
    )
    audit.note(request, target=name, reason=pause.reason)
    return await _answer(context, name)


async def resume_engine(request: Request) -> Response:
    """Sends to it again."""
    context = context_of(request)
    name = await _name(request, context)
    await context.pauses.resume(Target.ENGINE, name, who=principal_of(request).name)
    audit.note(request, target=name)
    return await _answer(context, name, gone_too=True)


async def pace_engine(request: Request) -> Response:
    """How much of it batches may take from now on, whatever is configured."""
    context = context_of(request)
    body = await read_body(request, objects.NewPace)
    try:
        pace = None if body.pace.strip().lower() == CONFIGURED else pace_of(body.pace)
    except ValueError as error:
        raise InvalidRequest(f"{error}; or {CONFIGURED}.", param="pace") from error
    name = await _name(request, context)
    await context.pauses.pace(name, pace, who=principal_of(request).name)
    audit.note(request, target=name, pace=CONFIGURED if pace is None else str(pace))
    return await _answer(context, name)


async def try_engine(request: Request) -> Response:
    """Looks at once whether it works again, whatever it waits for."""
    context = context_of(request)
    name = await _name(request, context)
    context.pauses.try_engine(name)
    audit.note(request, target=name)
    return await _answer(context, name)


async def get_engine_history(request: Request) -> Response:
    """What became of an engine, in steps of a minute or more."""
    context = context_of(request)
    first, last, step = asked_span(request, context)
    given = request.path_params["engine"]
    name = await _name(request, context)
    found = await context.engine_history.engine_history(name, first=first, last=last, step=step)
    return wire.json_response(
        objects.EngineHistoryObject(engine=given, step=step, data=[_point(each) for each in found])
    )


def _point(minute: EngineMinute) -> objects.EngineHistoryPoint:
    seconds = minute.seconds or 1.0
    return objects.EngineHistoryPoint(
        at=minute.at,
        state=cast(State, minute.state),
        seconds=round(minute.seconds, 1),
        paused_seconds=round(minute.paused_seconds, 1),
        slots=minute.slots,
        in_flight_mean=round(minute.in_flight_seconds / seconds, 2),
        in_flight_max=minute.in_flight_max,
        requests=minute.calls,
        failed=minute.failed,
        tokens=minute.tokens,
        requests_per_second=round(minute.calls / seconds, 3),
        tokens_per_second=round(minute.tokens / seconds, 1),
        latency_mean=round(minute.call_seconds / minute.calls, 3) if minute.calls else None,
        latency_p50=_rounded(latency(minute, 0.5, bounds=REQUEST_BOUNDS)),
        latency_p95=_rounded(latency(minute, 0.95, bounds=REQUEST_BOUNDS)),
        pacing=shown_minute(minute),
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


async def _name(request: Request, context: Context) -> str:
    return await context.pauses.engine_name(request.path_params["engine"])


async def _answer(context: Context, name: str, *, gone_too: bool = False) -> Response:
    view = next((each for each in await context.engine_watch.views() if each.name == name), None)
    if view is None and gone_too:
        # Nobody uses it, and nothing is left to say of it.
        return Response(status_code=204)
    if view is None:
        raise NotFound(f"There is no engine '{name[:80]}'.")
    return wire.json_response(_shown(view))


def _shown(view: EngineView) -> objects.EngineStatus:
    return objects.EngineStatus(
        id=view.id,
        name=view.name,
        state=view.state.value,
        reason=view.reason or None,
        since=view.since,
        until=view.until,
        quiet_since=view.quiet_since,
        in_flight=view.in_flight,
        slots=view.slots,
        deaths=view.deaths,
        deployments=view.deployments,
        pause=shown_pause(view.pause),
        pacing=None if view.pacing is None else shown_pacing(view.pacing, whole=True),
    )


def shown_pause(pause: Pause | None) -> objects.PauseObject | None:
    """A pause on the wire, for those who may know who it was."""
    if pause is None:
        return None
    return objects.PauseObject(who=pause.who, reason=pause.reason or None, since=pause.since)


TAG = "Engines"
# They are no part of any vendor's API; these are the families that have our own operations.
FAMILIES = (AZURE_V1.name, OPENAI.name)

ENGINE_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/engines",
        handler=list_engines,
        name="list_engines",
        tag=TAG,
        summary="List the engines of the service, with their states",
        answer=objects.EngineList,
        errors=(403,),
        families=FAMILIES,
        needs=Role.ADMIN,
        service=True,
    ),
    Operation(
        method="GET",
        path="/engines/{engine}",
        handler=get_engine,
        name="get_engine",
        tag=TAG,
        summary="Get an engine",
        answer=objects.EngineStatus,
        errors=(403, 404),
        families=FAMILIES,
        needs=Role.ADMIN,
        service=True,
    ),
    Operation(
        method="GET",
        path="/engines/{engine}/history",
        handler=get_engine_history,
        name="get_engine_history",
        tag=TAG,
        summary="Read what became of an engine, minute by minute, for 35 days",
        parameters=SPAN,
        answer=objects.EngineHistoryObject,
        errors=(400, 403, 404),
        families=FAMILIES,
        needs=Role.ADMIN,
        service=True,
    ),
    Operation(
        method="POST",
        path="/engines/{engine}/pause",
        handler=pause_engine,
        name="pause_engine",
        tag=TAG,
        summary="Send an engine nothing new, until it is resumed",
        body=objects.NewPause,
        body_optional=True,
        answer=objects.EngineStatus,
        errors=(400, 403, 404),
        families=FAMILIES,
        needs=Role.ADMIN,
        service=True,
    ),
    Operation(
        method="POST",
        path="/engines/{engine}/resume",
        handler=resume_engine,
        name="resume_engine",
        tag=TAG,
        summary="Send to an engine again",
        answer=objects.EngineStatus,
        status_also=(204,),
        errors=(403, 404),
        families=FAMILIES,
        needs=Role.ADMIN,
        service=True,
    ),
    Operation(
        method="POST",
        path="/engines/{engine}/pace",
        handler=pace_engine,
        name="pace_engine",
        tag=TAG,
        summary="Say how much of an engine batches may take beside others",
        body=objects.NewPace,
        answer=objects.EngineStatus,
        errors=(400, 403, 404),
        families=FAMILIES,
        needs=Role.ADMIN,
        service=True,
    ),
    Operation(
        method="POST",
        path="/engines/{engine}/try",
        handler=try_engine,
        name="try_engine",
        tag=TAG,
        summary="Look at once whether an engine works again",
        answer=objects.EngineStatus,
        errors=(403, 404, 409),
        families=FAMILIES,
        needs=Role.ADMIN,
        service=True,
    ),
)
