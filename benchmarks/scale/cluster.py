"""A cluster in virtual time: members that claim, engines that take shards, and what becomes of both."""

import gc
import heapq
import math
import resource
from collections import deque
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from benchmarks.scale.lives import Lives
from benchmarks.scale.load import CAPACITY, GROUP, LINE_TOKENS, SENDERS, SLOTS, Plan
from benchmarks.scale.member import At, Call, Desk, Engine, Lease, Member, driven
from benchmarks.scale.memory_ledger import MemoryLedger, OpenBatch
from benchmarks.scale.parts import ROUND_SECONDS, Parts
from benchmarks.scale.rhythm import DAY_SECONDS
from benchmarks.scale.tally import COMMIT_SECONDS, WINDOW_SECONDS, Tally

from slackwater.core.quota.enqueued import WaitingBatch, admit
from slackwater.pipeline.sending.claims import Picked
from slackwater.ports import Shard

# From a start to the first step elsewhere (docs/postgresql.md: 13 ms in the middle), and what a claim takes.
NEWS_SECONDS, CLAIM_SECONDS = (0.005, 0.027), 0.006
HOUR = 3_600.0


class Cluster:
    """Runs a plan."""

    def __init__(self, plan: Plan, chance: Random) -> None:
        self.plan = plan
        self.chance = chance
        self.now = 0.0
        self.ledger = MemoryLedger()
        self.tally = Tally(plan.tenants)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0
        self.engines = [
            Engine(group * GROUP + each, group, SLOTS) for group in range(len(plan.groups)) for each in range(GROUP)
        ]
        self.speeds = list(plan.speeds)
        self.members: list[Member | None] = [None] * plan.members
        self.parts = Parts(self)
        self.lives = Lives(self)
        self.waiting: list[deque[OpenBatch]] = [deque() for _ in plan.deployments]
        self.held = [0] * len(plan.deployments)
        self._of = {each.name: number for number, each in enumerate(plan.deployments)}
        # When a deployment last had nothing to claim, and what was begun of it in this hour.
        self._dry = [0.0] * len(plan.deployments)
        self._began = [0.0] * len(plan.deployments)
        self.open = 0
        self._flooded = {each.group for each in plan.deployments if each.tenant == plan.flooder}
        self.flood: tuple[float, float] | None = None
        self.slow: tuple[float, float, int] | None = None
        for number in range(plan.members):
            self.lives.join(number)

    # Time

    def at(self, moment: float, work: Callable[..., None], *arguments: Any) -> None:
        """To be done at a moment."""
        self._number += 1
        heapq.heappush(self._events, (moment, self._number, work, arguments))

    def run(self, until: float = math.inf) -> None:
        """Until a moment, or until nothing is left to be done."""
        events = self._events
        while events and events[0][0] <= until:
            self.now, _, work, arguments = heapq.heappop(events)
            work(*arguments)

    # Batches

    def feed(self, deployment: int, arrivals: Iterator[tuple[float, int]]) -> None:
        """Lets batches come."""
        if (one := next(arrivals, None)) is not None:
            self.open += 1
            self.at(one[0], self._arrive, deployment, one[1], arrivals)

    def _arrive(self, deployment: int, lines: int, arrivals: Iterator[tuple[float, int]]) -> None:
        each = self.plan.deployments[deployment]
        self._number += 1
        batch = OpenBatch(
            f"b{self._number}", each.name, lines, cut=each.shard_lines, tokens_a_line=LINE_TOKENS, created=self.now
        )
        batch.dearer = self.chance.uniform(0.7, 1.3)
        self.tally.shards += batch.shards
        waiting = self.waiting[deployment]
        waiting.append(batch)
        self.tally.waiting_most = max(self.tally.waiting_most, len(waiting))
        self._admit(deployment)
        self.open -= 1
        self.feed(deployment, arrivals)

    def _admit(self, deployment: int) -> None:
        """As the enqueuer does, for one deployment."""
        waiting, held = self.waiting[deployment], self.held[deployment]
        limit = self.plan.deployments[deployment].limit
        oldest = (WaitingBatch(id=batch.id, enqueued_tokens=batch.tokens) for batch in waiting)
        for _ in admit(oldest, limit=limit, held=held):
            batch = waiting.popleft()
            held += batch.tokens
            if not self.ledger.news_of(batch.deployment).queued:
                self._dry[deployment] = self.now
            self.ledger.start(batch, self.now)
            self._tell(deployment)
        assert held <= limit, "more tokens are held than a deployment may"
        self.held[deployment] = held

    def _tell(self, deployment: int) -> None:
        """Members hear of news a moment later."""
        each = self.plan.deployments[deployment]
        for number in self.senders(each.group):
            member = self.members[number]
            if member is not None:
                self.hint(member.desks[each.name], self.chance.uniform(*NEWS_SECONDS))

    def senders(self, group: int) -> list[int]:
        """The members that send to the engines of a group."""
        return [(group * SENDERS + each) % self.plan.members for each in range(SENDERS)]

    # Claims

    def hint(self, desk: Desk, delay: float = 0.0) -> None:
        if not desk.hinted:
            desk.hinted = True
            self.at(self.now + delay, self._look, desk)

    def _look(self, desk: Desk) -> None:
        if desk.claiming:
            self.at(self.now + CLAIM_SECONDS, self._look, desk)
            return
        desk.hinted = False
        if not desk.member.sends or desk.nothing_at == desk.news.number:
            return
        if desk.seen == desk.news.number:
            # It would read nothing.
            self.ledger.reads += 1
        else:
            driven(desk.claims.learn(self.now))
            desk.seen = desk.news.number
        picked = desk.claims.pick(())
        if picked.batch_ids:
            desk.claiming = True
            self.at(self.now + CLAIM_SECONDS, self._claim, desk, picked)
        elif desk.low:
            desk.nothing_at = desk.news.number

    def _claim(self, desk: Desk, picked: Picked) -> None:
        desk.claiming = False
        minute = int(self.now / 60)
        self.tally.claims_of_minute[minute] = self.tally.claims_of_minute.get(minute, 0) + 1
        shards = self.ledger.claim(picked.batch_ids, most=picked.most)
        member = desk.member
        if not member.sends:
            # It stops, and waits for a claim that is under way.
            for shard in shards:
                self.give_back(shard)
            return
        desk.claims.claimed(picked, shards, self.now)
        if not desk.news.queued:
            self._dry[desk.number] = self.now
        for shard in shards:
            lease = Lease(desk, shard, self.ledger.running[shard.batch_id])
            member.leases.add(lease)
            desk.add(lease)
        if shards:
            self.wake(desk)
            if not desk.hinted:
                self._look(desk)

    def give_back(self, shard: Shard) -> None:
        if self.ledger.release(shard):
            self._tell(self._of[shard.deployment])

    # Engines

    def wake(self, desk: Desk) -> None:
        for at, seat in desk.seats:
            if not seat.ready:
                at.turns.ready(seat)
        # Not always the same one first.
        shift = self.chance.randrange(len(desk.seats))
        for at, _ in (*desk.seats[shift:], *desk.seats[:shift]):
            if not desk.shards:
                return
            # Most have all out that they may, and have asked for more.
            if at.out < at.slots or at.wanted < at.engine.limit or not at.got or at.got > at.part:
                self.send(at)

    def send(self, at: At) -> None:
        """What an engine's lanes do at one member: they ask whose turn it is, while they may have more out."""
        engine, turns = at.engine, at.turns
        if not engine.up or not at.member.sends:
            return
        while at.out < at.slots:
            seat = turns.alone or turns.next()
            if seat is None:
                break
            desk = seat.of
            lease = desk.take()
            if lease is None:
                turns.rest(seat)
                continue
            if turns.alone is None:
                turns.took(seat, lease.left * LINE_TOKENS if turns.shared else 0.0)
            self._call(at, seat, lease)
            if desk.low and not (desk.claiming or desk.hinted):
                self._look(desk)
        if at.out >= at.slots and turns and (at.wanted < engine.limit or not at.got):
            at.hungry = True
            self.parts.round(engine, 0.1)
        elif engine.short and (at.got > at.part or (at.got > at.out and not turns)):
            self.parts.round(engine, ROUND_SECONDS)

    def _call(self, at: At, seat: Any, lease: Lease) -> None:
        engine, member = at.engine, at.member
        at.out += 1
        engine.out += 1
        assert engine.out <= engine.limit, "more is out at an engine than it takes"
        self.tally.calls += 1
        call = Call(at, seat, lease, self.now)
        member.calls.add(call)
        batch_id = lease.shard.batch_id
        count, since = member.busy.get(batch_id, (0, self.now))
        member.busy[batch_id] = (count + 1, since)
        self._began[lease.desk.number] += lease.left
        over = CAPACITY.after(self.now, lease.left * lease.batch.dearer / self.speeds[engine.group])
        self.at(over, self._ended, call)

    def _ended(self, call: Call) -> None:
        if call.over:
            return
        self.free(call)
        lease, at = call.lease, call.at
        shard, member = lease.shard, at.member
        member.leases.discard(lease)
        batch = lease.batch
        assert self.ledger.commit(shard, 0), "a worker that lives has lost its shard"
        self.tally.ended_shards += 1
        if at.turns.shared:
            at.turns.spent(call.seat, lease.left * LINE_TOKENS * (batch.dearer - 1))
        if not batch.open:
            self._batch_ended(batch, lease.desk.number)
        self.send(at)

    def free(self, call: Call) -> None:
        """A call is not out any more."""
        call.over = True
        at = call.at
        at.out -= 1
        at.engine.out -= 1
        member = at.member
        member.calls.discard(call)
        batch_id = call.lease.shard.batch_id
        count, since = member.busy[batch_id]
        if count > 1:
            member.busy[batch_id] = (count - 1, since)
        else:
            del member.busy[batch_id]
            self.tally.puts += math.ceil((self.now - since) / COMMIT_SECONDS)

    def _batch_ended(self, batch: OpenBatch, deployment: int) -> None:
        each = self.plan.deployments[deployment]
        born = batch.created
        took = self.now - born
        self.tally.ended(batch.lines, took)
        slow = self.slow
        if each.tenant != self.plan.flooder and (
            slow is None or self.plan.kinds[each.group] != slow[2] or self.now < slow[0]
        ):
            self.tally.late_within += each.within and took > WINDOW_SECONDS
            if self.flood is not None and each.group in self._flooded:
                self.tally.beside[self.flood[0] <= born < self.flood[1], each.within].add(took)
        self.held[deployment] -= batch.tokens
        self._admit(deployment)

    # What is looked at

    def hour(self, last: float) -> None:
        """Who got what in this hour of those that had shards to claim all the time."""
        for deployments in self.plan.groups:
            hungry = [
                each
                for each in deployments
                if self._dry[each] < self.now - HOUR and self.ledger.news_of(self.plan.deployments[each].name).queued
            ]
            if len(hungry) > 1:
                self._compare(hungry)
        self._began = [0.0] * len(self._began)
        if not self.now % DAY_SECONDS:
            gc.collect()
            self.tally.memory_mib.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        if self.now < last or self.ledger.running or any(self.waiting):
            self.at(self.now + HOUR, self.hour, last)

    def _compare(self, hungry: list[int]) -> None:
        all_of_it = sum(self._began[each] for each in hungry)
        weights = sum(self.plan.deployments[each].weight for each in hungry)
        for each in hungry:
            deployment = self.plan.deployments[each]
            fair = all_of_it * deployment.weight / weights
            self.tally.got[deployment.tenant] += self._began[each]
            self.tally.fair[deployment.tenant] += fair
            if fair:
                self.tally.worst_hour = min(self.tally.worst_hour, self._began[each] / fair)
            if not self._began[each]:
                self.tally.starved.append((self.now, deployment.name))
