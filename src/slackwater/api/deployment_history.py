"""What became of the engines of a deployment.

Engines are shared by resources. Whoever has a deployment on one sees how it is paced, because that is why batches wait, and what
it made of batches only where all of these are of the same resource.
"""

from typing import cast

from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import objects, wire
from slackwater.api.context import context_of, principal_of
from slackwater.api.deployment_status import shown_name
from slackwater.api.pacing import State, asked_span, mean, shown_minute
from slackwater.core.accounts.resource import Role
from slackwater.core.errors import NotFound
from slackwater.core.watching.engine_minutes import EngineMinute

# A deployment with more engines shows the first ones.
ENGINES_MAX = 16


async def get_deployment_history(request: Request) -> Response:
    """What became of the engines that a deployment uses."""
    context, principal = context_of(request), principal_of(request)
    first, last, step = asked_span(request, context)
    name = request.path_params["name"]
    whole = context.watch.engines_of(context.resource, name)
    if whole is None:
        raise NotFound(f"There is no deployment '{name[:80]}'.")
    engines = []
    for engine in sorted(whole)[:ENGINES_MAX]:
        found = await context.engine_history.engine_history(engine, first=first, last=last, step=step)
        engines.append(
            objects.DeploymentEngineHistory(
                engine=shown_name(engine, everything=principal.may(Role.ADMIN)),
                data=[_point(each, whole=whole[engine] or principal.anywhere) for each in found],
            )
        )
    return wire.json_response(objects.DeploymentHistory(deployment=name, step=step, engines=engines))


def _point(minute: EngineMinute, *, whole: bool) -> objects.DeploymentHistoryPoint:
    seconds = minute.seconds
    return objects.DeploymentHistoryPoint(
        at=minute.at,
        state=cast(State, minute.state),
        seconds=round(seconds, 1),
        paused_seconds=round(minute.paused_seconds, 1),
        slots=minute.slots,
        in_flight_mean=mean(minute.in_flight_seconds, seconds, 2) if whole else None,
        requests_per_second=mean(minute.calls, seconds, 3) if whole else None,
        tokens_per_second=mean(minute.tokens, seconds, 1) if whole else None,
        pacing=shown_minute(minute),
    )
