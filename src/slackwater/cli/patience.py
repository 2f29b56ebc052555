"""When a run stops although lines are left: who refuses everybody, who answers nobody, and what has been spent.

Somebody sits in front of it, or a script waits for its exit code: other than a server, it does not wait for ever. Nothing is
lost by stopping, because no line fails for what is the endpoint's doing (core/sending/judgement.py).
"""

from enum import Enum

from msgspec import Struct

from slackwater.cli.progress import duration
from slackwater.core.accounts.price import written
from slackwater.core.sending.door import SHUT, DoorState
from slackwater.core.sending.evidence import Evidence
from slackwater.core.sending.refusals import unreadable

# So many refusals that are alike are no accident, and nobody wants to see more of them.
REFUSALS_MAX = 20
# What is no answer at all is asked for so often for each line, because it may have been paid for.
UNREADABLE_EACH = 2
# Who is busy, or answers nothing, for less than this, is not worth a word.
SILENT_SECONDS = 5.0
WORDS = {
    DoorState.BUSY: "is busy",
    DoorState.REFUSING: "refuses",
    DoorState.BLOCKED: "is blocked: the account may not go on",
    DoorState.DOWN: "is down",
    DoorState.PAUSED: "is paused",
}


class Cause(Enum):
    """Why a run stops."""

    REFUSED = "refused"
    """The endpoint lets nobody in."""
    UNANSWERED = "unanswered"
    """Nothing has succeeded for too long."""
    SPENT = "spent"
    """The spend guard."""


class Stop(Struct, frozen=True, kw_only=True):
    """A run stops. `said` is why, without a full stop; `evidence` is what the endpoint said, where that is the cause."""

    cause: Cause
    said: str
    evidence: Evidence | None = None


class Seen(Struct, frozen=True, kw_only=True):
    """A run at one moment. Moments are monotonic, amounts as in core/accounts/price.py."""

    now: float
    news: float
    """When something last succeeded or a line last ended; before that, when sending began."""
    left: int
    in_flight: int
    state: DoorState
    reason: str
    since: float
    until: float | None
    refused: tuple[Evidence, int] | None
    """Refusals in a row that are alike, and how many."""
    readable: bool
    """Whether the endpoint has ever given a readable answer."""
    answered: int = 0
    tokens: int = 0
    amount: int = 0


class Patience(Struct, frozen=True, kw_only=True):
    """How long to go on. `give_up_seconds` of 0 is for ever, `amount_max` of None any price."""

    slots: int
    give_up_seconds: float
    amount_max: int | None = None

    def stop(self, seen: Seen) -> Stop | None:
        """Whether the run stops now, and why."""
        return self._refused(seen) or self.spent(seen) or self._unanswered(seen)

    def _refused(self, seen: Seen) -> Stop | None:
        if seen.refused is None or not seen.left:
            return None
        evidence, count = seen.refused
        if unreadable(evidence):
            # One that has answered before has turned into something else only if a request of our own is told so, too.
            if count < min(REFUSALS_MAX, UNREADABLE_EACH * seen.left) or (seen.readable and seen.state not in SHUT):
                return None
        elif seen.state not in SHUT:
            # It takes a request of our own that was refused, too, to tell an endpoint that lets nobody in from bad lines.
            return None
        elif seen.state is not DoorState.BLOCKED and count < min(REFUSALS_MAX, seen.left, self.slots):
            # A model may be loading. An account that may not go on may not in a minute either.
            return None
        what = "gave no readable answer" if unreadable(evidence) else "refused the request"
        times = "once" if count == 1 else f"{count} times in a row"
        return Stop(cause=Cause.REFUSED, said=f"the endpoint {what} {times}: {evidence.reason}", evidence=evidence)

    def spent(self, seen: Seen) -> Stop | None:
        """Whether the answers cost as much as they may."""
        if self.amount_max is None or seen.left <= seen.in_flight:
            # What is out is out: stopping would spare nothing.
            return None
        if seen.answered and not seen.tokens:
            return Stop(
                cause=Cause.SPENT, said="the answers do not say how many tokens they took, so --max-cost cannot be kept"
            )
        # Requests are held back that would cost too much (core/sending/spend_guard.py). Once none is out, one more would.
        more = seen.amount / seen.answered if seen.answered and not seen.in_flight else 0
        if seen.amount < self.amount_max and seen.amount + more <= self.amount_max:
            return None
        return Stop(cause=Cause.SPENT, said=f"--max-cost {money(self.amount_max)} is reached")

    def _unanswered(self, seen: Seen) -> Stop | None:
        if not self.give_up_seconds or not seen.left or seen.now - seen.news < self.give_up_seconds:
            return None
        why, _ = waiting(seen)
        return Stop(
            cause=Cause.UNANSWERED,
            said=f"nothing has succeeded for {duration(self.give_up_seconds)}: {why or 'no answer came'}",
        )


def gives_way(seen: Seen) -> bool:
    """Whether nothing is out because others go first, or a rate limit is used up: that is no sign of an endpoint that is gone."""
    return seen.state is DoorState.OK and bool(seen.reason) and not seen.in_flight


def waiting(seen: Seen) -> tuple[str, str]:
    """What the run waits for, and how long still; both are empty while it does not wait.

    The second changes all the time, the first only with what it waits for.
    """
    since, left = seen.now - seen.since, 0.0 if seen.until is None else seen.until - seen.now
    moments = ", ".join([f"for {duration(since)}"] * (since >= 1.0) + [f"next try in {duration(left)}"] * (left >= 0.5))
    if seen.refused is not None and unreadable(seen.refused[0]) and (not seen.readable or seen.state is DoorState.DOWN):
        said = f"the endpoint gives no readable answer: {seen.refused[0].reason}"
        return said, moments if seen.state is DoorState.DOWN else ""
    if seen.state in SHUT or seen.state is DoorState.PAUSED or _long(seen, seen.since, seen.state is DoorState.BUSY):
        reason = f": {seen.reason}" if seen.reason else ""
        return f"the endpoint {WORDS[seen.state]}{reason}", moments
    if gives_way(seen):
        return seen.reason.rstrip("."), moments
    if _long(seen, seen.news, seen.in_flight > 0):
        return "the endpoint has not answered", f"for {duration(seen.now - seen.news)}"
    return "", ""


def _long(seen: Seen, since: float, so: bool) -> bool:
    return so and seen.now - max(since, seen.news) >= SILENT_SECONDS


def money(amount: int) -> str:
    """An amount for people."""
    return written(amount)
