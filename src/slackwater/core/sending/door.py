"""The state of one door: the way to an engine under one credential and one model name. Says who may go through it now.

A door is shared by every deployment that uses it. Calls bring evidence (evidence.py); where it is not clear whose trouble
something is, the door is in *doubt*: nobody goes through until a request of our own, one token on the same endpoint, has said
whether the lines are bad or the door is. A door that is shut is looked at again after a gap that grows, by such a request
first, then, where that was answered and did not help, by a few lines that have not failed yet.

Every moment is monotonic and comes from the caller. What must hold: nothing that was in flight ends a wait that the engine
asked for; a success that began after a door was shut opens it wide.
"""

import math
from enum import StrEnum

from msgspec import Struct

from slackwater.core.sending.evidence import Evidence, Kind
from slackwater.core.sending.pulse import STEP_SECONDS, Pulse
from slackwater.core.sending.rate_limits import Quota
from slackwater.core.sending.refusals import Refusals

# So many failures in a row, with no success between them, and the door is in doubt. Fewer where it has fewer slots.
DOUBT_AFTER = 10
DOUBT_AFTER_MIN = 3
# So many refusals: a door that lets nobody in is soon seen.
REFUSALS_MAX = 3
# How long a success of our own request vouches for a door through which nothing else succeeds.
VOUCH_SECONDS = 5.0
# Successes so near to a failure show that the door was open then.
NEAR_SECONDS = 2.0
# Requests of our own that judge single lines are at least so far apart.
PROBE_SECONDS = 1.0
# A call broke off, and so long nobody came through behind it: it is looked at whether the engine has died.
SILENCE_SECONDS = 0.5
# Lines that may try a shut door in one round, where our own request was answered and did not succeed.
PROBE_LINES = 3
# Our own request is not believed any more after it has been wrong so often.
LIES_MAX = 2


class DoorState(StrEnum):
    """How a door is, for people."""

    OK = "ok"
    BUSY = "busy"
    """It asked to be left alone until a moment, or answers "busy" only."""
    REFUSING = "refusing"
    """It lets nobody in: a wrong key, a model that is not there, another path."""
    BLOCKED = "blocked"
    """The account behind the key may not go on."""
    DOWN = "down"
    """It answers with errors only, or not at all."""
    PAUSED = "paused"
    """An operator has paused what it belongs to. No door is so by itself: the engine or the deployment is."""


SHUT = (DoorState.DOWN, DoorState.REFUSING, DoorState.BLOCKED)
# What a door is that answers one of our own requests so.
STATES = {Kind.REFUSED: DoorState.REFUSING, Kind.BLOCKED: DoorState.BLOCKED, Kind.BUSY: DoorState.BUSY}


class Gap(Struct):
    """A wait that doubles from `first` to `most`, in seconds."""

    first: float
    most: float
    now: float = 0.0

    def next(self) -> float:
        """The next wait. It is never more than `most`, however often it is asked for."""
        self.now = min(self.most, self.now * 2 or self.first)
        return self.now

    def reset(self) -> None:
        """The next wait is the first one again."""
        self.now = 0.0


class Door:
    """One door. `slots` is how many calls may be out through it at most, over everybody who uses it."""

    __slots__ = (
        "_asked",
        "_asked_until",
        "_block_until",
        "_broke_at",
        "_busy_streak",
        "_doubt",
        "_gaps",
        "_lies",
        "_probe_failed_at",
        "_probed_at",
        "_quiet_from",
        "_refusals",
        "_shut_at",
        "_shut_from",
        "_shut_to",
        "_streak",
        "_vouched_from",
        "_vouched_until",
        "led",
        "look_at",
        "mute",
        "open",
        "pauses",
        "probe_lines",
        "probing",
        "pulse",
        "quota",
        "reason",
        "refusals",
        "since",
        "slots",
        "state",
        "until",
        "wants_probe",
    )

    def __init__(self, *, slots: int) -> None:
        self.slots = slots
        self.pulse = Pulse()
        self.refusals = Refusals()
        self.state = DoorState.OK
        self.open = True
        """Whether lines go through freely, as far as is known."""
        self.reason = ""
        self.since = 0.0
        """Since when it is in this state."""
        self.until = 0.0
        """Nobody goes through before this moment; then, unless it was busy, a probe first."""
        self.wants_probe = False
        """Somebody should send a request of ours through, at once."""
        self.look_at = math.inf
        """When a request of ours should go through, unless somebody comes through before that."""
        self.probing = False
        """That is on its way."""
        self.mute = False
        """There is no request of ours for what is asked here."""
        self.probe_lines = 0
        """How many lines may go through although it is shut."""
        self.pauses = 0
        """How often it has asked to be left alone."""
        self.led = False
        """Whether another member of a cluster looks at it for us (door_words.py)."""
        self.quota: Quota | None = None
        """Its rate limits, once an answer has spoken of any or an operator has told them."""
        self._gaps = {
            DoorState.DOWN: Gap(0.5, 30.0),
            DoorState.REFUSING: Gap(1.0, 60.0),
            DoorState.BLOCKED: Gap(30.0, 3600.0),
            DoorState.BUSY: Gap(0.5, 30.0),
        }
        self._streak = self._refusals = self._busy_streak = self._lies = 0
        self._doubt = False
        # Whether the engine asked for the wait that it is in, and so knows when it is over.
        self._asked = False
        # For which calls a success of our own request speaks.
        self._vouched_from = self._vouched_until = -math.inf
        # Until when it has asked to be left alone, whatever else is known of it.
        self._asked_until = 0.0
        # Until when it has said that the account may not go on, if that is so.
        self._block_until = 0.0
        self._shut_at = 0.0
        # When a call last broke off while it was open.
        self._broke_at = -math.inf
        # When lines last went through only to see whether it is still shut.
        self._shut_from = self._shut_to = math.inf
        # The last success before that.
        self._quiet_from = math.inf
        self._probe_failed_at = self._probed_at = -math.inf

    def admits(self, now: float) -> bool:
        """Whether a line may go through now, if only as a probe."""
        if now < self._asked_until or ((quota := self.quota) is not None and now < quota.wait_until):
            return False
        if self.open:
            return True
        state = self.state
        if state is DoorState.OK:
            return False
        if state is DoorState.BUSY and self._asked:
            return now >= self.until
        return self.probe_lines > 0

    @property
    def shut(self) -> bool:
        """Whether lines go through only to see if it is still shut."""
        return self._shut_from < math.inf and self._shut_to == math.inf

    @property
    def asks(self) -> bool:
        """Whether it is open, and a request of our own that judges lines is on its way or will be."""
        return self.open and not self.mute and (self.probing or self.wants_probe)

    def due(self, now: float) -> bool:
        """Whether a request of our own should go through now."""
        if self.probing or self.led or now < self._asked_until:
            return False
        if self.wants_probe or self._doubt:
            return True
        if now >= self.look_at and not self.pulse.since(self._broke_at):
            return True
        if self.open and not self.mute and self.quota is not None and self.quota.look_due(now):
            return True
        return self.shut and now >= self.until

    def near(self, begun: float, ended: float) -> bool:
        """Whether others came through about when a call was out: then what became of it is its own trouble."""
        if self._shut_from <= begun < self._shut_to:
            # It was sent to see whether the door is still shut: what was answered to others before says nothing of that.
            return False
        if self._quiet_from <= ended and begun < self._shut_to:
            # It came back between the last success and the moment at which the door was shut: so did the trouble.
            return False
        vouched = ended >= self._vouched_from and begun <= self._vouched_until
        return vouched or self.pulse.between(begun - NEAR_SECONDS, ended + NEAR_SECONDS)

    def looked_at_since(self, moment: float) -> bool:
        """Whether a request of our own has come back since then, whatever it brought."""
        return self._probed_at >= moment

    def failed_ourselves(self, begun: float) -> bool:
        """Whether a request of our own has failed since then."""
        return self._probe_failed_at >= begun

    def came_soon_after(self, ended: float, now: float) -> bool:
        """Whether others came through soon after a call had ended, and not only before: then no outage lay between."""
        if now - ended <= NEAR_SECONDS:
            return self.pulse.since(ended)
        return self.pulse.between(ended + STEP_SECONDS, ended + NEAR_SECONDS)

    # What calls say

    def ask(self, now: float) -> None:
        """A request of ours should settle something about lines, though not more often than now and then.

        A shut door is looked at after its gaps: that those who try it fail as well is no reason to look sooner.
        """
        if not self.shut:
            self.wants_probe = self.wants_probe or now - self._probed_at >= PROBE_SECONDS

    def came_through(self, now: float) -> None:
        """A line's call has succeeded while the door was open: nearly every call, so nothing else is looked at."""
        self.pulse.beat(now)
        if self._streak or self._refusals or self._busy_streak:
            self._streak = self._refusals = self._busy_streak = 0

    def heard(self, evidence: Evidence, *, begun: float, now: float) -> None:
        """A line's call through this door has ended. `begun` is when it was sent."""
        kind = evidence.kind
        silent = kind in (Kind.TROUBLE, Kind.LOST, Kind.REFUSED, Kind.BLOCKED) or (
            kind is Kind.BUSY and evidence.wait is None
        )
        if silent and not self.near(begun, now):
            # Nobody else's success helps to tell whose trouble this is: a request of ours will.
            self.ask(now)
        if kind is Kind.LOST and not self.mute:
            self._broke_off(now)
        if kind is Kind.SUCCESS:
            self._succeeded(begun, now)
            return
        self.refusals.heard(evidence, succeeded=self.pulse.last, now=now)
        if kind is Kind.OWN:
            self._answered(begun, now)
        elif kind is Kind.BUSY and evidence.wait is not None:
            self.pause(now + evidence.wait, evidence.reason, now)
        elif kind is Kind.BUSY:
            self._busy(evidence, begun, now)
        elif kind is Kind.BLOCKED:
            self._blocked(evidence, begun, now)
        elif kind is Kind.REFUSED:
            self._refusals += 1
            if self._refusals >= REFUSALS_MAX or not self.pulse.ever:
                self._question(DoorState.REFUSING, evidence, now)
        elif kind in (Kind.TROUBLE, Kind.LOST):
            self._streak += 1
            if self._streak >= max(DOUBT_AFTER_MIN, min(DOUBT_AFTER, self.slots)):
                self._question(DoorState.DOWN, evidence, now)

    def _broke_off(self, now: float) -> None:
        """A call came so far and no further: the engine may have died of it, and be back before anybody has seen that."""
        if self.shut:
            # Whether it listens is known before another line tries.
            self.wants_probe, self.probe_lines = True, 0
            return
        if self.look_at == math.inf or self.pulse.since(self._broke_at):
            self.look_at = max(now + SILENCE_SECONDS, self._probed_at + PROBE_SECONDS)
        self._broke_at = now

    def _succeeded(self, begun: float, now: float) -> None:
        self.pulse.beat(now)
        self._streak = self._refusals = self._busy_streak = 0
        if self.state is DoorState.OK:
            if self._doubt and begun >= self._shut_at:
                self._doubts(False)
        elif self.state is not DoorState.BUSY and begun >= self._shut_at:
            if now - self._probe_failed_at < NEAR_SECONDS:
                self._lies += 1
            self._open(now)
        elif self.state is DoorState.BUSY and (now >= self.until if self._asked else begun >= self._shut_at):
            self._open(now)

    def _answered(self, begun: float, now: float) -> None:
        """The engine has looked at a request and found fault with it: it works, and others may or may not come through."""
        self._streak = 0
        if self.state is DoorState.DOWN and begun >= self._shut_at:
            self._open(now)

    def pause(self, until: float, reason: str, now: float) -> None:
        """It asked to be left alone until a moment. Nothing that is in flight ends that."""
        self._asked_until = max(self._asked_until, until)
        self._leave_alone(self._asked_until, reason, now)

    def _leave_alone(self, until: float, reason: str, now: float) -> None:
        if self.state is not DoorState.BUSY or not self._asked:
            self._asked = True
            self._enter(DoorState.BUSY, reason, now)
            self._doubts(False)
            self.probe_lines = 0
            self.pauses += 1
        elif now >= self.until:
            self.pauses += 1
        self.until = max(self.until, until)
        self.reason = reason

    def left_alone(self, now: float) -> float:
        """For how many seconds nobody may call, because that was asked for."""
        return max(0.0, self.until - now) if self.state is DoorState.BUSY and self._asked else 0.0

    def end_pause(self, now: float) -> None:
        """The wait was not the door's after all (it is one batch's): others may go on."""
        self._asked_until = now
        if self.state is DoorState.BUSY:
            self._open(now)

    def _busy(self, evidence: Evidence, begun: float, now: float) -> None:
        if self.near(begun, now):
            # Others are served: whoever was not waits alone.
            return
        self._busy_streak += 1
        if self._busy_streak >= min(DOUBT_AFTER_MIN, self.slots):
            self._question(DoorState.BUSY, evidence, now)

    def _blocked(self, evidence: Evidence, begun: float, now: float) -> None:
        """Its account may not go on; or so it says to one line, while others come through under the same credential."""
        self._refusals += 1
        if self._refusals < REFUSALS_MAX and self.near(begun, now):
            return
        if now >= self._vouched_until:
            self._block_until = max(self._block_until, now + (evidence.wait or 0.0))
        if not self.mute and self.state is DoorState.OK:
            self._question(DoorState.BLOCKED, evidence, now)
        elif not self.near(begun, now):
            self._shut(DoorState.BLOCKED, evidence, now)

    def question(self, reason: str, now: float) -> None:
        """Something else speaks against it: nobody goes through before a request of our own has."""
        self._vouched_until = -math.inf
        self._question(DoorState.DOWN, Evidence(Kind.TROUBLE, reason), now)

    def try_with_lines(self, now: float) -> None:
        """There is no request of our own for what is asked here: a few lines find out, or all of them where nothing is shut."""
        self.wants_probe, self.look_at = False, math.inf
        self.mute = True
        if self._doubt:
            self._shut(DoorState.DOWN, Evidence(Kind.TROUBLE, self.reason), now)
        if self.state is not DoorState.OK:
            self.until = now + self._gaps[self.state].next()
            self.probe_lines = PROBE_LINES

    def _question(self, state: DoorState, evidence: Evidence, now: float) -> None:
        """Lines fail and none succeeds. Nobody goes through before that is settled by a request of our own."""
        if self.state is DoorState.BUSY and self._asked and now >= self.until:
            self._open(now)
        if self.state is DoorState.OK and now < self._vouched_until:
            return
        self.reason = evidence.reason
        if self.state is not DoorState.OK:
            return
        if not self._doubt:
            self._doubts(True)
            self._shut_at = now
        if self._lies >= LIES_MAX:
            # It has been wrong too often: lines find out.
            self._shut(state, evidence, now)
            self.until, self.probe_lines = now, PROBE_LINES

    # What our own requests say

    def probed(self, evidence: Evidence, *, begun: float, now: float, answered: bool) -> None:
        """Our own request has come back. `answered`: there was an HTTP answer at all."""
        self.probing = self.wants_probe = self.mute = False
        self._probed_at, self.look_at = now, math.inf
        kind = evidence.kind
        if kind in (Kind.SUCCESS, Kind.OWN):
            self.pulse.beat(now)
            if begun - NEAR_SECONDS > self._vouched_until:
                # It says nothing of what failed long before it: that may have been an outage, which is over now.
                self._vouched_from = begun - NEAR_SECONDS
            self._vouched_until = now + VOUCH_SECONDS
            self._streak = self._refusals = self._busy_streak = 0
            if not (self.state is DoorState.BUSY and self._asked and now < self.until):
                self._open(now)
            return
        self._probe_failed_at = now
        self.refusals.heard(evidence, succeeded=self.pulse.last, now=now)
        # It does not vouch any more for what is sent from now on.
        self._vouched_until = min(self._vouched_until, begun)
        if self.open and self.pulse.since(begun - NEAR_SECONDS):
            # It was asked to judge lines while others come through: that settles nothing.
            return
        if kind is Kind.BUSY and evidence.wait is not None:
            self.pause(now + evidence.wait, evidence.reason, now)
            return
        if self.state is DoorState.BUSY and self._asked and now < self.until and kind is not Kind.BLOCKED:
            # It was out when the door asked to be left alone. When that is over, lines find out.
            return
        state = STATES.get(kind, DoorState.DOWN)
        early = self.shut and begun < self.until
        self._shut(state, evidence, now)
        if answered and not early:
            self.probe_lines = PROBE_LINES

    def unprobed(self) -> None:
        """Our own request was not sent after all."""
        self.probing = False

    # What other members say

    @property
    def asked(self) -> bool:
        """Whether it is busy because it asked for the wait that it is in."""
        return self.state is DoorState.BUSY and self._asked

    def told(self, state: DoorState, reason: str, until: float, now: float) -> None:
        """Another one has found it shut, and looks at it again: nobody goes through before that one says so."""
        self.led, self.wants_probe, self.look_at = True, False, math.inf
        self._asked = False
        if self.state is not state:
            self._enter(state, reason, now)
        self._doubts(False)
        self.probe_lines = 0
        self.reason, self.until = reason, max(until, self._asked_until)

    def reopened(self, now: float) -> bool:
        """The one who looked at it has come through. Returns whether that is news."""
        self.led = False
        if self.state not in SHUT and (self.state is not DoorState.BUSY or self._asked):
            return False
        self._open(now)
        return True

    # States

    def _shut(self, state: DoorState, evidence: Evidence, now: float) -> None:
        self.reason = evidence.reason
        known = self.state is state and now < self.until
        # One that waited because the engine asked for it was busy, and not shut: it is now.
        fresh, self._asked = self.state is not state or self._asked, False
        if fresh:
            self._enter(state, evidence.reason, now)
        self._doubts(False)
        self.probe_lines = 0
        # A hundred calls that end together are one piece of news, and one step of the gap.
        until = self.until if known else now + self._gaps[state].next()
        self.until = max(until, now + (evidence.wait or 0.0), self._asked_until)
        if state is DoorState.BLOCKED:
            self.until = max(self.until, self._block_until)

    def _open(self, now: float) -> None:
        self._block_until = 0.0
        self.led = False
        self._doubts(False)
        self.probe_lines = 0
        if self.state is not DoorState.OK:
            self._enter(DoorState.OK, "", now)
        # Also where it was only doubted: why that was so is over.
        self.reason = ""
        for gap in self._gaps.values():
            gap.reset()
        if now < self._asked_until:
            # It works, and it still wants to be left alone.
            self._leave_alone(self._asked_until, "", now)

    def _enter(self, state: DoorState, reason: str, now: float) -> None:
        shut = state in SHUT or (state is DoorState.BUSY and not self._asked)
        if shut and not self.shut:
            self._shut_from, self._shut_to = now, math.inf
            self._quiet_from = self.pulse.last
        elif self.shut and not shut:
            self._shut_to = now
        self.state = state
        self.open = state is DoorState.OK and not self._doubt
        self.reason = reason
        self.since = self._shut_at = now
        self.until = now

    def _doubts(self, doubt: bool) -> None:
        self._doubt = doubt
        self.open = self.state is DoorState.OK and not doubt

    # What operators say

    def look_now(self, now: float) -> bool:
        """If it is shut, a request of our own goes at once: somebody has to know whether anybody is behind it.

        Returns whether that is news: one that is on its way, or due, is not sent sooner.
        """
        if not self.shut or self.probing or self.until <= now:
            return False
        self.until = now
        return True

    def try_now(self, now: float) -> None:
        """Whatever it waits for, it is looked at at once, by a request of our own. Nobody else goes through before that."""
        if self.state is DoorState.OK:
            return
        self.led = False
        self._asked_until, self._block_until = now, 0.0
        if self._asked:
            # A wait that it asked for is over for us, and not for sure for it.
            since, self._asked = self.since, False
            self._enter(self.state, self.reason, now)
            self.since = since
        self.until = now
        for gap in self._gaps.values():
            gap.reset()
