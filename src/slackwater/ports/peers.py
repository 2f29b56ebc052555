"""What other servers of ours at an engine say of themselves."""

from collections.abc import Mapping
from typing import Protocol

from slackwater.core.sending.late_peers import FarPeer
from slackwater.core.sending.peers import Word


class PeerSeat(Protocol):
    """The place of one user of an engine. Nothing of it waits or raises."""

    name: str
    """By which the others hear it."""

    def say(self, word: Word) -> None:
        """What others are to know from now on."""
        ...

    def hear(self) -> Mapping[str, Word]:
        """What others say of themselves now, by name. Whoever has said nothing for some seconds is not there."""
        ...

    def far(self) -> Mapping[str, FarPeer]:
        """Those of them whose words are late, with their past."""
        ...


class PeerBoard(Protocol):
    """Where servers of ours find each other."""

    def seat(self, engine: str) -> PeerSeat:
        """A place at an engine, for one of its users. Two in one process hear each other, too."""
        ...
