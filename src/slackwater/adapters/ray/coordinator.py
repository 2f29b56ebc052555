"""Sees to it that every node that is to have a worker has one, and says of whom it hears that he has ended.

An actor that Ray keeps and starts again. It remembers nothing that it could not find again: nodes are Ray's, the workers' keepers
have names, and what a worker has in hand is the ledger's. While it is away, workers work, and nobody comes or goes.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
import ray.exceptions
from msgspec import Struct

from slackwater.adapters.ray import cluster
from slackwater.adapters.ray.keeper import Keeper, State
from slackwater.core.placement import Node, step

# How often it looks at the nodes. Of an actor that ends it hears at once.
LOOK_SECONDS = 1.0
# A node on which Ray could not start one, or has given it up, is left alone for so long.
GIVEN_UP_SECONDS = 5.0
log = logging.getLogger(__name__)


class Asked(Struct, frozen=True, kw_only=True):
    """What somebody wants. It is kept by Ray: there is no secret in it."""

    program: tuple[str, ...]
    """A worker's words, after the interpreter."""
    resource: str = ""
    """Nodes that have it get a worker; empty: all but the head."""


class Seen(Struct, frozen=True, kw_only=True):
    """A worker, or the want of one."""

    node: str
    name: str
    pid: int = 0
    member: str = ""
    starts: int = 0
    ending: bool = False
    said: str = ""
    """What keeps it from working."""


class Told(Struct, frozen=True, kw_only=True):
    """What the coordinator knows."""

    asked: Asked
    guarded: bool
    """Whether Ray asks whoever comes for a token. Where it does not, nothing is started."""
    looked: bool
    """Whether it has seen the cluster since it was started."""
    stopping: bool
    doubted: int
    """Of how many members it has said that they have ended."""
    workers: tuple[Seen, ...] = ()


class _Placed:
    """The worker of a node, and the question when anything changes there."""

    def __init__(self, keeper: Any) -> None:
        self.keeper = keeper
        self.state = State()
        self.ending = False
        self.ask()

    def ask(self) -> None:
        self.change = self.keeper.changed.remote(self.state)


class Coordinator:
    """The actor. It begins at once."""

    def __init__(self, asked: Asked, doubt: Callable[[str], object]) -> None:
        """`doubt` tells the ledger that a member may have ended; it may take a while, and raise anything."""
        self._asked = asked
        self._doubt = doubt
        self._placed: dict[str, _Placed] = {}
        self._nodes: list[Node] = []
        self._sent_away: set[str] = set()
        self._given_up: dict[str, tuple[float, str]] = {}
        """Until when a node is left alone, and why."""
        self._stopping = self._looked = False
        self._doubted = 0
        self._guarded = cluster.guarded()
        self._notices: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._tell, name="notices", daemon=True).start()
        if self._guarded:
            threading.Thread(target=self._follow, name="nodes", daemon=True).start()

    # What it is asked

    def told(self) -> Told:
        """What it knows."""
        names = {each.id: each.name for each in self._nodes}
        workers = tuple(
            Seen(
                node=node,
                name=names.get(node, ""),
                pid=each.state.pid,
                member=each.state.member,
                starts=each.state.starts,
                ending=each.ending,
                said=each.state.said,
            )
            for node, each in sorted(self._placed.items())
        )
        missing = tuple(
            Seen(node=node, name=names.get(node, ""), said=why)
            for node, (_, why) in sorted(self._given_up.items())
            if node not in self._placed and not self._stopping
        )
        return Told(
            asked=self._asked,
            guarded=self._guarded,
            looked=self._looked,
            stopping=self._stopping,
            doubted=self._doubted,
            workers=workers + missing,
        )

    def stop(self) -> Told:
        """Ends all workers gently, and places none any more. To be said again: one that Ray has started anew has not heard it."""
        self._stopping = True
        return self.told()

    def send_away(self, node: str) -> Told:
        """Ends the worker of a node gently, and gives it no other one. To be said again, as `stop`."""
        self._sent_away.add(node)
        return self.told()

    # What it does

    def _follow(self) -> None:
        while True:
            try:
                if not self._looked:
                    self._placed.update((node, _Placed(keeper)) for node, keeper in cluster.keepers().items())
                self._step()
                self._looked = True
            except Exception:
                # The head may be away. Nothing is lost by it.
                log.exception("the nodes cannot be followed")
                time.sleep(LOOK_SECONDS)

    def _step(self) -> None:
        nodes, asked = cluster.nodes(), self._asked
        self._nodes = nodes
        ending = {node: each.ending for node, each in self._placed.items()}
        away = {each.id for each in nodes} if self._stopping else self._sent_away
        found = step(nodes, ending, resource=asked.resource, sent_away=away)
        alive = {each.id for each in nodes if each.alive}
        self._given_up = {node: until for node, until in self._given_up.items() if node in alive}
        for node in found.lost:
            self._lose(node)
            # Ray would keep it for a node that is never there again.
            cluster.end(self._placed.pop(node).keeper)
        for node in found.start:
            if self._given_up.get(node, (0.0, ""))[0] > time.monotonic():
                continue
            made = cluster.start_keeper(Keeper, node, asked.resource, asked.program)
            self._placed[node] = _Placed(made)
        for node in found.end:
            self._placed[node].ending = True
            self._placed[node].keeper.drain.remote()
        self._hear()

    def _hear(self) -> None:
        """Waits for a change, for as long as the next look at the nodes may."""
        waiting = {each.change: node for node, each in self._placed.items()}
        if not waiting:
            time.sleep(LOOK_SECONDS)
            return
        ready, _ = ray.wait(list(waiting), timeout=LOOK_SECONDS)
        for each in ready:
            node = waiting[each]
            placed = self._placed[node]
            try:
                state: State = ray.get(each)
            except ray.exceptions.RayError as error:
                if placed.state.pid:
                    log.warning("the worker of node %s cannot be reached: %s", node, type(error).__name__)
                self._lose(node)
                # Ray starts it again, or has given it up: the next look finds it by its name, or makes it anew.
                if placed.ending:
                    cluster.end(placed.keeper)
                elif isinstance(error, ray.exceptions.ActorDiedError):
                    self._given_up[node] = time.monotonic() + GIVEN_UP_SECONDS, str(error).strip().splitlines()[-1]
                del self._placed[node]
                time.sleep(LOOK_SECONDS / 4)
                continue
            if placed.state.member and placed.state.member != state.member and not placed.ending:
                self._notices.put(placed.state.member)
            placed.state = state
            if state.over:
                cluster.end(placed.keeper)
                del self._placed[node]
            else:
                placed.ask()

    def _lose(self, node: str) -> None:
        if member := self._placed[node].state.member:
            self._notices.put(member)

    def _tell(self) -> None:
        """The ledger may be away, too; then it hears by itself who has gone."""
        while True:
            member = self._notices.get()
            self._doubted += 1
            try:
                self._doubt(member)
            except Exception as error:
                log.warning("the ledger was not told that member %s may have ended: %s", member, error)


def worker_program(config: str, options: Sequence[str]) -> tuple[str, ...]:
    """The words with which a node starts a worker."""
    return ("-m", "slackwater", "worker", "--config", config, *options)
