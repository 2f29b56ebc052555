"""Plays one seed: faults for a while, then calm until every batch has ended, then the checks."""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from slackwater.adapters.sql.ledger import SqlLedger
from tests.simulation.checks import Violation, must
from tests.simulation.virtual import Stuck
from tests.simulation.world import LEASE_SECONDS, World

FAULTS_SECONDS = 90.0
CALM_SECONDS = 3600.0


def play(
    seed: int, *, ledger_class: type[SqlLedger] = SqlLedger, prepare: Callable[[World], None] | None = None
) -> World:
    """Runs the seed; raises Violation with the command that replays it. `prepare` may plant a bug."""
    memory = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(prefix="slackwater-sim-", dir=memory if memory.is_dir() else None))
    world = World(seed, root, ledger_class=ledger_class)
    if prepare is not None:
        prepare(world)
    watch = _Watch(world)
    logger = logging.getLogger("slackwater")
    logger.addHandler(watch)
    asyncio.set_event_loop(world.loop)
    world.loop.set_exception_handler(lambda _, context: _unexpected(world, context))
    try:
        world.loop.run_until_complete(_play(world))
    except (Violation, Stuck) as violation:
        raise Violation(f"{violation}\nreplay: python -m tests.simulation --seed {seed}") from None
    finally:
        logger.removeHandler(watch)
        _bury(world)
        asyncio.set_event_loop(None)
        world.loop.close()
        shutil.rmtree(root, ignore_errors=True)
    return world


def _bury(world: World) -> None:
    """Ends the tasks of every life; those that clean up find the doors closed, so they are told more than once."""
    for life in world.lives:
        life.kill()
    for _ in range(20):
        tasks = asyncio.all_tasks(world.loop)
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        world.loop.run_until_complete(asyncio.sleep(0))
    for task in asyncio.all_tasks(world.loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]


class _Watch(logging.Handler):
    """A stage that trips over one of its own assertions has found a violation."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.WARNING)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if "AssertionError" in text or text.startswith("request_broke"):
            self._world.checks.note(text)


def _unexpected(world: World, context: dict[str, object]) -> None:
    error = context.get("exception")
    if error is not None:
        world.checks.note(f"unexpected: {error!r}")


async def _play(world: World) -> None:
    chance = world.chance
    await world.begin_life()
    if chance.random() < 0.5:
        await world.begin_life()
    batches = [await world.add_batch(number) for number in range(chance.randint(1, 3))]
    while world.loop.time() < FAULTS_SECONDS:
        await asyncio.sleep(chance.expovariate(0.5))
        fault = chance.choice(FAULTS)
        await fault(world)
        must(not world.checks.violations, "; ".join(world.checks.violations[:3]))
        if len(batches) < 5 and chance.random() < 0.1:
            batches.append(await world.add_batch(len(batches)))
    # Calm: somebody lives, nothing fails any more, and every batch must end.
    world.disk.full, world.trouble, world.outage_until = False, 0.0, 0.0
    if not world.living():
        await world.begin_life()
    limit = world.loop.time() + CALM_SECONDS
    while True:
        await asyncio.sleep(5.0)
        now = [await world.ledger.batch(batch.id) for batch in batches]
        if all(batch is not None and batch.terminal for batch in now):
            break
        must(not world.checks.violations, "; ".join(world.checks.violations[:3]))
        must(world.loop.time() < limit, f"an hour of calm, and not every batch has ended: {now}")
    await world.checks.at_rest(world.blobs)


async def _kill(world: World) -> None:
    living = world.living()
    if living and world.chance.random() < 0.4:
        world.chance.choice(living).kill()
        if world.chance.random() < 0.8 or not world.living():
            await asyncio.sleep(world.chance.uniform(0.1, 4.0))
            await world.begin_life()


async def _power_cut(world: World) -> None:
    if world.chance.random() < 0.2:
        for life in world.living():
            life.kill()
        world.disk.power_cut()
        await asyncio.sleep(world.chance.uniform(0.1, 2.0))
        await world.begin_life()


async def _freeze(world: World) -> None:
    living = world.living()
    if living and world.chance.random() < 0.5:
        world.chance.choice(living).frozen_until = world.loop.time() + world.chance.uniform(0.5, 3 * LEASE_SECONDS)


async def _another(world: World) -> None:
    if len(world.living()) < 2:
        await world.begin_life()


async def _fill_disk(world: World) -> None:
    world.disk.full = world.chance.random() < 0.5


async def _outage(world: World) -> None:
    if world.chance.random() < 0.3:
        world.outage_until = world.loop.time() + world.chance.uniform(1.0, 20.0)


async def _cancel(world: World) -> None:
    if world.chance.random() < 0.15:
        batches = await world.ledger.batches(after=None, limit=10)
        await world.ledger.request_cancel(world.chance.choice(batches).id, now=int(world.clock.now()))


FAULTS = (_kill, _power_cut, _freeze, _another, _fill_disk, _outage, _cancel)
