"""One door of one engine, as its member tells the others of it, and hears of it.

Before: `member_words`, which carries the words. After: core/sending/door_words.py, which decides what they mean.
"""

from collections.abc import Sequence
from typing import Protocol

from slackwater.core.sending.door import Door
from slackwater.core.sending.door_words import DoorTalk, read_word
from slackwater.pipeline.sending.engine_use import Use
from slackwater.ports import Heard, Said


class Engine(Protocol):
    """An engine, for who tells of its doors."""

    uses: list[Use]

    def tell(self, door: Door) -> None:
        """Tells people how a door is, where that has changed."""
        ...

    def look(self) -> None:
        """Something has changed."""
        ...


class DoorSpeaker:
    """The one that speaks (the Speaker of `member_words`)."""

    def __init__(self, engine: Engine, door: Door, name: str, *, member: str) -> None:
        """`name` is the same for the same door on every member."""
        self.topic = f"door {name}"
        self._engine = engine
        self._door = door
        self._talk = DoorTalk(door, member)

    @property
    def listens(self) -> bool:
        """While somebody sends through it, or would."""
        return self._door.led or any(
            use.door is self._door and (use.in_flight or use.has_work) for use in self._engine.uses
        )

    def say(self, now: float) -> Said | None:
        """What is new of it."""
        return None if (word := self._talk.say(now)) is None else Said(*word)

    def hear(self, words: Sequence[Heard], now: float) -> None:
        """What the others say of it."""
        read = {each.member: word for each in words if (word := read_word(each.text)) is not None}
        if self._talk.hear(read, now):
            self._engine.tell(self._door)
            self._engine.look()
