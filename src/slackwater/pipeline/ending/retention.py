"""What the operator does not keep goes: ended batches, results and inputs, a few at a time, and the ledger gets smaller.

Before: an end, and days. After: nothing. Everything here may be done twice without harm: bytes go after their row.
"""

from collections.abc import Mapping

from slackwater.core.files.retention import NOTICE_DAYS, PURPOSES, Keeping, Kept, Retention, Rule, taken_up
from slackwater.pipeline.loops import Pace
from slackwater.pipeline.wall_clock import BELIEVED, Wall
from slackwater.ports import BlobStore, Clock, RetentionLedger
from slackwater.telemetry import event, meters

# Rows that one round removes: a transaction of a few milliseconds, which results wait for.
ROUND = 200
# Pages that one round gives back to the disk, at 4 KiB each.
PAGES_ROUND = 500
# An event for every single batch would be a log of its own: what has gone is told once in so many seconds.
TELL_SECONDS = 60.0


class RetentionJanitor:
    """Removes what has been kept for long enough."""

    def __init__(
        self,
        ledger: RetentionLedger,
        blobs: BlobStore,
        clock: Clock,
        retention: Retention,
        keeping: Mapping[str, Keeping],
        *,
        wall: Wall = BELIEVED,
    ) -> None:
        """`keeping` has every resource that is served; `retention` is filled with their rules at the start."""
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._retention = retention
        # Days of each rule, as whoever was started last has said.
        self._days = {(resource, kept): each.days(kept) for resource, each in keeping.items() for kept in Kept}
        self._wall = wall
        # Of the seconds that the clock has skipped, those for which notice has been given again.
        self._skipped = 0.0
        self._gone: dict[tuple[str, Kept], int] = {}
        self._tell_at = 0.0

    async def start(self) -> None:
        """Takes up the rules: one that is new or has changed begins now, and says so."""
        await self._take_up(await self._ledger.retention_rules())

    async def _take_up(self, before: Mapping[tuple[str, Kept], Rule]) -> None:
        """Puts the rules in force; `before` are those that were. Nothing is written where nothing has changed."""
        now, skipped = int(self._clock.now()), self._wall.skipped - self._skipped
        self._skipped += skipped
        for (resource, kept), days in self._days.items():
            was = before.get((resource, kept))
            rule = taken_up(was, kept, days, now=now, skipped=skipped)
            if rule != was:
                await self._ledger.set_rule(resource, kept, rule)
            if rule is None:
                continue
            self._retention.set(resource, rule)
            if rule != was:
                seconds = max(0, rule.goes_at(0) - now)
                event("retention_begins", resource=resource, kept=kept, days=rule.days, seconds_until_first=seconds)

    async def read(self) -> None:
        """Puts in force what another server has written down: what was said last counts for all."""
        rules = await self._ledger.retention_rules()
        self._days = {each: rules[each].days if each in rules else 0 for each in {*self._days, *rules}}
        self._retention.replace(rules)

    async def step(self) -> Pace:
        """One round over every rule."""
        if not self._wall.may_expire():
            return Pace.IDLE
        if self._wall.skipped > self._skipped:
            await self._take_up({(resource, rule.kept): rule for resource, rule in self._retention.rules()})
        gone = 0
        for resource, rule in self._retention.rules():
            before = rule.before(self._clock.now())
            if before is None:
                continue
            count = await self._remove(resource, rule.kept, before)
            if count:
                gone += count
                meters.retention_removed[rule.kept.value] += count
                self._gone[resource, rule.kept] = self._gone.get((resource, rule.kept), 0) + count
        self._tell()
        # Room that rows have left is given back in steps; it is also what later rows are written to.
        given_back = 0 if gone else await self._ledger.give_back_pages(PAGES_ROUND)
        return Pace.BUSY if gone or given_back else Pace.IDLE

    async def _remove(self, resource: str, kept: Kept, before: int) -> int:
        if kept is Kept.BATCHES:
            return len(await self._ledger.forget_batches(resource, ended_before=before, limit=ROUND))
        files = await self._ledger.forget_files(resource, PURPOSES[kept], created_before=before, limit=ROUND)
        for file in files:
            if not await self._ledger.blob_in_use(file.blob):
                await self._blobs.delete(file.blob)
        return len(files)

    def _tell(self) -> None:
        now = self._clock.monotonic()
        if not self._gone or now < self._tell_at:
            return
        self._tell_at = now + TELL_SECONDS
        for (resource, kept), count in self._gone.items():
            event("retention_removed", resource=resource, kept=kept, count=count, notice_days=NOTICE_DAYS)
        self._gone.clear()
