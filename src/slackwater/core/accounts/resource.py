"""Resources, and who may do what in them. A resource is a tenant: its files, batches and deployments are its own.

Nothing of one resource is visible from another: what belongs to somebody else is answered like what never existed.
"""

import hashlib
import hmac
from enum import StrEnum

from msgspec import Struct

DEFAULT = "default"


class Role(StrEnum):
    """What a caller may do in a resource. Each may do what those before it may."""

    READER = "reader"
    USER = "user"
    ADMIN = "admin"


RANKS = {role: rank for rank, role in enumerate(Role)}


class Principal(Struct, frozen=True, kw_only=True):
    """Who calls: in which resource, as what, and under which name in the audit log."""

    resource: str
    role: Role
    name: str
    anywhere: bool = False
    """Whether the caller runs the service, and may act in every resource that a path names."""

    def may(self, role: Role) -> bool:
        """Whether this caller has at least that role."""
        return RANKS[self.role] >= RANKS[role]


class Slot(StrEnum):
    """A role of a resource has two keys, so that one can be changed while the other is in use."""

    KEY1 = "key1"
    KEY2 = "key2"


class StoredKey(Struct, frozen=True, kw_only=True):
    """What is kept of a key: enough to know it again, and not enough to use it."""

    resource: str
    role: Role
    slot: Slot
    digest: str
    hint: str
    """Its last four characters, for people."""
    created_at: int

    @property
    def name(self) -> str:
        """How the audit log calls whoever has the key."""
        return f"{self.role.value}/{self.slot.value}"


def digest_of(key: str) -> str:
    """What is stored of a key. Keys are long and random, so one pass of SHA-256 cannot be guessed back."""
    return hashlib.sha256(key.encode()).hexdigest()


def find_key(given: str, keys: list[StoredKey]) -> StoredKey | None:
    """The stored key that was given. Every key is compared, whichever fits, so that the time says nothing."""
    digest = digest_of(given)
    found = None
    for key in keys:
        if hmac.compare_digest(digest, key.digest):
            found = key
    return found
