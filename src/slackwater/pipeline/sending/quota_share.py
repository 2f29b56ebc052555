"""What part of a vendor's rate limits is this member's: they are divided by what each has to send, as slots of an engine are.

And what the others have sent, so that it is not taken for online users' (core/sending/others_apart.py). Before: the quota of a
door, which keeps within its part. After: `sharing` and `member_words`, by way of the ledger. The vendor enforces the limit, so a
part needs no end: who cannot reach the ledger keeps the one that it has.
"""

from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from slackwater.core.sending.door import Door
from slackwater.core.sending.late_peers import FarPeer, Moment
from slackwater.core.sending.peers import Word
from slackwater.core.sending.shared_slots import RENEW_SECONDS, Ask, Grant
from slackwater.pipeline.sending.engine_share import NEVER, WAITING_SECONDS
from slackwater.ports import Clock, Heard, Said

# Parts are thousandths.
WHOLE = 1000
# Of a limit that nobody waits for, so much more than was used is wanted, and this at least.
HEADROOM, LEAST = 1.25, 20
# Who has sent nothing for so long wants nothing.
IDLE_SECONDS = 60.0
# A part that is nearly the same is the same: each change costs what was learned of others.
CHANGE = 0.05
# What was sent is told for so many seconds, in steps of so many, and heard for so long; and it is remembered for as long as an
# answer may take.
PAST_SECONDS, PAST_STEP, HEARD_SECONDS, KEPT_SECONDS = 3.0, 0.1, 4.0, 120.0

_decoder = msgspec.json.Decoder(FarPeer)


class QuotaShare:
    """That of one door (a Share of `sharing`, and a Speaker of `member_words`)."""

    def __init__(self, door: Door, name: str, clock: Clock, *, changed: Callable[[], None]) -> None:
        """`name` is the same for the same door on every member; `changed` says that more may go, or less."""
        self._changed = changed
        self.name = self.topic = f"quota {name}"
        self.held = False
        self.serial = 0
        self.calls: tuple[()] = ()
        self._door = door
        self._clock = clock
        self._due = 0.0
        self._others = 0
        self._said = False
        self._pasts: dict[str, deque[Moment]] = {}

    def due(self, now: float) -> float:
        """Seconds until there is something to ask."""
        if not self.held and not self._wants(now):
            return NEVER
        return max(0.0, self._due - now)

    def _wants(self, now: float) -> bool:
        quota = self._door.quota
        return quota is not None and (quota.waited or now - quota.idle_since < IDLE_SECONDS)

    def ask(self, now: float) -> Ask | None:
        """What is wanted now; None where that is nothing."""
        quota = self._door.quota
        if quota is None or not self._wants(now):
            return None
        waited, quota.waited = quota.waited, False
        wanted = WHOLE if waited else min(WHOLE, max(LEAST, int(HEADROOM * WHOLE * quota.own_use)))
        self.serial += 1
        return Ask(engine=self.name, wanted=wanted, held=0, limit=WHOLE, serial=self.serial, known=True)

    def unanswered(self, now: float) -> None:
        """The ledger has not answered: it is asked again soon."""
        self._due = now + WAITING_SECONDS

    def granted(self, grant: Grant, *, asked: float) -> None:
        """This was granted."""
        self._due = self._clock.monotonic() + (WAITING_SECONDS if grant.slots < grant.part else RENEW_SECONDS)
        quota = self._door.quota
        if not grant.heard or quota is None:
            return
        self.held, self._others = True, grant.others
        # With nobody else there, all of it is ours, whatever was used until now.
        part = 1.0 if not grant.others else max(1, grant.slots) / WHOLE
        if abs(part - quota.part) > CHANGE * quota.part:
            quota.divided(part)
            self._changed()

    def left(self) -> None:
        """It has been given back: whoever sends again has all of it until it is told otherwise."""
        self.held = False

    def close(self) -> None:
        """Nothing waits."""

    # What is said and heard

    @property
    def listens(self) -> bool:
        """While others send through it, too."""
        return self.held and self._others > 0

    @property
    def _ahead(self) -> float:
        """How far the ledger's clock is of the monotonic one."""
        return self._clock.now() - self._clock.monotonic()

    def say(self, now: float) -> Said | None:
        """What has gone out here lately."""
        quota = self._door.quota
        if quota is None or not self.listens:
            said, self._said = self._said, False
            return Said("", 0.0) if said else None
        ahead, (tokens, requests) = self._ahead, quota.gone
        moments = quota.sent_since(now - PAST_SECONDS, step=PAST_STEP)
        past = [Moment(round(at + ahead, 3), 0, sent, count, 0.0) for at, sent, count in moments]
        word = Word(out=0, window=1.0, sent=tokens, looked_up=requests)
        self._said = True
        return Said(msgspec.json.encode(FarPeer(word, now + ahead, past)).decode(), HEARD_SECONDS)

    def hear(self, words: Sequence[Heard], now: float) -> None:
        """What has gone out at the others."""
        peers: dict[str, FarPeer] = {}
        for each in words:
            try:
                peer = _decoder.decode(each.text)
            except (msgspec.MsgspecError, UnicodeEncodeError):
                # Another version's.
                continue
            past = self._pasts.setdefault(each.member, deque())
            newest = past[-1].at if past else 0.0
            past.extend(moment for moment in peer.past if moment.at > newest)
            while past and past[0].at < peer.until - KEPT_SECONDS:
                past.popleft()
            peers[each.member] = FarPeer(peer.word, peer.until, past)
        for member in [member for member in self._pasts if member not in peers]:
            del self._pasts[member]
        if self._door.quota is not None and peers:
            self._door.quota.told_of(peers, ahead=self._ahead)
