"""Whose trouble is it? The history of one line, and what becomes of it. Comes before every second call for a line.

A line that failed is not judged at once but when it may be sent again: by then it is known what became of others through
the same door in the same moments. If they came through, it is the line's own trouble, and costs it one of its attempts. If
nobody did, it is the door's or the engine's, and costs nothing: an outage must not fail a hundred thousand lines.

| what came | the line |
|---|---|
| its own fault (400, 413, 422) | ends at once |
| refused (401, 403, 404, 405, 407, 3xx) while others come through | tried once more, then ends with that answer |
| 5xx, broken off, too late, unreadable, while others come through | one attempt; ends after its last one |
| busy, without a wait, while others come through | waits alone; ends after 20 waits over more than 10 minutes |
| "the account may not go on", while others come through | waits alone; ends after 5 waits over more than 10 minutes |
| all of these while nobody comes through | waits, and nothing is counted |
| our own exception | tried again; ends after the third |
| 5xx, broken off and the like, `calls_max` times, whatever became of others | ends with that |
| it was alone when the engine died | ends, named |
"""

from collections.abc import Sequence
from enum import Enum

from msgspec import Struct

from slackwater.core.sending.door import Door
from slackwater.core.sending.evidence import Evidence, Kind
from slackwater.core.sending.request import Reply
from slackwater.core.sending.rereading import Rereading

# A line is refused for good by so many refusals, and told "busy" by so many waits over so many seconds.
REFUSALS_MAX = 2
WAITS_MAX = 20
WAITING_SECONDS = 600.0
# Who is told that the account may not go on is told less often, and waits so many times longer in between.
BLOCKS_MAX = 5
BLOCKED_PATIENCE = 4
# Our own exceptions in one line.
FAULTS_MAX = 3
# Deaths after which a line is sent alone.
DEATHS_MAX = 2
# So often a last attempt is not counted, because our own request failed beside it. It may be wrong, as lines may.
SPARED_MAX = 3
# What comes back as HTML, a stream or nothing is paid for so often, and no more.
UNREADABLE_MAX = 2
# A line whose judgement waits for a request of ours.
HOLD_SECONDS = 0.25
# What is judged by what became of others.
COMPARED = frozenset({Kind.TROUBLE, Kind.LOST, Kind.REFUSED, Kind.BLOCKED, Kind.BUSY})


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """How stubborn to be. Delays are seconds and double per attempt, each drawn between half and all of its value."""

    attempts_max: int = 5
    calls_max: int | None = None
    """Calls of a line that were taken and brought nothing, in an outage or not: they may have to be paid for. None: no limit."""
    stays_unreadable: bool = True
    """Whether an engine that has never given a readable answer is believed: its lines end, and are not paid for again."""
    delay_first: float = 0.5
    delay_max: float = 30.0

    def delay(self, attempt: int, *, chance: float) -> float:
        """Seconds to wait after the `attempt`-th failure (from 1). `chance` in [0, 1) spreads callers apart."""
        return min(self.delay_max, self.delay_first * 2.0 ** min(attempt - 1, 30)) * (0.5 + chance / 2)


class Setback(Struct, frozen=True):
    """A call that did not end its line: what it says, when it was out, and what the line would end with."""

    evidence: Evidence
    begun: float
    ended: float
    reply: Reply | None = None
    """The answer, where there was one."""
    code: str = ""
    message: str = ""
    """What an error line says where there was none."""
    region: str = ""
    """Where the backend stands that answered."""
    attempts_max: int | None = None
    """Fewer attempts than others have, because another one is not worth its price."""


class Verdict(Enum):
    """What becomes of a line whose time has come."""

    SEND = "send"
    """It is sent."""
    HOLD = "hold"
    """A request of ours is to settle something first."""
    FAIL = "fail"
    """It ends with what its last call brought."""
    CULPRIT = "culprit"
    """It ends because the engine dies of it."""
    UNREADABLE = "unreadable"
    """It ends because its bytes in the input are not what they were when it was validated."""


class Trial:
    """The history of one line that did not end with its first call."""

    __slots__ = (
        "alone",
        "attempts",
        "calls",
        "culprit",
        "deaths",
        "door",
        "doors",
        "due",
        "excused",
        "faults",
        "last",
        "reading",
        "refusals",
        "spared",
        "unjudged",
        "unread",
        "waits",
        "waits_since",
    )

    def __init__(self) -> None:
        self.attempts = 0
        """Calls that count."""
        self.calls = 0
        """Calls that were taken and brought nothing, counted or not."""
        self.refusals = self.waits = self.deaths = self.faults = self.unread = self.spared = 0
        self.waits_since = 0.0
        self.reading: Rereading | None = None
        """Its body could not be read again."""
        self.last: Setback | None = None
        self.door: Door | None = None
        """Where it failed last."""
        self.doors: tuple[Door, ...] = ()
        """Where it has failed."""
        self.due = 0.0
        """When it may be sent again, while it waits."""
        self.unjudged = False
        self.excused = False
        """The engine died under its call, which was known before the call had ended."""
        self.alone = False
        """Its last call had the engine to itself."""
        self.culprit = False
        """The engine has died of it, as far as can be told."""

    def failed(self, setback: Setback, door: Door, policy: RetryPolicy, *, chance: float) -> float:
        """A call has brought this. Returns in how many seconds the line is to be judged."""
        self.last, self.door, self.unjudged = setback, door, not self.excused
        if self.excused:
            self.excused = False
        elif door not in self.doors:
            self.doors += (door,)
        kind = setback.evidence.kind
        self.calls += kind in (Kind.TROUBLE, Kind.LOST)
        if kind in (Kind.BUSY, Kind.BLOCKED):
            if not self.waits:
                self.waits_since = setback.ended
            if kind is Kind.BLOCKED:
                # For how long, is the door's affair, if it is its account at all. It is no matter of moments.
                return BLOCKED_PATIENCE * policy.delay(self.waits + 1, chance=chance)
            # Waits that an engine asked for are not the line's; they are over when they are over.
            return setback.evidence.wait or policy.delay(self.waits + 1, chance=chance)
        if kind in (Kind.TROUBLE, Kind.LOST):
            if self.attempts + 1 >= self._most(policy) or self._called_enough(policy):
                # It is not sent again if this one counts.
                return HOLD_SECONDS
            delay = policy.delay(self.attempts + 1, chance=chance)
            return max(delay, setback.evidence.wait or 0.0)
        return policy.delay(1, chance=chance) / 2

    def _most(self, policy: RetryPolicy) -> int:
        """Attempts that it has, after what came last."""
        assert self.last is not None, "a line that failed has a last call"
        return min(policy.attempts_max, self.last.attempts_max or policy.attempts_max)

    def _called_enough(self, policy: RetryPolicy) -> bool:
        """Whether it may not be called again, whosever trouble it was."""
        return policy.calls_max is not None and self.calls >= policy.calls_max

    def suspected(self, *, sole: bool, ending: bool = False) -> None:
        """It was out when the engine died. That is no failure, unless it had the engine to itself (`sole`).

        `ending`: that was known before its call had ended, and `failed` comes after this.
        """
        self.deaths += 1
        self.culprit = self.culprit or sole
        self.excused = ending
        self.unjudged = False
        # It avoids no door for that: if it kills engines, it had better not try them all.
        self.door, self.doors = None, ()

    def passes_by(self, door: Door, others: Sequence[Door]) -> bool:
        """Whether it is left to another door of those that are open: one where it has not failed, or not failed last."""
        if door not in self.doors or not others:
            return False
        return door is self.door or any(each not in self.doors for each in others)

    @property
    def goes_alone(self) -> bool:
        """Whether it was there too often when an engine died."""
        return self.deaths >= DEATHS_MAX

    def judge(self, policy: RetryPolicy, *, now: float) -> Verdict:
        """What becomes of it now. Asked again after HOLD, with a request of ours behind the door meanwhile."""
        if self.culprit:
            return Verdict.CULPRIT
        setback, door = self.last, self.door
        if setback is not None and self._called_enough(policy):
            return Verdict.FAIL
        if not self.unjudged or setback is None or door is None:
            return Verdict.SEND
        begun, ended = setback.begun, setback.ended
        kind = setback.evidence.kind
        others = door.near(begun, min(now, ended))
        verdict = Verdict.SEND
        if not others and kind in COMPARED and door.asks:
            # By itself: what becomes of our own request says whose trouble it is, and that may take longer than the line's wait.
            return Verdict.HOLD
        if others and kind is Kind.REFUSED:
            if self._unsettled(door, ended, now):
                return Verdict.HOLD
            if door.open and (door.mute or door.came_soon_after(ended, now)):
                self.refusals += 1
                verdict = Verdict.FAIL if self.refusals >= REFUSALS_MAX else Verdict.SEND
        elif others and kind in (Kind.TROUBLE, Kind.LOST):
            if self._unsettled(door, ended, now):
                return Verdict.HOLD
            last = self.attempts + 1 >= self._most(policy)
            if last and self.spared < SPARED_MAX and door.failed_ourselves(begun):
                # Neither did our own request come through just then: that was not the line's doing.
                self.spared += 1
            elif door.open or (door.mute and not last):
                self.attempts += 1
                verdict = Verdict.FAIL if last else Verdict.SEND
        elif (
            policy.stays_unreadable
            and kind is Kind.TROUBLE
            and setback.attempts_max is not None
            and not door.pulse.ever
        ):
            # An engine that has never said anything that could be read: it is not paid again and again to do so.
            self.unread += 1
            if self.unread >= setback.attempts_max:
                verdict = Verdict.FAIL
        elif others and (kind is Kind.BLOCKED or (kind is Kind.BUSY and setback.evidence.wait is None)):
            self.waits += 1
            if (
                self.waits >= (BLOCKS_MAX if kind is Kind.BLOCKED else WAITS_MAX)
                and now - self.waits_since >= WAITING_SECONDS
            ):
                verdict = Verdict.FAIL
        self.unjudged = False
        return verdict

    def _unsettled(self, door: Door, ended: float, now: float) -> bool:
        """A line only pays where others came through behind it as well: an outage may have begun."""
        if not door.open or door.mute or door.pulse.since(ended):
            return False
        door.ask(now)
        return True
