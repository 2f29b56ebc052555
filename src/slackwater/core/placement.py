"""Where workers are to be, on a cluster that somebody else keeps: what its coordinator decides, from what it sees of nodes.

It decides little. Who sends, and what becomes of what a dead worker had in hand, is the ledger's affair; here is only on which
nodes there is to be one, which of them are to end gently, and of which somebody should ask whether they live.
"""

from collections.abc import Collection, Mapping
from enum import IntEnum

from msgspec import Struct

# A worker that has ended is started again after the first of these, and after twice as long each time that it ends at once.
AGAIN_SECONDS, AGAIN_SECONDS_MAX = 1.0, 30.0
# One that says that somebody has to put something right: a file that is missing may be brought, and a key.
REFUSED_SECONDS = 60.0
# Who has worked for so long did not end at once.
LASTING_SECONDS = 60.0


class Ended(IntEnum):
    """Exit codes of `slackwater worker` that mean something."""

    WELL = 0
    REFUSED = 2
    """To start it again changes nothing."""


class Node(Struct, frozen=True, kw_only=True):
    """A machine of the cluster. `id` is never used again."""

    id: str
    name: str
    """Its address."""
    alive: bool = True
    head: bool = False
    """Whether it is the one that keeps the cluster together."""
    leaving: bool = False
    """It is about to be taken away."""
    resources: frozenset[str] = frozenset()


class Step(Struct, frozen=True, kw_only=True):
    """What is to be done now, by ids of nodes, in order."""

    start: tuple[str, ...] = ()
    """Nodes that are to get a worker."""
    end: tuple[str, ...] = ()
    """Nodes whose worker is to end gently."""
    lost: tuple[str, ...] = ()
    """Nodes that are gone with their worker."""


def takes(node: Node, resource: str) -> bool:
    """Whether there is to be a worker on it: it has the resource that is asked for, or, where none is, it is not the head."""
    if not node.alive or node.leaving:
        return False
    return resource in node.resources if resource else not node.head


def step(
    nodes: Collection[Node], placed: Mapping[str, bool], *, resource: str, sent_away: Collection[str] = ()
) -> Step:
    """What is to be done. `placed` are the nodes that have a worker, and whether that has been told to end.

    `sent_away` are nodes that somebody wants without one.
    """
    wanted = {each.id for each in nodes if takes(each, resource)}.difference(sent_away)
    alive = {each.id for each in nodes if each.alive}
    return Step(
        start=tuple(sorted(wanted.difference(placed))),
        end=tuple(sorted(id for id, ending in placed.items() if id in alive and id not in wanted and not ending)),
        lost=tuple(sorted(set(placed).difference(alive))),
    )


def again_seconds(code: int, lasted: float, ends: int) -> float:
    """After how long a worker that has ended by itself is started again.

    `code` is its exit code, negative for a signal; `lasted` is for how long it was there, in seconds, and `ends` how many before
    it have ended at once, one after the other.
    """
    if code == Ended.REFUSED:
        return REFUSED_SECONDS
    if lasted >= LASTING_SECONDS:
        return AGAIN_SECONDS
    return float(min(AGAIN_SECONDS_MAX, AGAIN_SECONDS * 2 ** min(ends, 10)))
