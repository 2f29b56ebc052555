"""Engines that are added while the service runs: tested, kept, changed, removed. Before: a handler. After: the control plane.

First durable, then at work: after every change the control plane reads both again, here and at other servers. A key is kept
sealed and opened in memory alone; what cannot be opened stays, says why, and nothing is sent without it.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from slackwater.core.accounts.connection import Connection, Secret
from slackwater.core.accounts.preconditions import NO_PRECONDITION, Precondition
from slackwater.core.errors import Conflict, Forbidden, InvalidRequest, NoRoom, NotFound, TooBusy
from slackwater.core.outside.addresses import parse
from slackwater.core.outside.engine_addresses import Reach, check_key, check_query, same_place
from slackwater.pipeline.accounts.connection_looks import Looks
from slackwater.ports import CannotOpen, Clock, EngineLook, EngineLooker, FoundEngine, Ledger, Sealer, StoredConnection
from slackwater.telemetry import event

CONNECTIONS_MAX = 1_000
LOST = "its key is not in this ledger, because back-ups have no keys: give it anew"


class Asked(Struct, frozen=True, kw_only=True):
    """An engine as somebody wants it. None leaves a setting as it is; an empty text takes it away."""

    url: str | None = None
    key: str | None = None
    key_env: str | None = None
    key_header: str | None = None


class ConnectionView(Struct, frozen=True, kw_only=True):
    """A connection as an administrator sees it: never with its key."""

    stored: StoredConnection
    fault: str | None
    used_by: Sequence[str]
    """Deployments that use it."""


class Connections:
    """The connections of all resources."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        *,
        reach: Reach,
        keys: Mapping[str, str],
        sealer: Sealer | None,
        no_sealer: str = "",
        looker: Callable[[], EngineLooker] | None = None,
        now: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`keys` are the values of the variables that may be named. Without a `sealer` no key is stored; `no_sealer` says why.

        `looker` is made when it is first asked, elsewhere: few ever ask. `now` is as for the control plane.
        """
        self.reach = reach
        self.cannot_store = no_sealer if sealer is None else ""
        """Why no key can be stored; empty where one can."""
        self.reread: Callable[[], Awaitable[None]] = self._only_read
        """Reads connections, and what is made of them, again."""
        self.users: Callable[[str, str], Sequence[str]] = lambda resource, name: ()
        """The deployments of a resource that use a connection."""
        self._ledger = ledger
        self._clock = clock
        self._keys = keys
        self._sealer = sealer
        self._now = now
        self._known: dict[tuple[str, str], tuple[StoredConnection, Connection]] = {}
        self._looks = Looks(looker)
        self._changing = asyncio.Lock()

    async def _only_read(self) -> None:
        await self.read()

    async def read(self) -> frozenset[tuple[str, str]]:
        """Knows what the ledger has. Returns which have changed: resource and name."""
        there = {(each.resource, each.name): each for each in await self._ledger.connections()}
        changed = {key for key in self._known if key not in there}
        for key in changed:
            del self._known[key]
        for key, stored in there.items():
            before = self._known.get(key)
            if before is None or before[0] != stored:
                self._known[key] = (stored, self._opened(stored))
                changed.add(key)
        return frozenset(changed)

    async def start(self) -> None:
        """Seals anew what is sealed under an older key."""
        sealer = self._sealer
        if sealer is None:
            return
        resealed = 0
        for stored, connection in list(self._known.values()):
            if stored.sealed is None or connection.key is None or sealer.is_newest(stored.sealed):
                continue
            sealed = sealer.seal(connection.key.value, about=_about(stored))
            resealed += await self._ledger.reseal_connection(stored, sealed=sealed)
        if resealed:
            event("connection_keys_resealed", connections=resealed)
            await self.reread()

    def _opened(self, stored: StoredConnection) -> Connection:
        key, fault = None, None
        if stored.key_stored and stored.sealed is None:
            fault = LOST
        elif stored.sealed is not None:
            try:
                if self._sealer is None:
                    raise CannotOpen(
                        "its key is stored, and this server has no secrets key: set secrets_key_env or secrets_key_file under "
                        "[server]"
                    )
                key = Secret(self._sealer.open(stored.sealed, about=_about(stored)))
            except CannotOpen as error:
                fault = str(error)
        if stored.key_env is not None and stored.key_env not in self.reach.key_envs:
            fault = f"its key is in {stored.key_env}, which is not in backend_key_envs under [control_plane] any more"
        if fault is not None:
            event("connection_unusable", level=logging.WARNING, connection=_about(stored), reason=fault)
        return Connection(
            name=stored.name,
            url=stored.url,
            key_env=stored.key_env,
            key_header=stored.key_header,
            key=key,
            listed=self.reach.lists(stored.url),
            fault=fault,
        )

    def of(self, resource: str) -> Mapping[str, Connection]:
        """The connections of a resource, by name."""
        return {name: each for (owner, name), (_, each) in self._known.items() if owner == resource}

    async def views(self, resource: str) -> list[ConnectionView]:
        """Every connection of a resource, by name."""
        await self._seen()
        return [self._view(resource, name) for owner, name in sorted(self._known) if owner == resource]

    async def view(self, resource: str, name: str) -> ConnectionView:
        """One connection. Raises NotFound."""
        await self._seen()
        return self._view(resource, name)

    def _view(self, resource: str, name: str) -> ConnectionView:
        stored, connection = self._there(resource, name)
        return ConnectionView(stored=stored, fault=connection.fault, used_by=self.users(resource, name))

    def _there(self, resource: str, name: str) -> tuple[StoredConnection, Connection]:
        found = self._known.get((resource, name))
        if found is None:
            raise NotFound(f"There is no connection '{name[:80]}'.")
        return found

    async def _seen(self) -> None:
        if self._now is not None:
            await self._now()

    async def put(
        self,
        resource: str,
        name: str,
        asked: Asked,
        *,
        who: str,
        operates: bool,
        whole: bool,
        only_if: Precondition = NO_PRECONDITION,
    ) -> tuple[ConnectionView, bool]:
        """Adds an engine, or changes it; True if it is new. `whole`: what is not asked for is not there afterwards.

        Raises InvalidRequest, Forbidden, NotFound (not `whole`, and there is none), Conflict and PreconditionFailed.
        """
        await self._seen()
        async with self._changing:
            before = self._known.get((resource, name))
            if before is None and not whole:
                raise NotFound(f"There is no connection '{name[:80]}'.")
            only_if.check(None if before is None else before[0].etag, f"connection '{name[:80]}'")
            stored = self._ordered(resource, name, asked, before, who=who, operates=operates, whole=whole)
            over = None if before is None else before[0].etag
            try:
                if not await self._ledger.put_connection(stored, over=over, most=CONNECTIONS_MAX):
                    raise TooBusy("The connection is being changed by somebody else. Try again.", retry_after=1)
            except NoRoom as error:
                raise InvalidRequest(
                    f"There are {CONNECTIONS_MAX:,} connections already. Delete some first."
                ) from error
            event("connection_put", connection=_about(stored))
            await self.reread()
            return self._view(resource, name), before is None

    def _ordered(
        self,
        resource: str,
        name: str,
        asked: Asked,
        before: tuple[StoredConnection, Connection] | None,
        *,
        who: str,
        operates: bool,
        whole: bool,
    ) -> StoredConnection:
        kept = None if whole or before is None else before[0]
        url = asked.url or (None if kept is None else kept.url)
        if not url:
            raise InvalidRequest(
                "Missing value for 'url': where the engine is, such as http://127.0.0.1:8000/v1.", param="url"
            )
        check_query(url)
        target, _ = self.reach.locate(url, operates=operates)
        if asked.key and asked.key_env:
            raise InvalidRequest("Give either 'api_key' or 'api_key_env', not both.", param="api_key")
        now = int(self._clock.now())
        stored = StoredConnection(
            resource=resource,
            name=name,
            url=url,
            key_header=(None if kept is None else kept.key_header)
            if asked.key_header is None
            else asked.key_header or None,
            made_by=who if before is None else before[0].made_by,
            etag=uuid.uuid4().hex,
            created_at=now if before is None else before[0].created_at,
            updated_at=now,
        )
        if asked.key:
            return msgspec.structs.replace(stored, key_stored=True, sealed=self._sealed(stored, asked.key))
        if asked.key_env:
            self._check_env(asked.key_env)
            return msgspec.structs.replace(stored, key_env=asked.key_env)
        if kept is None or asked.key is not None or asked.key_env is not None:
            return stored
        if (kept.key_stored or kept.key_env) and not same_place(target, parse(kept.url, param="url")):
            # Otherwise whoever may change a URL could have the key sent to a server of their own, and read it there.
            raise InvalidRequest(
                "Missing value for 'api_key': the key was given for another server, and is not sent to this one. Give it again "
                "together with the new URL.",
                param="api_key",
            )
        return msgspec.structs.replace(stored, key_env=kept.key_env, key_stored=kept.key_stored, sealed=kept.sealed)

    def _sealed(self, stored: StoredConnection, key: str) -> str:
        if self._sealer is None:
            raise Forbidden(f"{self.cannot_store}.")
        check_key(key)
        return self._sealer.seal(key, about=_about(stored))

    def _check_env(self, name: str) -> None:
        if name not in self.reach.key_envs:
            raise InvalidRequest(
                f"Invalid value for 'api_key_env': '{name[:80]}' is not allowed. Ask the operator to add it to "
                "backend_key_envs under [control_plane].",
                param="api_key_env",
            )

    async def delete(self, resource: str, name: str, *, only_if: Precondition = NO_PRECONDITION) -> None:
        """Forgets an engine and its key. Raises NotFound, PreconditionFailed, and Conflict with the deployments that use it."""
        await self._seen()
        async with self._changing:
            stored, _ = self._there(resource, name)
            only_if.check(stored.etag, f"connection '{name[:80]}'")
            using = await self._ledger.remove_connection(stored)
            if using:
                one = len(using) == 1
                names = ", ".join(f"'{each}'" for each in using[:20]) + (
                    f" and {len(using) - 20} more" if len(using) > 20 else ""
                )
                raise Conflict(
                    f"The connection '{name[:80]}' is used by the deployment{'' if one else 's'} {names}. Change or delete "
                    f"{'it' if one else 'them'} first."
                )
            await self.reread()
            if (resource, name) in self._known:
                raise TooBusy("The connection is being changed by somebody else. Try again.", retry_after=1)
            event("connection_removed", connection=_about(stored))

    async def test(
        self, resource: str, name: str | None, asked: Asked, *, model: str | None, operates: bool
    ) -> EngineLook:
        """Looks at an engine: at one that is kept, as it would be after a change, or at one that is not.

        Raises InvalidRequest, NotFound and TooBusy.
        """
        await self._seen()
        kept = None if name is None else self._there(resource, name)
        url = asked.url or (None if kept is None else kept[0].url)
        if not url:
            raise InvalidRequest(
                "Missing value for 'url': where the engine is, such as http://127.0.0.1:8000/v1.", param="url"
            )
        check_query(url)
        target, listed = self.reach.locate(url, operates=operates)
        key_env, key = asked.key_env or None, asked.key or None
        if key is not None:
            check_key(key)
        if kept is not None and asked.key is None and asked.key_env is None:
            stored, connection = kept
            if (stored.key_stored or stored.key_env) and not same_place(target, parse(stored.url, param="url")):
                raise InvalidRequest(
                    "Missing value for 'api_key': the key was given for another server, and is not sent to this one.",
                    param="api_key",
                )
            if connection.fault is not None:
                raise Conflict(f"The connection '{stored.name[:80]}' cannot be used: {connection.fault}.")
            key_env, key = stored.key_env, None if connection.key is None else connection.key.value
        if key_env is not None:
            self._check_env(key_env)
            key = self._keys.get(key_env)
        header = asked.key_header or (None if kept is None else kept[0].key_header)
        async with self._looks.one(resource) as looker:
            return await looker.look(url, key=key, key_header=header, model=model, anywhere=listed)

    async def find(self, resource: str) -> Sequence[FoundEngine]:
        """Engines on this machine. Raises TooBusy."""
        async with self._looks.one(resource) as looker:
            return await looker.find()


def _about(stored: StoredConnection) -> str:
    return f"{stored.resource}/{stored.name}"
