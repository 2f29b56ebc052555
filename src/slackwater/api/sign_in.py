"""Signing in to Studio at an identity provider: the way there, and the way back.

What binds the way back to the browser that went is one random secret in a cookie of its own: state, nonce and PKCE's
verifier are all made of it, so nothing has to be remembered here, and nobody can fill a memory by going and not coming back.
"""

import base64
import hashlib
import hmac
import html
import re
import secrets
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from slackwater.api import wire
from slackwater.api.context import entrance_of
from slackwater.api.dialects import AZURE_V1
from slackwater.api.sessions import PRIVATE, SIGN_IN, door_of, guarded, is_https, no_such_issuer, set_cookie
from slackwater.core.accounts.session import origin_of_issuer
from slackwater.core.errors import IssuerUnavailable, SlackwaterError, TokenRefused, UserError
from slackwater.ports import SignIn

SIGNED_IN = "/studio/signed-in"
SECRET_COOKIE = "slackwater_sign_in"  # noqa: S105 - its name
SECRET_SECONDS = 600
CODE_LENGTH_MAX = 4_096
# What an issuer may say, as OAuth writes it. Anything else is not repeated on a page of ours.
REASON = re.compile(r"[a-z_]{1,40}")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
}
LOST = "This sign-in was not begun in this browser, or has taken too long. Sign in again."
# A strict cookie does not travel with a redirect that another site began, hence a page in between.
GO_ON = (
    '<meta http-equiv="refresh" content="0; url=/studio"><title>Signed in</title>'
    '<p>Signed in. <a href="/studio">Go on to Studio</a></p>'
)
SORRY = (
    "<title>Not signed in</title><h1>Not signed in</h1><p>{message}</p>"
    '<p><a href="{sign_in}">Try again</a>, or <a href="/studio">sign in with a key</a>.</p>'
)
FRAME = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    '<meta name="color-scheme" content="light dark">{body}</html>'
)


def sign_in_routes() -> list[Route]:
    """The routes of signing in at an issuer."""
    return [
        Route(SIGN_IN, guarded(_as_page(go)), methods=["GET"]),
        Route(SIGNED_IN, guarded(_as_page(come_back)), methods=["GET"]),
    ]


def _as_page(handler: Callable[[Request, SignIn], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """People see these answers: what went wrong is a page with the next step."""

    async def answer(request: Request) -> Response:
        sign_in = door_of(request).sign_in
        if sign_in is None:
            raise no_such_issuer()
        try:
            return await handler(request, sign_in)
        except (UserError, IssuerUnavailable) as error:
            return _sorry(error)

    return answer


async def go(request: Request, sign_in: SignIn) -> Response:
    """Sends the browser to the issuer."""
    secret = secrets.token_urlsafe(32)
    address = await sign_in.address(
        redirect_uri=_redirect_uri(request),
        state=_made_of(secret, "state"),
        nonce=_made_of(secret, "nonce"),
        challenge=_challenge(_made_of(secret, "verifier")),
    )
    response = RedirectResponse(address, 302)
    response.set_cookie(
        SECRET_COOKIE,
        secret,
        max_age=SECRET_SECONDS,
        path=SIGNED_IN,
        secure=is_https(request),
        httponly=True,
        # The way back begins at another site.
        samesite="lax",
    )
    return response


async def come_back(request: Request, sign_in: SignIn) -> Response:
    """Makes a session of the code that the issuer has sent along."""
    query, secret = request.query_params, request.cookies.get(SECRET_COOKIE, "")
    expected = _made_of(secret, "state")
    if not secret or not hmac.compare_digest(query.get("state", "").encode(), expected.encode()):
        raise TokenRefused(LOST)
    code = query.get("code", "")
    if not code or len(code) > CODE_LENGTH_MAX:
        reason = query.get("error", "")
        said = f" It says: {reason}." if REASON.fullmatch(reason) else ""
        raise TokenRefused(f"The identity provider did not sign you in.{said}")
    authenticator, door = entrance_of(request).authenticator, door_of(request)
    principal = await sign_in.redeem(
        code,
        redirect_uri=_redirect_uri(request),
        nonce=_made_of(secret, "nonce"),
        verifier=_made_of(secret, "verifier"),
        asked=authenticator.asked(request),
    )
    token, session = await door.sessions.create(principal, origin=origin_of_issuer(sign_in.issuer))
    response = _page(GO_ON, 200)
    set_cookie(request, response, token, session)
    # It has done its work, and must not do it twice.
    response.delete_cookie(SECRET_COOKIE, path=SIGNED_IN, secure=is_https(request), httponly=True, samesite="lax")
    return response


def _made_of(secret: str, purpose: str) -> str:
    """A text that only whoever has the secret knows; one for each purpose, and none says anything of another."""
    digest = hmac.digest(secret.encode(), purpose.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _redirect_uri(request: Request) -> str:
    """Where the issuer sends the browser back to: the host that it came from, which has its cookie."""
    url, public = request.url, door_of(request).public_url
    # A host of a resource stays what it is; only how it is reached is the proxy's.
    if public and entrance_of(request).authenticator.asked(request) is None:
        return public + SIGNED_IN
    scheme = "https" if is_https(request) else "http"
    return f"{scheme}://{url.netloc}{SIGNED_IN}"


def _sorry(error: SlackwaterError) -> Response:
    status = wire.error_response(AZURE_V1, error).status_code
    return _page(SORRY.format(message=html.escape(str(error)), sign_in=SIGN_IN), status)


def _page(body: str, status: int) -> Response:
    return Response(FRAME.format(body=body), status, HEADERS | PRIVATE, "text/html; charset=utf-8")
