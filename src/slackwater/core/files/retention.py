"""How long ended batches and files are kept, as the operator says; and when each of them goes.

A rule has a beginning: whatever falls under a new or a changed one has so many days of notice from then on, in which everybody
who looks is told when it goes. Nothing goes without that, whatever a configuration says overnight. Moments are Unix seconds.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from slackwater.core.files.file import File, Purpose

DAY = 86_400
NOTICE_DAYS = 7


class Kept(StrEnum):
    """What a rule is about."""

    BATCHES = "batches"
    """Batches that have ended, from their end on."""
    RESULTS = "results"
    """Output and error files, from their creation on."""
    INPUTS = "inputs"
    """Files for batches that were uploaded or imported, from their creation on; not while a batch reads them."""


PURPOSES = {Kept.RESULTS: Purpose.BATCH_OUTPUT, Kept.INPUTS: Purpose.BATCH}


class Keeping(Struct, frozen=True, kw_only=True):
    """Days for which a resource keeps things; 0 is for ever."""

    batches: int = 0
    results: int = 0
    inputs: int = 0

    def days(self, kept: Kept) -> int:
        """For one of them."""
        return int(getattr(self, kept.value))


class Rule(Struct, frozen=True):
    """What goes after so many days, and since when that is so."""

    kept: Kept
    days: int
    since: int

    def goes_at(self, moment: int) -> int:
        """When something goes whose time began at `moment`."""
        return max(moment + self.days * DAY, self.since + NOTICE_DAYS * DAY)

    def before(self, now: float) -> int | None:
        """What began before this moment goes now; None while nothing does."""
        if now < self.since + NOTICE_DAYS * DAY:
            return None
        return int(now) - self.days * DAY


def taken_up(before: Rule | None, kept: Kept, days: int, *, now: int, skipped: float) -> Rule | None:
    """The rule that is in force from now on; None where things are kept for ever.

    `before` is the one that was, and `skipped` are the seconds by which the clock has gone on while nobody could look: the
    service was away, or the clock was wrong and has been put right. Notice that was not over then goes on after that.
    """
    if not days:
        return None
    if before is None or before.days != days:
        return Rule(kept, days, now)
    if before.since + NOTICE_DAYS * DAY > now - skipped:
        return Rule(kept, days, min(now, before.since + int(skipped)))
    return before


class Retention:
    """The rules of every resource, as they are in force."""

    def __init__(self) -> None:
        self._rules: dict[str, dict[Kept, Rule]] = {}

    def set(self, resource: str, rule: Rule) -> None:
        """From now on this is in force there."""
        self._rules.setdefault(resource, {})[rule.kept] = rule

    def replace(self, rules: Mapping[tuple[str, Kept], Rule]) -> None:
        """From now on these are in force, and no others."""
        self._rules = {}
        for (resource, _), rule in rules.items():
            self.set(resource, rule)

    def rules(self) -> list[tuple[str, Rule]]:
        """All of them, each with its resource."""
        return [(resource, rule) for resource, rules in self._rules.items() for rule in rules.values()]

    def batch_goes_at(self, resource: str, ended_at: int | None) -> int | None:
        """When an ended batch goes; None where it stays, or has not ended."""
        rule = self._rules.get(resource, {}).get(Kept.BATCHES)
        return None if rule is None or ended_at is None else rule.goes_at(ended_at)

    def file_goes_at(self, file: File) -> int | None:
        """When a file goes, by its user's wish or the operator's, whichever is first; None where it stays."""
        moments = [] if file.expires_at is None else [file.expires_at]
        moments += [
            rule.goes_at(file.created_at)
            for kept, rule in self._rules.get(file.resource, {}).items()
            if PURPOSES.get(kept) is file.purpose
        ]
        return min(moments, default=None)
