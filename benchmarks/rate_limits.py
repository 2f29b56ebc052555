"""A shared quota at a vendor, in virtual time: `python benchmarks/rate_limits.py [--seeds 5] [--minutes 60]`.

Online traffic and a batch use one quota of 240,000 tokens and 1,440 requests a minute. Online requests come in bursts (gamma
arrivals, CV 2 or 5) and take 40 % or 70 % of the tokens. What a batch may send is what they leave: the table says how much of
that each policy uses, and how many more of the online requests are refused than without a batch.

The vendors' rules, one `World` each:

azure    tokens are counted at arrival (prompt + max_tokens) in minutes, requests in spans of ten seconds; answers have what
         remains and no limit and no reset, refusals have Retry-After in whole seconds
window   the same, with the limit and the seconds to the reset in every answer
bucket   tokens and requests are refilled all the time (OpenAI, Groq): limit, remaining and the time until all is there again

Answers come when they are complete, 0.4 s and 15 ms a token after they were asked for, and with them their headers: what is
known is always some seconds old. The product's own code (core/sending/rate_limits.py) decides in the last row of each world;
the others are what clients do: a fixed number of calls, AIMD on refusals, a fixed reserve of half of the quota.

One setting for all, the reserve `Z * t ** POWER` of core/sending/limit_window.py, found over powers of 0.5 to 1 and Z of 1
to 5. A power of 0.5, as for independent requests, at Z 3.5 uses 92 % at 0.19 points (CV 2) and 87 % at 1.06 (CV 5). A steeper
one sends later in the minute, when little can come any more: 0.9 at Z 1.75 uses 96 % at 0.2 and 94 % at 0.5. What is lost is
the last half second, which is as long as a look takes; at Z 1 it is 98 % at 0.4 points, at Z 2.5 it is 95 % at 0.1.
"""

import argparse
import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from slackwater.core.sending.limit_shape import Sent
from slackwater.core.sending.rate_limit_headers import Reading
from slackwater.core.sending.rate_limits import Quota

TOKENS, REQUESTS = 240_000, 1_440
LOADS = ((0.4, 2.0), (0.7, 2.0), (0.4, 5.0))
FIRST_SECONDS, TOKEN_SECONDS = 0.4, 0.015
SLOTS = 256
LOOK_TOKENS = 12


class Clock:
    """Virtual time: what is to happen, in order."""

    def __init__(self) -> None:
        self.now = 0.0
        self._number = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, moment: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (max(moment, self.now), next(self._number), what))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] < until:
            self.now, _, what = heapq.heappop(self._events)
            what()
        self.now = until


@dataclass
class Said:
    """What the endpoint answers to one request."""

    served: bool
    wait: float | None = None
    readings: tuple[Reading, ...] = ()


class Windows:
    """Counters that are whole again every minute, and every ten seconds for requests. The minute begins at `phase`."""

    def __init__(self, *, says_reset: bool, phase: float) -> None:
        self._says_reset, self._phase = says_reset, phase
        self._minute = self._ten = -1
        self._tokens = self._requests = self._in_ten = 0.0

    def offer(self, now: float, tokens: float) -> Said:
        minute, ten = math.floor((now + self._phase) / 60), math.floor((now + self._phase) / 10)
        if minute != self._minute:
            self._minute, self._tokens, self._requests = minute, 0.0, 0.0
        if ten != self._ten:
            self._ten, self._in_ten = ten, 0.0
        reset = (minute + 1) * 60 - now - self._phase
        if self._tokens + tokens > TOKENS:
            return Said(False, math.ceil(reset), self._readings(reset))
        if self._in_ten + 1 > REQUESTS / 6:
            return Said(False, math.ceil((ten + 1) * 10 - now - self._phase), self._readings(reset))
        self._tokens += tokens
        self._requests += 1
        self._in_ten += 1
        return Said(True, None, self._readings(reset))

    def _readings(self, reset: float) -> tuple[Reading, ...]:
        left = TOKENS - self._tokens, REQUESTS - self._requests
        if not self._says_reset:
            return Reading(True, None, None, left[0]), Reading(False, None, None, left[1])
        whole = float(math.ceil(reset))
        return Reading(True, None, TOKENS, left[0], whole), Reading(False, None, REQUESTS, left[1], whole)


class Bucket:
    """Two buckets that are refilled all the time."""

    def __init__(self) -> None:
        self._tokens, self._requests, self._at = float(TOKENS), float(REQUESTS), 0.0

    def offer(self, now: float, tokens: float) -> Said:
        passed, self._at = now - self._at, now
        self._tokens = min(TOKENS, self._tokens + passed * TOKENS / 60)
        self._requests = min(REQUESTS, self._requests + passed * REQUESTS / 60)
        if tokens > self._tokens or self._requests < 1:
            return Said(False, max(0.001, (tokens - self._tokens) / TOKENS * 60), self._readings())
        self._tokens -= tokens
        self._requests -= 1
        return Said(True, None, self._readings())

    def _readings(self) -> tuple[Reading, ...]:
        missing = (TOKENS - self._tokens) / TOKENS * 60, (REQUESTS - self._requests) / REQUESTS * 60
        return (
            Reading(True, None, TOKENS, math.floor(self._tokens), round(missing[0], 3) or None),
            Reading(False, None, REQUESTS, math.floor(self._requests), round(missing[1], 3) or None),
        )


Endpoint = Windows | Bucket
WORLDS: dict[str, Callable[[random.Random], Endpoint]] = {
    "azure": lambda chance: Windows(says_reset=False, phase=chance.uniform(0, 60)),
    "window": lambda chance: Windows(says_reset=True, phase=chance.uniform(0, 60)),
    "bucket": lambda chance: Bucket(),
}


def sizes(chance: random.Random) -> tuple[float, float]:
    """Prompt tokens and generated tokens of a request, as chats have them: 1,150 and 210 on average, with long tails."""
    return min(16_000.0, chance.lognormvariate(6.55, 1.0)), min(2_000.0, chance.lognormvariate(5.0, 0.8))


@dataclass
class Traffic:
    """The online requests of one run, which are the same whatever the batch does."""

    load: float
    cv: float
    seed: int
    seconds: float
    arrivals: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)
        shape = 1 / self.cv**2
        mean = 1_360.0 / (self.load * TOKENS / 60)
        at = chance.gammavariate(shape, mean / shape)
        while at < self.seconds:
            self.arrivals.append((at, sum(sizes(chance))))
            at += chance.gammavariate(shape, mean / shape)

    def leftover(self) -> float:
        """The tokens that are left of every minute."""
        minutes = [0.0] * math.ceil(self.seconds / 60)
        for at, tokens in self.arrivals:
            minutes[int(at // 60)] += tokens
        return sum(max(0.0, TOKENS - used) for used in minutes)


class Policy:
    """What a client does. `may` answers 0.0 to send, or seconds after which it asks again."""

    def may(self, now: float, tokens: float, out: int) -> float:
        raise NotImplementedError

    def sends(self, now: float, tokens: float) -> Sent:
        return Sent(now, tokens, 0.0, 0.0)

    def heard(self, sent: Sent, said: Said, now: float) -> None:
        """An answer has come."""

    def look_due(self, now: float) -> bool:
        return False

    def looks(self, now: float) -> None:
        """A look is sent."""


class Fixed(Policy):
    name = "fixed 16"

    def __init__(self) -> None:
        self._most, self._until = 16.0, 0.0

    def may(self, now: float, tokens: float, out: int) -> float:
        if now < self._until:
            return self._until - now
        return 0.0 if out < int(self._most) else 0.1

    def heard(self, sent: Sent, said: Said, now: float) -> None:
        if not said.served:
            self._until = max(self._until, now + (said.wait or 1.0))


class Aimd(Fixed):
    name = "AIMD on 429"

    def heard(self, sent: Sent, said: Said, now: float) -> None:
        super().heard(sent, said, now)
        self._most = min(2_000.0, self._most + 1 / self._most) if said.served else max(1.0, self._most / 2)


class HalfReserve(Fixed):
    """Sends while more than half remains: the least that it was told in a minute of its own, less what it has sent since."""

    name = "fixed reserve 50 %"

    def __init__(self) -> None:
        super().__init__()
        self._most = SLOTS
        self._left, self._ends = float(TOKENS), 60.0

    def may(self, now: float, tokens: float, out: int) -> float:
        if now >= self._ends:
            self._left, self._ends = float(TOKENS), now + 60.0
        wait = super().may(now, tokens, out)
        return wait or (0.0 if self._left - tokens > TOKENS / 2 else 0.25)

    def sends(self, now: float, tokens: float) -> Sent:
        self._left -= tokens
        return super().sends(now, tokens)

    def heard(self, sent: Sent, said: Said, now: float) -> None:
        super().heard(sent, said, now)
        if sent.at >= self._ends - 60.0:
            self._left = min(self._left, said.readings[0].remaining or 0.0)


class Ours(Policy):
    name = "slackwater"

    def __init__(self) -> None:
        self.quota = Quota()

    def may(self, now: float, tokens: float, out: int) -> float:
        return self.quota.admits(now, tokens)

    def sends(self, now: float, tokens: float) -> Sent:
        return self.quota.took(now, tokens)

    def heard(self, sent: Sent, said: Said, now: float) -> None:
        if said.served:
            self.quota.heard(sent, said.readings, now)
        else:
            self.quota.refused(sent, said.wait, said.readings, now)
        self.quota.over(sent)

    def look_due(self, now: float) -> bool:
        return self.quota.look_due(now)

    def looks(self, now: float) -> None:
        self.quota.looks(now)


POLICIES: tuple[type[Fixed | Aimd | HalfReserve | Ours] | None, ...] = (None, Fixed, Aimd, HalfReserve, Ours)


class Client:
    """A batch that never ends, as its policy lets it."""

    def __init__(self, clock: Clock, endpoint: Endpoint, policy: Policy, chance: random.Random) -> None:
        self._clock, self._endpoint, self._policy, self._chance = clock, endpoint, policy, chance
        self._next: tuple[float, float, float] | None = None
        self._asks_at = math.inf
        self.out = self.refused = self.served = self.looks = 0
        self.tokens = 0.0
        clock.at(0.0, self.pump)

    def pump(self) -> None:
        """Sends what may be sent, and sleeps until the policy says."""
        now, policy = self._clock.now, self._policy
        while self.out < SLOTS:
            if self._next is None:
                prompt, answer = sizes(self._chance)
                self._next = prompt, answer, 1.5 * answer
            prompt, answer, most = self._next
            wait = policy.may(now, prompt + most, self.out)
            if wait > 0.0:
                if policy.look_due(now):
                    policy.looks(now)
                    self.looks += 1
                    self._send(LOOK_TOKENS, 1.0, look=True)
                self._asks_at = now + wait
                self._clock.at(self._asks_at, self._woken)
                return
            self._next = None
            self._send(prompt + most, answer)

    def _woken(self) -> None:
        if self._clock.now >= self._asks_at:
            self._asks_at = math.inf
            self.pump()

    def _send(self, tokens: float, answer: float, *, look: bool = False) -> None:
        now = self._clock.now
        sent = self._policy.sends(now, tokens)
        said = self._endpoint.offer(now, tokens)
        self.out += not look
        if said.served:
            self.tokens += tokens
            self.served += not look
        else:
            self.refused += 1

        def back() -> None:
            self.out -= not look
            self._policy.heard(sent, said, self._clock.now)
            self.pump()

        self._clock.at(now + FIRST_SECONDS + (answer * TOKEN_SECONDS if said.served else 0.0), back)


@dataclass(frozen=True)
class Figures:
    """What one run came to."""

    offered: int
    refused: int
    leftover: float
    used: float
    own_refused: int
    own_served: int
    looks: int


def run(world: str, policy: Callable[[], Policy] | None, load: float, cv: float, seed: int, minutes: int) -> Figures:
    """One run. Deterministic in its arguments."""
    clock, traffic = Clock(), Traffic(load, cv, seed, minutes * 60.0)
    endpoint = WORLDS[world](random.Random(seed + 1_000))
    refused = 0

    def online(tokens: float) -> None:
        nonlocal refused
        refused += not endpoint.offer(clock.now, tokens).served

    for at, tokens in traffic.arrivals:
        clock.at(at, lambda tokens=tokens: online(tokens))  # type: ignore[misc]
    client = None if policy is None else Client(clock, endpoint, policy(), random.Random(seed + 2_000))
    clock.run(traffic.seconds)
    if client is None:
        return Figures(len(traffic.arrivals), refused, traffic.leftover(), 0.0, 0, 0, 0)
    return Figures(
        len(traffic.arrivals),
        refused,
        traffic.leftover(),
        client.tokens,
        client.refused,
        client.served,
        client.looks,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--worlds", nargs="*", default=list(WORLDS))
    parser.add_argument("--only-ours", action="store_true")
    asked = parser.parse_args()
    head = f"{'world':8} {'load':>5} {'CV':>3}  {'policy':20} {'leftover used':>13} {'online 429':>10} {'added':>7}"
    print(f"{head} {'own 429':>8} {'looks/min':>9}")
    for world in asked.worlds:
        for load, cv in LOADS:
            alone = 0.0
            for policy in POLICIES:
                if asked.only_ours and policy not in (None, Ours):
                    continue
                runs = [run(world, policy, load, cv, seed, asked.minutes) for seed in range(1, asked.seeds + 1)]
                offered = sum(each.offered for each in runs)
                refused = 100 * sum(each.refused for each in runs) / offered
                alone = refused if policy is None else alone
                used = 100 * sum(each.used for each in runs) / sum(each.leftover for each in runs)
                own = sum(each.own_refused for each in runs) / max(1, sum(each.own_served for each in runs))
                looks = sum(each.looks for each in runs) / (asked.seeds * asked.minutes)
                name = "no batch" if policy is None else policy.name
                print(
                    f"{world:8} {load:5.0%} {cv:3.0f}  {name:20} {used:12.1f}% {refused:9.2f}% {refused - alone:7.2f} "
                    f"{own:8.3f} {looks:9.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
