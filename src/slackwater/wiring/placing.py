"""Workers on a Ray cluster: a configuration and its coordinator, who places them, come together here.

What goes to the cluster is the path of the configuration, which each node has to have there, and no word of what is in it: Ray
keeps what its actors are given.
"""

import contextlib
import functools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slackwater.config import refuse_alone, server_in
from slackwater.core.errors import ClusterRefused
from slackwater.core.placement import takes
from slackwater.wiring.members_at import doubt_in

if TYPE_CHECKING:
    from slackwater.adapters.ray.coordinator import Told

MISSING = "Ray is not installed here: pip install '.[ray]' in a checkout of Slackwater"
# An actor needs a process, which imports all of ours. One that is not there by then is not coming soon.
ANSWERS_SECONDS = 60.0
LOOK_SECONDS = 0.5
NOBODY = "no workers were placed on this cluster; 'slackwater up' does it"


class Placing:
    """The workers of the cluster that was entered."""

    def place(self, config: Path, resource: str, options: Sequence[str]) -> "Told":
        """Makes the coordinator, where there is none, with a configuration that was `checked`. Raises ClusterRefused."""
        from slackwater.adapters.ray import cluster
        from slackwater.adapters.ray.coordinator import Asked, Coordinator, worker_program

        asked = Asked(program=worker_program(str(config.absolute()), options), resource=resource)
        there = cluster.nodes()
        if resource and not any(takes(each, resource) for each in there):
            raise ClusterRefused(
                f"no node of the cluster has the resource {resource}: start nodes with --resources '{{\"{resource}\": 1}}'"
            )
        if not resource and any(each.head and each.alive and cluster.has_processors(each) for each in there):
            raise ClusterRefused(
                "the head of the cluster takes work, and what ends with it must not be there: start it with --num-cpus=0, or "
                "name a resource that only other nodes have, with --resource"
            )
        actor = cluster.start_coordinator(
            Coordinator, resource, asked, functools.partial(doubt_in, str(config.absolute()))
        )
        told = self._ask(actor.told)
        if not told.guarded:
            cluster.end(actor)
            raise ClusterRefused(cluster.UNGUARDED)
        if told.stopping:
            raise ClusterRefused("its workers are just being ended; try again once 'slackwater down' is through")
        if told.asked != asked:
            words = " ".join(told.asked.program[1:])
            raise ClusterRefused(
                f"workers were placed there with other words ({words}; resource: {told.asked.resource or 'none'}): "
                "'slackwater down' ends them"
            )
        return told

    def told(self) -> "Told":
        """What its coordinator knows. Raises ClusterRefused where there is none."""
        return self._ask(self._coordinator().told)

    def send_away(self, node: str) -> None:
        """Ends the worker of a node gently, `here` for this one, and waits for it. Raises ClusterRefused."""
        from slackwater.adapters.ray import cluster

        actor = self._coordinator()
        found = cluster.here() if node == "here" else node
        ids = [each.id for each in cluster.nodes() if each.alive and found in (each.id, each.name)]
        if len(ids) != 1:
            raise ClusterRefused(
                f"{node} is not one node of the cluster: name its id or its address, as --status shows them, or here"
            )
        while any(each.node == ids[0] and each.pid for each in self._ask(actor.send_away, ids[0]).workers):
            time.sleep(LOOK_SECONDS)

    def stop(self) -> Iterator["Told"]:
        """Ends all workers gently, and then their coordinator. Gives what is left, again and again. Raises ClusterRefused."""
        actor = self._coordinator()
        while (told := self._ask(actor.stop)).workers:
            yield told
            time.sleep(LOOK_SECONDS)
        # And one that was just being made.
        self.kill()

    def kill(self) -> int:
        """Ends all of them at once; returns how many workers that were. What they had out is sent again."""
        from slackwater.adapters.ray import cluster

        actor = cluster.coordinator()
        if actor is not None:
            cluster.end(actor)
        keepers = cluster.keepers()
        for each in keepers.values():
            cluster.end(each)
        return len(keepers)

    def _coordinator(self) -> Any:
        from slackwater.adapters.ray import cluster

        actor = cluster.coordinator()
        if actor is None:
            raise ClusterRefused(NOBODY)
        return actor

    def _ask(self, what: Any, *arguments: object) -> "Told":
        import ray
        import ray.exceptions

        try:
            told: Told = ray.get(what.remote(*arguments), timeout=ANSWERS_SECONDS)
        except ray.exceptions.GetTimeoutError as error:
            raise ClusterRefused(
                f"the coordinator has not answered for {ANSWERS_SECONDS:g} s: a node has to have room for it (a part of a "
                "processor, or of the resource that is asked for), and the head has to be there"
            ) from error
        except ray.exceptions.RayError as error:
            why = str(error).strip().splitlines() or [repr(error)]
            raise ClusterRefused(
                f"the coordinator does not work ({why[-1].strip()}): each node has to have this version of Slackwater, with "
                "'.[ray]' in a checkout, in the environment that Ray was started in"
            ) from error
        return told


def checked(config: Path) -> None:
    """Raises ConfigError where no worker could work with it, or each only by itself; the rest is for the nodes to find out."""
    server_in(config)
    refuse_alone(config)


@contextlib.contextmanager
def entered(address: str) -> Iterator[Placing]:
    """The cluster at an address. Raises ClusterRefused."""
    try:
        from slackwater.adapters.ray import cluster
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "ray":
            raise
        raise ClusterRefused(MISSING) from error
    with cluster.entered(address):
        yield Placing()
