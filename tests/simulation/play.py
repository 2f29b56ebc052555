"""Plays one seed: faults for a while, then calm until every batch has ended, then the checks."""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.batch import Batch
from tests.simulation.checks import Violation, must
from tests.simulation.faults import faults_of, long_outage
from tests.simulation.neighbours import Neighbours
from tests.simulation.plan import LONG_SECONDS, Mood
from tests.simulation.virtual import Stuck
from tests.simulation.world import World

FAULTS_SECONDS = 90.0
BATCHES_MAX = 5
# Within an hour of calm every batch ends; those whose lines are told "busy" without end have ten minutes for each.
CALM_SECONDS = 4 * 3600.0
# So long stages nap while only lines are left that are told to wait again and again.
NAP_SECONDS = 10.0
# Things that happen in a long outage.
LONG_STEPS = 12

# What the product says when something of its own goes wrong that it outlives. Here nothing may.
FAULTS = ("request_broke", "lane_broke", "engine_unwatched", "probe_broke")


def play(
    seed: int,
    *,
    ledger_class: type[SqlLedger] = SqlLedger,
    prepare: Callable[[World], None] | None = None,
    moods: frozenset[Mood] | None = None,
) -> World:
    """Runs the seed; raises Violation with the command that replays it.

    `prepare` may plant a bug; `moods` are in the place of those that the seed would draw.
    """
    memory = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(prefix="slackwater-sim-", dir=memory if memory.is_dir() else None))
    world = World(seed, root, ledger_class=ledger_class, moods=moods)
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
        if "AssertionError" in text or text.startswith(FAULTS):
            self._world.checks.note(text)


def _unexpected(world: World, context: dict[str, object]) -> None:
    error = context.get("exception")
    if error is not None:
        world.checks.note(f"unexpected: {error!r}")


async def _play(world: World) -> None:
    chance = world.chance
    for _ in range(world.plan.services):
        await world.begin_life()
    batches = [await world.add_batch(number) for number in range(chance.randint(1, 3))]
    faults = faults_of(world.plan.moods)
    while world.loop.time() < FAULTS_SECONDS:
        await asyncio.sleep(chance.expovariate(0.5))
        await chance.choice(faults)(world)
        _no_violations(world)
        if len(batches) < BATCHES_MAX and chance.random() < 0.1:
            batches.append(await world.add_batch(len(batches)))
    if world.plan.longest_outage > LONG_SECONDS:
        # Somebody has something in hand when it begins, and waits for the end of it.
        batches.append(await world.add_batch(len(batches)))
        await asyncio.sleep(chance.uniform(0.0, 3.0))
    if await long_outage(world):
        # What happens in it is rare; the outage is what counts.
        for _ in range(LONG_STEPS):
            await asyncio.sleep(world.plan.longest_outage / LONG_STEPS)
            if chance.random() < 0.2:
                await chance.choice(faults)(world)
            _no_violations(world)
        world.naps.end()
    # Calm: somebody lives, nothing fails any more but what is bad by itself, and every batch must end.
    world.recover()
    if not any(not life.stopping for life in world.living()):
        await world.begin_life()
    await _calm(world, batches)
    for life in world.living():
        if life.started:
            await life.stop()
    world.sending.at_rest()
    await world.checks.at_rest(world.blobs)


async def _calm(world: World, batches: list[Batch]) -> None:
    """Waits until every batch has ended; those that are healthy have less time, whatever ails the others."""
    begun = world.loop.time()
    neighbours = Neighbours(world)
    while True:
        await asyncio.sleep(5.0)
        _no_violations(world)
        now = [await world.ledger.batch(batch.id) for batch in batches]
        left = [batch for batch in now if batch is None or not batch.terminal]
        if not left:
            return
        neighbours.look(left, world.loop.time() - begun)
        if neighbours.all_ended:
            # Only lines that are told to wait, again and again.
            world.naps.seconds = min(NAP_SECONDS, world.plan.lease_seconds / 3)
        must(world.loop.time() < begun + CALM_SECONDS, f"hours of calm, and not every batch has ended: {left}")


def _no_violations(world: World) -> None:
    must(not world.checks.violations, "; ".join(world.checks.violations[:3]))
