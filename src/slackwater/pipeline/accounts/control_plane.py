"""Deployments that are made, changed and deleted over the API while the service runs. Before: a handler. After: the fleet.

First durable, then at work: a crash between the two is put right by the next start, which serves what the ledger has. A
deployment in use does not vanish: it takes nothing new, and goes when the last of its batches has ended.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from slackwater.core.accounts.preconditions import NO_PRECONDITION, Precondition
from slackwater.core.errors import ConfigError, Conflict, InvalidRequest, NotFound
from slackwater.core.quota.dynamic import Allowance
from slackwater.core.sending.deployment import Deployment, key_of
from slackwater.pipeline.loops import Pace
from slackwater.pipeline.quota.spare_capacity import SpareCapacity
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.fleet import Fleet
from slackwater.ports import Clock, Ledger, StoredDeployment
from slackwater.telemetry import event

DEPLOYMENTS_MAX = 1_000


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


Assemble = Callable[[StoredDeployment], Assembled]


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
    ) -> None:
        """Without `assemble`, the deployments are those of the configuration. `wake` hints that one may hold more."""
        self._ledger = ledger
        self._clock = clock
        self._fleet = fleet
        self._spare = spare
        self._assemble = assemble
        self._wake = wake
        self._entries: dict[str, _Entry] = {}
        # One change at a time: what it finds, and what a caller's precondition was held against, is still so when it is
        # done. That is enough, because a data directory has one process.
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Serves what earlier lives have made. What cannot be served now stays, and says why."""
        if self._assemble is None:
            return
        for stored in await self._ledger.deployments():
            key = key_of(stored.resource, stored.name)
            if self._fleet.get(key) is not None:
                # The configuration has it now, and is the one that counts.
                event("deployment_shadowed", level=logging.WARNING, deployment=key)
                continue
            try:
                assembled = self._assemble(stored)
                self._fleet.put(_marked(assembled.deployment, stored), assembled.dispatchers())
                self._entries[key] = _Entry(stored, assembled)
            except ConfigError as error:
                self._entries[key] = _Entry(stored, None, error.faults[0])
                event("deployment_unusable", level=logging.WARNING, deployment=key, reason=error.faults[0])

    async def views(self, resource: str) -> list[View]:
        """Every deployment of a resource, by name."""
        names = {each.name for each in self._fleet.all() if each.resource == resource}
        names |= {entry.stored.name for entry in self._entries.values() if entry.stored.resource == resource}
        return [await self.view(resource, name) for name in sorted(names)]

    async def view(self, resource: str, name: str) -> View:
        """One deployment. Raises NotFound."""
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
        async with self._changing:
            before = self._changeable(resource, name)
            _check(only_if, name, before)
            await self._keep(resource, name, body, before)
            # Still under the lock: the caller is shown its own version, and no later one.
            return await self.view(resource, name), before is None

    async def change(
        self, resource: str, name: str, changes: Mapping[str, Any], *, only_if: Precondition = NO_PRECONDITION
    ) -> View:
        """Changes what is named and leaves the rest. Raises NotFound, and what `put` raises."""
        async with self._changing:
            before = self._changeable(resource, name)
            if before is None:
                raise NotFound(f"There is no deployment '{name[:80]}'.")
            _check(only_if, name, before)
            await self._keep(resource, name, merged(before.stored.body, changes), before)
            return await self.view(resource, name)

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
        assert self._assemble is not None, "the API is served only by a service that can assemble"
        if before is None and len(self._entries) >= DEPLOYMENTS_MAX:
            raise InvalidRequest(f"There are {DEPLOYMENTS_MAX:,} deployments already. Delete some first.")
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
            assembled = self._assemble(stored)
            stays = before is not None and before.assembled is not None
            stays = stays and before.assembled.works_as == assembled.works_as  # type: ignore[union-attr]
            dispatchers = None if stays else assembled.dispatchers()
        except ConfigError as error:
            raise InvalidRequest(" ".join(f"{fault}." for fault in error.faults)) from error
        try:
            await self._ledger.put_deployment(stored)
        except BaseException:
            for dispatcher in dispatchers or ():
                await dispatcher.close()
            raise
        self._entries[key_of(resource, name)] = _Entry(stored, assembled)
        self._fleet.put(assembled.deployment, dispatchers)
        event("deployment_put", deployment=assembled.deployment.key, worker="stays" if stays else "new")
        self._wake()

    async def delete(self, resource: str, name: str, *, only_if: Precondition = NO_PRECONDITION) -> View | None:
        """Lets nothing new in; None once it is gone, or where it never was. Raises Conflict and PreconditionFailed."""
        async with self._changing:
            key = key_of(resource, name)
            entry = self._entries.get(key)
            if entry is None:
                self._changeable(resource, name)
                _check(only_if, name, None)
                return None
            _check(only_if, name, entry)
            if entry.stored.deleted_at is None:
                stored = msgspec.structs.replace(entry.stored, deleted_at=int(self._clock.now()))
                await self._ledger.put_deployment(stored)
                self._entries[key] = _Entry(stored, entry.assembled, entry.fault)
                if entry.assembled is not None:
                    self._fleet.put(_marked(entry.assembled.deployment, stored), None)
                event("deployment_draining", deployment=key)
            if await self._remove(key):
                return None
            return await self.view(resource, name)

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
            del self._entries[key]
            self._fleet.remove(key)
            event("deployment_removed", deployment=key)
        return gone


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
