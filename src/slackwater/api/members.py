"""Members, for whoever runs the service: what they hold is of every resource, so an administrator of one does not see them."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import objects, wire
from slackwater.api.context import context_of
from slackwater.api.engines import FAMILIES
from slackwater.api.operation import Operation
from slackwater.core.accounts.resource import Role
from slackwater.core.sending.engine_names import engine_id
from slackwater.core.watching.cluster import Concern, MemberView

THINGS_MAX = 20


async def list_members(request: Request) -> Response:
    """Every member, and what is wrong with them together."""
    watch = context_of(request).cluster_watch
    views = await watch.views()
    return wire.json_response(member_list(views, watch.concerns(views), shared=watch.shared))


def member_list(views: Sequence[MemberView], concerns: Sequence[Concern], *, shared: bool) -> objects.MemberList:
    """Members on the wire; `shared`: whether the ledger can have several."""
    return objects.MemberList(
        data=[_shown(each) for each in views], warnings=[_warning(each) for each in concerns], shared=shared
    )


def _shown(view: MemberView) -> objects.MemberObject:
    member = view.member
    return objects.MemberObject(
        id=member.id,
        host=member.host,
        kind=member.kind,
        version=member.version,
        state=view.state.value,
        here=view.here,
        watching=view.watching,
        started_at=int(member.started_at),
        last_seen_at=int(view.said_at),
        lag_seconds=round(view.lag_seconds, 1),
        clock_ahead_seconds=_rounded(view.clock_ahead_seconds),
        sends_for=None if member.sends_for is None else list(member.sends_for),
        shards=[objects.ShardsInHand(deployment=key, shards=count) for key, count in sorted(view.shards.items())],
        duties=[
            objects.DutyInHand(duty=duty.value, count=len(things), things=list(things[:THINGS_MAX]))
            for duty, things in sorted(view.duties.items(), key=lambda each: each[0].value)
        ],
        engines=[
            objects.EngineInHand(
                engine=engine_id(each.engine),
                name=each.engine,
                slots=each.slots,
                wanted=each.wanted,
                in_flight=each.in_flight,
            )
            for each in view.engines
        ],
        requests_out=view.requests_out,
        tokens_per_second=_rounded(view.tokens_per_second),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _warning(concern: Concern) -> objects.MemberWarning:
    return objects.MemberWarning(kind=concern.kind, message=concern.message, fix=concern.fix, grave=concern.grave)


MEMBER_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/members",
        handler=list_members,
        name="list_members",
        tag="Members",
        summary="List the servers and workers that share the ledger, with what they hold",
        answer=objects.MemberList,
        errors=(403,),
        families=FAMILIES,
        needs=Role.ADMIN,
        service=True,
    ),
)
