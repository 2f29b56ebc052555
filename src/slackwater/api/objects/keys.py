"""The keys of a resource."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from slackwater.api.objects.times import Moment


class NewKeys(Struct, frozen=True, kw_only=True):
    """Which role is to have two new keys."""

    role: str
    """`reader`, `user` or `admin`."""


class RotateKey(Struct, frozen=True, kw_only=True):
    """Which of the two keys is to be a new one."""

    key: Literal["key1", "key2"]


class KeyObject(Struct, frozen=True, kw_only=True):
    """A key of a resource."""

    object: Literal["key"] = "key"
    role: Literal["reader", "user", "admin"]
    name: Literal["key1", "key2"]
    hint: str
    """Its last characters."""
    created_at: Moment
    value: str | UnsetType = UNSET
    """The key itself, only in the answer to the call that made it."""


class KeyList(Struct, frozen=True, kw_only=True):
    """The keys of a resource, or of one role."""

    object: Literal["list"] = "list"
    data: list[KeyObject]


class KeysDeleted(Struct, frozen=True, kw_only=True):
    """The keys of a role are gone."""

    object: Literal["keys"] = "keys"
    role: str
    deleted: Literal[True] = True
