"""What members of a cluster tell each other of a door that lets nobody in, so that not each of them loses requests to learn it.

One member *leads*: it has found out, it says so, and it sends the requests of our own by which the door is looked at again. The
others follow: they send nothing, ask nothing, and open when it says that the door is open. Where it says nothing any more, each
looks for itself. A wait that the door asked for needs no leader: everybody knows when it is over.

What must hold: a member whose own network or settings are the trouble does not keep the others from an engine that works. Nobody
follows while others of its own come through, and who has followed for a while looks for itself.
"""

import msgspec
from msgspec import Struct

from slackwater.core.sending.door import SHUT, Door, DoorState

# A word is said again so often while it holds, and heard for so long.
AGAIN_SECONDS, HEARD_SECONDS = 4.0, 12.0
# That a door is open again is said for so long: long enough for everybody to hear it.
OPEN_SECONDS = 10.0
REASON_MAX = 500
# Whoever had a success so short a while ago does not follow. After so long, a follower looks for itself.
OWN_SECONDS, FOLLOWED_SECONDS = 2.0, 60.0
# For so long it follows nobody then.
ALONE_SECONDS = 10.0


class DoorWord(Struct, frozen=True, omit_defaults=True):
    """What a member says of a door."""

    state: DoorState
    serial: int
    """Its number among those of this member about this door: the same as long as it says the same."""
    left: float = 0.0
    """In so many seconds it is looked at again, or may be used again."""
    asked: bool = False
    """Whether the door asked for that wait."""
    reason: str = ""


_decoder = msgspec.json.Decoder(DoorWord)


def read_word(text: str) -> DoorWord | None:
    """What was said; None where that is nothing we know."""
    try:
        word = _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return None
    return word if 0.0 <= word.left < 1e6 else None


class DoorTalk:
    """One door, as this member tells of it and hears of it. Moments are monotonic."""

    def __init__(self, door: Door, member: str) -> None:
        self._door = door
        self._member = member
        self._serial = 0
        self._said: DoorWord | None = None
        self._said_at = 0.0
        self._open_until = 0.0
        # Whom it follows, and what of each was the last that counted.
        self._leader = ""
        self._followed_at = 0.0
        self._alone_until = 0.0
        self._obeyed: dict[str, int] = {}

    def say(self, now: float) -> tuple[str, float] | None:
        """What is to be said now, and for how many seconds: an empty text takes the last word back; None: nothing new."""
        door = self._door
        if self._leader or not self._tells(now):
            return self._open_again(now)
        left, said = round(max(0.0, door.until - now), 1), self._said
        news = said is None or (said.state, said.asked, said.reason) != (
            door.state,
            door.asked,
            door.reason[:REASON_MAX],
        )
        later = said is not None and left > said.left - (now - self._said_at) + 1.0
        if not news and not later and now - self._said_at < AGAIN_SECONDS:
            return None
        if news or later:
            self._serial += 1
        self._said = DoorWord(door.state, self._serial, left, door.asked, door.reason[:REASON_MAX])
        self._said_at = now
        holds = min(left, HEARD_SECONDS) + 1.0 if door.asked else HEARD_SECONDS
        return msgspec.json.encode(self._said).decode(), holds

    def _tells(self, now: float) -> bool:
        door = self._door
        return door.state in SHUT or (door.state is DoorState.BUSY and (not door.asked or door.until > now))

    def _open_again(self, now: float) -> tuple[str, float] | None:
        said = self._said
        if said is None:
            return None
        if said.state is DoorState.OK:
            if now < self._open_until and not self._leader:
                return None
            self._said = None
            return "", 0.0
        if self._leader or said.asked:
            # Somebody else tells of it, or everybody knows by the time.
            self._said = None
            return "", 0.0
        self._serial += 1
        self._said, self._open_until = DoorWord(DoorState.OK, self._serial), now + OPEN_SECONDS
        return msgspec.json.encode(self._said).decode(), OPEN_SECONDS

    def hear(self, words: dict[str, DoorWord], now: float) -> bool:
        """What the others say now, by their names. Returns whether the door is another one for that."""
        door, changed = self._door, False
        if self._leader and not door.led:
            # It has come through itself, or somebody wanted it to be tried.
            self._leader = ""
        elif self._leader and (self._leader not in words or now - self._followed_at > FOLLOWED_SECONDS):
            # It may be dead, or the trouble its own: whoever has something to send looks for itself.
            self._leader = ""
            self._alone_until = now + ALONE_SECONDS
            door.led = False
            changed = door.look_now(now)
        for member, word in sorted(words.items()):
            if self._obeyed.get(member) == word.serial:
                continue
            obeyed = self._obey(member, word, now)
            if obeyed is not None:
                self._obeyed[member] = word.serial
                changed = changed or obeyed
        for member in [each for each in self._obeyed if each not in words]:
            del self._obeyed[member]
        return changed

    def _obey(self, member: str, word: DoorWord, now: float) -> bool | None:
        """Whether the door is another one for a word; None where that is still to be seen."""
        door = self._door
        if word.state is DoorState.OK:
            if member != self._leader:
                return False
            self._leader = ""
            return door.reopened(now)
        if word.asked:
            if word.left <= 0.0 or door.state in SHUT:
                return False
            door.pause(now + word.left, word.reason, now)
            return True
        if word.state not in SHUT and word.state is not DoorState.BUSY:
            return False
        if not self._leader and self._tells(now) and not door.asked and self._member < member:
            # Both have found out: the one whose name comes first leads.
            return False
        if self._leader and self._leader < member:
            return False
        if now < self._alone_until or (door.open and door.pulse.since(now - OWN_SECONDS)):
            return None
        if self._leader != member:
            self._leader, self._followed_at = member, now
        door.told(word.state, word.reason, now + word.left, now)
        return True
