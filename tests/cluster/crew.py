"""The members of a cluster as processes, each started anew when it has ended; and what the database knows of them."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import psycopg

from tests.cluster.network import HERE, Wire
from tests.cluster.witness import Witness
from tests.server import Server

DEPLOYMENT = "crash"
KEY = "SLACKWATER_TEST_ENGINE_KEY"
COMMIT_SECONDS = 0.2
ROLES = {"worker": ["worker"], "server": ["serve", "--port", "0"], "api": ["serve", "--port", "0", "--no-sending"]}
WATCHER = """SELECT application_name FROM pg_locks AS l JOIN pg_stat_activity USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
AND (CAST(l.classid AS BIGINT) << 32) | CAST(l.objid AS BIGINT)
    = hashtextextended('slackwater watch ' || current_schema(), 0)"""
HELD = "SELECT batch_seq, idx, epoch FROM shard WHERE state = 'running' AND split_part(owner, '-', 1) = %s"
ALL_HELD = "SELECT batch_seq, idx, epoch FROM shard WHERE state = 'running'"
SHARDS = "SELECT batch_seq, idx, epoch, state, split_part(owner, '-', 1) FROM shard WHERE batch_seq = ANY(%s)"


class Named(Protocol):
    """Who has a name among the members."""

    @property
    def name(self) -> str: ...


class Member:
    """A process of the cluster: a worker, a server, or one that does not send (`api`)."""

    def __init__(self, role: str, number: int, log: Path, command: Sequence[str], *, behind: bool) -> None:
        self.role = role
        self.sends = role != "api"
        self.key = f"p{number}"
        """By which the engine knows it."""
        self.log = log
        self.behind = behind
        """Whether it is on the other side of a wire."""
        self.address = ""
        self.away = False
        """Whether nobody would send it calls: a load balancer has seen that it does not answer."""
        self._name = ""
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ | {KEY: self.key},
            )

    @property
    def name(self) -> str:
        """Its name among the members; empty until it is one."""
        if not self._name:
            words = self.log.read_text().partition("member_joined member=")[2]
            self._name = words.split()[0] if "\n" in words else ""
        return self._name

    @property
    def lives(self) -> bool:
        return self.process.poll() is None

    def ready(self) -> None:
        """Waits for its greeting."""
        assert self.process.stdout is not None
        greeting = self.process.stdout.readline().decode()
        assert greeting, f"{self.role} did not start; see {self.log}: {self.log.read_text()[-2000:]}"
        self.address = next((word.rstrip(",") for word in greeting.split() if word.startswith("http://")), "")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)


class Crew:
    """All of them, and a connection to their database."""

    def __init__(self, folder: Path, address: str, engine: Witness, *, slots: int, wire: Wire | None = None) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.address = address
        self._wire = wire
        self._config = folder / "slackwater.toml"
        self._config.write_text(
            f'[server]\ndatabase = "{address}"\n[worker]\ncommit_seconds = {COMMIT_SECONDS}\n'
            # Customers delete nothing, and make more batches than a user may have files.
            "[limits]\nlasting_files = 1_000_000\n"
            f'[[deployments]]\nname = "{DEPLOYMENT}"\n[[deployments.backends]]\nurl = "{engine.url}"\n'
            f'api_key_env = "{KEY}"\nconcurrency = {slots}\n'
        )
        self._numbers = itertools.count()
        self.members: list[Member] = []
        self.connect()

    def close(self) -> None:
        for each in self.members:
            if each.lives:
                each.signal(signal.SIGCONT)
                each.signal(signal.SIGKILL)
                each.process.wait(10)
        self._db.close()

    # Processes

    def start(self, role: str, *, behind: Wire | None = None) -> Member:
        """One more, which is not ready yet; `behind` a wire, where it is to be on the other side of one."""
        number = next(self._numbers)
        config, inside = self._config, []
        if behind is not None:
            inside = behind.inside
            config = self.folder / "behind.toml"
            config.write_text(self._config.read_text().replace(self.address, self._over_the_wire()))
        command = [*inside, sys.executable, "-m", "tests.cluster.inside", *ROLES[role], "--config", str(config)]
        command += ["--data", str(self.data)]
        member = Member(role, number, self.folder / f"{role}{number}.log", command, behind=behind is not None)
        self.members.append(member)
        return member

    def _over_the_wire(self) -> str:
        return f"{self.address.partition('host=')[0]}host={HERE}&sslmode=disable&gssencmode=disable"

    def again(self, dead: Member, *, behind: Wire | None = None) -> Member:
        """Another one in its place."""
        self.members.remove(dead)
        made = self.start(dead.role, behind=behind)
        made.ready()
        return made

    def servers(self) -> list[Server]:
        """Those that can be called."""
        found = []
        for each in self.members:
            if each.address and each.lives and not each.behind and not each.away:
                server = Server.__new__(Server)
                server.address = each.address.partition("://")[2]
                found.append(server)
        return found

    def of_name(self, name: str) -> Member | None:
        return next((each for each in self.members if each.lives and each.name == name), None)

    # What the database knows

    def connect(self) -> None:
        """To the database, as soon as it is there."""
        limit = time.monotonic() + 60
        while True:
            try:
                self._db = psycopg.connect(self.address, autocommit=True)
                return
            except psycopg.OperationalError:
                assert time.monotonic() < limit
                signal.sigtimedwait([], 0.02)

    def asked(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of the ledger."""
        return self._db.execute(query.encode(), values or None).fetchall()

    def watcher(self) -> Member | None:
        """The one that watches over the others."""
        rows = self.asked(WATCHER)
        return self.of_name(str(rows[0][0]).rpartition(" ")[2]) if rows else None

    def holds(self, member: Named) -> list[tuple[int, int, int]]:
        """The shards that it has in hand: batch, number, epoch."""
        return [(int(a), int(b), int(c)) for a, b, c in self.asked(HELD, member.name)]

    def held(self) -> set[tuple[int, int, int]]:
        """The shards that anybody has in hand: batch, number, epoch."""
        return {(int(a), int(b), int(c)) for a, b, c in self.asked(ALL_HELD)}

    def taken(self, member: Named, shards: Sequence[tuple[int, int, int]]) -> tuple[int, int]:
        """How many of those it has still, and how many somebody has claimed since."""
        rows = self.asked(SHARDS, [batch for batch, *_ in shards])
        now = {(batch, number): (epoch, state, owner) for batch, number, epoch, state, owner in rows}
        held = claimed = 0
        for batch, number, epoch in shards:
            # Shards of a batch that has ended are gone.
            found = now.get((batch, number))
            held += found is not None and found[1:] == ("running", member.name)
            claimed += found is None or found[0] > epoch
        return held, claimed

    def stand(self) -> bool:
        """Whether all who live are members, and nobody else."""
        return {each.name for each in self.members} == {str(row[0]) for row in self.asked("SELECT id FROM member")}
