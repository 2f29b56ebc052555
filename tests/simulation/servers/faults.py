"""What may befall the servers, at any moment of a seed. Each fault draws for itself whether it happens now."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from slackwater.core.sending.pause import Target
from tests.simulation.servers.database import HANGS, REFUSES, UP
from tests.simulation.servers.plan import DeploymentPlan, Mood

if TYPE_CHECKING:
    from tests.simulation.servers.server import Server
    from tests.simulation.servers.world import World

Fault = Callable[["World"], None]
STOPPED_SECONDS, CUT_SECONDS, AWAY_SECONDS = 60.0, 60.0, 40.0


def _one(world: "World") -> "Server | None":
    living = [each for each in world.living() if not each.process.stands]
    return world.chance.choice(living) if living else None


def _kill(world: "World") -> None:
    if server := _one(world):
        server.die()


def _lose(world: "World") -> None:
    if server := _one(world):
        server.die(machine=True)


def _stand(world: "World") -> None:
    if server := _one(world):
        world.befallen += 1
        server.stand(world.chance.choice((3.0, 20.0, STOPPED_SECONDS)) * world.chance.uniform(0.1, 1.0))


def _cut(world: "World") -> None:
    server = _one(world)
    if server is not None and server.link == UP:
        world.befallen += 1
        server.cut(
            world.chance.choice((REFUSES, HANGS)), world.chance.choice((2.0, CUT_SECONDS)) * world.chance.random()
        )


def _deafen(world: "World") -> None:
    if server := _one(world):
        world.befallen += 1
        engine = world.chance.choice(world.engines)
        seconds = 30.0 * world.chance.random()
        server.deaf_to[engine] = world.chance.choice((REFUSES, HANGS))
        world.at(seconds, lambda: server.deaf_to.pop(engine, None) and None)


def _away(world: "World") -> None:
    if world.database.state == UP:
        world.befallen += 1
        seconds = world.chance.choice((0.0, 2.0, AWAY_SECONDS)) * world.chance.random()
        world.database_troubled_at = world.time + seconds
        world.database.goes_away(world.chance.choice((REFUSES, HANGS)))
        world.at(seconds, lambda: world.database.state == UP or world.database.comes_back())


def _late(world: "World") -> None:
    if world.chance.random() < 0.3:
        # For everybody, whoever comes included.
        world.late_until = world.time + world.chance.uniform(5.0, 15.0)
        return
    for server in world.living():
        if world.chance.random() < 0.5:
            server.late_until = world.time + world.chance.uniform(1.0, 10.0)


def _set_clock(world: "World") -> None:
    if server := _one(world):
        server.process.set_clock(world.chance.choice((-3600.0, -120.0, -10.0, 10.0, 120.0, 3600.0)))


def _leave(world: "World") -> None:
    ready = [each for each in world.living() if each.up]
    if ready:
        world.chance.choice(ready).leave()


def _another(world: "World") -> None:
    if len(world.living()) < world.plan.servers:
        world.begin()


def _cancel(world: "World") -> None:
    if world.chance.random() < 0.3:
        world.client.cancel()


def _pause(world: "World") -> None:
    chance, client = world.chance, world.client
    if chance.random() > 0.3:
        return
    made = [each for each in client.orders if each.made]
    match chance.randrange(3):
        case 0:
            client.pause(Target.ENGINE, chance.choice(world.engines).name)
        case 1:
            client.pause(Target.DEPLOYMENT, chance.choice(world.plan.deployments).key)
        case 2 if made:
            client.pause(Target.BATCH, chance.choice(made).batch_id)


def _change(world: "World") -> None:
    if world.chance.random() > 0.2:
        return

    def used(plan: DeploymentPlan) -> None:
        def done() -> None:
            world.at(world.chance.uniform(0.0, 10.0), lambda: world.client.delete(plan))

        world.client.order(plan, done)

    world.client.make(used)


OF_MOODS: dict[Mood, Fault] = {
    Mood.KILLED: _kill,
    Mood.LOST: _lose,
    Mood.STOPPED: _stand,
    Mood.CUT: _cut,
    Mood.DEAF: _deafen,
    Mood.AWAY: _away,
    Mood.LATE: _late,
    Mood.CLOCKS: _set_clock,
    Mood.LEAVING: _leave,
    Mood.CANCELS: _cancel,
    Mood.PAUSES: _pause,
    Mood.CHANGES: _change,
}


def faults_of(moods: frozenset[Mood]) -> tuple[Fault, ...]:
    """What may happen in a seed with these moods, always in the same order."""
    return (_another, *(OF_MOODS[mood] for mood in Mood if mood in moods and mood in OF_MOODS))
