"""Who may call: one of the configured keys, as `api-key` or as a bearer token. Compared in constant time."""

import hmac

from starlette.requests import Request

from slackwater.core.errors import Unauthorized

# Azure's words (spec 7.2), which people search for.
REFUSED = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active "
    "subscription and use a correct regional API endpoint for your resource."
)


def authorize(request: Request, keys: tuple[str, ...]) -> None:
    """Raises Unauthorized unless the request carries one of the keys. Without keys everybody may call."""
    if not keys:
        return
    given = request.headers.get("api-key")
    if given is None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else ""
    # Every key is compared, whichever fits, so that the time says nothing.
    matches = [hmac.compare_digest(given.encode(), key.encode()) for key in keys]
    if not any(matches):
        raise Unauthorized(REFUSED, given=bool(given))
