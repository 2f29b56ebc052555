"""A batch is slowed by itself, and what it may then cost the others."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from slackwater.core.sending.circuit import SAVED_SECONDS, SHARE, SHARE_ALONE, SLOWED_AFTER, WAITING_MAX, Circuit
from slackwater.core.sending.door import Door
from slackwater.core.sending.evidence import SUCCESS
from tests.chosen import examples


def slowed(now: float = 0.0) -> Circuit:
    """A batch whose lines have failed while others' succeeded."""
    circuit = Circuit()
    for _ in range(SLOWED_AFTER):
        circuit.failed(others=True, now=now)
    assert circuit.slowed
    return circuit


def door(*successes: float) -> Door:
    """A door through which something came at these moments."""
    made = Door(slots=64)
    for moment in successes:
        made.heard(SUCCESS, begun=moment, now=moment)
    return made


def test_failures_in_a_row_slow_a_batch_where_others_succeed() -> None:
    """Not fewer, and not where nobody succeeds: that is the door's trouble."""
    circuit = Circuit()
    for _ in range(SLOWED_AFTER - 1):
        circuit.failed(others=True, now=1.0)
    assert not circuit.slowed
    circuit.failed(others=True, now=1.0)
    assert circuit.slowed
    alone = Circuit()
    for _ in range(1000):
        alone.failed(others=False, now=1.0)
    assert not alone.slowed
    alone.failed(others=True, now=2.0)
    assert alone.slowed


def test_one_success_ends_it() -> None:
    """A batch with twelve bad lines among many good ones is not slowed for long."""
    circuit = slowed()
    circuit.succeeded()
    assert not circuit.slowed
    assert not circuit.holds_back(0.0)
    assert all(circuit.admits(0.0, slots=1, others=True) for _ in range(100))


def test_a_slowed_batch_still_ends() -> None:
    """Even on an engine with one slot, each second brings it some of it."""
    circuit, now, calls = slowed(), 0.0, 0
    while now < 100.0:
        if circuit.admits(now, slots=1, others=True):
            circuit.calls = [["one"]]
            now += 0.05
            circuit.calls = []
            circuit.used(0.05)
            calls += 1
        now += 0.05
    assert calls == pytest.approx(100.0 * SHARE / 0.05, rel=0.1)


def test_alone_it_may_have_more() -> None:
    """What nobody else wants is not left unused altogether."""
    circuit, out = slowed(), list[int]()
    circuit.calls = [out]
    while circuit.admits(0.0, slots=64, others=False):
        out.append(len(out))
    assert len(out) == 64 * SHARE_ALONE


def test_what_it_does_not_use_is_not_saved_for_long() -> None:
    """After an hour of rest it may not take the engine for minutes."""
    circuit = slowed()
    assert circuit.admits(3600.0, slots=64, others=True)
    circuit.used(SAVED_SECONDS * SHARE * 64 + 0.001)
    assert not circuit.admits(3600.0, slots=64, others=True)


def test_it_begins_nothing_new_while_many_of_its_lines_wait() -> None:
    """Lines that wait for another try are tried again first: they are what ends it."""
    circuit = slowed()
    circuit.waiting = WAITING_MAX
    assert not circuit.begins
    circuit.waiting -= 1
    assert circuit.begins
    well = Circuit()
    well.waiting = 10 * WAITING_MAX
    assert well.begins


# Told to wait


def test_the_first_wait_is_the_door_s() -> None:
    """Nothing shows yet that only this batch is meant."""
    assert not Circuit().asked_to_wait(door(0.0), until=11.0, begun=0.9, now=1.0)


def test_two_waits_of_one_batch_alone_are_its_own() -> None:
    """Told again after the first was over, without a success of its own, while others were served."""
    circuit = Circuit()
    circuit.asked_to_wait(door(0.0), until=11.0, begun=0.9, now=1.0)
    assert circuit.asked_to_wait(door(0.0, 12.0), until=30.0, begun=13.0, now=13.1)
    assert not circuit.admits(29.9, slots=64, others=True)
    assert circuit.holds_back(29.9)
    assert circuit.admits(30.0, slots=64, others=True)


def test_two_waits_while_nobody_is_served_are_the_door_s() -> None:
    """The engine is busy for everybody."""
    circuit = Circuit()
    circuit.asked_to_wait(door(0.0), until=11.0, begun=0.9, now=1.0)
    assert not circuit.asked_to_wait(door(0.0), until=30.0, begun=13.0, now=13.1)


def test_a_success_of_its_own_in_between_makes_it_the_door_s() -> None:
    """A token bucket: some come through, some are told to wait, and they are not the batch's fault."""
    circuit = Circuit()
    for second in range(0, 1000, 10):
        circuit.succeeded()
        assert not circuit.asked_to_wait(door(second), until=second + 5.0, begun=float(second), now=second + 0.1), (
            "each time it had been served before"
        )


def test_who_was_told_to_wait_lets_others_go_first() -> None:
    """From the end of its wait until somebody has come through, for as long as it waited, and a quarter of a minute at most."""
    circuit, silent = Circuit(), door(0.0)
    assert not circuit.yields(silent, 5.0)
    circuit.asked_to_wait(silent, until=11.0, begun=0.9, now=1.0)
    assert [circuit.yields(silent, now) for now in (10.9, 11.0, 20.9, 21.0)] == [False, True, True, False]
    assert not circuit.yields(door(0.0, 11.5), 12.0)
    circuit.try_now()
    assert not circuit.yields(silent, 11.0)
    circuit.asked_to_wait(silent, until=901.0, begun=0.9, now=1.0)
    assert [circuit.yields(silent, now) for now in (915.9, 916.0)] == [True, False]


def test_calls_that_were_out_together_are_told_once() -> None:
    """Sixty-four calls of one batch come back with the same wait: that is one wait, not sixty-four."""
    circuit, way = Circuit(), door(0.0, 1.0, 2.0)
    for call in range(64):
        assert not circuit.asked_to_wait(way, until=11.0 + call / 100, begun=0.5, now=1.0 + call / 100)


def test_a_batch_that_was_told_to_wait_is_known() -> None:
    """Until a success of its own; where others wait beside it, it then tries with one line first."""
    circuit, way = Circuit(), door(0.0)
    assert not circuit.trying
    circuit.asked_to_wait(way, until=11.0, begun=0.9, now=1.0)
    assert circuit.trying
    circuit.succeeded()
    assert not circuit.trying


def test_late_answers_lengthen_the_batch_s_own_wait() -> None:
    """Once the wait is known to be the batch's, those still in flight do not stop the door either."""
    circuit, way = Circuit(), door(0.0, 12.0)
    circuit.asked_to_wait(way, until=11.0, begun=0.9, now=1.0)
    assert circuit.asked_to_wait(way, until=30.0, begun=13.0, now=13.1)
    assert circuit.asked_to_wait(way, until=35.0, begun=13.0, now=13.2)
    assert circuit.asked_to_wait(way, until=20.0, begun=13.0, now=13.3)
    assert circuit.until == 35.0


class ShareMachine(RuleBasedStateMachine):
    """A slowed batch beside others: it sends whenever it may, calls last as long as they like, and time passes."""

    @initialize(slots=st.sampled_from([1, 4, 19, 20, 21, 64, 300]))
    def begin(self, slots: int) -> None:
        self.slots = slots
        self.now = 100.0
        self.circuit = slowed(self.now)
        self.out: list[float] = []
        self.circuit.calls = [self.out]
        self.ended: list[tuple[float, float]] = []
        self.denied_since: float | None = None

    @rule(seconds=st.sampled_from([0.001, 0.05, 0.3, 2.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(calls=st.integers(1, 400))
    def send_what_may_be_sent(self, calls: int) -> None:
        for _ in range(calls):
            if not self.circuit.admits(self.now, slots=self.slots, others=True):
                break
            self.out.append(self.now)

    @precondition(lambda self: self.out)
    @rule(which=st.integers(0, 999), calls=st.integers(1, 10))
    def calls_end(self, which: int, calls: int) -> None:
        for _ in range(min(calls, len(self.out))):
            begun = self.out.pop(which % len(self.out))
            self.circuit.used(self.now - begun)
            self.circuit.failed(others=True, now=self.now)
            self.ended.append((begun, self.now))

    @invariant()
    def it_costs_a_twentieth_and_one_call(self) -> None:
        """Slot seconds: a twentieth of all that there were since it was slowed, and no more than one call beyond."""
        if not hasattr(self, "out"):
            return
        lengths = [ended - begun for begun, ended in self.ended] + [self.now - begun for begun in self.out]
        used, all_of_them = sum(lengths), self.slots * (self.now - 100.0)
        assert used <= SHARE * all_of_them + max(lengths, default=0.0) + 1e-6

    @invariant()
    def it_is_never_starved(self) -> None:
        """With nothing out, it may send again after what it has used has been earned."""
        if not hasattr(self, "out") or self.out:
            return
        longest = max((ended - begun for begun, ended in self.ended), default=0.0)
        wait = (len(self.ended) + 1) * longest / (SHARE * self.slots) + 1.0
        probe = Circuit()
        for name in ("slowed", "_saved", "_at", "calls"):
            setattr(probe, name, getattr(self.circuit, name))
        assert probe.admits(self.now + wait, slots=self.slots, others=True)


TestShareMachine = ShareMachine.TestCase
TestShareMachine.settings = settings(max_examples=examples(300), stateful_step_count=60)
