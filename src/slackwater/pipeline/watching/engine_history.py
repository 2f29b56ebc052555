"""Writes down what becomes of every engine: looks at it every second, and makes a row of each minute.

Nothing is counted for this while requests are sent: the numbers are those that backends have anyway, and a row is what they have
grown by. Before: the engines. After: the ledger, where the janitor trims it. What must hold: one transaction a minute, whatever
the load; a minute that cannot be written waits, and so many of them at most.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from weakref import WeakKeyDictionary

from slackwater.core.sending.door import DoorState
from slackwater.core.sending.pacing_view import CACHE_FULL, PacingView, State
from slackwater.core.watching.engine_minutes import MINUTE, EngineMinute
from slackwater.pipeline.loops import Pace
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.watching.engine_watch import EngineWatch, standing_of
from slackwater.ports import Clock, EngineLedger
from slackwater.telemetry import BackendMeter

STEP_SECONDS = 1.0
# What came between two looks that are further apart than this (a frozen process) is counted as so long.
LOOK_SECONDS_MAX = 10.0
# Minutes that wait for a disk with room: a day of ten engines.
WAITING_MAX = 14_400


class _Sums:
    """What a meter has counted, or by how much that has grown."""

    def __init__(self, meter: BackendMeter | None = None) -> None:
        self.counts: list[int] = [] if meter is None else list(meter.seconds.counts)
        self.seconds = 0.0 if meter is None else meter.seconds.total
        self.tokens = 0 if meter is None else meter.tokens
        self.success = 0 if meter is None else meter.outcomes["success"]

    def grown_since(self, before: "_Sums | None") -> "_Sums":
        grown = _Sums()
        earlier = before or _Sums()
        grown.counts = [now - (earlier.counts[place] if earlier.counts else 0) for place, now in enumerate(self.counts)]
        grown.seconds = self.seconds - earlier.seconds
        grown.tokens = self.tokens - earlier.tokens
        grown.success = self.success - earlier.success
        return grown


class _Minute:
    """An engine in the minute that runs."""

    def __init__(self) -> None:
        self.states: dict[str, float] = {}
        self.paused = 0.0
        self.in_flight = 0.0
        self.in_flight_max = 0
        self.slots = 0
        self.pacing: dict[str, float] = {}

    def look(self, engine: Engine, state: DoorState, seconds: float) -> None:
        self.states[state.value] = self.states.get(state.value, 0.0) + seconds
        self.paused += 0.0 if state is DoorState.OK else seconds
        self.in_flight += seconds * engine.in_flight
        self.in_flight_max = max(self.in_flight_max, engine.in_flight)
        self.slots = max(self.slots, engine.limit)
        for name, value in _paced(engine.pacing.view()).items():
            self.pacing[name] = self.pacing.get(name, 0.0) + seconds * value


def _paced(view: PacingView) -> dict[str, float]:
    """What is to be summed over a second of it, by the names of `EngineMinute`. What nobody reads is left out."""
    if view.state is State.LOST:
        return {"lost_seconds": 1.0}
    if not view.seen:
        return {}
    found = {
        "paced_seconds": 1.0,
        "window_seconds": float(view.window or 0),
        "others_seconds": view.others or 0.0,
        "waiting_seconds": view.waiting or 0.0,
        "frozen_seconds": float(bool(view.frozen)),
        "cache_full_seconds": float(view.frozen == CACHE_FULL),
    }
    if view.shared:
        found |= {"shared_seconds": 1.0, "step_sum": view.felt or 0.0, "alone_sum": view.alone or 0.0}
    if view.shared and view.target is not None:
        found |= {"target_seconds": 1.0, "target_sum": view.target}
    return found


class EngineHistory:
    """The history of the engines of one process."""

    def __init__(self, ledger: EngineLedger, clock: Clock, watch: EngineWatch, *, owner: str) -> None:
        """`owner` is a name that no other process, and no other life, has."""
        self._ledger = ledger
        self._clock = clock
        self._watch = watch
        self._owner = owner
        self._at: int | None = None
        self._looked = 0.0
        self._minutes: dict[str, _Minute] = {}
        # What was counted when the last row was made.
        self._before: WeakKeyDictionary[BackendMeter, _Sums] = WeakKeyDictionary()
        self._waiting: deque[EngineMinute] = deque(maxlen=WAITING_MAX)

    async def step(self) -> Pace:
        """Looks once; at the end of a minute, writes it down."""
        now = self._clock.monotonic()
        at = int(self._clock.now()) // MINUTE * MINUTE
        engines = {
            engine: [dispatcher for _, dispatcher in senders] for engine, senders in self._watch.by_engine().items()
        }
        if self._at is None:
            self._looked = now
        elif at != self._at:
            self._close(engines)
        self._at = at
        seconds, self._looked = min(LOOK_SECONDS_MAX, now - self._looked), now
        for engine, dispatchers in engines.items():
            minute = self._minutes.setdefault(engine.name, _Minute())
            minute.look(engine, standing_of(dispatchers).state, seconds)
        await self._write()
        return Pace.IDLE

    async def close(self) -> None:
        """Writes down what there is of the last minute."""
        if self._at is not None:
            self._close({each: [one for _, one in senders] for each, senders in self._watch.by_engine().items()})
            await self._write()

    def _close(self, engines: dict[Engine, list[Dispatcher]]) -> None:
        """The minute is over: rows are made of it, and another one begins."""
        assert self._at is not None, "only a minute that has begun can end"
        counted: set[BackendMeter] = set()
        by_name = {engine.name: dispatchers for engine, dispatchers in engines.items()}
        for name, minute in self._minutes.items():
            grown = [each for each in self._grown(by_name.get(name, ()), counted)]
            counts = [sum(places) for places in zip(*(each.counts for each in grown), strict=True)]
            calls = sum(counts)
            self._waiting.append(
                EngineMinute(
                    engine=name,
                    at=self._at,
                    owner=self._owner,
                    state=max(minute.states, key=lambda state: (minute.states[state], state)),
                    seconds=sum(minute.states.values()),
                    paused_seconds=minute.paused,
                    slots=minute.slots,
                    in_flight_seconds=minute.in_flight,
                    in_flight_max=minute.in_flight_max,
                    calls=calls,
                    failed=max(0, calls - sum(each.success for each in grown)),
                    tokens=sum(each.tokens for each in grown),
                    call_seconds=sum(each.seconds for each in grown),
                    call_counts=tuple(counts) if calls else (),
                    **minute.pacing,
                )
            )
        self._minutes = {}

    def _grown(self, dispatchers: Sequence[Dispatcher], counted: set[BackendMeter]) -> Iterable[_Sums]:
        """By how much the meters of an engine have grown. Two entries of a configuration may share one."""
        for dispatcher in dispatchers:
            meter = dispatcher.meter
            if meter in counted:
                continue
            counted.add(meter)
            sums = _Sums(meter)
            yield sums.grown_since(self._before.get(meter))
            self._before[meter] = sums

    async def _write(self) -> None:
        if self._waiting:
            minutes = list(self._waiting)
            await self._ledger.add_engine_minutes(minutes)
            self._waiting.clear()
