"""What may happen at any moment of a seed. Each fault draws for itself whether it happens now."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tests.simulation.engines import QUOTA, SICKNESSES, WorldEngine, refusal_of
from tests.simulation.plan import LONG_SECONDS, Mood

if TYPE_CHECKING:
    from tests.simulation.world import World

REFUSALS = (401, 403, 404, 405, 308)
SHORT_SECONDS = 20.0
PAUSE_SECONDS = 30.0
STOP_SECONDS_MAX = 60.0


async def _kill(world: "World") -> None:
    living = world.living()
    if living and world.chance.random() < 0.4:
        world.chance.choice(living).kill()
        if world.chance.random() < 0.8 or not world.living():
            await asyncio.sleep(world.chance.uniform(0.1, 4.0))
            await world.begin_life()


async def _power_cut(world: "World") -> None:
    if world.chance.random() < 0.2:
        for life in world.living():
            life.kill()
        world.disk.power_cut()
        await asyncio.sleep(world.chance.uniform(0.1, 2.0))
        await world.begin_life()


async def _freeze(world: "World") -> None:
    living = world.living()
    if living and world.chance.random() < 0.5:
        seconds = world.chance.uniform(0.5, 3 * world.plan.lease_seconds)
        life = world.chance.choice(living)
        life.frozen_until = max(life.frozen_until, world.loop.time() + seconds)


async def _another(world: "World") -> None:
    if len(world.living()) < world.plan.services:
        await world.begin_life()


async def _stop(world: "World") -> None:
    ready = [life for life in world.living() if life.started and not life.stopping]
    if ready and world.chance.random() < 0.5:
        life = world.chance.choice(ready)
        stopping = asyncio.create_task(life.stop())
        await asyncio.wait({stopping}, timeout=STOP_SECONDS_MAX)
        if stopping.done():
            stopping.result()
        else:
            # It is frozen, or was killed meanwhile; in earnest somebody loses patience, too.
            life.kill()
        await world.begin_life()


async def _fill_disk(world: "World") -> None:
    world.disk.full = world.chance.random() < 0.5


async def _outage(world: "World") -> None:
    if world.chance.random() < 0.3:
        seconds = SHORT_SECONDS ** world.chance.random() - 1.0
        _engine(world).fall_sick(world.chance.choice(SICKNESSES), world.loop.time() + seconds)


async def _pause(world: "World") -> None:
    if world.chance.random() < 0.4:
        door = world.chance.choice(list(_engine(world).doors.values()))
        # Whole seconds and parts of them, as vendors ask for either.
        seconds = world.chance.choice((1.0, 2.0, 10.0, world.chance.uniform(0.1, PAUSE_SECONDS)))
        door.paused_until = max(door.paused_until, world.loop.time() + seconds)


async def _refuse(world: "World") -> None:
    if world.chance.random() < 0.3:
        engine = _engine(world)
        engine.troubles += 1
        door = world.chance.choice(list(engine.doors.values()))
        status = world.chance.choice((*REFUSALS, 0))
        door.refusal = refusal_of(status) if status else QUOTA
        engine.was_blocked = engine.was_blocked or door.refusal is QUOTA
        door.refuses_until = world.loop.time() + world.chance.uniform(0.5, SHORT_SECONDS)


async def _jump(world: "World") -> None:
    if world.chance.random() < 0.2:
        world.clock.jump(world.chance.choice((-3600.0, -30.0, -2.0, 2.0, 30.0, 3600.0)))


async def _cancel(world: "World") -> None:
    if world.chance.random() < 0.15:
        batch_id = world.chance.choice(list(world.deployment_of))
        await world.ledger.request_cancel(batch_id, now=int(world.clock.now()))


def _engine(world: "World") -> WorldEngine:
    return world.chance.choice([engine for engine in world.engines if engine.doors])


async def long_outage(world: "World") -> bool:
    """The outage that a seed may have after everything else, in which stages look for work less often."""
    plan = world.plan
    if plan.longest_outage <= LONG_SECONDS:
        return False
    until = world.loop.time() + plan.longest_outage
    sickness = world.chance.choice(SICKNESSES)
    for engine in world.engines:
        engine.fall_sick(sickness, until)
    world.naps.seconds = plan.nap_seconds
    return True


Fault = Callable[["World"], Awaitable[None]]
OF_MOODS: dict[Mood, tuple[Fault, ...]] = {
    Mood.DEATHS: (_kill, _power_cut),
    Mood.FREEZES: (_freeze,),
    Mood.FULL_DISK: (_fill_disk,),
    Mood.STOPS: (_stop,),
    Mood.OUTAGES: (_outage,),
    Mood.PAUSES: (_pause,),
    Mood.REFUSALS: (_refuse,),
    Mood.JUMPS: (_jump,),
    Mood.CANCELS: (_cancel,),
}


def faults_of(moods: frozenset[Mood]) -> tuple[Fault, ...]:
    """What may happen in a seed with these moods, always in the same order."""
    return (_another, *(fault for mood in Mood if mood in moods for fault in OF_MOODS.get(mood, ())))
