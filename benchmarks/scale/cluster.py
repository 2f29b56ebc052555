"""A cluster in virtual time: members that claim, engines that take shards, and what becomes of both."""

import gc
import heapq
import math
import resource
from collections import deque
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from msgspec import structs

from benchmarks.scale.load import CAPACITY, GROUP, LINE_TOKENS, SENDERS, SLOTS, Plan
from benchmarks.scale.member import At, Call, Desk, Engine, Lease, Member, driven
from benchmarks.scale.memory_ledger import MemoryLedger, OpenBatch
from benchmarks.scale.rhythm import DAY_SECONDS
from benchmarks.scale.tally import WINDOW_SECONDS, Tally
from slackwater.core.quota.enqueued import WaitingBatch, admit
from slackwater.core.sending.shared_slots import Ask, Holding, granted
from slackwater.ports import Shard

# From a start to the first step elsewhere (docs/postgresql.md: 13 ms in the middle), and what a claim takes.
NEWS_SECONDS, CLAIM_SECONDS = (0.005, 0.027), 0.006
# Of a slot's shard so many lines are in flight; what was answered in a commit period before a death is sent again, too.
IN_FLIGHT, COMMIT_SECONDS = 16, 1.0
# How long calls at an engine take, at most; a lost member's go on for that long.
CALL_SECONDS = 20.0
ROUND_SECONDS = 1.0
# What a member asks of an engine for each request slot: 8 lines (pipeline/sending/worker.py).
WANTED = 8 * GROUP * SLOTS * IN_FLIGHT
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
        self._lives = [0] * plan.members
        self._waiting: list[deque[OpenBatch]] = [deque() for _ in plan.deployments]
        self._held = [0] * len(plan.deployments)
        self._of = {each.name: number for number, each in enumerate(plan.deployments)}
        # When a deployment last had nothing to claim, and what was begun of it in this hour.
        self._dry = [0.0] * len(plan.deployments)
        self._began = [0.0] * len(plan.deployments)
        self.open = 0
        self._flooded = {each.group for each in plan.deployments if each.tenant == plan.flooder}
        self.flood: tuple[float, float] | None = None
        self.slow: tuple[float, float, int] | None = None
        for number in range(plan.members):
            self._join(number)

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
        waiting = self._waiting[deployment]
        waiting.append(batch)
        self.tally.waiting_most = max(self.tally.waiting_most, len(waiting))
        self._admit(deployment)
        self.open -= 1
        self.feed(deployment, arrivals)

    def _admit(self, deployment: int) -> None:
        """As the enqueuer does, for one deployment."""
        waiting, held = self._waiting[deployment], self._held[deployment]
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
        self._held[deployment] = held

    def _tell(self, deployment: int) -> None:
        """Members hear of news a moment later."""
        each = self.plan.deployments[deployment]
        for number in self.senders(each.group):
            member = self.members[number]
            if member is not None:
                self._hint(member.desks[each.name], self.chance.uniform(*NEWS_SECONDS))

    def senders(self, group: int) -> list[int]:
        """The members that send to the engines of a group."""
        return [(group * SENDERS + each) % self.plan.members for each in range(SENDERS)]

    # Claims

    def _hint(self, desk: Desk, delay: float = 0.0) -> None:
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
        driven(desk.claims.learn())
        picked = driven(desk.claims.pick(()))
        if picked:
            desk.claiming = True
            self.at(self.now + CLAIM_SECONDS, self._claim, desk, picked)
        elif desk.low:
            desk.nothing_at = desk.news.number

    def _claim(self, desk: Desk, picked: list[str]) -> None:
        desk.claiming = False
        minute = int(self.now / 60)
        self.tally.claims_of_minute[minute] = self.tally.claims_of_minute.get(minute, 0) + 1
        shards = self.ledger.claim(picked)
        member = desk.member
        if not member.sends:
            # It stops, and waits for a claim that is under way.
            for shard in shards:
                self._give_back(shard)
            return
        desk.claims.claimed(picked, shards)
        if not desk.news.queued:
            self._dry[desk.number] = self.now
        for shard in shards:
            lease = Lease(desk, shard, self.ledger.running[shard.batch_id])
            member.leases.add(lease)
            desk.add(lease)
        if shards:
            self._wake(desk)
            if not desk.hinted:
                self._look(desk)

    def _give_back(self, shard: Shard) -> None:
        if self.ledger.release(shard):
            self._tell(self._of[shard.deployment])

    # Engines

    def _wake(self, desk: Desk) -> None:
        for at, seat in desk.seats:
            at.turns.ready(seat)
        # Not always the same one first.
        shift = self.chance.randrange(len(desk.seats))
        for at, _ in (*desk.seats[shift:], *desk.seats[:shift]):
            if not desk.shards:
                return
            self._send(at)

    def _send(self, at: At) -> None:
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
            self._round(engine, 0.1)
        elif engine.short and (at.got > at.part or (at.got > at.out and not turns)):
            self._round(engine, ROUND_SECONDS)

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
        self._free(call)
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
        self._send(at)

    def _free(self, call: Call) -> None:
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
        self._held[deployment] -= batch.tokens
        self._admit(deployment)

    # Parts of engines

    def _round(self, engine: Engine, delay: float) -> None:
        moment = self.now + delay
        if engine.round_at is None or moment < engine.round_at:
            engine.round_at = moment
            self.at(moment, self._share, engine)

    def _share(self, engine: Engine) -> None:
        """Every member at the engine asks for what it could use: what renewals every three seconds come to."""
        if engine.round_at != self.now:
            return
        engine.round_at = None
        engine.short = False
        self.tally.rounds += 1
        # Who has too much says so first, as it does within a second.
        for at in sorted(engine.ats, key=lambda at: at.hungry):
            if at.member.sends:
                self._ask(at)
        if engine.short and any(at.got > max(at.part, at.out) for at in engine.ats):
            self._round(engine, ROUND_SECONDS)
        for at in engine.ats:
            if at.out < at.slots and at.turns:
                self._send(at)

    def _ask(self, at: At) -> None:
        engine, member = at.engine, at.member.name
        if not at.turns and not at.out:
            if at.got:
                del engine.holdings[member]
                at.got = at.slots = at.part = at.wanted = 0
            return
        at.wanted = engine.limit if at.turns else at.out
        at.hungry = False
        at.serial += 1
        ask = Ask(
            engine=engine.name,
            wanted=at.wanted,
            # What it may have out from now on: not more than it wants.
            held=max(min(at.slots, at.wanted), at.out),
            limit=engine.limit,
            serial=at.serial,
            longest=CALL_SECONDS,
            known=True,
        )
        grant = granted(ask, member=member, holdings=list(engine.holdings.values()), now=self.now)
        self.tally.asks += 1
        assert grant.heard
        engine.holdings[member] = Holding(
            member=member,
            wanted=at.wanted,
            slots=grant.slots,
            limit=engine.limit,
            until=math.inf,
            serial=at.serial,
            longest=CALL_SECONDS,
            known=True,
            alone=False,
            gone=False,
        )
        at.got, at.part = grant.slots, grant.part
        at.slots = min(grant.slots, grant.part)
        engine.short |= grant.slots < min(grant.part, at.wanted) or grant.part < at.wanted

    # Members that come and go

    def _join(self, number: int) -> None:
        self._lives[number] += 1
        member = self.members[number] = Member(number, self._lives[number])
        for group, deployments in enumerate(self.plan.groups):
            if number not in self.senders(group):
                continue
            ats = [At(member, engine) for engine in self.engines[group * GROUP : (group + 1) * GROUP]]
            for at in ats:
                at.engine.ats.append(at)
            member.ats += ats
            for each in deployments:
                deployment = self.plan.deployments[each]
                desk = Desk(member, deployment, each, self.ledger, wanted=WANTED)
                name = f"t{deployment.tenant}"
                desk.seats = [(at, at.turns.seat(desk, name, weight=deployment.weight)) for at in ats]
                member.desks[deployment.name] = desk
                self._hint(desk)

    def _done(self, call: Call) -> int:
        """Lines of a call that have a result by now."""
        lease = call.lease
        worked = CAPACITY.passed(self.now) - CAPACITY.passed(call.begun)
        return min(lease.left - 1, int(worked * self.speeds[call.at.engine.group] / lease.batch.dearer))

    def stop(self, number: int, how: str) -> None:
        """A member ends: it is stopped for a `deploy`, `killed`, or `lost` with its machine."""
        member = self.members[number]
        if member is None:
            return
        self.tally.deaths[how] += 1
        self.members[number] = None
        member.sends = False
        lags = {"deploy": 0.0, "killed": 0.1, "lost": 15.0}
        counted = {"deploy": 0.0, "killed": 1.0, "lost": self.chance.uniform(9.0, 12.0)}[how]
        for call in list(member.calls):
            done = self._done(call)
            if how != "deploy":
                # Its last commit period, and what was in flight.
                rate = self.speeds[call.at.engine.group] / call.lease.batch.dearer
                lost = min(done, int(rate * COMMIT_SECONDS))
                done -= lost
                self.tally.lines_twice += lost + min(IN_FLIGHT, call.lease.left - done)
            self._free(call)
            self.ledger.commit(call.lease.shard, call.lease.left - done)
            if how != "deploy":
                # The engine does not notice at once.
                call.at.engine.out += 1
                gone = self.chance.uniform(0.0, 1.0 if how == "killed" else CALL_SECONDS)
                self.at(self.now + gone, self._gone, call.at.engine)
        for at in member.ats:
            engine = at.engine
            engine.ats.remove(at)
            held = engine.holdings.pop(member.name, None)
            if held is not None and how != "deploy":
                left = {"until": self.now + counted, "gone": how == "killed", "wanted": 0}
                engine.holdings[member.name] = structs.replace(held, **left)
                self.at(self.now + counted + CALL_SECONDS, self._forget, engine, member.name)
                self._round(engine, counted + 0.01)
            self._round(engine, 0.1)
        self.at(self.now + lags[how], self._bury, [lease.shard for lease in member.leases], how)
        self.at(self.now + {"deploy": 5.0, "killed": 5.0, "lost": 120.0}[how], self._join, number)

    def _gone(self, engine: Engine) -> None:
        engine.out -= 1

    def _forget(self, engine: Engine, member: str) -> None:
        engine.holdings.pop(member, None)
        self._round(engine, 0.01)

    def _bury(self, shards: list[Shard], how: str) -> None:
        for shard in sorted(shards, key=lambda each: (each.batch_id, each.index)):
            self.tally.shards_again += 1
            self._give_back(shard)
        if how == "lost" and shards:
            # It wakes up when others have its shards.
            self.at(self.now + 10.0, self._wakes, shards)

    def _wakes(self, shards: list[Shard]) -> None:
        for shard in shards:
            assert not self.ledger.commit(shard, 0), "a member that was buried has written"
            self.tally.fenced += 1

    def fail(self, number: int, seconds: float) -> None:
        """An engine dies, and comes back."""
        engine = self.engines[number]
        self.tally.deaths["engine"] += 1
        engine.up = False
        for at in engine.ats:
            for call in [each for each in at.member.calls if each.at is at]:
                done = self._done(call)
                self.tally.lines_twice += min(IN_FLIGHT, call.lease.left - done)
                self._free(call)
                self.ledger.commit(call.lease.shard, call.lease.left - done)
                call.lease.left -= done
                # The others take it on.
                call.lease.desk.add(call.lease, first=True)
                self._wake(call.lease.desk)
        self.at(self.now + seconds, self._back, engine)

    def _back(self, engine: Engine) -> None:
        engine.up = True
        for at in engine.ats:
            self._send(at)

    def set_speed(self, kind: int, times: float) -> None:
        """All engines of a type are so much faster than before."""
        for group, each in enumerate(self.plan.kinds):
            if each == kind:
                self.speeds[group] *= times

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
        if self.now < last or self.ledger.running or any(self._waiting):
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
