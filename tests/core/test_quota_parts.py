"""A vendor's limit that three members of a cluster divide, beside online traffic: equal parts, and nobody pays for it.

The worlds and the traffic are those of benchmarks/rate_limits.py. Members hear each other once a second.
"""

import random
from functools import partial

import pytest

from slackwater.core.sending.late_peers import FarPeer, Moment
from slackwater.core.sending.peers import Word
from slackwater.core.sending.rate_limit_headers import Reading
from slackwater.core.sending.rate_limits import Quota, Told
from tests.core.test_shared_quota import BENCHMARK

LOAD, CV, TALK_SECONDS = 0.4, 2.0, 1.0


class Member:
    """One, who has always something to send."""

    def __init__(self, clock: "BENCHMARK.Clock", endpoint: "BENCHMARK.Endpoint", part: float, seed: int) -> None:  # type: ignore[name-defined]
        self.clock = clock
        self.policy = BENCHMARK.Ours()
        self.quota: Quota = self.policy.quota
        self.quota.divided(part)
        self.client = BENCHMARK.Client(clock, endpoint, self.policy, random.Random(seed))
        self.past: list[Moment] = []

    def told(self) -> FarPeer:
        """What it says."""
        now, (tokens, requests) = self.clock.now, self.quota.gone
        self.past += [Moment(at, 0, *sent, 0.0) for at, *sent in self.quota.sent_since(now - TALK_SECONDS, step=0.1)]
        self.past.sort(key=lambda moment: moment.at)
        return FarPeer(Word(out=0, window=1.0, sent=tokens, looked_up=requests), now, list(self.past))


class Members:
    """All of them, at one vendor."""

    def __init__(self, world: str, parts: tuple[float, ...], *, minutes: int, seed: int = 1) -> None:
        self.clock = BENCHMARK.Clock()
        self.traffic = BENCHMARK.Traffic(LOAD, CV, seed, minutes * 60.0)
        self.endpoint = BENCHMARK.WORLDS[world](random.Random(seed))
        self.refused = 0
        for at, tokens in self.traffic.arrivals:
            self.clock.at(at, partial(self._online, tokens))
        self.members = [Member(self.clock, self.endpoint, part, seed + n) for n, part in enumerate(parts)]
        self.words: dict[str, FarPeer] = {}
        for number in range(len(parts) if len(parts) > 1 else 0):
            self.clock.at(0.3 * number, partial(self._talk, number))
        self.clock.run(minutes * 60.0)
        self.tokens = [member.client.tokens for member in self.members]
        self.used = sum(self.tokens) / self.traffic.leftover()

    def _online(self, tokens: float) -> None:
        self.refused += not self.endpoint.offer(self.clock.now, tokens).served

    def _talk(self, number: int) -> None:
        member = self.members[number]
        self.words[f"{number}"] = member.told()
        member.quota.told_of({name: word for name, word in self.words.items() if name != f"{number}"}, ahead=0.0)
        self.clock.at(self.clock.now + TALK_SECONDS, partial(self._talk, number))


@pytest.mark.parametrize(("world", "used_min"), [("azure", 0.75), ("window", 0.75), ("bucket", 0.95)])
def test_equal_parts_are_used_equally(world: str, used_min: float) -> None:
    """Most of what online users leave, whom it costs no more than one server does."""
    found = Members(world, (1 / 3, 1 / 3, 1 / 3), minutes=20)
    assert found.used >= used_min
    assert min(found.tokens) >= 0.6 * max(found.tokens)
    assert found.refused <= 0.005 * len(found.traffic.arrivals)


def test_unequal_parts() -> None:
    """Whoever was given more sends more."""
    found = Members("window", (0.75, 0.25), minutes=20)
    assert found.used >= 0.75
    assert 2.0 <= found.tokens[0] / found.tokens[1] <= 4.5


def test_a_part_that_changes_within_a_minute() -> None:
    """What was used of the whole is used of the part: who has had more waits for the next."""
    quota = Quota(Told(tokens_per_minute=1000, shared=False))
    sent = quota.took(0.0, 600.0)
    quota.heard(sent, [Reading(tokens=True, limit=1000.0, remaining=400.0, reset=None)], 0.1)
    quota.over(sent)
    assert quota.admits(1.0, 350.0) == 0.0
    quota.divided(0.5)
    assert quota.admits(1.0, 150.0) > 0.0
    quota.divided(0.7)
    assert quota.admits(1.0, 100.0) == 0.0
    assert quota.admits(1.0, 150.0) > 0.0
    quota.divided(1.0)
    assert quota.admits(1.0, 350.0) == 0.0
    assert quota.own_use == pytest.approx(0.6)
