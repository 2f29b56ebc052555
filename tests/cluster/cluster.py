"""Several servers over one ledger and one data directory, real processes all of them, and what the database knows of them."""

import itertools
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psycopg

from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import Report, check_account, check_files
from tests.server import SERVE, Server

WORKER = ("slackwater", "worker")
PORT = ("--port", "0")


def until(true: Callable[[], object], seconds: float = 90, gap: float = 0.02) -> None:
    """Asks again and again; the limit only keeps a broken server from hanging the tests."""
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit
        signal.sigtimedwait([], gap)


class Cluster:
    """Servers, by the order of their starts."""

    def __init__(self, folder: Path, address: str, backend: CountingBackend, *, concurrency: int = 32) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.config = folder / "slackwater.toml"
        self.config.write_text(
            f'[server]\ndatabase = "{address}"\n[[deployments]]\nname = "crash"\n'
            f'[[deployments.backends]]\nurl = "{backend.url}"\nconcurrency = {concurrency}\n'
        )
        self._address = address
        self.connect()
        self.servers: list[Server] = []
        self._numbers = itertools.count()
        self._logs: dict[Server, Path] = {}

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()
        for server in self.servers:
            if server.process.poll() is None:
                server.process.send_signal(signal.SIGCONT)
                server.kill()

    def start(
        self,
        *options: str,
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
        module: Sequence[str] = SERVE,
        listens: Sequence[str] = PORT,
    ) -> Server:
        """One more; with a `port`, its database is there. `environment` and `module` are as `Server` has them."""
        config = self.config
        if port is not None:
            config = self.folder / f"port{port}.toml"
            there = (
                f"{self._address.partition('host=')[0]}host=127.0.0.1&port={port}&sslmode=disable&gssencmode=disable"
            )
            config.write_text(self.config.read_text().replace(self._address, there))
        log = self.folder / f"server{next(self._numbers)}.log"
        self._last = log
        server = Server(config, self.data, log, environment, module=module, options=[*listens, *options])
        self._logs[server] = log
        self.servers.append(server)
        return server

    def worker(self, *options: str) -> Server:
        """One that only sends. Its address is where it says how it is."""
        return self.start(*options, module=WORKER, listens=("--listen", "127.0.0.1:0"))

    def connect(self) -> None:
        """To its database, also where that has been away."""
        self._database = psycopg.connect(self._address, autocommit=True)

    def log(self, server: Server) -> str:
        """What a server has said."""
        return self._logs[server].read_text()

    def last_log(self) -> str:
        """What the one has said that was started last, also where it did not come up."""
        return self._last.read_text()

    def asked(self, query: str) -> list[tuple[object, ...]]:
        """Rows of the ledger."""
        return self._database.execute(query.encode()).fetchall()

    def name(self, server: Server) -> str:
        """Which member a server is."""
        words = self.log(server).split("member_joined member=")
        return words[1].split()[0]

    def holding(self, kind: str = "") -> set[str]:
        """Members that have shards in hand, or a duty of that kind."""
        if kind:
            return {str(row[0]) for row in self.asked(f"SELECT member FROM duty WHERE kind = '{kind}'")}
        return {
            str(row[0]) for row in self.asked("SELECT split_part(owner, '-', 1) FROM shard WHERE state = 'running'")
        }

    def member_names(self) -> set[str]:
        """Who is a member."""
        return {str(row[0]) for row in self.asked("SELECT id FROM member")}

    def server_of(self, member: str) -> Server:
        """Which process a member is."""
        return next(each for each in self.servers if each.process.poll() is None and self.name(each) == member)


def answers(server: Server) -> bool:
    """Whether it finds its ledger."""
    try:
        server.call("GET", "/batches")
    except (AssertionError, OSError):
        return False
    return True


def ended(server: Server, batch_id: str) -> bool:
    """Whether a batch is through."""
    return bool(server.batch(batch_id)["status"] == "completed")


def whole(server: Server, batch_id: str, lines: int, prefix: str = "line", *, account: bool = True) -> None:
    """Both files of a batch that has ended have every line, once; and so has the account, where there was no other batch."""
    report = Report(batches=1)
    check_files(report, server, server.batch(batch_id), prefix, lines)
    if account:
        check_account(report, server)
    assert report.sound(), report
