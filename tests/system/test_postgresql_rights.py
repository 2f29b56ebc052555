"""A role that may read and write tables, and nothing else: the service runs as it, and each right that is missing is told."""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from slackwater.adapters.sql.postgresql.connection import PgConnection
from slackwater.adapters.sql.postgresql.schema import migrate
from slackwater.adapters.sql.sqlite import SCHEMA_VERSION
from tests.cluster.cluster import Cluster, answers, ended, until, whole
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.postgresql import Postgresql, running
from tests.server import NotStarted, Server

pytestmark = pytest.mark.postgresql

NUMBERS = itertools.count()
# As docs/postgresql.md has it, for an owner `slackwater` and a service `service`.
GRANTS = (
    "GRANT CONNECT ON DATABASE {database} TO service",
    "GRANT USAGE ON SCHEMA public TO service",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO service",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO service",
)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgresql]:
    """A PostgreSQL with a role for the owner, and one for the service."""
    with running() as started:
        with psycopg.connect(started.address("postgres"), autocommit=True) as admin:
            for role in ("owner", "service"):
                admin.execute(f"CREATE ROLE {role} LOGIN".encode())
        yield started


class Ledger:
    """A database of an owner, who may make tables in it, and of the service, who may not."""

    def __init__(self, server: Postgresql, name: str) -> None:
        self._admin = server.address("postgres")
        self._name = name
        self.told(f"CREATE DATABASE {name} OWNER owner", f"REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC")
        self.owned, self.served = (
            server.address(name).replace("slackwater@", f"{role}@") for role in ("owner", "service")
        )

    def told(self, *statements: str) -> None:
        """Statements of who may do everything."""
        with psycopg.connect(self._admin, autocommit=True) as admin:
            for each in statements:
                admin.execute(each.encode())

    def granted(self, *statements: str) -> None:
        """Statements of its owner."""
        with psycopg.connect(self.owned, autocommit=True) as owner:
            for each in statements:
                owner.execute(each.format(database=self._name).encode())


@pytest.fixture
def ledger(server: Postgresql) -> Ledger:
    """With a schema that its owner has made."""
    made = Ledger(server, f"rights{next(NUMBERS)}")
    db = PgConnection(made.owned, name="owner")
    migrate(db)
    db.close()
    return made


def configuration(address: str) -> str:
    """One deployment on the built-in backend."""
    return f'[server]\ndatabase = "{address}"\n[[deployments]]\nname = "d"\n[[deployments.backends]]\necho = {{}}\n'


def test_two_servers_of_a_role_with_few_rights(tmp_path: Path, server: Postgresql) -> None:
    """The owner starts one once. After that the service needs nothing more: members, locks, notes, burials, taking over."""
    ledger = Ledger(server, "few")
    with CountingBackend(latency=0.05) as backend:
        with Cluster(tmp_path, ledger.owned, backend) as owner:
            assert owner.start().terminate() == 0
        ledger.granted(*GRANTS)
        with Cluster(tmp_path, ledger.served, backend) as cluster:
            first, second = cluster.start(), cluster.start()
            batch_id = first.create_batch(first.upload("in.jsonl", input_lines("line", 3000)))
            until(lambda: len(cluster.holding()) == 2)
            # What is left of lost connections is ended by who had them.
            lost = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ 'slackwater (wri|wor)'"
            )
            cluster.asked(lost)
            until(lambda: answers(first))
            first.kill()
            until(lambda: ended(second, batch_id))
            whole(second, batch_id, 3000)
            said = cluster.log(first) + cluster.log(second)
            assert "member_buried" in said
            assert "permission denied" not in said
            assert " ERROR " not in said


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (GRANTS[1:], "GRANT CONNECT ON DATABASE to its role"),
        ((GRANTS[0], "REVOKE USAGE ON SCHEMA public FROM PUBLIC", *GRANTS[2:]), "may use no schema of its search_path"),
        (GRANTS[:2], "permission denied for table schema_version"),
        ((*GRANTS, "REVOKE SELECT ON identity FROM service"), "permission denied for table identity"),
        ((*GRANTS, "REVOKE UPDATE ON shard FROM service"), "no UPDATE on shard"),
        (
            (*GRANTS, "REVOKE INSERT, DELETE ON segment, batch FROM service"),
            "no INSERT, DELETE on batch, INSERT, DELETE on segment",
        ),
        (
            (*GRANTS, "REVOKE DELETE ON ALL TABLES IN SCHEMA public FROM service", "GRANT DELETE ON batch TO service"),
            "tables more",
        ),
    ],
    ids=["no connect", "no usage", "no select", "no select on one", "no update", "several", "most"],
)
def test_a_right_that_is_missing(tmp_path: Path, ledger: Ledger, statements: tuple[str, ...], said: str) -> None:
    """A start is refused on one line that says which right it is, and what to do."""
    ledger.granted(*statements)
    line = refused(tmp_path, ledger)
    assert said in line
    assert "GRANT" in line
    assert said in looked(tmp_path)


def refused(folder: Path, ledger: Ledger) -> str:
    """What a server says that is started as the service and may not begin: one line."""
    config, log = folder / "slackwater.toml", folder / "server.log"
    config.write_text(configuration(ledger.served))
    with pytest.raises(NotStarted):
        Server(config, folder / "data", log)
    said = log.read_text()
    assert "Traceback" not in said
    (line,) = [each for each in said.splitlines() if each.startswith("error: ")]
    return line


def looked(folder: Path, ledger: Ledger | None = None) -> str:
    """What the doctor says is wrong with the ledger: one line."""
    config = folder / "slackwater.toml"
    if ledger is not None:
        config.write_text(configuration(ledger.served))
    words = [sys.executable, "-m", "slackwater", "doctor", "--config", str(config), "--data", str(folder / "data")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = (each for each in done.stdout.splitlines() if each.startswith("fault   ledger: "))
    return line


def test_a_schema_that_the_owner_has_not_made_yet(tmp_path: Path, server: Postgresql) -> None:
    """The service cannot make it, and says who can."""
    ledger = Ledger(server, "early")
    ledger.granted(*GRANTS)
    assert "start this version once with a role that may" in refused(tmp_path, ledger)
    assert "start this version once with a role that may" in looked(tmp_path)


def test_a_schema_that_the_owner_has_to_bring_up_to_date(tmp_path: Path, ledger: Ledger) -> None:
    """The service may do everything but that; the doctor knows it before the start."""
    ledger.granted(*GRANTS, f"UPDATE schema_version SET version = {SCHEMA_VERSION - 1}")
    assert "may not change its schema" in looked(tmp_path, ledger)
    assert "may not change its schema" in refused(tmp_path, ledger)


def test_a_right_that_goes_while_a_server_runs(tmp_path: Path, ledger: Ledger) -> None:
    """It says so, goes on when the right is back, and has lost nothing."""
    ledger.granted(*GRANTS)
    with CountingBackend(latency=0.05) as backend, Cluster(tmp_path, ledger.served, backend) as cluster:
        first = cluster.start()
        batch_id = first.create_batch(first.upload("in.jsonl", input_lines("line", 1000)))
        until(lambda: first.batch(batch_id)["request_counts"]["completed"] > 100)
        ledger.granted("REVOKE UPDATE ON shard FROM service")
        until(lambda: "permission denied for table shard" in cluster.log(first))
        ledger.granted("GRANT UPDATE ON shard TO service")
        until(lambda: ended(first, batch_id))
        whole(first, batch_id, 1000)
