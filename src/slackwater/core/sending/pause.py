"""What operators pause: an engine, a deployment or a batch. Calls that are out end by themselves; nothing new is sent."""

from enum import StrEnum

from msgspec import Struct

REASON_LENGTH_MAX = 300


class Target(StrEnum):
    """What can be paused."""

    ENGINE = "engine"
    DEPLOYMENT = "deployment"
    BATCH = "batch"


class Pause(Struct, frozen=True, kw_only=True):
    """One thing that is paused. It stays so until somebody resumes it, or a batch ends."""

    what: Target
    target: str
    """The name of an engine, the key of a deployment, the id of a batch."""
    resource: str
    """In whose name it was paused; that of whoever runs the service, for an engine."""
    who: str
    """As the audit log calls them."""
    reason: str
    since: int
    """In seconds since 1970."""
