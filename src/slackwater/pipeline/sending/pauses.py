"""What operators say of engines, deployments and batches: pause, resume, pace, try now. Pauses and paces are in the ledger.

Before: whoever operates. After: the fleet. What must hold: once a pause has been answered, nothing new is sent of what it names,
after a restart either; what was out ends by itself and is kept. `try now` never looks past a pause.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from slackwater.core.batch import Batch
from slackwater.core.errors import Conflict, NotFound
from slackwater.core.sending.door import Door
from slackwater.core.sending.engine_names import engine_id, is_named
from slackwater.core.sending.pace import EnginePace, SaidPace, pace_of
from slackwater.core.sending.pause import REASON_LENGTH_MAX, Pause, Target
from slackwater.core.sending.upstream_words import on_one_line
from slackwater.pipeline.loops import Hints, Pace
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.fleet import Fleet
from slackwater.ports import Clock, Ledger
from slackwater.telemetry import event

# What somebody tries again and again is looked at so often at most: a look may be paid for.
TRY_SECONDS = 1.0
# What can be tried, remembered for that; more than anybody has.
TRIED_MAX = 1_000

# Somebody who has asked for one that is not there is told of so many that are.
NAMED_MAX = 10


class Pauses:
    """The verbs of operators."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        fleet: Fleet,
        hints: Hints,
        *,
        say: Callable[[str], None] = lambda word: None,
    ) -> None:
        """`say` lets other servers hear what is to be tried now: they may be the ones who send."""
        self._say = say
        self._ledger = ledger
        self._clock = clock
        self._fleet = fleet
        self._hints = hints
        self._reading = asyncio.Lock()
        self._tried: dict[tuple[Target, str], float] = {}

    async def step(self) -> Pace:
        """Obeys what the ledger says; another process may have been told."""
        # One after the other: what was read before a pause must not take the place of what was read after it.
        async with self._reading:
            pauses = await self._ledger.pauses((Target.ENGINE, Target.DEPLOYMENT))
            said = {each.engine: each.pace for each in await self._ledger.paces()}
            self._fleet.obey(pauses, {engine: pace_of(pace) for engine, pace in said.items()})
        return Pace.IDLE

    def engines(self) -> list[Engine]:
        """Those that are used now, by name."""
        found = {each.engine.name: each.engine for _, each in self._fleet.dispatchers()}
        return [found[name] for name in sorted(found)]

    async def engine_name(self, given: str) -> str:
        """The name of the engine with this id, or of one that is paused and not used. Raises NotFound, with those there are.

        A URL will do, without its scheme as well, and by another name of this host.
        """
        names = {engine.name for engine in self.engines()}
        names |= {each.target for each in await self._ledger.pauses((Target.ENGINE,))}
        for name in sorted(names):
            if given in (name, engine_id(name)):
                return name
        alike = [name for name in names if is_named(name, given)]
        if len(alike) == 1:
            return alike[0]
        shown = ", ".join(sorted(names)[:NAMED_MAX]) + (", ..." if len(names) > NAMED_MAX else "")
        raise NotFound(
            f"There is no engine '{given[:80]}'; " + (f"there are: {shown}." if names else "none is used now.")
        )

    # Pause, resume

    async def pause(self, what: Target, target: str, *, resource: str, who: str, reason: str) -> Pause:
        """Pauses it, or returns the pause that there is. Raises Conflict for a batch of which nothing is sent any more."""
        asked = Pause(
            what=what,
            target=target,
            resource=resource,
            who=who,
            reason=on_one_line(reason)[:REASON_LENGTH_MAX],
            since=int(self._clock.now()),
        )
        pause = await self._ledger.pause(asked)
        if pause is None:
            raise Conflict(f"Nothing of the batch '{target[:80]}' is sent any more, so it cannot be paused.")
        if what is Target.BATCH:
            self._fleet.pause_batch(target)
        else:
            await self.step()
        if pause == asked:
            event("paused", level=logging.WARNING, what=what.value, target=target, who=who, reason=pause.reason)
        return pause

    async def resume(self, what: Target, target: str, *, who: str) -> Pause | None:
        """Ends a pause and returns it; None where there was none."""
        pause = await self._ledger.resume(what, target)
        await self.step()
        if pause is not None:
            event("resumed", what=what.value, target=target, who=who)
        # A batch may have ranks to get, or shards that can be claimed at once.
        self._hints.schedule.notify()
        self._hints.house_kept()
        return pause

    # Pace

    async def pace(self, engine: str, pace: EnginePace | None, *, who: str) -> None:
        """How an engine is paced from now on, whatever is configured; None for what is configured."""
        if pace is None:
            await self._ledger.forget_pace(engine)
        else:
            since = int(self._clock.now())
            await self._ledger.set_pace(SaidPace(engine=engine, pace=str(pace), who=who, since=since))
        await self.step()

    # Try now

    def try_engine(self, name: str) -> bool:
        """Looks at an engine at once, past whatever it waits for. False: it was looked at a moment ago. Raises Conflict."""
        engine = next((each for each in self.engines() if each.name == name), None)
        if engine is None:
            raise Conflict(f"No deployment uses the engine '{name[:80]}' now, so there is nothing to try.")
        _refuse(engine.held)
        if not self._due(Target.ENGINE, name):
            return False
        self._say(f"try engine {name}")
        self._try_engine(engine)
        return True

    def _try_engine(self, engine: Engine) -> None:
        engine.try_now({use.door for use in engine.uses})
        for key in {key for key, each in self._fleet.dispatchers() if each.engine is engine}:
            if self._fleet.pause_of(key) is None:
                self._fleet.try_now(key)

    def try_deployment(self, key: str) -> bool:
        """Looks at the backends of a deployment at once. Raises Conflict where it, or every engine of it, is paused."""
        dispatchers = self._open_dispatchers(key)
        if not self._due(Target.DEPLOYMENT, key):
            return False
        self._say(f"try deployment {key}")
        self._try_deployment(key, dispatchers)
        return True

    def _try_deployment(self, key: str, dispatchers: Iterable[Dispatcher], batch_id: str | None = None) -> None:
        for engine, doors in _by_engine(dispatchers):
            engine.try_now(doors)
        self._fleet.try_now(key, batch_id)

    async def try_batch(self, batch: Batch, *, backends: bool) -> bool:
        """Ends what a batch alone was told to wait; `backends`: what all others wait for, too. Raises Conflict."""
        _refuse(await self._ledger.pause_of(Target.BATCH, batch.id))
        if batch.terminal or batch.deployment is None:
            raise Conflict(f"The batch '{batch.id[:80]}' is {batch.status.value}; nothing of it waits for a backend.")
        dispatchers = self._open_dispatchers(batch.deployment)
        if not self._due(Target.BATCH, batch.id):
            return False
        self._say(f"try {'batch' if backends else 'alone'} {batch.id} {batch.deployment}")
        self._try_deployment(batch.deployment, dispatchers if backends else (), batch.id)
        return True

    def heard(self, word: str) -> None:
        """Somebody has asked another server to try something now. It never looks past a pause here, either."""
        _, kind, target = (*word.split(" ", 2), "", "")[:3]
        if kind == "engine":
            for engine in self.engines():
                if engine.name == target and engine.held is None:
                    self._try_engine(engine)
            return
        batch_id, _, key = (target if kind in ("batch", "alone") else f" {target}").partition(" ")
        dispatchers = [each for each in self._fleet.dispatchers_of(key) if each.engine.held is None]
        if dispatchers and self._fleet.pause_of(key) is None:
            self._try_deployment(key, () if kind == "alone" else dispatchers, batch_id or None)

    def _open_dispatchers(self, key: str) -> Sequence[Dispatcher]:
        """Those of a deployment whose engines are not paused. Raises Conflict where something is, and so none is left."""
        _refuse(self._fleet.pause_of(key))
        dispatchers = self._fleet.dispatchers_of(key)
        left = [each for each in dispatchers if each.engine.held is None]
        if not left and dispatchers:
            _refuse(dispatchers[0].engine.held)
        return left

    def _due(self, what: Target, target: str) -> bool:
        now = self._clock.monotonic()
        before = self._tried.pop((what, target), None)
        due = before is None or now - before >= TRY_SECONDS
        self._tried[what, target] = now if due or before is None else before
        while len(self._tried) > TRIED_MAX:
            del self._tried[next(iter(self._tried))]
        return due


def _by_engine(dispatchers: Iterable[Dispatcher]) -> list[tuple[Engine, set[Door]]]:
    found: dict[str, tuple[Engine, set[Door]]] = {}
    for each in dispatchers:
        found.setdefault(each.engine.name, (each.engine, set()))[1].add(each.door)
    return list(found.values())


def _refuse(pause: Pause | None) -> None:
    if pause is not None:
        raise Conflict(
            f"The {pause.what.value} is paused by an operator, and nothing looks past that: resume it first. "
            "What is paused, by whom and why, its state says."
        )
