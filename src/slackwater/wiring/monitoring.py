"""What an operator can watch of a service: the metrics page, and how late the event loop is."""

import asyncio
import logging
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from slackwater.adapters.telemetry.prometheus_page import (
    EngineReading,
    MembersReading,
    Memory,
    Moment,
    PacingReading,
    PrometheusPage,
    Window,
)
from slackwater.core.members import Kind
from slackwater.core.sending.budget import Budget
from slackwater.core.sending.door import DoorState
from slackwater.core.sending.pacing_view import State
from slackwater.core.watching.cluster import MemberView
from slackwater.core.watching.scraping import Scrapes
from slackwater.pipeline.sending.engine_pacing import Pacing
from slackwater.pipeline.sending.fleet import Fleet
from slackwater.pipeline.watching.cluster_watch import ClusterWatch
from slackwater.pipeline.watching.deployment_watch import DeploymentWatch
from slackwater.pipeline.watching.engine_watch import EngineWatch, standing_of
from slackwater.ports import Clock, MonitoredLedger, Readings
from slackwater.telemetry import counters, event, meters
from slackwater.wiring.backends import label_of

# How often the event loop is asked how late it is, in seconds.
LAG_SECONDS = 0.25
# Pages that are asked for within so many seconds are the same one, whoever asks.
FRESH_SECONDS = 1.0
# Who scrapes does not wait longer; then the page goes without what the ledger knows.
LEDGER_SECONDS = 5.0


class Monitor:
    """Reads everything at once, when somebody asks."""

    def __init__(
        self,
        ledger: MonitoredLedger,
        fleet: Fleet,
        clock: Clock,
        data: Path,
        *,
        budget: Budget,
        watch: DeploymentWatch,
        engines: EngineWatch,
        cluster: ClusterWatch,
    ) -> None:
        self._budget = budget
        self._watch = watch
        self._engines = engines
        self._ledger = ledger
        self._fleet = fleet
        self._clock = clock
        self._data = data
        self._page = PrometheusPage(meters, counters)
        self._one_at_a_time = asyncio.Lock()
        self._moment: Moment | None = None
        self._due = 0.0
        self._scrapes = Scrapes()
        self._cluster = cluster
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins to look at the event loop."""
        loop = asyncio.get_running_loop()
        self._due = loop.time() + LAG_SECONDS
        self._timer = loop.call_at(self._due, self._tick, loop)

    def stop(self) -> None:
        """Ends that."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        meters.lag_seconds.observe(max(0.0, now - self._due))
        self._due = now + LAG_SECONDS
        self._timer = loop.call_at(self._due, self._tick, loop)

    @property
    def scraped_since(self) -> float | None:
        """Since when somebody asks for the page, over and over; None where nobody does."""
        return self._scrapes.since(self._clock.now())

    @property
    def ledger_away(self) -> bool:
        """Whether the ledger's database is known not to answer."""
        return self._ledger.away is not None

    async def page(self, accept: str) -> tuple[bytes, str]:
        """The metrics page and its media type."""
        async with self._one_at_a_time:
            self._scrapes.asked(self._clock.now())
            moment = self._moment
            if moment is None or not 0 <= self._clock.now() - moment.now < FRESH_SECONDS:
                moment = self._moment = await self._look()
            # Text is made elsewhere, so that no request waits for it.
            return await asyncio.to_thread(self._page.render, moment, accept=accept)

    async def _look(self) -> Moment:
        now = self._clock.now()
        readings: Readings | None = None
        members: MembersReading | None = None
        away = self._ledger.away
        shown = self._cluster.shows_ledger(self._scrapes.heard(now))
        try:
            # Nobody waits for a database that is known not to answer.
            if shown and away is None:
                async with asyncio.timeout(LEDGER_SECONDS):
                    members = _members_of(await self._cluster.views())
                    readings = await self._ledger.readings(now=int(now))
        except Exception as error:
            # What is not known must not hide the rest; the page says that it is missing.
            event("metrics_incomplete", level=logging.WARNING, error=repr(error))
        usage = await asyncio.to_thread(shutil.disk_usage, self._data)
        windows = tuple(
            Window(
                deployment=key,
                backend=label_of(each.name),
                slots=each.window,
                closed=each.state in (DoorState.OK, DoorState.PAUSED),
                state=each.state,
            )
            for key, each in self._fleet.senders()
        )
        return Moment(
            now=now,
            shown=shown,
            readings=readings,
            members=members,
            away_seconds=0.0 if away is None else away.seconds,
            backends=meters.backends(),
            windows=windows,
            engines=tuple(
                EngineReading(
                    engine=engine.name,
                    state=standing_of([each for _, each in senders]).state,
                    in_flight=engine.in_flight,
                    slots=engine.slots,
                    pacing=_pacing_of(engine.pacing),
                )
                for engine, senders in self._engines.by_engine().items()
            ),
            waiting=self._waiting(now),
            limits={each.key: each.enqueued_token_limit for each in self._fleet.all()},
            free_bytes=usage.free,
            memory=Memory(
                held=self._budget.held,
                most=self._budget.most,
                bytes_max=self._budget.bytes_max,
                waiting=self._budget.waiting,
            ),
        )

    def _waiting(self, now: float) -> dict[str, float]:
        """For how long nothing of a deployment can be sent, where that is nobody's wish."""
        shut = {deployment.key: self._watch.shut(deployment.key) for deployment in self._fleet.all()}
        return {
            key: max(0.0, now - each.since)
            for key, each in shut.items()
            if each is not None and each.since is not None and each.health is not DoorState.PAUSED
        }


def _members_of(views: Sequence[MemberView]) -> MembersReading:
    kinds = Counter({kind.value: 0 for kind in Kind})
    for each in views:
        # Labels are a closed list, also where a newer version has another kind.
        kinds[each.member.kind if each.member.kind in kinds else "other"] += 1
    return MembersReading(kinds=kinds, lag_seconds=max((each.lag_seconds for each in views), default=0.0))


def _pacing_of(pacing: Pacing) -> PacingReading | None:
    view = pacing.view()
    if not pacing.paced:
        return None
    return PacingReading(
        window=view.window or 0,
        others=view.others,
        waiting=view.waiting,
        step=view.step,
        alone=view.alone,
        target=view.target,
        frozen=bool(view.frozen),
        lost=view.state is State.LOST,
        slower=view.slower if view.shared else None,
        slower_most=view.slower_most if view.shared else None,
    )
