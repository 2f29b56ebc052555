"""How a browser signs in. Not in the API's document: these calls are for Studio's pages and for nobody else."""

from typing import Annotated, Literal

from msgspec import Meta, Struct


class NewSession(Struct, frozen=True, kw_only=True):
    """A key, to sign in with. Without one, a session that is good everywhere goes on in another resource."""

    key: Annotated[str, Meta(max_length=1000)] | None = None
    resource: str | None = None


class WaysIn(Struct, frozen=True, kw_only=True):
    """How somebody may sign in here."""

    key: bool
    oidc: str | None
    """Where a browser goes to sign in at the identity provider."""


class SessionObject(Struct, frozen=True, kw_only=True):
    """Who the browser is signed in as, if anybody, and what this service offers."""

    object: Literal["session"] = "session"
    signed_in: bool
    open: bool
    """Whether everybody may do everything, because there is no key."""
    resource: str | None
    role: Literal["reader", "user", "admin"] | None
    name: str | None
    expires_at: int | None
    sign_in: WaysIn
    version: str
    webhooks: bool
    imports: bool
    resources: list[str]
    """Where else this session may go on."""
    operates: bool
    """Whether it belongs to who runs the service, and so may see and pause its engines."""
    region: str
