"""Lets the answers to wrong keys wait, where many come from one place. Nobody who has a good key comes by here."""

from slackwater.core.accounts.wrong_keys import WrongKeys
from slackwater.core.errors import TooBusy
from slackwater.ports import Clock
from slackwater.telemetry import meters, rare

# So many answers wait at once. Beyond that they are not held: they are told to come later.
WAITING_MAX = 64


class SlowDown:
    """One for all doors at which a key may be shown."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wrong = WrongKeys()
        self._waiting = 0

    async def refused(self, place: str) -> None:
        """A key was refused that came from a place. Returns when that may be said; raises TooBusy where too many wait."""
        now = self._clock.monotonic()
        meters.keys_refused += 1
        rare("keys_refused", now=now, last_from=place)
        seconds = self._wrong.refused(place, now=now)
        if seconds <= 0:
            return
        if self._waiting >= WAITING_MAX:
            raise TooBusy("There were many wrong keys from where you call. Try again with a good one.", retry_after=2)
        self._waiting += 1
        try:
            await self._clock.sleep(seconds)
        finally:
            self._waiting -= 1
