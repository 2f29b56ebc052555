"""The metrics page: meters, ledger and fleet as they are now, in the words of Prometheus or OpenMetrics.

Nothing lives here between two pages: every family is made when it is asked for, of numbers that others keep.
"""

import platform
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from slackwater import __version__
from slackwater.core.batch import TERMINAL, Status
from slackwater.core.sending.door import DoorState
from slackwater.core.sending.pause import Target
from slackwater.ports import Readings
from slackwater.telemetry import BackendMeter, DeploymentMeter, Histogram, Meters, names
from slackwater.telemetry.names import Kind, Metric

Labelled = tuple[tuple[str, ...], float]


class Window(Struct, frozen=True, kw_only=True):
    """What a backend may have in flight now."""

    deployment: str
    backend: str
    slots: int
    closed: bool
    """Whether it may be called freely, or is only paused."""
    state: DoorState


class PacingReading(Struct, frozen=True, kw_only=True):
    """How an engine is paced now. Times are seconds; None is not known."""

    window: int
    others: float | None
    waiting: float | None
    step: float | None
    alone: float | None
    target: float | None
    frozen: bool
    lost: bool
    slower: float | None
    """How many times slower others' slow steps were than without us, while others are there."""
    slower_most: float | None
    """How many times the pace allows; None where it promises nothing."""


class EngineReading(Struct, frozen=True, kw_only=True):
    """An engine now."""

    engine: str
    state: DoorState
    in_flight: int
    slots: int
    pacing: PacingReading | None = None
    """None where it is not paced."""


class MembersReading(Struct, frozen=True, kw_only=True):
    """Who works with the ledger."""

    kinds: Mapping[str, int]
    lag_seconds: float
    """For how long the one that has said nothing longest has said nothing."""


class Memory(Struct, frozen=True, kw_only=True):
    """The memory budget. Bytes, and answers."""

    held: int
    most: int
    bytes_max: int
    waiting: int


class Moment(Struct, frozen=True, kw_only=True):
    """What is read when the page is made, besides the meters."""

    now: float
    shown: bool
    """Whether this page has what is the same for all servers of the ledger. Of several, one has it."""
    readings: Readings | None
    """None where the ledger could not be read, or is not shown here; likewise `members`."""
    members: MembersReading | None
    away_seconds: float
    """For how long the ledger's database cannot be used; 0 while it can."""
    backends: Mapping[tuple[str, str], BackendMeter]
    windows: tuple[Window, ...]
    engines: tuple[EngineReading, ...]
    waiting: Mapping[str, float]
    """For each deployment of which no backend is open, for how many seconds; pauses do not count."""
    limits: Mapping[str, int | None]
    """Enqueued-token limits of the deployments that are served."""
    free_bytes: int
    memory: Memory


class PrometheusPage:
    """Makes pages."""

    def __init__(self, meters: Meters, counters: Mapping[str, int]) -> None:
        self._meters = meters
        self._counters = counters
        self._registry = CollectorRegistry(auto_describe=False)
        self._moment: Moment | None = None
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(_Ours(self))

    def render(self, moment: Moment, *, accept: str) -> tuple[bytes, str]:
        """The page and its media type, which is OpenMetrics where `accept` asks for that. One call at a time."""
        self._moment = moment
        encoder, media_type = choose_encoder(accept)
        return encoder(self._registry), media_type

    def families(self) -> Iterator[Family]:
        """Ours, in the order of the table."""
        moment = self._moment
        if moment is None:
            return
        yield from self._of_batches(moment)
        yield from self._of_backends(moment)
        yield from self._of_deployments(moment)
        yield from self._of_storage(moment)
        yield from self._of_webhooks(moment)
        yield from self._of_the_process(moment)

    def _of_batches(self, moment: Moment) -> Iterator[Family]:
        meters, readings = self._meters, moment.readings
        if readings is not None:
            batches = {status.value: 0 for status in Status if status not in TERMINAL} | readings.ended
            overdue = dict.fromkeys(moment.limits, 0)
            oldest: dict[str, float] = dict.fromkeys(moment.limits, moment.now)
            for each in readings.open:
                batches[each.status] += each.batches
                overdue[each.deployment] = overdue.get(each.deployment, 0) + each.overdue
                since = moment.now if each.unbegun_since is None else each.unbegun_since
                oldest[each.deployment] = min(oldest.get(each.deployment, moment.now), since)
            yield _family(names.BATCHES, _by_name(batches))
            yield _family(names.BATCHES_OVERDUE, _by_name(overdue))
            yield _family(names.QUEUE_AGE, [((key,), moment.now - since) for key, since in oldest.items()])
        yield _family(names.DEADLINES_MISSED, [((), meters.deadlines_missed)])
        yield _histograms(names.BATCH_DURATION, [((key,), each) for key, each in meters.batch_seconds.items()])
        yield _histograms(names.FIRST_RESULT, [((), meters.first_result_seconds)])
        yield _histograms(names.VALIDATION, [((), meters.validation_seconds)])

    def _of_backends(self, moment: Moment) -> Iterator[Family]:
        backends: list[tuple[tuple[str, ...], BackendMeter]] = list(moment.backends.items())
        slots: dict[tuple[str, ...], int] = {}
        closed: dict[tuple[str, ...], bool] = {}
        states: dict[tuple[str, ...], DoorState] = {}
        for window in moment.windows:
            # Two entries of a configuration may name one server.
            key = (window.deployment, window.backend)
            slots[key] = slots.get(key, 0) + window.slots
            closed[key] = closed.get(key, False) or window.closed
            if states.get(key) is not DoorState.OK:
                states[key] = window.state
        yield _family(names.IN_FLIGHT, [(key, each.in_flight) for key, each in backends])
        yield _family(names.WINDOW, list(slots.items()))
        yield _family(names.BREAKER_OPEN, [(key, not each) for key, each in closed.items()])
        yield _family(names.BACKEND_STATE, _states(states))
        yield _family(names.ENGINE_STATE, _states({(each.engine,): each.state for each in moment.engines}))
        yield _family(names.ENGINE_IN_FLIGHT, [((each.engine,), each.in_flight) for each in moment.engines])
        yield _family(names.ENGINE_SLOTS, [((each.engine,), each.slots) for each in moment.engines])
        yield from self._pacing(moment)
        yield _family(names.PROBES, [(key, each.probes) for key, each in backends])
        yield _family(names.SLICES, [(key, each.slices) for key, each in backends])
        yield _family(names.SLICE_TOKENS, [(key, each.slice_tokens) for key, each in backends])
        outcomes = [
            ((*key, outcome), number) for key, each in backends for outcome, number in list(each.outcomes.items())
        ]
        yield _family(names.ATTEMPTS, outcomes)
        yield _histograms(names.REQUEST_DURATION, [(key, each.seconds) for key, each in backends])
        yield _family(names.RESENT, [(key, each.resent) for key, each in backends])

    @staticmethod
    def _pacing(moment: Moment) -> Iterator[Family]:
        paced = [((each.engine,), each.pacing) for each in moment.engines if each.pacing is not None]
        yield _family(names.ENGINE_WINDOW, [(key, each.window) for key, each in paced])
        yield _family(names.ENGINE_OTHERS, [(key, each.others) for key, each in paced if each.others is not None])
        yield _family(names.ENGINE_WAITING, [(key, each.waiting) for key, each in paced if each.waiting is not None])
        steps = [
            ((*key, kind), seconds)
            for key, each in paced
            for kind, seconds in (("now", each.step), ("alone", each.alone), ("target", each.target))
            if seconds is not None
        ]
        yield _family(names.ENGINE_STEP, steps)
        ratios = [
            ((*key, kind), ratio)
            for key, each in paced
            for kind, ratio in (("now", each.slower), ("allowed", each.slower_most))
            if ratio is not None
        ]
        yield _family(names.ENGINE_ONLINE_RATIO, ratios)
        yield _family(names.ENGINE_FROZEN, [(key, each.frozen) for key, each in paced])
        yield _family(names.ENGINE_METRICS_LOST, [(key, each.lost) for key, each in paced])

    def _of_deployments(self, moment: Moment) -> Iterator[Family]:
        deployments = self._meters.deployments()
        yield _family(
            names.BATCH_REQUESTS,
            [((key, what), number) for key, each in deployments.items() for what, number in _requests(each)],
        )
        yield _family(
            names.TOKENS,
            [((key, what), number) for key, each in deployments.items() for what, number in _tokens(each)],
        )
        if moment.readings is not None:
            held = dict.fromkeys(moment.limits, 0)
            for each in moment.readings.open:
                held[each.deployment] = held.get(each.deployment, 0) + each.enqueued_tokens
            yield _family(names.ENQUEUED_TOKENS, _by_name(held))
            running = {each.deployment for each in moment.readings.open if each.status == Status.IN_PROGRESS}
            waiting = {key: moment.waiting.get(key, 0.0) if key in running else 0.0 for key in moment.limits}
            yield _family(names.WAITING, _by_name(waiting))
            kinds = {target.value: (0, moment.now) for target in Target}
            kinds |= {each.what: (each.pauses, each.since) for each in moment.readings.paused}
            yield _family(names.PAUSES, _by_name({what: count for what, (count, _) in kinds.items()}))
            yield _family(
                names.PAUSE_OLDEST, _by_name({what: moment.now - since for what, (_, since) in kinds.items()})
            )
        limits = [((key,), float(limit)) for key, limit in moment.limits.items() if limit is not None and moment.shown]
        yield _family(names.ENQUEUED_LIMIT, limits)

    def _of_storage(self, moment: Moment) -> Iterator[Family]:
        yield _histograms(names.COMMIT, [((), self._meters.commit_seconds)])
        yield _family(names.JOURNAL_BYTES, [((), self._meters.journal_bytes)])
        yield _family(names.DAMAGE_SEEN, _by_name(self._meters.damage_seen))
        yield _family(names.LINES_LOST, _by_name(self._meters.lines_lost))
        yield _family(names.RETENTION_REMOVED, _by_name(self._meters.retention_removed))
        yield _family(names.CLOCK_JUMP, [((), self._meters.clock_jump_seconds)])
        yield _family(names.DATA_FREE, [((), moment.free_bytes)])
        memory = moment.memory
        yield _family(names.MEMORY_BUDGET, [((), memory.bytes_max)])
        yield _family(names.MEMORY_HELD, [((), memory.held)])
        yield _family(names.MEMORY_MOST, [((), memory.most)])
        yield _family(names.MEMORY_WAITING, [((), memory.waiting)])

    def _of_webhooks(self, moment: Moment) -> Iterator[Family]:
        if (readings := moment.readings) is not None:
            since = readings.webhook_pending_since
            yield _family(names.WEBHOOK_PENDING, [((), readings.webhooks_pending)])
            yield _family(names.WEBHOOK_OLDEST, [((), 0.0 if since is None else max(0.0, moment.now - since))])
        tries = {outcome: self._counters.get(f"webhook_{outcome}", 0) for outcome in ("delivered", "failed", "dead")}
        yield _family(names.WEBHOOK_DELIVERIES, _by_name(tries))

    def _of_the_process(self, moment: Moment) -> Iterator[Family]:
        meters = self._meters
        calls = meters.calls()
        yield _family(names.HTTP_REQUESTS, [(key, each.count) for key, each in calls.items()])
        by_operation: dict[tuple[str, ...], Histogram] = {}
        for (operation, _), each in calls.items():
            by_operation[operation,] = each.added_to(by_operation.get((operation,)))
        yield _histograms(names.HTTP_DURATION, list(by_operation.items()))
        yield _family(names.CONNECTIONS, _by_name(meters.connections))
        yield _family(names.TURNED_AWAY, _by_name(dict(meters.turned_away)))
        yield _family(names.KEYS_REFUSED, [((), meters.keys_refused)])
        yield _family(names.STAGE_FAILURES, list(meters.stage_failures.copy().items()))
        yield _family(names.EVENTS, _by_name(dict(self._counters)))
        yield _histograms(names.LOOP_LAG, [((), meters.lag_seconds)])
        if moment.members is not None:
            yield _family(names.MEMBERS, _by_name(moment.members.kinds))
            yield _family(names.MEMBER_LAG, [((), moment.members.lag_seconds)])
        yield _family(names.LEDGER_AWAY, [((), moment.away_seconds)])
        yield _family(names.LEDGER_READ, [((), moment.readings is not None)] if moment.shown else [])
        yield _family(names.BUILD_INFO, [((__version__, platform.python_version()), 1)])


class _Ours(Collector):
    """What the library asks."""

    def __init__(self, page: PrometheusPage) -> None:
        self._page = page

    def collect(self) -> Iterable[Family]:
        return self._page.families()


def _states(states: Mapping[tuple[str, ...], DoorState]) -> list[Labelled]:
    """A series for each state that there is, so that one that is over is 0 and not gone."""
    return [((*key, each.value), float(state is each)) for key, state in states.items() for each in DoorState]


def _requests(meter: DeploymentMeter) -> list[tuple[str, int]]:
    never_run = [(status.value, meter.ended[status.value]) for status in (Status.CANCELLED, Status.EXPIRED)]
    return [("completed", meter.completed), ("failed", meter.failed), *never_run]


def _tokens(meter: DeploymentMeter) -> list[tuple[str, int]]:
    return [
        ("input", meter.read),
        ("cached", meter.cached),
        ("output", meter.written),
        ("reasoning", meter.reasoning),
    ]


def _by_name(numbers: Mapping[str, float]) -> list[Labelled]:
    return [((name,), number) for name, number in numbers.items()]


def _family(metric: Metric, series: Iterable[Labelled]) -> Family:
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in series:
        family.add_metric(labels, float(value))
    return family


def _histograms(metric: Metric, series: Iterable[tuple[tuple[str, ...], Histogram]]) -> Family:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, histogram in series:
        total = 0
        buckets = []
        for bound, count in zip((*histogram.bounds, float("inf")), list(histogram.counts), strict=True):
            total += count
            buckets.append(("+Inf" if bound == float("inf") else f"{bound:g}", total))
        family.add_metric(labels, buckets, histogram.total)
    return family
