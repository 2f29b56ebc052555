"""Signing in to Studio with a key, and out; and what a page has to know before anybody has signed in.

The browser carries a random token in a cookie that no script can read and no other site can send. These calls belong to no
family, and are not in the API's document: programs have keys and tokens.
"""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from slackwater import __version__
from slackwater.api import wire
from slackwater.api.bodies import read_body
from slackwater.api.context import Entrance, entrance_of
from slackwater.api.dialects import AZURE_V1
from slackwater.api.objects.sessions import NewSession, SessionObject, WaysIn
from slackwater.api.studio_door import StudioDoor
from slackwater.core.accounts.resource import DEFAULT, Principal, Role, digest_of
from slackwater.core.accounts.session import COOKIE, Session, of_another_site, origin_of_key
from slackwater.core.errors import InvalidRequest, NotFound, PermissionDenied, SlackwaterError, Unauthorized

SIGN_IN = "/studio/sign-in"
# A key and the name of a resource. Anybody may send one.
SIGN_IN_BYTES_MAX = 8 << 10
PRIVATE = {"Cache-Control": "no-store"}


def door_of(request: Request) -> StudioDoor:
    """The door of the application."""
    door = entrance_of(request).studio
    assert door is not None, "these routes are made with a door only"
    return door


def session_routes() -> list[Route]:
    """The routes of signing in with a key."""
    path = "/studio/session"
    return [
        Route(path, guarded(show), methods=["GET"]),
        Route(path, guarded(create), methods=["POST"]),
        Route(path, guarded(delete), methods=["DELETE"]),
    ]


def guarded(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Errors in the API's envelope, and nothing that a cache may keep."""

    async def answer(request: Request) -> Response:
        try:
            response = await handler(request)
        except SlackwaterError as error:
            response = wire.error_response(AZURE_V1, error)
        response.headers.update(PRIVATE)
        return response

    return answer


async def show(request: Request) -> Response:
    """Who the browser is signed in as. Always an answer, also for nobody."""
    return wire.json_response(shown(request, await entrance_of(request).authenticator.session_of(request)))


async def create(request: Request) -> Response:
    """Signs in with a key, or goes on in another resource with a session that is good in all of them."""
    entrance, door = entrance_of(request), door_of(request)
    authenticator = entrance.authenticator
    request.scope["close_connection"] = True
    # Nobody else's page may sign somebody in, for instance as somebody whom it then watches.
    headers = request.headers
    if of_another_site(
        fetch_site=headers.get("sec-fetch-site"),
        origin=headers.get("origin"),
        hosts=authenticator.own_hosts(request),
    ):
        raise PermissionDenied("Sign in on Studio's own page, at /studio.")
    request.scope["close_connection"] = False
    await authenticator.keys.learn()
    body = await read_body(request, NewSession, bytes_max=SIGN_IN_BYTES_MAX)
    if authenticator.open:
        return wire.json_response(shown(request, None))
    before = await authenticator.session_of(request)
    if body.key is not None:
        try:
            principal = await authenticator.of_any_key(body.key.strip(), asked=authenticator.asked(request))
        except Unauthorized:
            await authenticator.refused(request)
            raise
        origin, expires_at = origin_of_key(digest_of(body.key.strip())), None
    elif before is not None:
        authenticator.refuse_other_pages(request)
        principal, origin, expires_at = before.principal, before.origin, before.expires_at
    else:
        raise Unauthorized("Give a key to sign in with.", given=False)
    principal = _in_resource(entrance, principal, body.resource)
    token, session = await door.sessions.create(principal, origin=origin, expires_at=expires_at)
    if before is not None:
        await door.sessions.end(request.cookies[COOKIE])
    response = wire.json_response(shown(request, session))
    set_cookie(request, response, token, session)
    return response


async def delete(request: Request) -> Response:
    """Signs out."""
    token = request.cookies.get(COOKIE)
    if token:
        entrance_of(request).authenticator.refuse_other_pages(request)
        await door_of(request).sessions.end(token)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/", secure=is_https(request), httponly=True, samesite="strict")
    return response


def _in_resource(entrance: Entrance, principal: Principal, resource: str | None) -> Principal:
    if resource is None or resource == principal.resource:
        return principal
    if not principal.anywhere:
        raise PermissionDenied(
            f"This key belongs to the resource '{principal.resource}'. Sign in with a key of '{resource[:80]}'."
        )
    if resource not in entrance.authenticator.resources:
        raise InvalidRequest(f"There is no resource '{resource[:80]}' here.", param="resource")
    return msgspec.structs.replace(principal, resource=resource)


def set_cookie(request: Request, response: Response, token: str, session: Session) -> None:
    """Gives the browser its session: not to scripts, not to other sites, and not longer than it lasts."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=max(0, session.expires_at - int(entrance_of(request).clock.now())),
        path="/",
        secure=is_https(request),
        httponly=True,
        samesite="strict",
    )


def is_https(request: Request) -> bool:
    """Whether the browser came by https, by what the proxy says or the operator has written."""
    return request.url.scheme == "https" or door_of(request).public_url.startswith("https://")


def shown(request: Request, session: Session | None) -> SessionObject:
    """What a page may know."""
    entrance, door = entrance_of(request), door_of(request)
    authenticator = entrance.authenticator
    if authenticator.open:
        asked = authenticator.asked(request)
        principal: Principal | None = Principal(
            resource=asked or DEFAULT, role=Role.ADMIN, name="anonymous", anywhere=asked is None
        )
    else:
        principal = None if session is None else session.principal
    operates = principal is not None and principal.anywhere
    return SessionObject(
        signed_in=principal is not None,
        open=authenticator.open,
        resource=None if principal is None else principal.resource,
        role=None if principal is None else principal.role.value,
        name=None if principal is None else principal.name,
        expires_at=None if session is None or authenticator.open else session.expires_at,
        sign_in=WaysIn(
            key=bool(authenticator.service_keys) or authenticator.keys.any,
            oidc=None if door.sign_in is None else SIGN_IN,
        ),
        version=__version__,
        webhooks=door.webhooks,
        imports=door.imports,
        # Where everybody may do everything, there is nothing to choose between.
        resources=sorted(authenticator.resources) if operates and not authenticator.open else [],
        operates=operates,
        region="" if principal is None else entrance.context(principal.resource).region,
    )


def no_such_issuer() -> NotFound:
    """The error where nobody can sign in at an identity provider."""
    return NotFound("Nobody signs in with an identity provider here. Sign in with a key.")
