"""How the engines of a service are, for whoever runs it: each with what it is called, who uses it, and what keeps it waiting."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from slackwater.core.sending.door import DoorState
from slackwater.core.sending.engine_names import engine_id
from slackwater.core.sending.pacing_view import told
from slackwater.core.sending.pause import Target
from slackwater.core.watching.standings import EngineView, engine_of_all
from slackwater.pipeline.sending.dispatcher import Dispatcher, Standing
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.fleet import Fleet
from slackwater.pipeline.sending.pauses import Pauses
from slackwater.pipeline.watching.progress import Progress
from slackwater.ports import Clock, Ledger


def _alone_here() -> Sequence[EngineView]:
    """Where a ledger has one server, nobody else says anything."""
    return ()


def standing_of(dispatchers: Sequence[Dispatcher]) -> Standing:
    """How an engine is: as its best door, and of those that are shut as the one that opens first."""
    standings = [each.standing for each in dispatchers]
    return min(standings, key=lambda each: (each.state is not DoorState.OK, each.until or 0.0))


def _by_engine(senders: Iterable[tuple[str, Dispatcher]]) -> dict[Engine, list[tuple[str, Dispatcher]]]:
    found: dict[Engine, list[tuple[str, Dispatcher]]] = {}
    for key, dispatcher in senders:
        found.setdefault(dispatcher.engine, []).append((key, dispatcher))
    return found


class EngineWatch:
    """Looks at engines."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        fleet: Fleet,
        pauses: Pauses,
        progress: Progress,
        *,
        others: Callable[[], Sequence[EngineView]] = _alone_here,
        others_idle: Callable[[], Sequence[EngineView]] = _alone_here,
    ) -> None:
        """`others` is what other servers say of engines to which something goes that they have in hand; `others_idle`, of those
        for which they have nothing.
        """
        self._others = others
        self._others_idle = others_idle
        self._ledger = ledger
        self._clock = clock
        self._fleet = fleet
        self._pauses = pauses
        self._progress = progress

    def by_engine(self) -> dict[Engine, list[tuple[str, Dispatcher]]]:
        """Who sends to each engine from here, with the keys of their deployments."""
        return _by_engine(self._fleet.senders())

    async def views(self) -> list[EngineView]:
        """Every engine, by name, those included that are paused and not used."""
        used = {
            engine.name: self._view(engine, senders)
            for engine, senders in _by_engine(self._fleet.dispatchers()).items()
        }
        if (others := self._others()) or self._others_idle():
            used = self._with(used, others)
        unused = [
            EngineView(
                id=engine_id(pause.target),
                name=pause.target,
                state=DoorState.PAUSED,
                reason=pause.reason,
                since=pause.since,
                until=None,
                quiet_since=None,
                in_flight=0,
                slots=0,
                deaths=0,
                deployments=[],
                pause=pause,
                pacing=None,
            )
            for pause in await self._ledger.pauses((Target.ENGINE,))
            if pause.target not in used
        ]
        return sorted([*used.values(), *unused], key=lambda each: each.name)

    def at_work(self) -> list[EngineView]:
        """Those to which something goes that is in hand here."""
        return [self._view(engine, senders) for engine, senders in self.by_engine().items() if self._in_hand(senders)]

    def idle(self) -> list[EngineView]:
        """The others to which this process sends."""
        return [
            self._view(engine, senders) for engine, senders in self.by_engine().items() if not self._in_hand(senders)
        ]

    def _in_hand(self, senders: Sequence[tuple[str, Dispatcher]]) -> bool:
        return any(self._fleet.in_hand(key) for key, _ in senders)

    def _with(self, here: dict[str, EngineView], others: Sequence[EngineView]) -> dict[str, EngineView]:
        """Engines as all servers together see them. Of one to which nothing goes from here, only they know."""
        mine, sent_to = {each.name for each in self.at_work()}, {engine.name for engine in self.by_engine()}
        at_work = {each.name for each in others}
        # Who sends to an engine itself needs no words of those who have as little to send as it has.
        idle = [each for each in self._others_idle() if each.name not in sent_to and each.name not in at_work]
        found = dict(here)
        for name in sorted(at_work | {each.name for each in idle}):
            said = [each for each in (*others, *idle) if each.name == name]
            own = [here[name]] if name in sent_to else []
            view = engine_of_all([*own, *said], [*(own if name in mine else []), *said])
            users = {*view.deployments, *(here[name].deployments if name in here else ())}
            found[name] = msgspec.structs.replace(view, deployments=sorted(users))
        return found

    def _view(self, engine: Engine, senders: Sequence[tuple[str, Dispatcher]]) -> EngineView:
        standing = standing_of([dispatcher for _, dispatcher in senders])
        return EngineView(
            id=engine_id(engine.name),
            name=engine.name,
            state=standing.state,
            reason=standing.reason,
            since=None if standing.state is DoorState.OK else self._moment(standing.since),
            until=None if standing.until is None else self._moment(standing.until),
            quiet_since=self._quiet(senders),
            in_flight=engine.in_flight,
            slots=engine.limit,
            deaths=engine.reach.deaths,
            deployments=sorted({key for key, _ in senders}),
            pause=engine.held,
            pacing=told(engine.pacing.view(), self._moment),
        )

    def _quiet(self, senders: Sequence[tuple[str, Dispatcher]]) -> int | None:
        """Where one has been called since the last look, it is new, and not quiet."""
        since = [self._progress.quiet_since(key, each.name) for key, each in senders if each.meter.in_flight]
        known = [each for each in since if each is not None]
        return self._moment(max(known)) if known and len(known) == len(since) else None

    def _moment(self, monotonic: float) -> int:
        return int(self._clock.now() + monotonic - self._clock.monotonic())
