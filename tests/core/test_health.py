"""How a deployment is, by its backends."""

import pytest

from slackwater.core.sending.door import DoorState
from slackwater.core.watching.health import DeploymentHealth, health_of


@pytest.mark.parametrize(
    ("states", "health"),
    [
        ("ok", "serving"),
        ("ok ok", "serving"),
        ("ok busy", "serving"),
        ("ok down", "degraded"),
        ("refusing busy ok", "degraded"),
        ("ok paused", "degraded"),
        ("busy", "waiting"),
        ("busy down", "waiting"),
        ("down", "down"),
        ("refusing refusing", "refusing"),
        ("blocked", "blocked"),
        ("paused paused", "paused"),
        ("paused down", "down"),
        ("refusing blocked", "down"),
        ("", "down"),
    ],
)
def test_a_deployment_is_as_its_backends_are(states: str, health: str) -> None:
    """One that works is enough to serve, one that does not is enough to say so; a pause of the deployment is before all."""
    backends = [DoorState(each) for each in states.split()]
    assert health_of(backends, paused=False) is DeploymentHealth(health)
    assert health_of(backends, paused=True) is DeploymentHealth.PAUSED


def test_every_state_of_a_backend_has_a_health() -> None:
    """A state that is new needs a word here."""
    for state in DoorState:
        assert health_of([state], paused=False) in DeploymentHealth
