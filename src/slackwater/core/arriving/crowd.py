"""Who makes room when there are as many connections as there may be.

Nobody is told apart by address: behind a proxy, everybody has the same. What counts is what a connection has shown. One on
which a good key has come lately is a friend's; all others are strangers', and of those who wait for something to come, the
one that has waited longest goes. So a newcomer has as much time to show a key as it takes that many others to come.
"""

from typing import Generic, TypeVar

Key = TypeVar("Key")

# So long a connection counts as a friend's after a good key.
FRIEND_SECONDS = 600.0


class Crowd(Generic[Key]):
    """The connections of a front door, by what may be done to them. Every step takes constant time."""

    def __init__(self) -> None:
        self._strangers: dict[Key, None] = {}
        self._friends: dict[Key, None] = {}

    def waits(self, key: Key, *, friend: bool) -> None:
        """A connection now waits for its peer, and could be closed without breaking off what we are doing."""
        self.works(key)
        (self._friends if friend else self._strangers)[key] = None

    def works(self, key: Key) -> None:
        """A connection is being answered, or sends what a friend has to send; or it has gone."""
        self._strangers.pop(key, None)
        self._friends.pop(key, None)

    def who_goes(self) -> Key | None:
        """Who makes room for somebody else; None where nobody could.

        Strangers before friends: a friend who is between two requests finds its way back in.
        """
        return next(iter(self._strangers or self._friends), None)


def share_of(descriptors: int, *, wanted: int) -> int:
    """How many connections there may be of a process that may have so many descriptors.

    A quarter of them, because a connection may need a second one for the file that it sends or fetches: half of all stay
    for engines, the ledger and logs, whatever comes in at the front door.
    """
    return max(8, min(wanted, descriptors // 4))
