"""What becomes of a line that did not end with its first call: by comparison with what became of others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.sending.door import DOUBT_AFTER, Door, DoorState
from slackwater.core.sending.evidence import SUCCESS, Evidence, Kind
from slackwater.core.sending.judgement import (
    BLOCKS_MAX,
    DEATHS_MAX,
    HOLD_SECONDS,
    REFUSALS_MAX,
    SPARED_MAX,
    UNREADABLE_MAX,
    WAITING_SECONDS,
    WAITS_MAX,
    RetryPolicy,
    Setback,
    Trial,
    Verdict,
)

POLICY = RetryPolicy(attempts_max=3)
TROUBLE = Evidence(Kind.TROUBLE, "status 500")
LOST = Evidence(Kind.LOST, "broke off")
REFUSED = Evidence(Kind.REFUSED, "status 404")
BUSY = Evidence(Kind.BUSY, "status 429")
UNREACHED = Evidence(Kind.UNREACHED, "refused")
SECOND = 0.05


class Line:
    """A line that is sent through one door, each time a little later."""

    def __init__(self, door: Door, *, now: float = 1000.0, policy: RetryPolicy = POLICY) -> None:
        self.door = door
        self.now = now
        self.policy = policy
        self.trial = Trial()
        self.calls = 0

    def fails(self, evidence: Evidence, *, others: bool = True, attempts_max: int | None = None) -> float:
        """A call of it brings this; `others`: whether somebody else's succeeds just before and just after."""
        begun = self.now
        self.now += SECOND
        self.calls += 1
        if others:
            self.others_succeed()
        self.door.heard(evidence, begun=begun, now=self.now)
        setback = Setback(evidence, begun, self.now, attempts_max=attempts_max)
        delay = self.trial.failed(setback, self.door, self.policy, chance=0.5)
        self.now += SECOND
        if others:
            self.others_succeed()
        return delay

    def others_succeed(self) -> None:
        """A line of another batch comes through."""
        self.door.heard(SUCCESS, begun=self.now - SECOND, now=self.now)

    def judged(self, *, later: float = 1.0) -> Verdict:
        """Its time has come."""
        self.now += later
        return self.trial.judge(self.policy, now=self.now)

    def until_it_ends(self, evidence: Evidence, *, others: bool = True, calls_max: int = 1000) -> Verdict:
        """Sent again and again, with the same outcome."""
        while self.calls < calls_max:
            delay = self.fails(evidence, others=others)
            verdict = self.judged(later=delay)
            if verdict is not Verdict.SEND:
                return verdict
        return Verdict.SEND


def our_own_brings(evidence: Evidence, door: Door, *, now: float) -> None:
    """A request of ours goes out where one is due, and comes back with this."""
    if door.due(now):
        door.probing = True
        door.probed(evidence, begun=now, now=now, answered=evidence.kind is not Kind.LOST)


def door() -> Door:
    """A door of an engine that has answered before, long ago."""
    made = Door(slots=64)
    made.heard(SUCCESS, begun=0.0, now=0.0)
    return made


@given(st.integers(1, 100_000), st.floats(0, 1, exclude_max=True))
def test_delays_are_bounded_and_spread(attempt: int, chance: float) -> None:
    """Each delay lies between half of its value and all of it, and never above the bound."""
    policy = RetryPolicy(delay_first=0.5, delay_max=30.0)
    full = min(30.0, 0.5 * 2.0 ** min(attempt - 1, 30))
    assert full / 2 <= policy.delay(attempt, chance=chance) <= full


# While others come through


@pytest.mark.parametrize("evidence", [TROUBLE, LOST])
def test_trouble_costs_an_attempt_where_others_come_through(evidence: Evidence) -> None:
    """It is the line's own: it ends after its attempts."""
    line = Line(door())
    assert line.until_it_ends(evidence) is Verdict.FAIL
    assert line.calls == POLICY.attempts_max


def test_a_refusal_is_the_line_s_own_where_others_come_through() -> None:
    """It is tried once more, in case another backend takes it, and then it is final."""
    line = Line(door())
    assert line.until_it_ends(REFUSED) is Verdict.FAIL
    assert line.calls == REFUSALS_MAX


def test_busy_without_a_wait_is_waited_out_for_long() -> None:
    """A line that is told so twenty times over more than ten minutes ends with that answer, and not before both are over."""
    line = Line(door())
    begun = line.now
    assert line.until_it_ends(BUSY) is Verdict.FAIL
    assert line.calls >= WAITS_MAX
    assert line.now - begun >= WAITING_SECONDS
    assert line.now - begun <= WAITING_SECONDS + 60


def test_one_line_whose_account_may_not_go_on_waits_alone_and_ends() -> None:
    """Others come through under the same credential: it is told so again and again, for ten minutes, and no longer."""
    line = Line(door())
    begun = line.now
    assert line.until_it_ends(Evidence(Kind.BLOCKED, "status 402", 86_400.0)) is Verdict.FAIL
    assert WAITING_SECONDS <= line.now - begun <= WAITING_SECONDS + 120
    assert line.calls <= 2 * BLOCKS_MAX + 2


def test_twenty_waits_within_a_minute_are_not_the_end() -> None:
    """Nor is one wait of an hour."""
    line = Line(door())
    for _ in range(WAITS_MAX * 2):
        line.fails(BUSY)
        assert line.judged(later=1.0) is Verdict.SEND
    line = Line(door())
    line.fails(BUSY)
    assert line.judged(later=3600.0) is Verdict.SEND


def test_a_wait_that_was_asked_for_costs_nothing_and_lasts_as_long() -> None:
    """However often, and whatever becomes of others."""
    line = Line(door())
    for _ in range(100):
        assert line.fails(Evidence(Kind.BUSY, "later", 7.0)) == 7.0
        assert line.judged(later=7.0) is Verdict.SEND
    assert line.trial.attempts == 0


def test_trouble_with_a_wait_is_left_alone_for_as_long() -> None:
    """It is an attempt, and the next one does not come before the engine wants it."""
    assert Line(door()).fails(Evidence(Kind.TROUBLE, "status 500", 9.0)) == 9.0


def test_an_answer_that_nobody_can_read_is_paid_for_twice() -> None:
    """Another attempt may not be worth its price."""
    line = Line(door())
    line.fails(TROUBLE, attempts_max=UNREADABLE_MAX)
    assert line.judged() is Verdict.SEND
    line.fails(TROUBLE, attempts_max=UNREADABLE_MAX)
    assert line.judged() is Verdict.FAIL


def test_an_engine_that_never_says_anything_readable_is_paid_twice_a_line() -> None:
    """A web page behind the address: nobody comes through, and it is not paid for again and again."""
    line = Line(Door(slots=64))
    line.fails(TROUBLE, others=False, attempts_max=UNREADABLE_MAX)
    our_own_brings(TROUBLE, line.door, now=line.now)
    assert line.judged() is Verdict.SEND
    line.fails(TROUBLE, others=False, attempts_max=UNREADABLE_MAX)
    assert line.judged() is Verdict.FAIL


# While nobody comes through


@pytest.mark.parametrize("evidence", [TROUBLE, LOST, REFUSED, BUSY, UNREACHED])
def test_an_outage_costs_a_line_nothing(evidence: Evidence) -> None:
    """However often it was sent, as a probe or otherwise, over a week."""
    line = Line(door())
    for _ in range(2000):
        line.fails(evidence, others=False)
        our_own_brings(evidence, line.door, now=line.now)
        assert line.judged(later=300.0) is Verdict.SEND
    trial = line.trial
    assert (trial.attempts, trial.refusals, trial.waits) == (0, 0, 0)
    line.others_succeed()
    assert line.judged() is Verdict.SEND, "and it is not made to pay when the outage is over"


@pytest.mark.parametrize("evidence", [TROUBLE, LOST, REFUSED])
def test_the_last_try_is_not_taken_at_the_beginning_of_an_outage(evidence: Evidence) -> None:
    """Others came through just before; whether they still do is found out first, by a request of our own."""
    line = Line(door())
    last = REFUSALS_MAX if evidence is REFUSED else POLICY.attempts_max
    for _ in range(last - 1):
        line.fails(evidence)
        assert line.judged() is Verdict.SEND
    line.others_succeed()
    line.fails(evidence, others=False)
    assert line.judged(later=HOLD_SECONDS) is Verdict.HOLD
    assert line.door.due(line.now)
    line.door.probed(TROUBLE, begun=line.now, now=line.now + 0.1, answered=True)
    assert line.door.state is DoorState.OK, "others came through a moment ago"
    line.now += 10
    assert line.judged() is Verdict.HOLD
    line.door.probed(TROUBLE, begun=line.now, now=line.now + 0.1, answered=True)
    assert line.door.state is DoorState.DOWN
    assert line.judged() is Verdict.SEND, "it was the door: nothing is taken from the line"


@pytest.mark.parametrize("evidence", [TROUBLE, REFUSED])
def test_the_last_try_is_settled_by_a_request_of_ours(evidence: Evidence) -> None:
    """Nobody else is there any more; our own request comes through: it was the line."""
    line = Line(door())
    last = REFUSALS_MAX if evidence is REFUSED else POLICY.attempts_max
    for _ in range(last - 1):
        line.fails(evidence)
        assert line.judged() is Verdict.SEND
    line.others_succeed()
    line.fails(evidence, others=False)
    assert line.judged(later=HOLD_SECONDS) is Verdict.HOLD
    line.door.probed(SUCCESS, begun=line.now, now=line.now + 0.1, answered=True)
    assert line.judged(later=HOLD_SECONDS) is Verdict.FAIL


def test_a_line_is_not_held_for_a_request_that_does_not_exist() -> None:
    """For some endpoints we know of no request of our own: the line ends by what is known of others."""
    line = Line(door(), policy=RetryPolicy(attempts_max=1))
    line.others_succeed()
    line.fails(TROUBLE, others=False)
    assert line.judged() is Verdict.HOLD
    line.door.try_with_lines(line.now)
    assert line.judged() is Verdict.FAIL


@pytest.mark.parametrize("evidence", [TROUBLE, REFUSED])
def test_success_of_calls_that_were_in_flight_while_a_door_is_shut(evidence: Evidence) -> None:
    """Long calls end well for a while after the door has begun to refuse all new ones: those do not pay for it."""
    way = door()
    way.heard(SUCCESS, begun=990.0, now=1000.0)
    for _ in range(DOUBT_AFTER):
        way.heard(evidence, begun=1000.0, now=1000.0)
    way.probed(evidence, begun=1000.0, now=1000.1, answered=True)
    lines = [Line(way, now=1001.0) for _ in range(5)]
    for step in range(100):
        now = 1001.0 + step
        way.heard(SUCCESS, begun=990.0, now=now)
        for line in lines:
            line.now = now
            line.fails(evidence, others=False)
            assert line.judged(later=0.5) is Verdict.SEND


def test_a_batch_of_nothing_but_poison_alone() -> None:
    """Nobody else tells whose trouble it is. Our own request does, and then each line ends after its own attempts."""
    way = door()
    lines, probes, rounds = [Line(way) for _ in range(50)], 0, 0
    ended: list[Line] = []
    while lines:
        rounds += 1
        assert rounds < 200
        for line in list(lines):
            now = line.now = 1000.0 + rounds
            if way.due(now):
                way.probed(SUCCESS, begun=now, now=now + 0.01, answered=True)
                probes += 1
            if not way.admits(now):
                continue
            verdict = line.trial.judge(POLICY, now=now)
            if verdict is Verdict.SEND:
                line.fails(TROUBLE, others=False)
            elif verdict is Verdict.FAIL:
                lines.remove(line)
                ended.append(line)
    assert {line.calls for line in ended} == {POLICY.attempts_max}
    assert probes <= rounds + 1


def test_what_fails_elsewhere_is_compared_there() -> None:
    """A line that failed at one backend is judged by what came through that one, not by its neighbour."""
    broken, well = Door(slots=64), door()
    trial = Trial()
    for number in range(50):
        begun = 1000.0 + number
        broken.heard(TROUBLE, begun=begun, now=begun)
        well.heard(SUCCESS, begun=begun, now=begun)
        our_own_brings(TROUBLE, broken, now=begun)
        trial.failed(Setback(TROUBLE, begun, begun), broken, POLICY, chance=0.5)
        assert trial.judge(POLICY, now=begun + 0.5) is Verdict.SEND
    assert trial.attempts == 0


@pytest.mark.parametrize("evidence", [TROUBLE, LOST, BUSY])
def test_a_line_alone_waits_for_our_own_request_however_long_that_takes(evidence: Evidence) -> None:
    """It was out for ten seconds, nobody else was, and an answer takes longer than the line's own wait: it pays all the same."""
    line = Line(door())
    for _ in range(POLICY.attempts_max - 1):
        sent = line.now
        line.now += 10.0
        line.fails(evidence, others=False)
        assert line.door.due(line.now), "the door is asked"
        asked, line.door.probing = line.now, True
        assert line.judged(later=1.0) is Verdict.HOLD
        assert line.judged(later=1.0) is Verdict.HOLD
        line.door.probed(SUCCESS, begun=asked, now=line.now, answered=True)
        assert line.judged(later=HOLD_SECONDS) is Verdict.SEND
        line.now = max(line.now, sent + 30.0)
    assert line.trial.attempts + line.trial.waits == POLICY.attempts_max - 1


def test_an_outage_that_begins_while_nothing_is_known_yet_costs_no_last_attempt() -> None:
    """What failed between the last success and the shutting of the door failed of that, also when it is judged after it."""
    line = Line(door())
    for _ in range(POLICY.attempts_max - 1):
        line.fails(TROUBLE)
        assert line.judged() is Verdict.SEND
    line.others_succeed()
    line.now += 1.0
    line.fails(TROUBLE, others=False)
    line.door.question("others fail as well", line.now)
    our_own_brings(TROUBLE, line.door, now=line.now)
    assert line.door.state is DoorState.DOWN
    line.now += 10.0
    our_own_brings(SUCCESS, line.door, now=line.now)
    line.others_succeed()
    assert line.door.open
    assert line.judged() is Verdict.SEND


def test_a_setback_is_judged_once() -> None:
    """A line that may be sent, and has to wait for its turn, does not pay again each time it is looked at."""
    line = Line(door())
    line.fails(TROUBLE)
    for _ in range(100):
        assert line.judged(later=0.01) is Verdict.SEND
    assert line.trial.attempts == 1


# Deaths


def test_who_was_there_when_an_engine_died_has_not_failed() -> None:
    """A suspect is sent again, at no cost."""
    line = Line(door())
    line.fails(LOST)
    line.trial.suspected(sole=False)
    assert not line.trial.goes_alone
    assert line.judged() is Verdict.SEND
    assert line.trial.attempts == 0


def test_suspects_of_two_deaths_go_alone() -> None:
    """And who is alone at a death is the culprit."""
    innocent, culprit = Line(door()), Line(door())
    for each in (innocent, culprit):
        for _ in range(DEATHS_MAX):
            each.fails(LOST, others=False)
            each.trial.suspected(sole=False)
            assert each.judged() is Verdict.SEND
        assert each.trial.goes_alone
    culprit.trial.alone = True
    culprit.fails(LOST, others=False)
    culprit.trial.suspected(sole=True)
    assert culprit.judged() is Verdict.CULPRIT
    assert innocent.judged() is Verdict.SEND


def test_a_suspect_that_lives_is_no_culprit() -> None:
    """Alone, it fails without the engine dying of it: then it is a line like others."""
    line = Line(door())
    for _ in range(DEATHS_MAX):
        line.trial.suspected(sole=False)
    line.trial.alone = True
    assert line.until_it_ends(TROUBLE) is Verdict.FAIL
    assert line.calls == POLICY.attempts_max


@given(
    st.lists(
        st.tuples(
            st.sampled_from([Kind.TROUBLE, Kind.LOST, Kind.REFUSED, Kind.BUSY, Kind.UNREACHED]),
            st.booleans(),
            st.none() | st.floats(0, 100),
        ),
        max_size=60,
    )
)
def test_whatever_happens(story: list[tuple[Kind, bool, float | None]]) -> None:
    """Only what happens while others come through counts, and nobody has more calls that count than attempts."""
    line = Line(door(), policy=RetryPolicy(attempts_max=5))
    counted = dict.fromkeys(Kind, 0)
    for kind, others, wait in story:
        line.now += 60.0
        delay = line.fails(Evidence(kind, kind.value, wait if kind is Kind.BUSY else None), others=others)
        assert 0.0 <= delay <= 100.0
        counted[kind] += others
        verdict = line.judged(later=delay)
        if verdict is Verdict.HOLD:
            return
        if verdict is Verdict.FAIL:
            assert (
                counted[Kind.TROUBLE] + counted[Kind.LOST] >= 5
                or counted[Kind.REFUSED] >= REFUSALS_MAX
                or counted[Kind.BUSY] >= WAITS_MAX
            )
            return
        assert verdict is Verdict.SEND
        assert line.trial.attempts == counted[Kind.TROUBLE] + counted[Kind.LOST]


@pytest.mark.parametrize("heard_late", [False, True])
def test_nobody_pays_for_a_death(heard_late: bool) -> None:
    """Whether it was known before the call had ended, or only after it; the next failure counts again."""
    line = Line(door())
    for _ in range(2):
        if heard_late:
            line.trial.suspected(sole=False, ending=True)
        line.fails(LOST)
        if not heard_late:
            line.trial.suspected(sole=False)
        assert line.judged() is Verdict.SEND
    assert (line.trial.attempts, line.trial.deaths) == (0, 2)
    line.fails(TROUBLE)
    line.judged()
    assert line.trial.attempts == 1


def test_a_last_attempt_beside_which_our_own_request_failed_is_spared() -> None:
    """An outage of a second or two, between successes: it is too short to shut a door. A few times, not without end."""
    line = Line(door())
    for _ in range(POLICY.attempts_max - 1):
        line.fails(TROUBLE)
        assert line.judged() is Verdict.SEND
    for _ in range(SPARED_MAX + 1):
        assert line.trial.attempts == POLICY.attempts_max - 1
        line.others_succeed()
        line.fails(TROUBLE, others=False)
        assert line.judged(later=HOLD_SECONDS) is Verdict.HOLD
        our_own_brings(TROUBLE, line.door, now=line.now)
        line.now += 1.0
        line.others_succeed()
        verdict = line.judged(later=HOLD_SECONDS)
    assert verdict is Verdict.FAIL


@pytest.mark.parametrize("evidence", [TROUBLE, LOST])
@pytest.mark.parametrize("others", [True, False])
def test_a_line_that_was_taken_so_often_ends(evidence: Evidence, others: bool) -> None:
    """With `calls_max`, also in an outage: whoever takes a call may have it paid, whatever becomes of it."""
    line = Line(Door(slots=1), policy=RetryPolicy(attempts_max=50, calls_max=4))
    for _ in range(3):
        line.fails(evidence, others=others)
        assert line.judged() is not Verdict.FAIL
    line.fails(evidence, others=others)
    assert line.judged() is Verdict.FAIL


@pytest.mark.parametrize("evidence", [BUSY, UNREACHED, REFUSED])
def test_who_was_not_taken_is_called_again(evidence: Evidence) -> None:
    """With `calls_max`: nobody is paid for saying that he is busy, that he knows nobody, or nothing at all."""
    line = Line(Door(slots=1), policy=RetryPolicy(attempts_max=50, calls_max=2))
    line.fails(evidence, others=False)
    line.fails(evidence, others=False)
    line.fails(evidence, others=False)
    assert line.judged() is not Verdict.FAIL


def test_an_engine_may_be_given_time_to_be_readable() -> None:
    """Who asks for it has somebody in front who ends it: no line does, however often a page comes instead of an answer."""
    policy = RetryPolicy(attempts_max=3, stays_unreadable=False)
    page = Evidence(Kind.TROUBLE, "status 200: no JSON object", None, 200)
    line = Line(Door(slots=1), policy=policy)
    for _ in range(10):
        line.fails(page, others=False, attempts_max=UNREADABLE_MAX)
        assert line.judged(later=20.0) is not Verdict.FAIL
