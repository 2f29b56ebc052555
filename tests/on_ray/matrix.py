"""Every failure of a Ray cluster that has workers, again and again: what it costs, and that no line is lost or doubled.

python -m tests.on_ray.matrix [--rounds 5] [--kinds worker,raylet,...]

A head and three nodes, a worker on each, a server that does not send, PostgreSQL, Redis for what the head knows, and an engine;
and customers have batches open all the time. Each round something is killed, or stands still, and Ray or this starts it anew.
There is a line of figures for each kind. Wants root, for a network of its own: Ray listens on all addresses.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from msgspec import Struct, structs

from tests.cluster.cluster import until
from tests.cluster.customers import Customers, Seen
from tests.cluster.figures import Figures
from tests.on_ray.rig import Placed, Rig, rigged

SLOTS, NODES = 24, 3
LINES, OPEN = 40, 12
SHORTEST, LONGEST = 0.3, 0.9
# By this much later somebody goes on with what a process had that has ended; and with what a machine had that stands still, of
# which Ray hears in eight or nine seconds as these nodes are set, and the ledger by itself after fifteen.
CLAIMED_SECONDS, NOTICED_SECONDS = 3.0, 15.0
STOPPED_SECONDS = 20.0


class Outcome(Struct):
    """Of all rounds."""

    figures: list[Figures]
    seen: Seen
    most: int
    """How many requests were at the engine at once."""
    doubted: int
    """Of how many members Ray has said that they have ended; each of the coordinators counts for itself."""

    @property
    def sound(self) -> bool:
        seen = self.seen
        wrong = seen.lost or seen.doubled or seen.failed or seen.miscounted or any(each.faults for each in self.figures)
        return not wrong and self.most <= SLOTS


class Matrix:
    """The failures."""

    def __init__(self, rig: Rig, customers: Customers) -> None:
        self._rig = rig
        self._customers = customers
        self._there: list[Placed] = []
        """The workers, as a round begins."""
        self.kinds: dict[str, Callable[[Figures], None]] = {
            "worker": self._worker,
            "raylet": self._raylet,
            "machine": self._machine,
            "coordinator": self._coordinator,
            "head": self._head,
            "stop": self._stops,
        }

    def round(self, kind: str, found: Figures) -> None:
        """Something fails, and everything is well again."""
        self._there = self._rig.all_work()
        until(lambda: self._customers.at_work() and self._rig.crew.held(), gap=0.02)
        self.kinds[kind](found)
        found.n += 1

    def _victim(self, n: int) -> Placed:
        """Each of them in turn, or the next one that has anything in hand; one that comes last may find nothing for a while."""
        there = sorted(self._there, key=lambda each: each.address)
        turn = there[n % NODES :] + there[: n % NODES]
        holding: list[Placed] = []

        def found() -> bool:
            holding[:] = [each for each in turn if self._rig.crew.holds(each)]
            return bool(holding)

        until(found, gap=0.02)
        return holding[0]

    def _claimed(
        self, victim: Placed, shards: list[tuple[int, int, int]], at: float, found: Figures, most: float
    ) -> None:
        until(lambda: self._rig.crew.taken(victim, shards)[1], gap=0.004)
        found.claims.append(time.monotonic() - at)
        if found.claims[-1] > most:
            found.faults.append(f"claimed after {found.claims[-1]:.2f} s")

    def _held(self, victim: Placed) -> list[tuple[int, int, int]]:
        shards: list[tuple[int, int, int]] = []

        def holding() -> bool:
            shards[:] = self._rig.crew.holds(victim)
            return bool(shards)

        until(holding, gap=0.004)
        return shards

    # What happens

    def _worker(self, found: Figures) -> None:
        """Ray's process of a worker: the worker goes with it, and Ray starts it again."""
        victim = self._victim(found.n)
        keeper, process = victim.keeper, victim.process
        shards, at = self._held(victim), time.monotonic()
        keeper.kill()
        self._claimed(victim, shards, at, found, CLAIMED_SECONDS)
        self._gone(process, found)

    def _gone(self, process: psutil.Process, found: Figures) -> None:
        """Nothing is left of a worker whose keeper has ended."""
        began = time.monotonic()
        until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, gap=0.05)
        if time.monotonic() - began > CLAIMED_SECONDS:
            found.faults.append("a worker has outlived its keeper")

    def _raylet(self, found: Figures) -> None:
        """Ray's process of a node; whoever keeps the machine starts the node again."""
        victim = self._victim(found.n)
        node, process = self._rig.node_of(victim), victim.process
        raylet = node.called("raylet")
        shards, at = self._held(victim), time.monotonic()
        raylet.kill()
        self._claimed(victim, shards, at, found, CLAIMED_SECONDS)
        self._gone(process, found)
        node.kill()
        node.start()

    def _machine(self, found: Figures) -> None:
        """All that is on a node, at once."""
        victim = self._victim(found.n)
        node = self._rig.node_of(victim)
        there = node.all()
        shards, at = self._held(victim), time.monotonic()
        node.strike(there)
        self._claimed(victim, shards, at, found, CLAIMED_SECONDS)
        node.kill()
        node.start()

    def _coordinator(self, found: Figures) -> None:
        """Workers do not notice; Ray starts another one, never on the head, which knows them by their names."""
        before = {each.name: each.pid for each in self._there}
        coordinator, held, at = self._rig.coordinator(), self._rig.crew.held(), time.monotonic()
        coordinator.kill()
        until(lambda: self._rig.crew.held() - held, gap=0.01)
        found.claims.append(time.monotonic() - at)
        if {each.name: each.pid for each in self._rig.all_work()} != before:
            found.faults.append("a worker was not left alone")
        assert self._rig.ray.head is not None
        if self._rig.coordinator() in self._rig.ray.head.all():
            found.faults.append("the coordinator is on the head")

    def _head(self, found: Figures) -> None:
        """All of it, for some seconds: workers do not notice, and what it knew is in Redis."""
        ray, before = self._rig.ray, {each.name: each.pid for each in self._there}
        assert ray.head is not None
        coordinator, there = self._rig.coordinator(), ray.head.all()
        held, at = self._rig.crew.held(), time.monotonic()
        ray.head.strike(there)
        until(lambda: self._rig.crew.held() - held, gap=0.01)
        found.claims.append(time.monotonic() - at)
        ray.head.kill()
        (ray.temporary / "ray_current_cluster").unlink(missing_ok=True)
        ray.head.start()
        found.full.append(time.monotonic() - at)
        if {each.name: each.pid for each in self._rig.all_work()} != before:
            found.faults.append("a worker was not left alone")
        if self._rig.coordinator() != coordinator:
            found.faults.append("the coordinator was not left alone")

    def _stops(self, found: Figures) -> None:
        """A machine that is lost without a word: no connection of it ends. Later it is back."""
        victim = self._victim(found.n)
        node, members = self._rig.node_of(victim), {each.name for each in self._there}
        there = node.all()
        shards, at = self._held(victim), time.monotonic()
        for each in there:
            each.suspend()
        try:
            self._claimed(victim, shards, at, found, NOTICED_SECONDS)
            until(lambda: time.monotonic() > at + STOPPED_SECONDS, gap=0.1)
        finally:
            for each in there:
                if each.is_running():
                    os.kill(each.pid, signal.SIGCONT)
        found.buried += len(members - self._rig.members() - {victim.name})
        # Ray has declared it dead: what there is of it ends, and whoever keeps the machine starts the node again.
        node.process.wait(90)
        node.kill()
        node.start()


def _picture(rig: Rig, customers: Customers) -> str:
    """What there is, where it does not go on."""
    asked = ("SELECT id, kind, sends_for FROM member", "SELECT member, engine, slots, wanted FROM engine_slots")
    asked += ("SELECT state, split_part(owner, '-', 1), count(*) FROM shard GROUP BY 1, 2",)
    rows = "\n".join(str(rig.crew.asked(each)) for each in asked)
    return f"{rows}\n{rig.engine.out} out; customers: {customers.told()}\n{rig.status()}"


ALL = ("worker", "raylet", "machine", "coordinator", "head", "stop")


def played(folder: Path, *, rounds: int, kinds: list[str], tell: bool) -> Outcome:
    """The rounds of each kind."""
    with rigged(folder, nodes=NODES, slots=SLOTS, shortest=SHORTEST, longest=LONGEST) as rig:
        done = rig.up()
        assert done.returncode == 0, done.stderr
        customers = Customers(rig.crew, lines=LINES, open_at_once=OPEN)
        matrix, found = Matrix(rig, customers), list[Figures]()
        for kind in kinds:
            figures, begun = Figures(kind=kind), time.monotonic()
            found.append(figures)
            try:
                for _ in range(rounds):
                    matrix.round(kind, figures)
            except BaseException:
                print(_picture(rig, customers), file=sys.stderr, flush=True)
                raise
            finally:
                if tell:
                    # Of the batches that have ended by now; all of them are looked through at the end.
                    so_far = json.dumps({**structs.asdict(customers.seen), "most_at_engine": rig.engine.out_max})
                    print(figures.line(), f"{time.monotonic() - begun:.0f} s", so_far, flush=True)
        seen = customers.end()
        return Outcome(figures=found, seen=seen, most=rig.engine.out_max, doubted=rig.status()["doubted"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", default=",".join(ALL))
    options = parser.parse_args()
    # Nothing stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="slackwater-ray-", ignore_cleanup_errors=True) as folder:
        outcome = played(Path(folder), rounds=options.rounds, kinds=options.kinds.split(","), tell=True)
    print(json.dumps({**structs.asdict(outcome.seen), "most_at_engine": outcome.most, "doubted": outcome.doubted}))
    sys.exit(0 if outcome.sound else 1)


if __name__ == "__main__":
    main()
