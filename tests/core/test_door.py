"""The way to an engine under one credential and model name: who may go through it, and when it is looked at again."""

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from slackwater.core.sending.door import (
    DOUBT_AFTER,
    DOUBT_AFTER_MIN,
    LIES_MAX,
    PROBE_LINES,
    PROBE_SECONDS,
    REFUSALS_MAX,
    Door,
    DoorState,
    Gap,
)
from slackwater.core.sending.evidence import SUCCESS, Evidence, Kind
from tests.chosen import examples

TROUBLE = Evidence(Kind.TROUBLE, "status 500")
LOST = Evidence(Kind.LOST, "broke off")
REFUSED = Evidence(Kind.REFUSED, "status 401")
OWN = Evidence(Kind.OWN, "status 400")
BUSY = Evidence(Kind.BUSY, "status 429")
BLOCKED = Evidence(Kind.BLOCKED, "status 429 (insufficient_quota)")
# Long enough after the last success for it to say nothing any more.
T = 1000.0


def busy(seconds: float) -> Evidence:
    """Told to wait."""
    return Evidence(Kind.BUSY, "status 429", seconds)


def door(*, slots: int = 64, succeeded: float | None = 0.0) -> Door:
    """A door through which something has come, once."""
    made = Door(slots=slots)
    if succeeded is not None:
        made.heard(SUCCESS, begun=succeeded, now=succeeded)
    return made


def probed(each: Door, evidence: Evidence, now: float, *, answered: bool = True) -> None:
    """Our own request goes out where one is due, and brings this at once."""
    assert each.due(now), f"no request of ours is due at {now}"
    each.probing = True
    assert not each.due(now), "one at a time"
    each.probed(evidence, begun=now, now=now, answered=answered)


def shut(evidence: Evidence = TROUBLE, *, now: float = T) -> Door:
    """A door whose lines and whose probe have brought this."""
    made = door()
    for _ in range(DOUBT_AFTER):
        made.heard(evidence, begun=now, now=now)
    assert not made.admits(now)
    if made.due(now):
        probed(made, evidence, now)
    return made


# Doubt


def test_failures_while_nobody_succeeds_are_settled_by_a_request_of_ours() -> None:
    """After a few in a row nobody goes through, and one request of our own does."""
    each = door()
    for _ in range(DOUBT_AFTER - 1):
        each.heard(TROUBLE, begun=T, now=T)
        assert each.admits(T)
    each.heard(TROUBLE, begun=T, now=T)
    assert not each.admits(T)
    assert each.state is DoorState.OK
    probed(each, TROUBLE, T)
    assert (each.state, each.reason, each.since) == (DoorState.DOWN, TROUBLE.reason, T)


def test_a_success_between_failures_leaves_no_doubt() -> None:
    """A bad line here and there is no trouble of the door's, however many there are in all."""
    each = door()
    for second in range(1000):
        for _ in range(DOUBT_AFTER - 1):
            each.heard(TROUBLE, begun=second, now=second)
        each.heard(SUCCESS, begun=second, now=second)
        assert each.open


def test_an_old_reason_does_not_stand_beside_a_good_state() -> None:
    """Why it was doubted is over once it is settled, also where it was never shut; and who vouches for it leaves no new doubt."""
    each = door()
    each.question("connection refused", T)
    assert (each.state, each.reason, each.admits(T)) == (DoorState.OK, "connection refused", False)
    probed(each, SUCCESS, T)
    assert (each.state, each.reason, each.admits(T)) == (DoorState.OK, "", True)
    for _ in range(DOUBT_AFTER):
        each.heard(TROUBLE, begun=T + 0.1, now=T + 0.1)
    assert (each.state, each.reason, each.admits(T + 0.1)) == (DoorState.OK, "", True)


@pytest.mark.parametrize(("slots", "failures"), [(1, DOUBT_AFTER_MIN), (5, 5), (64, DOUBT_AFTER)])
def test_a_small_door_is_doubted_sooner(slots: int, failures: int) -> None:
    """A door with one slot would otherwise pay ten calls, one after the other, to see what three tell."""
    each = door(slots=slots)
    for _ in range(failures):
        assert each.open
        each.heard(LOST, begun=T, now=T)
    assert not each.open


def test_our_own_success_vouches_for_a_door() -> None:
    """The lines are bad: they go on failing, at their own attempts, and the door is not asked about each of them."""
    each = door()
    for _ in range(DOUBT_AFTER):
        each.heard(TROUBLE, begun=T, now=T)
    probed(each, SUCCESS, T)
    asked, now = 0, T
    for step in range(1000):
        now = T + step / 20
        if each.due(now):
            probed(each, SUCCESS, now)
            asked += 1
        each.heard(TROUBLE, begun=now, now=now)
        assert each.near(now, now), "what fails is the line's own trouble"
    assert each.state is DoorState.OK
    assert asked <= (now - T) / PROBE_SECONDS


def test_a_request_of_ours_that_is_refused_as_bad_opens_the_door() -> None:
    """Somebody behind it has read it, which is all that we want to know."""
    each = shut()
    each.probed(OWN, begun=T + 1, now=T + 1, answered=True)
    assert each.open


def test_a_success_of_ours_says_nothing_of_an_outage_that_is_over() -> None:
    """What failed a minute before it failed for another reason: that does not become the lines' own trouble."""
    each = shut()
    assert not each.near(T, T)
    now = T + 60
    probed(each, SUCCESS, now)
    assert each.open
    assert not each.near(T, T)
    assert each.near(now, now + 1)


@pytest.mark.parametrize("evidence", [TROUBLE, REFUSED])
def test_who_tries_a_shut_door_is_not_compared_with_who_came_before(evidence: Evidence) -> None:
    """Others came through a second ago, and then the door was shut: what a probe meets there is not its own trouble."""
    each = door()
    each.heard(SUCCESS, begun=T - 0.1, now=T - 0.1)
    for _ in range(DOUBT_AFTER):
        each.heard(evidence, begun=T, now=T)
    assert each.near(T - 0.01, T), "who was out at the boundary cannot be told apart"
    probed(each, evidence, T)
    assert not each.near(T + 0.5, T + 0.6)
    each.heard(SUCCESS, begun=T + 1.0, now=T + 1.1)
    assert not each.near(T + 0.5, T + 0.6)
    assert each.near(T + 1.2, T + 1.3)


def test_nothing_is_near_at_the_beginning_of_time() -> None:
    """A clock may begin at nought: nobody has succeeded there."""
    each = Door(slots=1)
    assert not each.near(0.0, 0.0)
    assert not each.near(0.0, 1.0)


# Refusals


def test_refusals_in_a_row_put_a_door_in_doubt() -> None:
    """A wrong key: nobody is let in, and nobody else's lines are spent on it."""
    each = door()
    for _ in range(REFUSALS_MAX):
        assert each.open
        each.heard(REFUSED, begun=T, now=T)
    assert not each.admits(T)
    probed(each, REFUSED, T)
    assert (each.state, each.reason) == (DoorState.REFUSING, REFUSED.reason)


def test_the_first_refusal_is_enough_where_nothing_has_ever_come_through() -> None:
    """A service that starts with a wrong key, or before the model is loaded."""
    each = door(succeeded=None)
    each.heard(REFUSED, begun=T, now=T)
    assert not each.admits(T)


def test_a_refusal_among_successes_is_the_lines() -> None:
    """Lines that name what is not there, beside others that come through."""
    each = door()
    for second in range(100):
        each.heard(REFUSED, begun=second, now=second)
        each.heard(REFUSED, begun=second, now=second)
        each.heard(SUCCESS, begun=second, now=second)
        assert each.open


# What opens


@pytest.mark.parametrize("evidence", [TROUBLE, REFUSED])
def test_a_success_that_was_in_flight_does_not_open(evidence: Evidence) -> None:
    """It was sent before the door was shut, and says nothing of now; one that was sent afterwards opens it wide."""
    each = shut(evidence)
    state = each.state
    each.heard(SUCCESS, begun=T - 0.5, now=T + 0.1)
    assert each.state is state
    each.heard(SUCCESS, begun=T + 0.2, now=T + 0.3)
    assert (each.state, each.open, each.reason) == (DoorState.OK, True, "")


def test_a_fault_found_in_a_request_shows_that_the_engine_works() -> None:
    """400 comes from somebody who reads: a door that was down is open. It is no proof that a key is right."""
    down, refusing = shut(), shut(REFUSED)
    for each in (down, refusing):
        each.heard(OWN, begun=T + 1, now=T + 1)
    assert (down.state, refusing.state) == (DoorState.OK, DoorState.REFUSING)


# Gaps


def test_gaps_double_up_to_their_bound() -> None:
    """And never overflow."""
    gap = Gap(0.5, 30.0)
    gaps = [gap.next() for _ in range(10_000)]
    assert gaps[:8] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert set(gaps[7:]) == {30.0}
    gap.reset()
    assert gap.next() == 0.5


@pytest.mark.parametrize(("evidence", "most"), [(TROUBLE, 30.0), (REFUSED, 60.0), (BLOCKED, 3600.0)])
@pytest.mark.parametrize("answered", [True, False])
def test_an_outage_of_a_week(evidence: Evidence, most: float, answered: bool) -> None:
    """The door is looked at again and again with gaps that are bounded, and few lines are spent on it."""
    each, now, looked = shut(evidence), T, 0
    while now < T + 7 * 86_400:
        gap = each.until - now
        assert 0.0 < gap <= most + 1e-6
        now = each.until
        probed(each, evidence, now, answered=answered)
        looked += 1
        assert each.probe_lines == (PROBE_LINES if answered else 0)
        while each.admits(now):
            each.probe_lines -= 1
            each.heard(evidence, begun=now, now=now)
    assert looked <= 7 * 86_400 / most + 12
    now = each.until
    probed(each, SUCCESS, now)
    assert each.open


def test_the_gap_begins_anew_after_a_success() -> None:
    """A short trouble after a long one is seen to be over at once."""
    each = shut()
    for _ in range(20):
        probed(each, TROUBLE, each.until)
    now = each.until
    probed(each, SUCCESS, now)
    now += 100
    for _ in range(DOUBT_AFTER):
        each.heard(TROUBLE, begun=now, now=now)
    probed(each, TROUBLE, now)
    assert each.until - now == pytest.approx(0.5)


def test_a_hundred_calls_that_end_together_are_one_piece_of_news() -> None:
    """Sixty-four answers "your quota is used up" do not double a gap sixty-four times."""
    each = door()
    for _ in range(64):
        each.heard(BLOCKED, begun=T, now=T)
    probed(each, BLOCKED, T)
    for _ in range(64):
        each.heard(BLOCKED, begun=T, now=T)
    assert (each.state, each.until - T) == (DoorState.BLOCKED, 30.0)


def test_an_account_that_may_not_go_on_for_one_line_alone() -> None:
    """A router has a budget for a model, or a proxy a rule for a text: nobody else waits for what one line is told."""
    each = door()
    each.heard(SUCCESS, begun=T - 1, now=T)
    each.heard(Evidence(Kind.BLOCKED, "later", 86_400.0), begun=T - 1, now=T + 0.1)
    assert each.open
    # Alone, or several in a row: our own request says whose account that is.
    for seconds in (10.0, 100.0):
        for _ in range(20):
            each.heard(Evidence(Kind.BLOCKED, "later", 86_400.0), begun=T + seconds, now=T + seconds)
        assert not each.admits(T + seconds)
        probed(each, SUCCESS, T + seconds)
        assert each.open
        each.heard(BLOCKED, begun=T + seconds, now=T + seconds + 1)
        assert each.open


@pytest.mark.parametrize("evidence", [TROUBLE, REFUSED, BLOCKED])
def test_a_call_that_breaks_off_behind_a_shut_door_is_looked_into(evidence: Evidence) -> None:
    """The engine may have died of the line that tried it: whether it listens is known before the next line goes."""
    each = shut(evidence)
    each.probe_lines = PROBE_LINES - 1
    until, later = each.until, T + 0.1
    each.heard(LOST, begun=T, now=later)
    assert each.due(later)
    assert not each.asks
    # It was alive, and says what it said before: that is no reason to try lines sooner than they would be tried.
    probed(each, evidence, later)
    assert not each.due(later)
    assert (each.until, each.probe_lines) == (until, 0)
    assert each.due(until)


def test_a_call_that_breaks_off_is_looked_into_unless_others_come_through() -> None:
    """An engine that has died and is back in two seconds is seen to have been away, also just after a look at it."""
    each = door()
    each.wants_probe = True
    probed(each, SUCCESS, T)
    each.heard(LOST, begun=T, now=T + 0.1)
    assert not each.due(T + 0.9), "looks are a second apart"
    assert each.due(T + PROBE_SECONDS)
    probed(each, SUCCESS, T + PROBE_SECONDS)
    assert not each.due(T + 60)


def test_calls_that_break_off_beside_others_that_come_through_cost_no_looks() -> None:
    """A neighbour whose lines all hang up is no reason to ask the engine again and again."""
    each = door(succeeded=T - 1)
    for step in range(100):
        now = T + step * 0.3
        each.heard(LOST, begun=now - 0.1, now=now)
        each.heard(SUCCESS, begun=now - 0.1, now=now + 0.1)
        each.heard(OWN, begun=now, now=now + 0.2)
        assert not each.due(now + 0.2)
    assert not each.due(T + 60)


def test_what_cannot_be_asked_is_not_looked_into() -> None:
    """Without a request of our own, lines find out, in their own time."""
    each = shut()
    each.try_with_lines(T)
    each.heard(LOST, begun=T, now=T)
    assert not each.due(T)


def test_a_block_of_hours_is_not_shortened_by_the_next_answer() -> None:
    """One call was told for how long, the others in flight were not."""
    each = door()
    each.heard(Evidence(Kind.BLOCKED, "later", 7200.0), begun=T, now=T)
    probed(each, BLOCKED, T)
    each.heard(BLOCKED, begun=T, now=T + 1)
    assert each.until >= T + 7200.0


# Waits that were asked for


def test_a_wait_is_kept_to_the_moment() -> None:
    """Nothing that was in flight ends it: no success, no failure, no refusal, no other answer, and no request of ours."""
    each = door()
    each.heard(busy(10.0), begun=T, now=T)
    each.probing = True
    for step in range(100):
        now = T + step / 10
        for evidence in (SUCCESS, TROUBLE, REFUSED, OWN, BUSY, LOST, BLOCKED):
            each.heard(evidence, begun=T - 5, now=now)
            assert not each.admits(now)
        each.probed((SUCCESS, TROUBLE, REFUSED, BUSY)[step % 4], begun=T - 1, now=now, answered=True)
        assert not each.admits(now)
        assert not each.due(now)


def test_our_own_success_ends_what_is_left_of_a_wait() -> None:
    """Where only bad lines are left, none of them ever will; and while it is busy, none of them pays."""
    each = door()
    each.heard(busy(10.0), begun=T, now=T)
    each.ask(T + 5.0)
    each.probing = True
    each.probed(SUCCESS, begun=T + 5.0, now=T + 5.0, answered=True)
    assert each.state is DoorState.BUSY, "the wait is kept to the moment"
    each.heard(TROUBLE, begun=T + 20.0, now=T + 21.0)
    probed(each, SUCCESS, T + 21.0)
    assert each.open


def test_after_a_wait_all_go_on() -> None:
    """At the moment, without a probe: the engine has said itself when it is ready."""
    each = door()
    each.heard(busy(10.0), begun=T, now=T)
    assert not each.admits(T + 9.999)
    assert each.admits(T + 10.0)
    each.heard(SUCCESS, begun=T - 1, now=T + 10.0)
    assert each.open
    assert each.pauses == 1


def test_the_longest_wait_counts() -> None:
    """Sixty-four calls are told to wait, each for a different time."""
    each = door()
    for seconds in (3.0, 10.0, 1.0):
        each.heard(busy(seconds), begun=T, now=T)
    assert (each.until, each.pauses) == (T + 10.0, 1)


def test_a_longer_wait_outlives_what_is_said_between() -> None:
    """Told to wait for two hours, then that the account may not go on, then to wait for a moment: it is two hours."""
    each = door()
    for evidence in (busy(7200.0), BLOCKED, busy(20.0)):
        each.heard(evidence, begun=T, now=T)
    assert each.until == T + 7200.0
    assert each.admits(each.until)


def test_an_operator_ends_a_wait() -> None:
    """ "Try now" is the word for that."""
    each = door()
    each.heard(busy(100.0), begun=T, now=T)
    assert not each.admits(T + 99)
    each.try_now(T + 3)
    # By a request of our own, not by everybody at once.
    assert not each.admits(T + 3)
    assert each.due(T + 3)
    each.probed(busy(50.0), begun=T + 3, now=T + 4, answered=True)
    assert not each.admits(T + 53)
    assert each.until == T + 54
    each.try_now(T + 5)
    each.probed(SUCCESS, begun=T + 5, now=T + 6, answered=True)
    assert each.open


def test_busy_without_a_wait_is_judged_by_comparison() -> None:
    """While others are served, whoever is not waits alone; when nobody is, our own request finds out, with growing gaps."""
    each = door()
    for second in range(100):
        each.heard(BUSY, begun=second, now=second)
        each.heard(SUCCESS, begun=second, now=second)
        assert each.open
    for _ in range(DOUBT_AFTER_MIN):
        each.heard(BUSY, begun=T, now=T)
    assert not each.admits(T)
    now, gaps = T, []
    for _ in range(8):
        probed(each, BUSY, now, answered=False)
        assert each.state is DoorState.BUSY
        assert not each.admits(now)
        gaps.append(each.until - now)
        now = each.until
    assert gaps == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    each.heard(SUCCESS, begun=now, now=now)
    assert each.open


# A door whose own request lies


def test_a_request_of_ours_that_is_wrong_is_believed_twice() -> None:
    """The engine dislikes our smallest request, and answers every line: from the third time on lines find out by themselves."""
    each, now = door(), T
    for _ in range(LIES_MAX):
        for _ in range(DOUBT_AFTER):
            each.heard(TROUBLE, begun=now, now=now)
        assert not each.admits(now)
        probed(each, TROUBLE, now)
        assert each.admits(now), "it was answered, so a few lines may try"
        each.heard(SUCCESS, begun=now, now=now + 0.1)
        assert each.open
        now += 100
    for _ in range(DOUBT_AFTER):
        each.heard(TROUBLE, begun=now, now=now)
    assert each.admits(now)
    assert each.probe_lines == PROBE_LINES
    each.heard(SUCCESS, begun=now, now=now + 0.1)
    assert each.open


def test_a_request_of_ours_about_a_line_settles_nothing_while_others_come_through() -> None:
    """It failed, and lines do not: the door stays open."""
    each = door()
    each.heard(SUCCESS, begun=T, now=T)
    each.ask(T)
    probed(each, TROUBLE, T + 0.5)
    assert each.open


def test_a_request_of_ours_that_fails_behind_the_last_line_shuts_the_door() -> None:
    """Nobody else comes through any more: what it says is all that is known, and it is asked again with growing gaps."""
    each = door()
    each.ask(T)
    probed(each, TROUBLE, T)
    assert each.state is DoorState.DOWN
    assert each.until > T


def test_lines_that_ask_for_a_request_of_ours_get_one_a_second() -> None:
    """A thousand lines that wait for a word about the door do not ask a thousand times."""
    each, sent = door(), 0
    for step in range(1000):
        now = T + step / 100
        each.heard(SUCCESS, begun=now, now=now)
        each.ask(now)
        if each.due(now):
            probed(each, TROUBLE, now)
            sent += 1
    assert sent <= 11


def test_lines_that_try_a_shut_door_do_not_shorten_its_gaps() -> None:
    """However long they take: a request of ours a second for all of an outage would be paid for."""
    each, now, requests = shut(), T, 0
    while now < T + 1000.0:
        now += 1.5
        if each.due(now):
            requests += 1
            probed(each, TROUBLE, now)
        if each.admits(now):
            each.probe_lines -= 1
            now += 2.0
            each.heard(TROUBLE, begun=now - 2.0, now=now)
    assert requests <= 1000 / 30 + 8


def test_an_endpoint_of_which_we_know_no_request() -> None:
    """A few lines find out, again and again with growing gaps; the first that succeeds opens the door."""
    each, now = door(), T
    for _ in range(DOUBT_AFTER):
        each.heard(TROUBLE, begun=now, now=now)
    for _ in range(30):
        assert each.due(now)
        each.try_with_lines(now)
        assert each.probe_lines == PROBE_LINES
        assert now < each.until <= now + 30.0
        now = each.until
    each.heard(SUCCESS, begun=now, now=now)
    assert each.open


def test_a_wait_that_is_over_and_an_engine_that_is_still_busy() -> None:
    """It asked for a moment, and then says "busy" without one: it is shut, and looked at again after its gap."""
    each = door()
    each.ask(T)
    each.heard(Evidence(Kind.BUSY, "busy", 0.0), begun=T, now=T)
    probed(each, Evidence(Kind.BUSY, "busy"), T, answered=False)
    assert not each.admits(T)
    assert not each.due(T)
    assert each.due(each.until)


# Operators


@pytest.mark.parametrize("evidence", [TROUBLE, REFUSED, BLOCKED])
def test_try_now(evidence: Evidence) -> None:
    """Somebody has mended it and does not want to wait for the gap."""
    each = door()
    for _ in range(DOUBT_AFTER):
        each.heard(evidence, begun=T, now=T)
    if each.due(T):
        probed(each, evidence, T)
    assert not each.due(T + 0.01)
    each.try_now(T + 0.01)
    assert each.due(T + 0.01)


# Whatever happens


class DoorMachine(RuleBasedStateMachine):
    """Calls of every kind begin and end in any order, with requests of our own and operators among them."""

    def __init__(self) -> None:
        super().__init__()
        self.door = Door(slots=8)
        self.now = 0.0
        self.out: list[float] = []
        self.probe_begun: float | None = None
        self.asked_until = -math.inf

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.3, 1.0, 5.0, 40.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.door.admits(self.now))
    @rule(calls=st.integers(1, 8))
    def send(self, calls: int) -> None:
        for _ in range(calls):
            if self.door.admits(self.now):
                self.out.append(self.now)
                if self.door.probe_lines:
                    self.door.probe_lines -= 1

    @precondition(lambda self: self.out)
    @rule(
        which=st.integers(0, 99),
        kind=st.sampled_from([kind for kind in Kind if kind is not Kind.UNREACHED]),
        wait=st.sampled_from([None, None, 0.0, 0.5, 20.0, 7200.0]),
    )
    def call_ends(self, which: int, kind: Kind, wait: float | None) -> None:
        begun = self.out.pop(which % len(self.out))
        since, shut, state = self.door._shut_at, self.door.shut, self.door.state
        self.door.heard(Evidence(kind, kind.value, wait), begun=begun, now=self.now)
        if kind is Kind.BUSY and wait is not None:
            self.asked_until = max(self.asked_until, self.now + wait)
        if kind is Kind.SUCCESS and begun >= since and shut and self.now >= self.asked_until:
            assert self.door.open, "a success that began after the shutting opens it wide"
        if kind is Kind.SUCCESS and begun < since and shut:
            assert self.door.state is state, "one that was in flight does not"

    @precondition(lambda self: self.probe_begun is None and self.door.due(self.now))
    @rule()
    def probe(self) -> None:
        assert self.now >= self.asked_until, "no request of ours goes out inside a wait that was asked for"
        self.door.probing = True
        self.probe_begun = self.now

    @precondition(lambda self: self.probe_begun is not None)
    @rule(
        kind=st.sampled_from([kind for kind in Kind if kind is not Kind.UNREACHED]),
        wait=st.sampled_from([None, 0.5, 20.0]),
        answered=st.booleans(),
    )
    def probe_ends(self, kind: Kind, wait: float | None, answered: bool) -> None:
        assert self.probe_begun is not None
        unsettled = not self.door.open or not self.door.pulse.since(self.probe_begun - 2.0)
        self.door.probed(Evidence(kind, kind.value, wait), begun=self.probe_begun, now=self.now, answered=answered)
        self.probe_begun = None
        if kind is Kind.BUSY and wait is not None and unsettled:
            self.asked_until = max(self.asked_until, self.now + wait)

    @precondition(lambda self: self.probe_begun is not None)
    @rule()
    def probe_is_aborted(self) -> None:
        self.door.unprobed()
        self.probe_begun = None

    @precondition(lambda self: self.door.due(self.now))
    @rule()
    def no_probe_exists(self) -> None:
        self.door.try_with_lines(self.now)

    @rule()
    def the_engine_died(self) -> None:
        self.door.question("nobody listens", self.now)

    @rule()
    def a_line_asks(self) -> None:
        self.door.ask(self.now)

    @rule()
    def operator_tries(self) -> None:
        self.door.try_now(self.now)
        self.asked_until = -math.inf

    @invariant()
    def nobody_goes_through_inside_a_wait(self) -> None:
        """Never inside a wait that was asked for."""
        if self.now < self.asked_until:
            assert not self.door.admits(self.now)

    @invariant()
    def a_shut_door_becomes_due_again(self) -> None:
        """There is a moment, not too far away, at which lines or a request of ours may go."""
        if self.door.admits(self.now) or self.door.due(self.now) or self.door.probing:
            return
        moment = self.door.until
        assert moment >= self.now
        assert moment <= max(self.asked_until, self.now + 7200.0)
        assert self.door.admits(moment) or self.door.due(moment)

    @invariant()
    def few_lines_try_a_shut_door(self) -> None:
        """A door that is shut costs a round a few lines."""
        assert self.door.probe_lines <= PROBE_LINES
        if self.door.shut:
            assert self.door.admits(self.now) is (self.door.probe_lines > 0 and self.now >= self.asked_until)


TestDoorMachine = DoorMachine.TestCase
TestDoorMachine.settings = settings(max_examples=examples(300), stateful_step_count=60)
