"""Makes, changes and knows keys. The ledger has their digests; a key itself is shown once, to whoever made it.

Every call is checked against keys, so they are kept in memory too; the ledger is the truth, and this process its only
writer.
"""

import secrets

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

    async def load(self) -> None:
        """Reads what there is. Before the first call."""
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
        if not any(key.role is role for key in self.of(resource)):
            raise NotFound(f"The role '{role.value}' has no keys yet. Create them first.", param="role")
        return (await self._put(resource, role, [slot]))[slot]

    async def delete(self, resource: str, role: Role) -> bool:
        """Takes both keys of a role away; False if it had none."""
        deleted = await self._ledger.delete_keys(resource, role)
        await self.load()
        event("keys_deleted", resource=resource, role=role.value, keys=deleted)
        return deleted > 0

    async def _put(self, resource: str, role: Role, slots: list[Slot]) -> dict[Slot, str]:
        made = {slot: PREFIX + secrets.token_urlsafe(KEY_BYTES) for slot in slots}
        now = int(self._clock.now())
        await self._ledger.put_keys(
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
            ]
        )
        await self.load()
        event("keys_made", resource=resource, role=role.value, keys=len(made))
        return made
