"""A Ray cluster as its users see it: the way in, its nodes, and the actors of ours that are there.

Everything that is Ray's own and no part of its public interface is here, and was looked up in 2.60.
"""

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import ray
import ray.exceptions
from ray._private import state as ray_state
from ray._private.authentication.authentication_utils import is_token_auth_enabled
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from slackwater.core.errors import ClusterRefused
from slackwater.core.placement import Node

NAMESPACE = "slackwater"
COORDINATOR, KEEPER = "coordinator", "worker-"
HEAD = "node:__internal_head__"
AUTH_MODE, USAGE = "RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED"
# So much of a resource is asked for: enough to be had only where it is.
SOME = 0.001
REACHED_SECONDS = 5.0
# Why nothing is started on a cluster that has no token.
UNGUARDED = (
    "the cluster lets everybody in who reaches it, and whoever may start actors may read what its nodes have in their "
    "environment, keys among it: start all its nodes with RAY_AUTH_MODE=token and one RAY_AUTH_TOKEN"
)


def guarded() -> bool:
    """Whether this process, and so the node that it is on, asks whoever calls it for a token."""
    return bool(is_token_auth_enabled())


@contextlib.contextmanager
def entered(address: str) -> Iterator[None]:
    """In the cluster at an address, HOST:PORT, or that of this node (`auto`). Raises ClusterRefused."""
    mode = os.environ.setdefault(AUTH_MODE, "token")
    if mode != "token":
        raise ClusterRefused(f"{AUTH_MODE}={mode} here: {UNGUARDED}")
    os.environ[USAGE] = "0"
    _reach(address)
    # What it logs on its way in is not for whoever types a command; what has gone wrong is said here.
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, configure_logging=False)
    except ray.exceptions.AuthenticationError as error:
        raise ClusterRefused(
            "Ray asks for a token: set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH, to that of the cluster"
        ) from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterRefused(
            f"the Ray cluster at {address} does not let this in ({_line(error)}): RAY_AUTH_TOKEN has to be that of the cluster, "
            "its versions of Ray and of Python have to be these, and this has to run on one of its nodes"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _line(error: BaseException) -> str:
    """The first line of what it says."""
    return (str(error).strip() or repr(error)).splitlines()[0].rstrip(".")


def _reach(address: str) -> None:
    """Ray would try for a minute, and end the process then."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        if address == "auto":
            return
        raise ClusterRefused(
            f"{address} is no address of a Ray cluster: HOST:PORT, as of 'ray start', or auto on one of its nodes"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACHED_SECONDS).close()
    except OSError as error:
        raise ClusterRefused(
            f"nobody listens at {address} ({error.strerror or error}): is the head of the cluster there?"
        ) from error


def nodes() -> list[Node]:
    """All that there are, and those that are gone."""
    leaving = ray_state.state.get_draining_nodes()
    return [
        Node(
            id=each["NodeID"],
            name=each["NodeName"],
            alive=each["Alive"],
            head=HEAD in each["Resources"],
            leaving=each["NodeID"] in leaving,
            resources=frozenset(each["Resources"]),
        )
        for each in ray.nodes()
    ]


def has_processors(node: Node) -> bool:
    """Whether actors that ask for a part of one may come to it."""
    return "CPU" in node.resources


def coordinator() -> Any | None:
    """The one that there is."""
    return _found(COORDINATOR)


def start_coordinator(kind: Callable[..., Any], resource: str, *arguments: object) -> Any:
    """Made once, kept by Ray, and never where the resource is not: where none is asked for, a node without a processor."""
    demand = {"num_cpus": 0.0, "resources": {resource: SOME}} if resource else {"num_cpus": SOME}
    options = {"name": COORDINATOR, "get_if_exists": True, "lifetime": "detached", "max_restarts": -1}
    # Whatever it is asked may be asked again.
    options["max_task_retries"] = -1
    return ray.remote(kind).options(**options, **demand, max_concurrency=8).remote(*arguments)


def start_keeper(kind: Callable[..., Any], node: str, resource: str, *arguments: object) -> Any:
    """That of a node, where it is made once and stays; it has the name of its node."""
    demand = {"resources": {resource: SOME}} if resource else {}
    options = {"name": KEEPER + node, "get_if_exists": True, "lifetime": "detached", "max_restarts": -1}
    here = NodeAffinitySchedulingStrategy(node, soft=False)
    made = ray.remote(kind).options(**options, **demand, num_cpus=0, max_concurrency=8, scheduling_strategy=here)
    return made.remote(*arguments)


def keepers() -> dict[str, Any]:
    """All that there are, by the nodes they were made for."""
    names = [each for each in ray.util.list_named_actors() if each.startswith(KEEPER)]
    found = {each.removeprefix(KEEPER): _found(each) for each in names}
    return {node: actor for node, actor in found.items() if actor is not None}


def _found(name: str) -> Any | None:
    with contextlib.suppress(ValueError):
        return ray.get_actor(name)
    return None


def end(actor: Any) -> None:
    """At once, and for good."""
    with contextlib.suppress(Exception):
        ray.kill(actor, no_restart=True)


def here() -> str:
    """The node that this is on."""
    return str(ray.get_runtime_context().get_node_id())
