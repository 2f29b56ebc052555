"""Plays one seed of several servers: faults for a while, perhaps a night without a database, then calm until all has ended."""

import logging
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.simulation.checks import Violation, must
from tests.simulation.play import FAULTS
from tests.simulation.servers.database import HANGS, REFUSES
from tests.simulation.servers.faults import faults_of
from tests.simulation.servers.plan import Mood
from tests.simulation.servers.world import World

# How long calm may last: slots of the lost count for a minute, doors are looked at within one, webhooks within five.
CALM_SECONDS = 1800.0
STOP_SECONDS, REST_SECONDS = 60.0, 30.0
STEP_SECONDS = 2.0


def play(seed: int, *, prepare: Callable[[World], None] | None = None, moods: frozenset[Mood] | None = None) -> World:
    """Runs the seed; raises Violation with the command that replays it. `prepare` may plant a fault."""
    memory = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(prefix="slackwater-servers-", dir=memory if memory.is_dir() else None))
    random.seed(seed)
    world = World(seed, root, moods=moods)
    if prepare is not None:
        prepare(world)
    watch = _Watch(world)
    logger = logging.getLogger("slackwater")
    logger.addHandler(watch)
    try:
        _play(world)
    except (Violation, AssertionError) as violation:
        raise Violation(f"{violation}\nreplay: python -m tests.simulation --servers --seed {seed}") from None
    finally:
        logger.removeHandler(watch)
        world.close()
        shutil.rmtree(root, ignore_errors=True)
    return world


class _Watch(logging.Handler):
    """A stage that fails for another reason than the database's has found a violation."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.WARNING)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not self._world.over and ("AssertionError" in text or text.startswith(("stage_failed", *FAULTS))):
            self._world.checks.note(text)


def _run(world: World, until: float) -> None:
    world.run(until)
    for each in world.all:
        for complaint in each.complaints:
            world.checks.note(f"{each.name}: {complaint}")
        each.complaints.clear()
    world.checks.clocks_are_right()
    must(not world.checks.violations, "; ".join(world.checks.violations[:3]))


def _play(world: World) -> None:
    plan, chance = world.plan, world.chance
    for _ in range(plan.servers):
        world.begin()
    for _ in range(plan.batches):
        world.at(
            chance.uniform(0.0, plan.faults_seconds / 2),
            lambda: world.client.order(chance.choice(plan.deployments)) and None,
        )
    faults = faults_of(plan.troubles)
    while world.time < plan.faults_seconds:
        _run(world, world.time + chance.expovariate(0.25))
        chance.choice(faults)(world)
    if plan.night_seconds:
        _night(world)
    world.recover()
    _calm(world)
    _stop(world)
    World.at_once(world.checks.at_rest(world.blobs))
    World.at_once(world.checks.ends())


def _night(world: World) -> None:
    """The database is away, while there is work; stages look less often."""
    world.client.order(world.chance.choice(world.plan.deployments))
    _run(world, world.time + world.chance.uniform(0.0, 5.0))
    world.database_troubled_at = world.time + world.plan.night_seconds
    world.befallen += 1
    world.database.goes_away(world.chance.choice((REFUSES, HANGS)))
    world.naps.seconds = world.plan.nap_seconds
    _run(world, world.time + world.plan.night_seconds)
    world.naps.end()
    world.database.comes_back()


def _calm(world: World) -> None:
    begun = world.time
    while not world.all_ended():
        _run(world, world.time + STEP_SECONDS)
        left = [order.batch_id for order in world.client.orders if order.batch_id not in world.observed.ended]
        must(
            world.time < begun + CALM_SECONDS,
            f"half an hour of calm, and not everything has ended: {left}, {world.client.busy} calls, {world.pausing}",
        )


def _stop(world: World) -> None:
    """The dead have been buried by those who live; then everybody leaves, gently."""
    _run(world, world.time + REST_SECONDS)
    world.checks.members_are([each.name for each in world.living()])
    world.over = True
    until = world.time + STOP_SECONDS
    while world.living() and world.time < until:
        for server in world.living():
            if server.ready and not server.stopping:
                server.leave()
        _run(world, world.time + 1.0)
    must(not world.living(), f"{[each.name for each in world.living()]} have not ended")
