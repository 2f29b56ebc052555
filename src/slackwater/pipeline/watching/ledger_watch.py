"""Says that the ledger's database cannot be used, for as long as that lasts, and that it can be used again: three lines of a log.

Every stage finds that out, and so does each call of the API; they go on trying, and none of them says it. Before: who uses the
database, and notes what comes of that. After: whoever reads the log, and wonders what is lost. Nothing is.
"""

import logging
from collections.abc import Callable

from slackwater.core.members import Kind
from slackwater.pipeline.loops import AWAY, Pace
from slackwater.ports import Away, Clock
from slackwater.telemetry import event

LOOK_SECONDS = 1.0
# How often it is said again.
SAID_SECONDS = 30.0
# It has to be back for so long: one that comes and goes is away.
BACK_SECONDS = 3.0
SENDING = "after some ten seconds nothing new is sent to engines, answers that come are kept in memory"
ANSWERING = "calls are answered with 503"


class LedgerWatch:
    """Looks once a second."""

    def __init__(self, clock: Clock, kind: Kind, away: Callable[[], Away | None]) -> None:
        """`away`: that it cannot be used, by now."""
        self._clock = clock
        self._away = away
        self._meanwhile = "; ".join([SENDING] * kind.sends + [ANSWERING] * kind.answers)
        # When it was seen away, first and last; monotonic, and None while it is there.
        self._since: float | None = None
        self._seen_at = self._said_at = 0.0
        self._said = False

    async def step(self) -> Pace:
        """Looks once, and says what is new."""
        now, away = self._clock.monotonic(), self._away()
        if away is not None:
            self._is_away(now, away)
        elif self._since is not None and now - self._seen_at >= BACK_SECONDS:
            if self._said:
                event("ledger_back", away_seconds=round(self._seen_at - self._since))
            self._since, self._said = None, False
        return Pace.IDLE

    def _is_away(self, now: float, away: Away) -> None:
        self._seen_at = now
        if self._since is None:
            # A process that stood still itself sees it away once.
            self._since = now - away.seconds
        elif not self._said:
            self._said, self._said_at = True, now
            event(AWAY, level=logging.WARNING, reason=away.why, meanwhile=self._meanwhile)
        elif now - self._said_at >= SAID_SECONDS:
            self._said_at = now
            event(AWAY, level=logging.WARNING, for_seconds=round(now - self._since), reason=away.why)
