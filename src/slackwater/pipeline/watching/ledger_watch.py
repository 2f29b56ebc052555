"""Says that the ledger's database cannot be used, for as long as that lasts, and that it can be used again: three lines of a log.

Readiness (pipeline/watching/readiness.py) asks here, too, so that both tell one story: with the first line a process is not
ready, and with the last one it is.

Every stage finds that out, and so does each call of the API; they go on trying, and none of them says it. Before: who uses the
database, and notes what comes of that. After: whoever reads the log, and wonders what is lost. Nothing is.
"""

import logging
from collections.abc import Callable

from slackwater.core.members import Kind
from slackwater.pipeline.loops import AWAY, Pace
from slackwater.ports import Away, Clock
from slackwater.telemetry import event

LOOK_SECONDS = 0.5
# Who looks so much later has stood still itself, and what it finds in that moment may be nothing but that.
LATE_SECONDS = 1.0
# How often it is said again.
SAID_SECONDS = 30.0
# One that was back for less than this comes and goes. It is away until it has been back for so long.
BACK_SECONDS = 3.0
SENDING = "after some ten seconds nothing new is sent to engines, answers that come are kept in memory"
ANSWERING = "calls are answered with 503"


class LedgerWatch:
    """Looks twice a second."""

    def __init__(self, clock: Clock, kind: Kind, away: Callable[[], Away | None]) -> None:
        """`away`: that it cannot be used, by now."""
        self._clock = clock
        self._away = away
        self._meanwhile = "; ".join([SENDING] * kind.sends + [ANSWERING] * kind.answers)
        # When it was seen away, first and last, and when that was said; monotonic, and None while it is there.
        self._since: float | None = None
        self._seen_at = self._said_at = 0.0
        self._looked_at = clock.monotonic()
        self._back_at = -BACK_SECONDS
        # How long it has to be back before it is.
        self._stays = 0.0

    @property
    def is_away(self) -> bool:
        """Whether it is, as the log has it."""
        return self._since is not None

    async def step(self) -> Pace:
        """Looks once, and says what is new."""
        now, away = self._clock.monotonic(), self._away()
        late, self._looked_at = now - self._looked_at > LOOK_SECONDS + LATE_SECONDS, now
        if away is not None:
            if self._since is not None or not late:
                self._see(now, away)
        elif self._since is not None and now - self._seen_at >= self._stays:
            event("ledger_back", away_seconds=round(now - self._since))
            self._since, self._back_at = None, now
        return Pace.IDLE

    def _see(self, now: float, away: Away) -> None:
        self._seen_at = now
        if self._since is None:
            self._since, self._said_at = now - away.seconds, now
            self._stays = BACK_SECONDS if now - self._back_at < BACK_SECONDS else 0.0
            event(AWAY, level=logging.WARNING, reason=away.why, meanwhile=self._meanwhile)
        elif now - self._said_at >= SAID_SECONDS:
            self._said_at = now
            event(AWAY, level=logging.WARNING, for_seconds=round(now - self._since), reason=away.why)
