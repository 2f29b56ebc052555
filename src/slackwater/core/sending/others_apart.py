"""What others use of a limit that members of a cluster divide: what goes from it, less what went out here and at the members.

What members have sent is told a second late, with when that was (late_peers.py). Until then what an answer has said of the limit
waits, so that a burst of theirs is not taken for others'. Moments are monotonic.
"""

from collections import deque
from collections.abc import Mapping

from msgspec import Struct

from slackwater.core.sending.late_peers import CLOCKS_SECONDS, FarPeer

# Answers so near to the last that counts say nothing more, and so many wait at most.
APART_SECONDS, WAITING_MAX = 0.5, 128


class _Point(Struct, frozen=True):
    at: float
    used: float
    own: float
    window: int | None
    """Which window it was; None for a bucket."""
    began: float
    """When that began, and what had gone out here before that."""
    before: float


class OthersApart:
    """That of one limit. Amounts are tokens or requests."""

    def __init__(self) -> None:
        self._waiting: deque[_Point] = deque(maxlen=WAITING_MAX)
        self._last: tuple[_Point, float, frozenset[str]] | None = None

    def note(
        self, at: float, used: float, own: float, *, window: int | None = None, began: float = 0.0, before: float = 0.0
    ) -> None:
        """An answer to what was sent then says that so much was used by all, since its `window` began where it has any.

        `own` is what had gone out here in all, and `before` what had before the window.
        """
        if not self._waiting or at - self._waiting[-1].at >= APART_SECONDS:
            self._waiting.append(_Point(at, used, own, window, began, before))

    def told(
        self, peers: Mapping[str, FarPeer], *, ahead: float, tokens: bool
    ) -> list[tuple[float, float, int | None]]:
        """What members have sent. Returns what others have used, in how many seconds, and of which window.

        `ahead` is how far the ledger's clock is of ours. A word has tokens as what was sent, and requests as what was looked up.
        """
        found: list[tuple[float, float, int | None]] = []

        def theirs_at(moment: float) -> float:
            words = [peer.at(moment + ahead) for peer in peers.values()]
            return sum(word.sent if tokens else word.looked_up for word in words)

        until = min((peer.until for peer in peers.values()), default=float("inf")) - ahead - CLOCKS_SECONDS
        names = frozenset(peers)
        while self._waiting and self._waiting[0].at <= until:
            point = self._waiting.popleft()
            theirs = theirs_at(point.at)
            if self._last is not None:
                last, before, who = self._last
                if last.window != point.window:
                    # The first of its window: what was used before it in the same one was somebody's, too.
                    last = _Point(point.began, 0.0, point.before, point.window, point.began, 0.0)
                    before = theirs_at(point.began)
                if who == names and point.at > last.at:
                    used = (point.used - last.used) - (point.own - last.own) - (theirs - before)
                    found.append((used, point.at - last.at, point.window))
            self._last = point, theirs, names
        return found
