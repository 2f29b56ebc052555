"""Makes, changes and knows keys. The ledger has their digests; a key itself is shown once, to whoever made it.

Every call is checked against keys, so they are kept in memory too; the ledger is the truth. Where other servers may change
them there, whoever asks for keys lets them be learnt first.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from slackwater.core.accounts.resource import Role, Slot, StoredKey, digest_of, find_key
from slackwater.core.errors import NotFound
from slackwater.ports import Clock, Ledger
from slackwater.telemetry import event

PREFIX = "sw-"
KEY_BYTES = 32
HINT_LENGTH = 4


class Keys:
    """The keys of all resources."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._stored: list[StoredKey] = []
        self._reading = asyncio.Lock()
        self._current: Callable[[], Awaitable[None]] | None = None
        self._now: Callable[[], Awaitable[None]] | None = None

    def shared(self, *, current: Callable[[], Awaitable[None]], now: Callable[[], Awaitable[None]]) -> None:
        """From now on other servers may change keys. `current` returns when what is known here is no older than it may be, `now`
        when it is what the ledger has."""
        self._current, self._now = current, now

    async def learn(self) -> None:
        """Returns when what is known here is no older than it may be. Raises LedgerUnavailable."""
        if self._current is not None:
            await self._current()

    async def learn_now(self) -> bool:
        """Returns when it is what the ledger has; False where that was so anyway, because nobody else changes it."""
        if self._now is None:
            return False
        await self._now()
        return True

    async def load(self) -> None:
        """Reads what there is. Before the first call."""
        # One after the other: what was read before a change must not take the place of what was read after it.
        async with self._reading:
            self._stored = await self._ledger.keys()

    @property
    def any(self) -> bool:
        """Whether there is any key at all."""
        return bool(self._stored)

    def known(self, given: str) -> StoredKey | None:
        """What is stored of a key that was given; None if it is none of ours."""
        return find_key(given, self._stored)

    def all(self) -> list[StoredKey]:
        """What is stored of every key."""
        return list(self._stored)

    def of(self, resource: str) -> list[StoredKey]:
        """What is stored of a resource's keys."""
        return [key for key in self._stored if key.resource == resource]

    async def create(self, resource: str, role: Role) -> dict[Slot, str]:
        """Both keys of a role, new. Where it had keys before, those stop working."""
        return await self._put(resource, role, list(Slot))

    async def rotate(self, resource: str, role: Role, slot: Slot) -> str:
        """One key of a role, new; the other one goes on working. Raises NotFound where the role has no keys."""
        return (await self._put(resource, role, [slot], rotated=True))[slot]

    async def delete(self, resource: str, role: Role) -> bool:
        """Takes both keys of a role away; False if it had none."""
        deleted = await self._ledger.delete_keys(resource, role)
        await self.load()
        event("keys_deleted", resource=resource, role=role.value, keys=deleted)
        return deleted > 0

    async def _put(self, resource: str, role: Role, slots: list[Slot], *, rotated: bool = False) -> dict[Slot, str]:
        made = {slot: PREFIX + secrets.token_urlsafe(KEY_BYTES) for slot in slots}
        now = int(self._clock.now())
        kept = await self._ledger.put_keys(
            [
                StoredKey(
                    resource=resource,
                    role=role,
                    slot=slot,
                    digest=digest_of(key),
                    hint=key[-HINT_LENGTH:],
                    created_at=now,
                )
                for slot, key in made.items()
            ],
            instead=rotated,
        )
        await self.load()
        if not kept:
            raise NotFound(f"The role '{role.value}' has no keys yet. Create them first.", param="role")
        event("keys_made", resource=resource, role=role.value, keys=len(made))
        return made
