"""How a deployment is, made of how its backends are: one word for people who look at many of them."""

from collections.abc import Sequence
from enum import StrEnum

from slackwater.core.sending.door import DoorState


class DeploymentHealth(StrEnum):
    """How a deployment is."""

    SERVING = "serving"
    """Requests go to every backend, as far as is known: who has not been asked lately may turn out otherwise."""
    DEGRADED = "degraded"
    """Some backends take nothing; the others do the work."""
    WAITING = "waiting"
    """No backend takes anything now; at least one of them has asked for a moment and will go on."""
    REFUSING = "refusing"
    BLOCKED = "blocked"
    DOWN = "down"
    """No backend takes anything; also where there is none, and where each has a reason of its own."""
    PAUSED = "paused"
    """By an operator: the deployment, or every engine behind it."""


def health_of(states: Sequence[DoorState], *, paused: bool) -> DeploymentHealth:
    """The health of a deployment whose backends are so. `paused`: the deployment itself is."""
    if paused:
        return DeploymentHealth.PAUSED
    kinds = set(states)
    if DoorState.OK in kinds:
        return DeploymentHealth.DEGRADED if kinds - {DoorState.OK, DoorState.BUSY} else DeploymentHealth.SERVING
    if DoorState.BUSY in kinds:
        return DeploymentHealth.WAITING
    return DeploymentHealth(kinds.pop().value) if len(kinds) == 1 else DeploymentHealth.DOWN
