"""Members and engines of the simulated cluster that come and go, and what their deaths cost."""

from typing import TYPE_CHECKING

from benchmarks.scale.load import CAPACITY, GROUP
from benchmarks.scale.member import CALL_SECONDS, IN_FLIGHT, WANTED, At, Call, Desk, Engine, Member
from benchmarks.scale.tally import COMMIT_SECONDS
from msgspec import structs

from slackwater.ports import Shard

if TYPE_CHECKING:
    from benchmarks.scale.cluster import Cluster

# Until others have its shards, until its grants are over, and until it is there again: of one that is stopped, killed, or lost.
FREED_SECONDS = {"deploy": 0.0, "killed": 0.1, "lost": 15.0}
GRANTED_SECONDS = {"deploy": (0.0, 0.0), "killed": (1.0, 1.0), "lost": (9.0, 12.0)}
BACK_SECONDS = {"deploy": 5.0, "killed": 5.0, "lost": 120.0}
# When one that was lost wakes up, after others have its shards.
WAKES_SECONDS = 10.0


class Lives:
    """Of all members and engines."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._lives = [0] * cluster.plan.members

    def join(self, number: int) -> None:
        self._lives[number] += 1
        member = self._cluster.members[number] = Member(number, self._lives[number])
        for group, deployments in enumerate(self._cluster.plan.groups):
            if number not in self._cluster.senders(group):
                continue
            ats = [At(member, engine) for engine in self._cluster.engines[group * GROUP : (group + 1) * GROUP]]
            for at in ats:
                at.engine.ats.append(at)
            member.ats += ats
            for each in deployments:
                deployment = self._cluster.plan.deployments[each]
                desk = Desk(member, deployment, each, self._cluster.ledger, wanted=WANTED)
                name = f"t{deployment.tenant}"
                desk.seats = [(at, at.turns.seat(desk, name, weight=deployment.weight)) for at in ats]
                member.desks[deployment.name] = desk
                self._cluster.hint(desk)

    def _done(self, call: Call) -> int:
        """Lines of a call that have a result by now."""
        lease = call.lease
        worked = CAPACITY.passed(self._cluster.now) - CAPACITY.passed(call.begun)
        return min(lease.left - 1, int(worked * self._cluster.speeds[call.at.engine.group] / lease.batch.dearer))

    def stop(self, number: int, how: str) -> None:
        """A member ends: it is stopped for a `deploy`, `killed`, or `lost` with its machine."""
        member = self._cluster.members[number]
        if member is None:
            return
        self._cluster.tally.deaths[how] += 1
        self._cluster.members[number] = None
        member.sends = False
        counted = self._cluster.chance.uniform(*GRANTED_SECONDS[how])
        for call in list(member.calls):
            done = self._done(call)
            if how != "deploy":
                # Its last commit period, and what was in flight.
                rate = self._cluster.speeds[call.at.engine.group] / call.lease.batch.dearer
                lost = min(done, int(rate * COMMIT_SECONDS))
                done -= lost
                self._cluster.tally.lines_twice += lost + min(IN_FLIGHT, call.lease.left - done)
            self._cluster.free(call)
            self._cluster.ledger.commit(call.lease.shard, call.lease.left - done)
            if how != "deploy":
                # The engine does not notice at once.
                call.at.engine.out += 1
                gone = self._cluster.chance.uniform(0.0, 1.0 if how == "killed" else CALL_SECONDS)
                self._cluster.at(self._cluster.now + gone, self._gone, call.at.engine)
        for at in member.ats:
            engine = at.engine
            engine.ats.remove(at)
            held = engine.holdings.pop(member.name, None)
            if held is not None and how != "deploy":
                left = {"until": self._cluster.now + counted, "gone": how == "killed", "wanted": 0}
                engine.holdings[member.name] = structs.replace(held, **left)
                self._cluster.at(self._cluster.now + counted + CALL_SECONDS, self._forget, engine, member.name)
                self._cluster.parts.round(engine, counted + 0.01)
            self._cluster.parts.round(engine, 0.1)
        self._cluster.at(
            self._cluster.now + FREED_SECONDS[how], self._bury, [lease.shard for lease in member.leases], how
        )
        self._cluster.at(self._cluster.now + BACK_SECONDS[how], self.join, number)

    def _gone(self, engine: Engine) -> None:
        engine.out -= 1

    def _forget(self, engine: Engine, member: str) -> None:
        engine.holdings.pop(member, None)
        self._cluster.parts.round(engine, 0.01)

    def _bury(self, shards: list[Shard], how: str) -> None:
        for shard in sorted(shards, key=lambda each: (each.batch_id, each.index)):
            self._cluster.tally.shards_again += 1
            self._cluster.give_back(shard)
        if how == "lost" and shards:
            # It wakes up when others have its shards.
            self._cluster.at(self._cluster.now + WAKES_SECONDS, self._wakes, shards)

    def _wakes(self, shards: list[Shard]) -> None:
        for shard in shards:
            assert not self._cluster.ledger.commit(shard, 0), "a member that was buried has written"
            self._cluster.tally.fenced += 1

    def fail(self, number: int, seconds: float) -> None:
        """An engine dies, and comes back."""
        engine = self._cluster.engines[number]
        self._cluster.tally.deaths["engine"] += 1
        engine.up = False
        for at in engine.ats:
            for call in [each for each in at.member.calls if each.at is at]:
                done = self._done(call)
                self._cluster.tally.lines_twice += min(IN_FLIGHT, call.lease.left - done)
                self._cluster.free(call)
                self._cluster.ledger.commit(call.lease.shard, call.lease.left - done)
                call.lease.left -= done
                # The others take it on.
                call.lease.desk.add(call.lease, first=True)
                self._cluster.wake(call.lease.desk)
        self._cluster.at(self._cluster.now + seconds, self._back, engine)

    def _back(self, engine: Engine) -> None:
        engine.up = True
        for at in engine.ats:
            self._cluster.send(at)

    def set_speed(self, kind: int, times: float) -> None:
        """All engines of a type are so much faster than before."""
        for group, each in enumerate(self._cluster.plan.kinds):
            if each == kind:
                self._cluster.speeds[group] *= times
