"""How the deployments of a resource are, for people: their quota, what waits, and every backend with its last minute."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from slackwater.core.batch import Batch, Status
from slackwater.core.endpoints import normalised
from slackwater.core.files.storage_waits import StorageWait
from slackwater.core.quota.dynamic import Allowance
from slackwater.core.sending.deployment import Deployment
from slackwater.core.sending.door import DoorState
from slackwater.core.sending.pacing_view import told
from slackwater.core.sending.pause import Pause, Target
from slackwater.core.watching.health import DeploymentHealth, health_of
from slackwater.core.watching.standings import (
    BackendView,
    Out,
    Says,
    WaitingOn,
    backends_of,
    out_of_all,
    shut_of,
    waiting_of,
)
from slackwater.pipeline.quota.spare_capacity import SpareCapacity
from slackwater.pipeline.sending.dispatcher import Dispatcher, Standing
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.fleet import Fleet
from slackwater.pipeline.watching.progress import Progress
from slackwater.pipeline.watching.senders import NOBODY
from slackwater.ports import Clock, DeploymentLoad, Ledger

# An error that is older says nothing about today.
ERROR_SECONDS = 600.0
ERROR_LENGTH_MAX = 300
# Who asks to be left alone for longer keeps batches waiting.
MOMENT_SECONDS = 5.0
TAKEN = "Calls of other deployments have all of its slots, and none of them comes back."
ALONE = "It has stopped while a request was out that is out again: that one goes alone, and the others wait for it."
UNSERVED = (
    "It is not served: what it uses is not in the configuration of the service. An administrator can mend or delete it."
)


class DeploymentView(Struct, frozen=True, kw_only=True):
    """One deployment now."""

    deployment: Deployment
    health: DeploymentHealth
    load: DeploymentLoad
    allowance: Allowance
    backends: list[BackendView]
    pause: Pause | None
    waiting_on: WaitingOn | None
    """What keeps all of its batches waiting."""


def nobody_else(key: str) -> Sequence[Says]:
    """Where a ledger has one server, nobody else says anything."""
    return ()


def somebody(key: str) -> float | None:
    """And that one sends."""
    return None


AWAY = "it does not answer, or has no room; it is tried again by itself"
LASTING = ". What it has not taken after 72 hours stays here, as files of the batch"
ENDING = (Status.FINALIZING, Status.CANCELLING)
REFUSES = "it does not let the service in: its rights, or what the operator has listed, have to be corrected"


class DeploymentWatch:
    """Looks at deployments."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        fleet: Fleet,
        spare: SpareCapacity,
        progress: Progress,
        *,
        others: Callable[[str], Sequence[Says]] = nobody_else,
        nobody_since: Callable[[str], float | None] = somebody,
        storage_wait: Callable[[str], StorageWait | None] = lambda batch_id: None,
    ) -> None:
        """`others` is what other servers say of a deployment. `nobody_since`: since when nobody sends for it.

        `storage_wait`: whether a batch, by its id, waits here for a storage of its user's.
        """
        self._storage_wait = storage_wait
        self._others = others
        self._nobody_since = nobody_since
        self._ledger = ledger
        self._clock = clock
        self._fleet = fleet
        self._spare = spare
        self._progress = progress

    async def views(self, resource: str) -> list[DeploymentView]:
        """Every deployment of a resource, by name; those that are being deleted included."""
        mine = [each for each in self._fleet.all() if each.resource == resource]
        return [await self._view(each) for each in sorted(mine, key=lambda each: each.name)]

    async def _view(self, deployment: Deployment) -> DeploymentView:
        pause = self._fleet.pause_of(deployment.key)
        backends, shut = self.backends(deployment), self.shut(deployment.key)
        # What nobody sends for is not well, however its backends are.
        known = () if shut is not None and shut.reason == NOBODY else [backend.health for backend in backends]
        return DeploymentView(
            deployment=deployment,
            health=health_of(known, paused=pause is not None),
            waiting_on=shut,
            load=await self._ledger.deployment_load(deployment.key),
            pause=pause,
            allowance=await self._spare.allowance(deployment),
            backends=backends,
        )

    def backends(self, deployment: Deployment) -> list[BackendView]:
        """Its backends as all see them who send for it."""
        others = self._others(deployment.key)
        if not others:
            return self._backends(deployment)
        return backends_of([*self._mine(deployment.key, self.says), *others])

    def _mine(self, key: str, says: Callable[[str], Says]) -> list[Says]:
        """What is to be heard of this process beside others: where it does not send, it does not know how it is."""
        return [says(key)] if self._fleet.serves(key) else []

    def _backends(self, deployment: Deployment) -> list[BackendView]:
        zones = {(backend.name, backend.region): backend.data_zone for backend in deployment.backends}
        return [
            self._backend(deployment.key, dispatcher, zones.get((dispatcher.name, dispatcher.region), ""))
            for dispatcher in self._fleet.dispatchers_of(deployment.key)
        ]

    def says(self, key: str) -> Says:
        """What this server says of a deployment, for those who ask another one."""
        deployment = self._fleet.get(key)
        if deployment is None:
            return Says()
        in_hand = self._fleet.in_hand(key)
        shut = self._shut(key)
        return Says(
            at_work=bool(in_hand),
            backends=self._backends(deployment),
            out=self._out(key),
            shut=shut,
            others=None if shut is not None else self._alone("", next(iter(in_hand.values()), ""), key),
            batches={
                batch_id: None if shut is not None else self._alone(batch_id, path, key)
                for batch_id, path in in_hand.items()
            },
            sending=[batch_id for batch_id in in_hand if self._fleet.sends(key, batch_id)],
            tokens_per_second=self._fleet.tokens_per_second(key, now=self._clock.monotonic()),
        )

    def _says_of(self, batch: Batch, key: str) -> Says:
        """The same as far as it is about one batch."""
        in_hand, alone = self._fleet.in_hand(key), self._alone(batch.id, batch.endpoint, key)
        return Says(
            at_work=bool(in_hand),
            others=alone,
            batches={batch.id: alone} if batch.id in in_hand else {},
            sending=[batch.id] if self._fleet.sends(key, batch.id) else [],
        )

    def says_all(self) -> dict[str, Says]:
        """The same of all deployments of which there is anything to say."""
        return {each.key: self.says(each.key) for each in self._fleet.all() if self._anything(each.key)}

    def _anything(self, key: str) -> bool:
        dispatchers = self._fleet.dispatchers_of(key)
        return (
            bool(self._fleet.in_hand(key))
            or any(each.state is not DoorState.OK or each.meter.in_flight for each in dispatchers)
            or self._fleet.tokens_per_second(key, now=self._clock.monotonic()) > 0
        )

    async def view(self, key: str) -> DeploymentView | None:
        """One deployment; None where it is not served."""
        deployment = self._fleet.get(key)
        return None if deployment is None else await self._view(deployment)

    def caps(self, deployment: Deployment) -> list[int]:
        """The most requests that each of its backends may have out now, in their order."""
        sending = self._fleet.dispatchers_of(deployment.key)
        if len(sending) != len(deployment.backends):
            # It is not served, or with others in this moment.
            return [backend.concurrency for backend in deployment.backends]
        return [dispatcher.cap for dispatcher in sending]

    async def waiting_on(self, batch: Batch, *, queued: bool = False) -> WaitingOn | None:
        """Why nothing of a batch is sent; None where something is, or where it has not begun or has ended.

        `queued`: it waits for room in its deployment, which does not come while nothing of that is sent.
        """
        if batch.paused:
            pause = await self._ledger.pause_of(Target.BATCH, batch.id)
            if pause is not None:
                return WaitingOn(what="batch", reason=pause.reason, since=pause.since, who=pause.who)
        if batch.storage is not None and (wait := self._storage_wait(batch.id)) is not None:
            return self._on_storage(batch, wait)
        if not (queued or batch.status is Status.IN_PROGRESS) or batch.deployment is None:
            return None
        key = batch.deployment
        others = self._others(key)
        if others and not queued:
            mine = self._mine(key, lambda key: self._says_of(batch, key))
            return self.shut(key) or waiting_of(batch.id, [*mine, *others])
        return self.shut(key) or (None if queued else self._alone(batch.id, batch.endpoint, key))

    def _on_storage(self, batch: Batch, wait: StorageWait) -> WaitingOn:
        epoch = self._clock.now() - self._clock.monotonic()
        return WaitingOn(
            what="storage",
            health=DoorState.REFUSING if wait.refused else DoorState.DOWN,
            reason=(REFUSES if wait.refused else AWAY) + (LASTING if batch.status in ENDING else ""),
            since=int(epoch + wait.since),
            until=int(epoch + wait.until),
        )

    def _alone(self, batch_id: str, endpoint: str, key: str) -> WaitingOn | None:
        """What holds a batch of a deployment that is served: its own lines, our disk, a content filter, others at its engines."""
        open_ones = [each for each in self._fleet.dispatchers_of(key) if each.state is DoorState.OK]
        path = normalised(endpoint)
        filtered = [each.holds(path) for each in open_ones]
        if filtered and filtered[0] is not None:
            # One filter for all of its backends.
            return self._unless_brief("content_filter", filtered[0])
        left = [each for each in map(self._left_to_others, open_ones) if each is not None]
        if left and len(left) == len(open_ones) and (waits := self._unless_brief("engine", left[0])) is not None:
            # What is out may be waiting behind them, too.
            return waits
        if self._fleet.sends(key, batch_id):
            return None
        if (held := self._fleet.held_back(key, batch_id)) is not None:
            return self._unless_brief(held.what, held.standing)
        taken = [self._taken(each) for each in open_ones]
        known = [each for each in taken if each is not None]
        return self._unless_brief("engine", known[0]) if known and len(known) == len(taken) else None

    def _left_to_others(self, dispatcher: Dispatcher) -> Standing | None:
        """Nothing new is sent because of online users of the engine."""
        since = dispatcher.engine.pacing.frozen_since
        if since is None or not dispatcher.engine.pacing.frozen:
            return None
        return Standing(DoorState.BUSY, dispatcher.standing.reason, since, None)

    def _taken(self, dispatcher: Dispatcher) -> Standing | None:
        """Others have the whole engine: one request, because it has stopped of one; or other deployments, and it gives nothing
        back. What is out of its own deployment is said elsewhere.
        """
        engine = dispatcher.engine
        if engine.alone_since is not None:
            return Standing(DoorState.BUSY, ALONE, engine.alone_since, None)
        if dispatcher.meter.in_flight:
            return None
        if (standing := dispatcher.standing).state is DoorState.OK and standing.reason:
            # Its rate limits, or its online users: for people it is busy.
            begun = standing.since if standing.until is None else self._clock.monotonic()
            return Standing(DoorState.BUSY, standing.reason, begun, standing.until)
        if engine.in_flight < engine.slots:
            return None
        theirs = [(key, each.name) for key, each in self._fleet.dispatchers() if each.engine is engine]
        since = [self._progress.quiet_since(*each) for each in theirs]
        known = [each for each in since if each is not None]
        return Standing(DoorState.BUSY, TAKEN, max(known), None) if known else None

    def _unless_brief(
        self, what: Literal["batch", "content_filter", "disk", "engine"], standing: Standing
    ) -> WaitingOn | None:
        until = self._clock.monotonic() if standing.until is None else standing.until
        if until - standing.since <= MOMENT_SECONDS:
            return None
        return WaitingOn(
            what=what,
            health=standing.state,
            reason=standing.reason[:ERROR_LENGTH_MAX],
            since=self._moment(standing.since),
            until=None if standing.until is None else self._moment(standing.until),
        )

    def out(self, batch: Batch) -> Out | None:
        """What is out for the deployment of a batch; None where the batch is not being sent."""
        if batch.status is not Status.IN_PROGRESS or batch.deployment is None:
            return None
        others = self._others(batch.deployment)
        here = self._out(batch.deployment)
        return out_of_all([here, *(each.out for each in others)]) if others else here

    def _out(self, key: str) -> Out:
        senders = [each for each in self._fleet.dispatchers_of(key) if each.meter.in_flight]
        since = [self._progress.quiet_since(key, each.name) for each in senders]
        known = [moment for moment in since if moment is not None]
        return Out(
            in_flight=sum(each.meter.in_flight for each in senders),
            # One that has begun since the last look is not quiet: it is new.
            quiet_since=self._moment(max(known)) if known and len(known) == len(since) else None,
        )

    def shut(self, key: str) -> WaitingOn | None:
        """What keeps the batches of a deployment waiting: a pause, that it is not served, that nobody sends for it, or of
        backends that are all shut the one that opens first.

        None while one of them is open, or has asked for a moment only.
        """
        if (pause := self._fleet.pause_of(key)) is not None:
            return WaitingOn(what="deployment", reason=pause.reason, since=pause.since, who=pause.who)
        if (since := self._nobody_since(key)) is not None:
            return WaitingOn(what="deployment", health=DoorState.DOWN, reason=NOBODY, since=int(since))
        others = self._others(key)
        if not others:
            return self._shut(key)
        mine = self._mine(key, lambda key: Says(at_work=bool(self._fleet.in_hand(key)), shut=self._shut(key)))
        return shut_of([*mine, *others])

    def _shut(self, key: str) -> WaitingOn | None:
        """The same as far as it shows at this server."""
        dispatchers = self._fleet.dispatchers_of(key)
        standings = [each.standing for each in dispatchers]
        if not standings:
            return WaitingOn(what="deployment", health=DoorState.DOWN, reason=UNSERVED, since=None)
        if any(each.state is DoorState.OK or _passing(each) for each in standings):
            return None
        at, standing = min(enumerate(standings), key=lambda each: math.inf if each[1].until is None else each[1].until)
        held = dispatchers[at].engine.held
        return WaitingOn(
            what="backend" if held is None else "engine",
            backend=dispatchers[at].name,
            health=standing.state,
            reason=standing.reason[:ERROR_LENGTH_MAX],
            since=self._moment(standing.since),
            until=None if standing.until is None else self._moment(standing.until),
            who=None if held is None else held.who,
        )

    def _moment(self, monotonic: float) -> int:
        return int(self._clock.now() + monotonic - self._clock.monotonic())

    def engines_of(self, resource: str, name: str) -> dict[str, bool] | None:
        """The engines of a deployment, and whether nobody of another resource uses each; None where it is not served."""
        found = next((each for each in self._fleet.all() if (each.resource, each.name) == (resource, name)), None)
        if found is None:
            return None
        engines = {each.engine for each in self._fleet.dispatchers_of(found.key)}
        return {engine.name: self._own(engine, found.key) for engine in engines}

    def _own(self, engine: Engine, key: str) -> bool:
        keys = {other for other, each in self._fleet.dispatchers() if each.engine is engine} | {key}
        users = [self._fleet.get(each) for each in keys]
        return len({each.resource for each in users if each is not None}) == 1

    def _backend(self, key: str, dispatcher: Dispatcher, data_zone: str) -> BackendView:
        seconds, (calls, busy, tokens) = self._progress.backend(key, dispatcher.name) or (1.0, (0.0, 0.0, 0.0))
        error, standing = dispatcher.last_error, dispatcher.standing
        quiet = self._progress.quiet_since(key, dispatcher.name)
        if error is not None and self._clock.monotonic() - error[1] > ERROR_SECONDS:
            error = None
        return BackendView(
            name=dispatcher.name,
            region=dispatcher.region,
            data_zone=data_zone,
            health=standing.state,
            reason=standing.reason[:ERROR_LENGTH_MAX],
            since=None if standing.state is DoorState.OK else self._moment(standing.since),
            until=None if standing.until is None else self._moment(standing.until),
            quiet_since=None if quiet is None else self._moment(quiet),
            in_flight=dispatcher.meter.in_flight,
            window=dispatcher.window,
            pacing=told(dispatcher.engine.pacing.view(), self._moment),
            own_engine=self._own(dispatcher.engine, key),
            latency_seconds=busy / calls if calls else None,
            requests_per_second=calls / seconds,
            tokens_per_second=tokens / seconds,
            last_error=None if error is None else error[0][:ERROR_LENGTH_MAX],
        )


def _passing(standing: Standing) -> bool:
    """Whether it has asked to be left alone for so short a time that it is not worth a word."""
    asked = math.inf if standing.until is None else standing.until - standing.since
    return standing.state is DoorState.BUSY and asked <= MOMENT_SECONDS


def sums_of(fleet: Fleet) -> Mapping[tuple[str, str], Sequence[float]]:
    """For every backend: calls that have ended, the seconds that they took, and tokens."""
    return {
        (key, each.name): (each.meter.seconds.count, each.meter.seconds.total, each.meter.tokens)
        for key, each in fleet.senders()
    }


def out_of(fleet: Fleet) -> Mapping[tuple[str, str], int]:
    """For every backend: calls that are out."""
    return {(key, each.name): each.meter.in_flight for key, each in fleet.senders()}
