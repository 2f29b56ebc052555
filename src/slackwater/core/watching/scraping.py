"""Which of several servers shows on its metrics page what is the same for all of them, so that a sum over their pages is right.

It is the one whose page has been asked for longest, over and over: that one is certainly read. The others leave it out. Where the
one that shows it is asked no more, or is gone, the next one does; for one scrape, both may have it or neither.
"""

from collections.abc import Iterable

# Who has not been asked for so long is not scraped any more: a few times as long as between two scrapes.
SCRAPED_SECONDS = 180.0


class Scrapes:
    """Remembers whether somebody asks for a page over and over."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._last = 0.0

    def asked(self, now: float) -> None:
        """Somebody asks for it. Moments of one clock for all servers."""
        if self._first is None or now - self._last > SCRAPED_SECONDS:
            self._first = now
        self._last = now

    def since(self, now: float) -> float | None:
        """Since when it is asked for. None: not at all any more, or for the first time, perhaps by a person."""
        if self._first is None or self._last <= self._first or now - self._last > SCRAPED_SECONDS:
            return None
        return self._first


def shows(since: float | None, member: str, others: Iterable[tuple[float, str]]) -> bool:
    """Whether this one shows it; `others` are those that are asked, too, each with since when."""
    first = min(others, default=None)
    return first is None or (since is not None and (since, member) < first)
