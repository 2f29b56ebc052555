"""Deployments that are made, changed and deleted over the API while the service runs. Before: a handler. After: the fleet.

First durable, then at work: a crash between the two is put right by the next start, which serves what the ledger has. A
deployment in use does not vanish: it takes nothing new, and goes when the last of its batches has ended. What another server has
changed is read from the ledger, and a change counts only where it is one of the version that was seen.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from slackwater.core.accounts.connection import Connection, names_in
from slackwater.core.accounts.preconditions import NO_PRECONDITION, Precondition
from slackwater.core.errors import ConfigError, Conflict, InvalidRequest, NoRoom, NotFound, TooBusy
from slackwater.core.quota.dynamic import Allowance
from slackwater.core.sending.deployment import Deployment, key_of
from slackwater.pipeline.accounts.connections import Connections
from slackwater.pipeline.loops import Pace
from slackwater.pipeline.quota.spare_capacity import SpareCapacity
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.fleet import Fleet
from slackwater.ports import Clock, Ledger, StoredDeployment
from slackwater.telemetry import event

T = TypeVar("T")
DEPLOYMENTS_MAX = 1_000
# So often somebody else may be quicker before a caller is told to come back.
OVERTAKEN_MAX = 5


class Assembled(Struct, frozen=True, kw_only=True):
    """A deployment that can be served."""

    deployment: Deployment
    works_as: object
    """What its worker is made of: where this is equal, the worker can stay."""
    dispatchers: Callable[[], Sequence[Dispatcher]]


class View(Struct, frozen=True, kw_only=True):
    """A deployment as an administrator sees it. `stored` is None for one of the configuration."""

    name: str
    stored: StoredDeployment | None
    deployment: Deployment | None
    """None where it cannot be served, and then `fault` says why."""
    fault: str | None = None
    enqueued_tokens: int = 0
    allowance: Allowance | None = None


class _Entry(Struct, frozen=True):
    stored: StoredDeployment
    assembled: Assembled | None
    fault: str | None = None


Assemble = Callable[[StoredDeployment, Mapping[str, Connection]], Assembled]
"""Makes it, with the connections of its resource by name."""


class _Overtaken(Exception):
    """Another server has changed it since it was read."""


class ControlPlane:
    """Makes, changes and deletes."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        fleet: Fleet,
        spare: SpareCapacity,
        *,
        assemble: Assemble | None,
        wake: Callable[[], None],
        now: Callable[[], Awaitable[None]] | None = None,
        connections: Connections | None = None,
    ) -> None:
        """Without `assemble`, the deployments are those of the configuration. `wake` hints that one may hold more.

        `now` returns when `read` has been called since, if need be: other servers may change the ledger. None: there are none.
        """
        self._ledger = ledger
        self._clock = clock
        self._fleet = fleet
        self._spare = spare
        self._assemble = assemble
        self._wake = wake
        self._now = now
        self._connections = connections
        if connections is not None:
            connections.reread, connections.users = self.read, self.users_of
        # Those that have changed since deployments were last made of them.
        self._stale: set[tuple[str, str]] = set()
        self._entries: dict[str, _Entry] = {}
        self._shadowed: set[str] = set()
        # One change at a time in this process. Between servers, the ledger takes a change of the version that was seen, or none.
        self._changing = asyncio.Lock()

    async def read(self) -> None:
        """Serves what the ledger has: of earlier lives, and of other servers. What cannot be served now stays, and says why."""
        if self._assemble is None:
            return
        async with self._changing:
            # Before the deployments that use them: one that is not there yet is never used.
            if self._connections is not None:
                self._stale |= await self._connections.read()
            there = {key_of(each.resource, each.name): each for each in await self._ledger.deployments()}
            for key in [key for key in self._entries if key not in there]:
                self._drop(key)
            for key, stored in there.items():
                again = any((stored.resource, name) in self._stale for name in names_in(stored.body))
                self._serve(key, stored, again=again)
            self._stale.clear()

    def users_of(self, resource: str, connection: str) -> list[str]:
        """The deployments of a resource that use a connection, those that go included."""
        stored = (entry.stored for entry in self._entries.values())
        return sorted(each.name for each in stored if each.resource == resource and connection in names_in(each.body))

    def _serve(self, key: str, stored: StoredDeployment, *, again: bool) -> None:
        before = self._entries.get(key)
        if before is not None and before.stored == stored and not again:
            return
        if before is None and self._fleet.get(key) is not None:
            # The configuration has it now, and is the one that counts.
            if key not in self._shadowed:
                self._shadowed.add(key)
                event("deployment_shadowed", level=logging.WARNING, deployment=key)
            return
        assembled: Assembled | None
        try:
            assembled, dispatchers = self._assembled(stored, before)
        except ConfigError as error:
            assembled = None if before is None else before.assembled
            if assembled is not None:
                # The version before it goes on being served.
                self._fleet.put(_marked(assembled.deployment, stored), None)
            self._entries[key] = _Entry(stored, assembled, error.faults[0])
            event("deployment_unusable", level=logging.WARNING, deployment=key, reason=error.faults[0])
            return
        self._fleet.put(_marked(assembled.deployment, stored), dispatchers)
        self._entries[key] = _Entry(stored, assembled)

    def _assembled(
        self, stored: StoredDeployment, before: _Entry | None
    ) -> tuple[Assembled, Sequence[Dispatcher] | None]:
        """A deployment that can be served, and who is to send for it; None: those who do. Raises ConfigError."""
        assert self._assemble is not None, "the API is served only by a service that can assemble"
        connections = {} if self._connections is None else self._connections.of(stored.resource)
        assembled = self._assemble(stored, connections)
        stays = before is not None and before.assembled is not None
        stays = stays and before.assembled.works_as == assembled.works_as  # type: ignore[union-attr]
        return assembled, None if stays else assembled.dispatchers()

    async def _seen(self) -> None:
        if self._now is not None:
            await self._now()

    async def _unless_overtaken(self, change: Callable[[], Awaitable[T]]) -> T:
        """Makes a change of what there is, looked at anew where another server was quicker. Raises TooBusy."""
        for _ in range(OVERTAKEN_MAX):
            await self._seen()
            try:
                async with self._changing:
                    return await change()
            except _Overtaken:
                continue
        raise TooBusy("The deployment is being changed by somebody else. Try again.", retry_after=1)

    async def views(self, resource: str) -> list[View]:
        """Every deployment of a resource, by name."""
        await self._seen()
        names = {each.name for each in self._fleet.all() if each.resource == resource}
        names |= {entry.stored.name for entry in self._entries.values() if entry.stored.resource == resource}
        return [await self._view(resource, name) for name in sorted(names)]

    async def view(self, resource: str, name: str) -> View:
        """One deployment. Raises NotFound."""
        await self._seen()
        return await self._view(resource, name)

    async def _view(self, resource: str, name: str) -> View:
        key = key_of(resource, name)
        entry, deployment = self._entries.get(key), self._fleet.get(key)
        if entry is None and deployment is None:
            raise NotFound(f"There is no deployment '{name[:80]}'.")
        return View(
            name=name,
            stored=None if entry is None else entry.stored,
            deployment=deployment,
            fault=None if entry is None else entry.fault,
            enqueued_tokens=await self._ledger.enqueued_tokens(key),
            allowance=None if deployment is None else await self._spare.allowance(deployment),
        )

    async def put(
        self, resource: str, name: str, body: dict[str, Any], *, only_if: Precondition = NO_PRECONDITION
    ) -> tuple[View, bool]:
        """Makes a deployment, or replaces it; True if it is new. Raises InvalidRequest, Conflict and PreconditionFailed."""

        async def change() -> tuple[View, bool]:
            before = self._changeable(resource, name)
            _check(only_if, name, before)
            await self._keep(resource, name, body, before)
            # Still under the lock: the caller is shown its own version, and no later one.
            return await self._view(resource, name), before is None

        return await self._unless_overtaken(change)

    async def change(
        self, resource: str, name: str, changes: Mapping[str, Any], *, only_if: Precondition = NO_PRECONDITION
    ) -> View:
        """Changes what is named and leaves the rest. Raises NotFound, and what `put` raises."""

        async def change() -> View:
            before = self._changeable(resource, name)
            if before is None:
                raise NotFound(f"There is no deployment '{name[:80]}'.")
            _check(only_if, name, before)
            await self._keep(resource, name, merged(before.stored.body, changes), before)
            return await self._view(resource, name)

        return await self._unless_overtaken(change)

    def _changeable(self, resource: str, name: str) -> _Entry | None:
        key = key_of(resource, name)
        entry = self._entries.get(key)
        if entry is None and self._fleet.get(key) is not None:
            raise Conflict(
                f"The deployment '{name[:80]}' is in the configuration file. Change it there, or use another name."
            )
        if entry is not None and entry.stored.deleted_at is not None:
            raise Conflict(
                f"The deployment '{name[:80]}' is being deleted, and goes when its last batch has ended. Wait for that, or "
                "use another name."
            )
        return entry

    async def _keep(self, resource: str, name: str, body: dict[str, Any], before: _Entry | None) -> None:
        now = int(self._clock.now())
        stored = StoredDeployment(
            resource=resource,
            name=name,
            body=body,
            etag=uuid.uuid4().hex,
            created_at=now if before is None else before.stored.created_at,
            updated_at=now,
        )
        try:
            assembled, dispatchers = self._assembled(stored, before)
        except ConfigError as error:
            raise InvalidRequest(" ".join(f"{fault}." for fault in error.faults)) from error
        try:
            over = None if before is None else before.stored.etag
            if not await self._ledger.put_deployment(stored, over=over, most=DEPLOYMENTS_MAX):
                raise _Overtaken
        except BaseException as error:
            for dispatcher in dispatchers or ():
                await dispatcher.close()
            if isinstance(error, NoRoom):
                raise InvalidRequest(
                    f"There are {DEPLOYMENTS_MAX:,} deployments already. Delete some first."
                ) from error
            raise
        self._entries[key_of(resource, name)] = _Entry(stored, assembled)
        self._fleet.put(assembled.deployment, dispatchers)
        event("deployment_put", deployment=assembled.deployment.key, worker="stays" if dispatchers is None else "new")
        self._wake()

    async def delete(self, resource: str, name: str, *, only_if: Precondition = NO_PRECONDITION) -> View | None:
        """Lets nothing new in; None once it is gone, or where it never was. Raises Conflict and PreconditionFailed."""

        async def change() -> View | None:
            key = key_of(resource, name)
            entry = self._entries.get(key)
            if entry is None:
                self._changeable(resource, name)
                _check(only_if, name, None)
                return None
            _check(only_if, name, entry)
            if entry.stored.deleted_at is None:
                stored = msgspec.structs.replace(entry.stored, deleted_at=int(self._clock.now()))
                if not await self._ledger.put_deployment(stored, over=entry.stored.etag):
                    raise _Overtaken
                self._entries[key] = _Entry(stored, entry.assembled, entry.fault)
                if entry.assembled is not None:
                    self._fleet.put(_marked(entry.assembled.deployment, stored), None)
                event("deployment_draining", deployment=key)
            if await self._remove(key):
                return None
            return await self._view(resource, name)

        return await self._unless_overtaken(change)

    async def step(self) -> Pace:
        """Removes what was to be deleted and is not in use any more."""
        pace = Pace.IDLE
        for key in [key for key, entry in self._entries.items() if entry.stored.deleted_at is not None]:
            async with self._changing:
                if key in self._entries and await self._remove(key):
                    pace = Pace.BUSY
        return pace

    async def _remove(self, key: str) -> bool:
        # From here on validation finds no such deployment. What it has asked the ledger for before comes before our question.
        self._fleet.hide(key, hidden=True)
        gone = False
        try:
            gone = await self._ledger.remove_deployment(self._entries[key].stored, key=key)
        finally:
            self._fleet.hide(key, hidden=gone)
        if gone:
            self._drop(key)
        return gone

    def _drop(self, key: str) -> None:
        del self._entries[key]
        self._fleet.remove(key)
        event("deployment_removed", deployment=key)


def _check(only_if: Precondition, name: str, entry: _Entry | None) -> None:
    only_if.check(None if entry is None else entry.stored.etag, f"deployment '{name[:80]}'")


def _marked(deployment: Deployment, stored: StoredDeployment) -> Deployment:
    return msgspec.structs.replace(deployment, deleted_at=stored.deleted_at)


def merged(body: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A body with changes: objects are merged, everything else is replaced."""
    result = dict(body)
    for name, value in changes.items():
        before = result.get(name)
        result[name] = merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return result
