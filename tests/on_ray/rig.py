"""Everything that workers on Ray need, as real processes: PostgreSQL, a server that does not send, an engine, a Ray cluster."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from msgspec import Struct

from tests.cluster.cluster import until
from tests.cluster.crew import KEY, Crew
from tests.cluster.witness import Witness
from tests.on_ray.nodes import Node, RayCluster, alone_on_loopback, redis_running
from tests.postgresql import running

REDIS = "SLACKWATER_REDIS"
NEEDS_REDIS = (
    f"redis-server is needed to keep what Ray's head knows: apt-get install redis-server, or name it in {REDIS}"
)


class Placed(Struct, frozen=True):
    """A worker on a node, as `slackwater up --status` tells of it."""

    node: str
    address: str
    name: str
    """Who of the members it is."""
    pid: int

    @property
    def key(self) -> str:
        """By which the engine knows it: that of its node."""
        return self.address

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.pid)

    @property
    def keeper(self) -> psutil.Process:
        """Ray's process of it."""
        found = self.process.parent()
        assert found is not None
        return found


class Rig:
    """All of it. Workers are not placed yet."""

    def __init__(self, crew: Crew, engine: Witness, ray: RayCluster) -> None:
        self.crew, self.engine, self.ray = crew, engine, ray
        self.config = crew.folder / "on_ray.toml"
        text = (crew.folder / "slackwater.toml").read_text()
        self.config.write_text(text.replace("[server]\n", f'[server]\ndata = "{crew.data}"\n', 1))

    def told(
        self, command: str, *words: str, address: str | None = None, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """What a command of ours says, where it has the cluster's token."""
        said = [sys.executable, "-m", "slackwater", command, "--address", address or self.ray.address, *words]
        surroundings = {**os.environ, **self.ray.environment, **(environment or {})}
        return subprocess.run(said, capture_output=True, text=True, timeout=180, env=surroundings)

    def up(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.told("up", "-c", str(self.config), *words)

    def status(self) -> dict[str, Any]:
        """What the coordinator says; empty where it does not."""
        done = self.told("up", "--status", "--json")
        return dict(json.loads(done.stdout)) if done.stdout else {}

    def workers(self) -> list[Placed]:
        """Those that work."""
        return [
            Placed(each["node"], each["name"], each["member"], each["pid"])
            for each in self.status().get("workers", [])
            if each["member"]
        ]

    def all_work(self) -> list[Placed]:
        """Waits until there is one on each node, and those are the members that send; returns them."""
        found: list[Placed] = []

        def there() -> bool:
            # The ledger first: to ask Ray is a second of a processor.
            members = self.members()
            if len(members) != len(self.ray.nodes):
                return False
            found[:] = self.workers()
            return {each.host for each in self.ray.nodes} == {each.address for each in found} and members == {
                each.name for each in found
            }

        until(there, seconds=300, gap=0.5)
        return found

    def members(self) -> set[str]:
        """The workers among the members."""
        return {str(name) for (name,) in self.crew.asked("SELECT id FROM member WHERE kind = 'worker'")}

    def node_of(self, placed: Placed) -> Node:
        return next(each for each in self.ray.nodes if each.host == placed.address)

    def coordinator(self) -> psutil.Process:
        """Its process."""
        everybody = [each for node in [*self.ray.nodes, self.ray.head] if node for each in node.all()]
        (found,) = (each for each in everybody if "".join(each.cmdline()).startswith("ray::Coordinator"))
        return found


@contextlib.contextmanager
def rigged(folder: Path, *, nodes: int, slots: int, shortest: float, longest: float) -> Iterator[Rig]:
    """It, on a network of its own where that is allowed."""
    redis = os.environ.get(REDIS) or shutil.which("redis-server")
    assert redis, NEEDS_REDIS
    alone_on_loopback()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running(careless=False))
        engine = stack.enter_context(Witness(shortest=shortest, longest=longest).serving())
        crew = Crew(folder, server.address("postgres"), engine, slots=slots)
        stack.callback(crew.close)
        crew.start("api").ready()
        ray = RayCluster(folder, redis=stack.enter_context(redis_running(folder, redis)))
        stack.callback(ray.close)
        begun = time.monotonic()
        ray.start_head()
        for number in range(nodes):
            ray.start_node({KEY: f"127.0.0.{3 + number}"})
        print(f"Ray: {1 + nodes} nodes after {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
        yield Rig(crew, engine, ray)
