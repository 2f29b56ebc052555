"""A quota that others use as well: what they use is inferred and left to them, and nobody waits for ever."""

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slackwater.core.sending.limit_shape import Sent
from slackwater.core.sending.rate_limit_headers import DAY, Reading
from slackwater.core.sending.rate_limits import Quota, Told
from tests.chosen import examples

LIMIT = 10_000.0
SLOTS = 64


class Vendor:
    """A quota of tokens in windows of a minute, and a client of it that asks our quota, in time that jumps.

    `says` makes the readings of what remains and of the seconds to the reset.
    """

    def __init__(
        self,
        quota: Quota,
        says: Callable[[float, float], tuple[Reading, ...]],
        *,
        limit: float = LIMIT,
        phase: float = 0.0,
        latency: float = 1.0,
        waits: bool = True,
    ) -> None:
        self.quota, self._says, self.limit, self.phase = quota, says, limit, phase
        self._latency, self._waits = latency, waits
        self.now, self._window, self.used = 0.0, -1, 0.0
        self._back: list[tuple[float, Sent, bool, float | None, tuple[Reading, ...]]] = []
        self.served: list[tuple[float, float]] = []
        self.refused = self.looks = 0

    def others(self, tokens: float) -> bool:
        """Somebody else asks."""
        self._roll()
        if self.used + tokens > self.limit:
            return False
        self.used += tokens
        return True

    def _roll(self) -> float:
        window = math.floor((self.now + self.phase) / 60)
        if window != self._window:
            self._window, self.used = window, 0.0
        return (window + 1) * 60 - self.now - self.phase

    def _send(self, tokens: float, *, look: bool = False) -> None:
        reset = self._roll()
        sent = self.quota.took(self.now, tokens)
        # What would never fit goes where there is nothing else.
        served = self.used + tokens <= self.limit or (tokens > self.limit and not self.used)
        self.used += tokens if served else 0.0
        readings = self._says(max(0.0, self.limit - self.used), reset)
        self._back.append((self.now + self._latency, sent, served, reset if self._waits else None, readings))
        if served and not look:
            self.served.append((self.now, tokens))
        self.refused += not served

    def run(self, until: float, tokens: float = 100.0, *, others: Callable[[float], None] = lambda now: None) -> None:
        """Sends requests of so many tokens whenever they may go; `others` is called twice a second."""
        asks_at = self.now
        while self.now < until:
            while asks_at <= self.now and len(self._back) < SLOTS:
                wait = self.quota.admits(self.now, tokens)
                assert 0.0 <= wait <= 60.1
                if wait > 0.0:
                    if self.quota.look_due(self.now):
                        self.quota.looks(self.now)
                        self.looks += 1
                        self._send(10.0, look=True)
                    asks_at = self.now + wait
                else:
                    self._send(tokens)
            step = min([self.now + 0.5, max(asks_at, self.now + 0.001), *(each[0] for each in self._back)])
            self.now = max(step, self.now + 0.001)
            self._roll()
            others(self.now)
            for each in [each for each in self._back if each[0] <= self.now]:
                self._back.remove(each)
                _, sent, served, wait_said, readings = each
                if served:
                    self.quota.heard(sent, readings, self.now)
                else:
                    self.quota.refused(sent, wait_said, readings, self.now)
                self.quota.over(sent)
                asks_at = self.now


def full(remaining: float, reset: float) -> tuple[Reading, ...]:
    """Everything that can be said."""
    return (Reading(True, None, LIMIT, remaining, reset),)


def remains(remaining: float, reset: float) -> tuple[Reading, ...]:
    """What remains alone."""
    return (Reading(True, None, None, remaining),)


def silent(remaining: float, reset: float) -> tuple[Reading, ...]:
    """Nothing."""
    return ()


def used_per_minute(vendor: Vendor, first: float) -> float:
    """Tokens a minute from a moment on."""
    return sum(tokens for at, tokens in vendor.served if at >= first) / ((vendor.now - first) / 60)


@pytest.mark.parametrize("says", [full, remains])
@pytest.mark.parametrize("phase", [0.0, 17.3, 59.0])
def test_alone_it_uses_nearly_all(says: Callable[[float, float], tuple[Reading, ...]], phase: float) -> None:
    """Without others, 93 % of the limit, wherever the minutes of the server begin; they cost one refused volley to find."""
    vendor = Vendor(Quota(), says, phase=phase)
    vendor.run(1_200)
    assert used_per_minute(vendor, 300) >= 0.93 * LIMIT
    assert vendor.refused <= SLOTS


@pytest.mark.parametrize("says", [full, remains])
def test_others_are_left_what_they_use(says: Callable[[float, float], tuple[Reading, ...]]) -> None:
    """They use 60 %: they are refused nothing to speak of, and we have nine tenths of the rest."""
    vendor = Vendor(Quota(), says, phase=31.0)
    chance, asked, denied, last = random.Random(3), 0, 0, 0.0

    def others(now: float) -> None:
        nonlocal asked, denied, last
        while last + 2.0 <= now:
            last += 2.0
            asked += 1
            denied += not vendor.others(chance.choice((100.0, 200.0, 300.0)))

    vendor.run(3_600, others=others)
    assert denied <= 0.01 * asked
    assert used_per_minute(vendor, 600) >= 0.9 * 0.4 * LIMIT


def test_two_of_our_servers_on_one_quota() -> None:
    """Each takes the other for a stranger: together they use most of it, neither is shut out, and hardly anything is refused."""
    first, second = Vendor(Quota(), full), Vendor(Quota(), full)
    served: list[list[float]] = [[], []]
    for second_now in range(0, 1_800):
        for number, (mine, other) in enumerate(((first, second), (second, first))):
            mine.used, mine._window = max(mine.used, 0.0), mine._window
            before, count = mine.used, len(mine.served)
            mine.run(float(second_now + 1))
            served[number] += [tokens for _, tokens in mine.served[count:]]
            other._roll()
            spent = mine.used - before if mine.used >= before else mine.used
            other.used += max(0.0, spent)
    total = sum(map(sum, served)) / 30
    assert total >= 0.6 * LIMIT
    assert min(map(sum, served)) > 0.0
    assert first.refused + second.refused <= 30


def test_a_request_larger_than_the_limit_goes_alone() -> None:
    """It does not wait for ever: it goes when nothing of ours has gone in its window."""
    vendor = Vendor(Quota(), full)
    vendor.run(300, 100.0)
    before = len(vendor.served)
    vendor.run(500, 1.5 * LIMIT)
    assert len(vendor.served) > before


def test_a_large_request_beside_others_goes_after_two_windows() -> None:
    """Others use half of it all the time, the request needs 45 %: their reserve does not keep it for ever."""
    vendor, last = Vendor(Quota(), full), 0.0

    def others(now: float) -> None:
        nonlocal last
        while last + 1.0 <= now:
            last += 1.0
            vendor.others(LIMIT / 120)

    vendor.run(400, 100.0, others=others)
    before = len(vendor.served)
    vendor.run(900, 0.45 * LIMIT, others=others)
    assert len(vendor.served) > before


def test_one_request_tries_after_a_refusal() -> None:
    """Nobody goes before the wait is over, then one, and the others when that has been served."""
    quota = Quota(Told(tokens_per_minute=10_000))
    first = quota.took(0.0, 100.0)
    quota.heard(first, full(9_900, 60), 1.0)
    sent = quota.took(2.0, 100.0)
    quota.refused(sent, 20.0, (), 3.0)
    assert quota.admits(5.0, 100.0) == pytest.approx(18.0)
    assert quota.admits(23.0, 100.0) == 0.0
    trial = quota.took(23.0, 100.0)
    assert quota.admits(23.0, 100.0) > 0.0
    assert "refusal" in quota.reason(23.1)
    quota.heard(trial, full(9_900, 37), 24.0)
    assert quota.admits(24.0, 100.0) == 0.0


def test_a_try_that_is_lost_is_tried_by_another() -> None:
    """The call broke off: nothing was heard of it, and nobody waits for it."""
    quota = Quota(Told(tokens_per_minute=10_000))
    lost = quota.took(0.0, 100.0)
    assert quota.admits(0.1, 100.0) > 0.0
    quota.over(lost)
    assert quota.admits(0.2, 100.0) == 0.0


def test_it_says_what_it_leaves() -> None:
    """In tokens of a minute, to whoever looks at the backend."""
    vendor, said, last = Vendor(Quota(), full), set(), 0.0

    def others(now: float) -> None:
        nonlocal last
        said.add(vendor.quota.reason(now).split(" ")[0])
        while last + 1.0 <= now:
            last += 1.0
            vendor.others(80.0)

    vendor.run(400, others=others)
    assert "leaves" in said


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing is ever left", lambda remaining, reset: (Reading(True, None, LIMIT, 0.0, reset),)),
        ("nothing is ever left, without a limit", lambda remaining, reset: (Reading(True, None, None, 0.0),)),
        ("always all", lambda remaining, reset: (Reading(True, None, LIMIT, LIMIT, 60.0),)),
        ("another window", lambda remaining, reset: (Reading(True, DAY, 1e6, 9e5, 4e4),)),
        ("a day's reset", lambda remaining, reset: (Reading(True, None, LIMIT, remaining, 8e4),)),
        ("a tiny limit", lambda remaining, reset: (Reading(True, None, 1.0, 0.0, reset),)),
        ("a huge one", lambda remaining, reset: (Reading(True, None, 1e15, 1e15, reset),)),
        ("nothing at all", silent),
        ("only the limit", lambda remaining, reset: (Reading(True, None, LIMIT),)),
        ("more than the limit", lambda remaining, reset: (Reading(True, None, LIMIT, 5 * LIMIT, reset),)),
    ],
)
def test_whatever_is_said_something_goes(name: str, says: Callable[[float, float], tuple[Reading, ...]]) -> None:
    """Lies cost throughput or refusals, and never everything: in every ten minutes some requests go."""
    vendor = Vendor(Quota(), says)
    vendor.run(3_600)
    for begin in range(0, 3_600, 600):
        assert any(begin <= at < begin + 600 for at, _ in vendor.served), f"nothing from {begin} on"


def test_a_limit_that_changes() -> None:
    """Halved, it is kept within moments; doubled, it is used."""
    vendor = Vendor(Quota(), lambda remaining, reset: (Reading(True, None, vendor.limit, remaining, reset),))
    vendor.run(600)
    vendor.limit = LIMIT / 2
    before = vendor.refused
    vendor.run(1_200)
    assert vendor.refused - before <= 40
    vendor.limit = 2 * LIMIT
    vendor.run(1_800)
    assert used_per_minute(vendor, 1_400) >= 1.7 * LIMIT


@pytest.mark.parametrize("says", [full, remains])
def test_the_servers_minute_jumps(says: Callable[[float, float], tuple[Reading, ...]]) -> None:
    """Its windows begin at another moment from now on: that is found out, and it goes on as before."""
    vendor = Vendor(Quota(), says, phase=5.0)
    vendor.run(600)
    vendor.phase = 38.0
    vendor.run(1_800)
    assert used_per_minute(vendor, 1_000) >= 0.9 * LIMIT


def test_refusals_without_a_word() -> None:
    """The operator's figure is twice the truth, and nothing is said, not even when to come again."""
    vendor = Vendor(Quota(Told(tokens_per_minute=int(2 * LIMIT))), silent, waits=False)
    vendor.run(3_600)
    assert used_per_minute(vendor, 600) >= 0.3 * LIMIT
    assert vendor.refused <= 0.05 * len(vendor.served)


def test_a_rise_without_a_reset_is_a_bucket() -> None:
    """What remains rises little by little: it is refilled all the time, and most of what is refilled is used."""
    level, at = LIMIT, 0.0

    def says(remaining: float, reset: float) -> tuple[Reading, ...]:
        nonlocal level, at
        level, at = min(LIMIT, level + (vendor.now - at) * LIMIT / 60) - 100.0, vendor.now
        return (Reading(True, None, LIMIT, max(0.0, level)),)

    vendor = Vendor(Quota(), says, limit=math.inf)
    vendor.run(1_200)
    assert used_per_minute(vendor, 300) >= 0.9 * LIMIT


@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 100.0),
            st.sampled_from(("took", "served", "refused", "over", "unsent", "ask")),
            st.floats(0.0, 1e6),
            st.one_of(st.none(), st.floats(0.0, 1e6)),
            st.one_of(st.none(), st.floats(0.001, 1e5)),
        ),
        max_size=60,
    )
)
@settings(max_examples=examples(200))
def test_in_any_order(story: list[tuple[float, str, float, float | None, float | None]]) -> None:
    """Whatever is heard when: waits are finite and not negative, and somebody who asks long enough goes."""
    quota, now = Quota(), 0.0
    out: list[Sent] = []
    for passed, what, amount, remaining, reset in story:
        now += passed
        readings = (Reading(True, None, amount or None, remaining, reset), Reading(False, None, None, remaining))
        if what == "took":
            out.append(quota.took(now, amount))
        elif what == "ask":
            assert 0.0 <= quota.admits(now, amount) < 61.0
        elif out:
            sent = out.pop(0)
            if what == "served":
                quota.heard(sent, readings, now)
            elif what == "refused":
                quota.refused(sent, reset, readings, now)
            if what == "unsent":
                quota.unsent(sent)
            quota.over(sent)
    for sent in out:
        quota.over(sent)
    deadline = now + 5 * DAY
    while (wait := quota.admits(now, 100.0)) > 0.0:
        now += wait
        assert now < deadline


class Absurd:
    """An endpoint that says of a long limit that nothing remains, and serves whatever comes; with `room`, only so many."""

    def __init__(self, *, tokens: bool, period: float | None, reset: float | None, room: float = math.inf) -> None:
        self.quota = Quota()
        self._says = Reading(tokens=tokens, limit=1000.0, remaining=0.0, reset=reset, period=period)
        self._room = room
        self.now = 0.0
        self.served = self.refused = self.looks = 0
        self._back: list[tuple[float, Sent]] = []

    def run(self, seconds: float, *, wait: float | None = None) -> None:
        """Eight at once, each for two seconds. A refusal asks for `wait`."""
        until = self.now + seconds
        while self.now < until:
            for at, sent in [each for each in self._back if each[0] <= self.now]:
                self._back.remove((at, sent))
                if self.served < self._room:
                    self.served += 1
                    self.quota.heard(sent, [self._says], self.now)
                else:
                    self.refused += 1
                    self.quota.refused(sent, wait, [self._says], self.now)
                self.quota.over(sent)
            while len(self._back) < 8 and self.quota.admits(self.now, 10.0) <= 0.0:
                self._back.append((self.now + 2.0, self.quota.took(self.now, 10.0)))
            if self.quota.look_due(self.now):
                self.quota.looks(self.now)
                self.looks += 1
                self._back.append((self.now + 2.0, self.quota.took(self.now, 1.0)))
            self.now += 0.5


@pytest.mark.parametrize("reset", [None, DAY, 7200.0])
@pytest.mark.parametrize("tokens", [True, False])
@pytest.mark.parametrize("period", [DAY, 3600.0])
def test_a_long_limit_that_serves_although_nothing_remains(tokens: bool, period: float, reset: float | None) -> None:
    """It is looked at every five minutes; served three times in a row, it is not believed, and does not limit any more."""
    endpoint = Absurd(tokens=tokens, period=period, reset=reset)
    endpoint.run(1200.0)
    before = endpoint.served
    endpoint.run(600.0)
    assert endpoint.served - before >= 0.9 * 8 * 300


def test_a_day_that_is_used_up_is_left_alone() -> None:
    """What was out when nothing was left does not speak against that: nobody goes but a look every five minutes."""
    quota = Quota()
    reading = Reading(tokens=False, limit=1000.0, remaining=0.0, reset=DAY, period=DAY)
    quota.heard(quota.took(0.0, 10.0), [reading], 1.0)
    several = [quota.took(1.0, 10.0) for _ in range(8)]
    for sent in several:
        quota.heard(sent, [reading], 3.0)
    gone = 0
    for second in range(4, 1204):
        if quota.admits(float(second), 10.0) <= 0.0:
            quota.refused(quota.took(float(second), 10.0), None, [reading], second + 0.5)
            gone += 1
    assert gone <= 4


def test_a_refusal_of_one_who_is_not_believed() -> None:
    """The day that it names then says nothing either: the next one tries after seconds. A wait that it asks for is kept."""
    endpoint = Absurd(tokens=True, period=DAY, reset=DAY, room=3000.0)
    endpoint.run(3600.0)
    assert endpoint.served == 3000
    refused = endpoint.refused
    endpoint.run(600.0)
    assert 600.0 / 40 <= endpoint.refused - refused <= 600.0 / 20
    endpoint.quota.refused(endpoint.quota.took(endpoint.now, 10.0), 900.0, [], endpoint.now)
    refused = endpoint.refused
    endpoint.run(800.0)
    assert endpoint.refused - refused <= 1
