"""What stands behind signing in to Studio."""

from msgspec import Struct

from slackwater.pipeline.accounts.sessions import Sessions
from slackwater.ports import SignIn


class StudioDoor(Struct, frozen=True, kw_only=True):
    """What signing in needs, and what the pages ask about the service."""

    sessions: Sessions
    sign_in: SignIn | None = None
    """Where people may sign in besides here."""
    public_url: str = ""
    """Where browsers reach the service, without a slash at the end; empty where they call it directly."""
    webhooks: bool = False
    imports: bool = False
