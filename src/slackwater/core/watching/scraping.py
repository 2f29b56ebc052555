"""Which of several servers shows on its metrics page what is the same for all of them, so that a sum over their pages is right.

It is the one whose page has been asked for longest, over and over: that one is certainly read. The others leave it out. Where the
one that shows it is asked no more, or is gone, the next one does; for one scrape, both may have it or neither. Before one
is known to be asked over and over, it is the first by name of those that can be asked.
"""

from collections.abc import Iterable

# Who has not been asked for so long is not scraped any more: a few times as long as between two scrapes.
SCRAPED_SECONDS = 180.0
# What one says of itself every two seconds, and others read as often, all have heard by then.
HEARD_SECONDS = 5.0


class Scrapes:
    """Remembers whether somebody asks for a page over and over."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._last = self._again = 0.0

    def asked(self, now: float) -> None:
        """Somebody asks for it. Moments of one clock for all servers."""
        if self._first is None or now - self._last > SCRAPED_SECONDS:
            self._first = now
        elif self._last <= self._first:
            self._again = now
        self._last = now

    def since(self, now: float) -> float | None:
        """Since when it is asked for. None: not at all any more, or for the first time, perhaps by a person."""
        if self._first is None or self._last <= self._first or now - self._last > SCRAPED_SECONDS:
            return None
        return self._first

    def heard(self, now: float) -> float | None:
        """The same, once the others have heard it."""
        return self.since(now) if now - self._again >= HEARD_SECONDS else None


def shows(since: float | None, member: str, others: Iterable[tuple[float, str]], pages: Iterable[str] = ()) -> bool:
    """Whether this one shows it; `others` are those that are asked, too, each with since when, `pages` all others that can be."""
    asked = [*others, *([] if since is None else [(since, member)])]
    return min(asked)[1] == member if asked else all(member < each for each in pages)
