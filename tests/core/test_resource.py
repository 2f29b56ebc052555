"""Roles and keys, as values."""

import pytest

from slackwater.core.accounts.resource import Principal, Role, Slot, StoredKey, digest_of, find_key


@pytest.mark.parametrize(
    ("role", "may"),
    [(Role.READER, {Role.READER}), (Role.USER, {Role.READER, Role.USER}), (Role.ADMIN, set(Role))],
)
def test_each_role_may_what_those_before_it_may(role: Role, may: set[Role]) -> None:
    """A reader looks, a user also acts, an administrator also has keys."""
    principal = Principal(resource="r", role=role, name="n")
    assert {each for each in Role if principal.may(each)} == may


def stored(key: str, slot: Slot = Slot.KEY1) -> StoredKey:
    """What is kept of a key."""
    return StoredKey(resource="r", role=Role.USER, slot=slot, digest=digest_of(key), hint=key[-4:], created_at=1)


def test_a_key_is_known_by_its_digest_alone() -> None:
    """The whole key counts; nothing, or nearly the right thing, is not it."""
    keys = [stored("first-key"), stored("second-key", Slot.KEY2)]
    assert find_key("second-key", keys) == keys[1]
    for wrong in ("", "second-ke", "second-key ", digest_of("first-key"), "ä"):
        assert find_key(wrong, keys) is None
    assert find_key("first-key", []) is None


def test_nothing_of_a_key_but_four_characters_is_kept() -> None:
    """What is stored does not have the key in it."""
    assert "first-key" not in repr(stored("first-key"))
