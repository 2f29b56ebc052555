"""An engine that can tell of each request who asked for it, when, and what became of it. For longer than any member lives."""

import bisect
import contextlib
from collections import defaultdict
from collections.abc import Iterator

from msgspec import Struct

from tests.cluster.sampled_engine import SampledEngine

# How often it notes how much of it is used.
SAMPLE_SECONDS = 0.05


class Asked(Struct):
    """One request. Moments of the monotonic clock."""

    text: str
    member: str
    at: float
    ended_at: float = 0.0
    """0 while it is out."""
    answered: bool = False


class Witness(SampledEngine):
    """The engine. Members are told apart by the key that each of them has."""

    def __init__(self, *, shortest: float, longest: float) -> None:
        super().__init__(shortest=shortest, longest=longest)
        self.requests: list[Asked] = []
        """All of them, the earliest first."""
        self._of: dict[str, list[Asked]] = defaultdict(list)
        self._use_at: list[float] = []
        self._use: list[float] = []

    @contextlib.contextmanager
    def serving(self, host: str = "127.0.0.1") -> Iterator["Witness"]:
        with super().serving(host):
            self._loop.call_soon_threadsafe(self._sample)
            yield self

    def _sample(self) -> None:
        self.account()
        # Whoever asks on another thread goes by the moments that there are: each has its use by then.
        self._use.append(self.used)
        self._use_at.append(self._loop.time())
        self._loop.call_later(SAMPLE_SECONDS, self._sample)

    def begins(self, text: str, key: str) -> Asked:
        super().begins(text, key)
        asked = Asked(text=text, member=key, at=self._loop.time())
        self.requests.append(asked)
        self._of[text].append(asked)
        return asked

    def ends(self, asked: object, *, answered: bool) -> None:
        super().ends(asked, answered=answered)
        assert isinstance(asked, Asked)
        asked.ended_at, asked.answered = self._loop.time(), answered

    # What it can tell

    def out_of(self, member: str, now: float, *, commit_seconds: float) -> set[str]:
        """What a member loses that ends now: texts that are out, and those whose answer came in the last commit interval."""
        return {
            each.text
            for each in self._later(now - 60)
            if member in ("", each.member)
            and each.at <= now
            and (not each.ended_at or each.ended_at > now or (each.answered and each.ended_at > now - commit_seconds))
        }

    def out_to(self, member: str) -> int:
        """How many requests of a member are out."""
        return sum(each.member == member and not each.ended_at for each in self._later(self._loop.time() - 60))

    def asked_again(self, begin: float, end: float) -> set[str]:
        """Texts that came between two moments, and not for the first time."""
        return {each.text for each in self._later(begin) if each.at < end and self._of[each.text][0] is not each}

    def answered_before(self, text: str, moment: float) -> float:
        """How long before a moment the first answer to a text came; 0 where none did."""
        ends = [each.ended_at for each in self._of[text] if each.answered and each.ended_at < moment]
        return moment - min(ends) if ends else 0.0

    def asked_by(self, member: str, since: float) -> int:
        """How many requests a member has sent since then."""
        return sum(each.member == member for each in self._later(since))

    def _later(self, moment: float) -> list[Asked]:
        return self.requests[bisect.bisect_left(self.requests, moment, key=lambda each: each.at) :]

    def use(self, begin: float, end: float) -> float:
        """How many requests were out between two moments, in the mean."""
        first, last = (min(len(self._use_at) - 1, bisect.bisect_left(self._use_at, each)) for each in (begin, end))
        took = self._use_at[last] - self._use_at[first]
        return (self._use[last] - self._use[first]) / took if took else 0.0

    def full_again(self, died_at: float, now: float, *, least: float, window: float = 1.0) -> float | None:
        """Seconds until as much was out as before, over a window; 0 where it never was less. None where it still is less."""
        before = self.use(died_at - 3.0, died_at)
        begin = died_at
        dropped = False
        while begin + window <= now:
            low = self.use(begin, begin + window) < least * before
            if dropped and not low:
                return begin - died_at
            dropped = dropped or low
            if not dropped and begin > died_at + 3.0:
                return 0.0
            begin += SAMPLE_SECONDS
        return None if dropped else 0.0
