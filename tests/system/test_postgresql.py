"""One server whose ledger is PostgreSQL: a real server, a real database, and both of them killed."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from slackwater import __version__
from slackwater.adapters.sql.sqlite import SCHEMA_VERSION
from slackwater.core.masking import shown_url
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import Report, check_account, check_files, input_lines
from tests.postgresql import Databases, Postgresql, running
from tests.server import NotStarted, Server

pytestmark = pytest.mark.postgresql

PASSWORD = "correct-horse-battery"


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Asks again and again; the limit only keeps a broken server from hanging the tests."""
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit
        signal.sigtimedwait([], 0.05)


def written(folder: Path, address: str, backend: CountingBackend, *, server: str = "") -> Path:
    """The configuration of a server on a ledger."""
    config = folder / "slackwater.toml"
    config.write_text(
        f'[server]\ndatabase = "{address}"\n{server}[[deployments]]\nname = "crash"\n'
        f'[[deployments.backends]]\nurl = "{backend.url}"\nconcurrency = 32\n'
    )
    return config


@pytest.fixture
def address(postgresql: Databases) -> str:
    """A database that nothing is in, not even a schema."""
    return postgresql.new(template="template1")


@pytest.fixture
def mortal() -> Iterator[Postgresql]:
    """A PostgreSQL that syncs what it writes, to be killed."""
    with running(careless=False) as server:
        yield server


def ended(server: Server, batch_id: str) -> Callable[[], bool]:
    """Whether a batch is through; also asked while the database is away."""
    return lambda: '"status":"completed"' in _get(server, f"/v1/batches/{batch_id}").replace(": ", ":")


def completed(server: Server, batch_id: str, least: int) -> None:
    """Waits until a batch has so many results."""
    until(lambda: server.batch(batch_id)["request_counts"]["completed"] >= least)


def whole(server: Server, batch_id: str, lines: int) -> Report:
    """Both files of a batch that has ended have every line, once; the account has each, once."""
    report = Report(batches=1)
    check_files(report, server, server.batch(batch_id), "line", lines)
    check_account(report, server)
    assert report.sound(), report
    return report


def test_a_batch_from_its_upload_to_its_results(tmp_path: Path, address: str) -> None:
    """Files lie in the data directory, every fact in the database; what is secret of its address is said nowhere."""
    secret = address.replace("slackwater@", f"slackwater:{PASSWORD}@")
    with CountingBackend(latency=0.01) as backend:
        config = written(tmp_path, secret, backend)
        server = Server(config, tmp_path / "data", tmp_path / "server.log")
        try:
            batch_id = server.create_batch(server.upload("in.jsonl", input_lines("line", 50)))
            until(ended(server, batch_id))
            whole(server, batch_id, 50)
        finally:
            code = server.terminate()
        assert code == 0
        # That it is elsewhere is all that the directory has of it.
        assert [each.name for each in (tmp_path / "data").glob("ledger*")] == ["ledger.elsewhere"]
        assert server.process.stdout is not None
        said = (tmp_path / "server.log").read_text() + server.process.stdout.read()
        assert PASSWORD not in said
        # The next start has all of it.
        server = Server(config, tmp_path / "data", tmp_path / "server.log")
        try:
            assert server.batch(batch_id)["status"] == "completed"
        finally:
            server.terminate()


def test_a_killed_server_goes_on(tmp_path: Path, address: str) -> None:
    """kill -9 three times: nothing is lost, nothing is there twice."""
    with CountingBackend(latency=0.05) as backend:
        config = written(tmp_path, address, backend)
        server = Server(config, tmp_path / "data", tmp_path / "server.log")
        batch_id = server.create_batch(server.upload("in.jsonl", input_lines("line", 1500)))
        for part in (100, 400, 700):
            completed(server, batch_id, part)
            server.kill()
            server = Server(config, tmp_path / "data", tmp_path / "server.log")
        try:
            until(ended(server, batch_id))
            whole(server, batch_id, 1500)
        finally:
            server.terminate()


def test_a_killed_database_is_waited_for(tmp_path: Path, mortal: Postgresql) -> None:
    """The server says 503 and is not ready while it is away, asks it again when it is back, and has lost nothing."""
    with CountingBackend(latency=0.05) as backend:
        config = written(tmp_path, mortal.address("postgres"), backend)
        server = Server(config, tmp_path / "data", tmp_path / "server.log")
        try:
            batch_id = server.create_batch(server.upload("in.jsonl", input_lines("line", 1500)))
            for part in (100, 500):
                completed(server, batch_id, part)
                mortal.kill()
                mortal.start()
            until(ended(server, batch_id))
            whole(server, batch_id, 1500)
            assert {len(times) for times in backend.answered.values()} <= {1, 2}
        finally:
            server.terminate()


def test_a_database_that_is_away_for_long(tmp_path: Path, mortal: Postgresql) -> None:
    """Callers hear 503 instead of waiting for ever; the process lives, is not ready, and is again when the database is."""
    with CountingBackend(latency=0.01) as backend:
        config = written(tmp_path, mortal.address("postgres"), backend)
        server = Server(config, tmp_path / "data", tmp_path / "server.log")
        try:
            mortal.kill()
            with pytest.raises(AssertionError, match="503"):
                server.upload("in.jsonl", input_lines("line", 1))
            assert json.loads(_get(server, "/healthz")) == {"status": "ok"}
            assert "ledger_not_writable" in _get(server, "/readyz")
            mortal.start()
            until(lambda: "ready" in _get(server, "/readyz") and "not_writable" not in _get(server, "/readyz"))
            batch_id = server.create_batch(server.upload("in.jsonl", input_lines("line", 5)))
            until(ended(server, batch_id))
        finally:
            server.terminate()


def _get(server: Server, path: str) -> str:
    done = subprocess.run(["curl", "-s", f"http://{server.address}{path}"], capture_output=True, text=True, timeout=30)
    return done.stdout


def test_a_server_with_another_directory_is_refused(tmp_path: Path, address: str) -> None:
    """Servers of one ledger have one data directory. One that has another is told so in words, and ends; the others go on."""
    with CountingBackend(latency=0.01) as backend:
        config = written(tmp_path, address, backend)
        server = Server(config, tmp_path / "data", tmp_path / "server.log")
        try:
            with pytest.raises(NotStarted):
                Server(config, tmp_path / "other", tmp_path / "other.log")
            said = (tmp_path / "other.log").read_text()
            assert "is not the data directory of the other servers" in said
            assert not re.search("Traceback", said)
            batch_id = server.create_batch(server.upload("in.jsonl", input_lines("line", 5)))
            until(ended(server, batch_id))
        finally:
            server.terminate()


def test_commands_say_where_the_ledger_is_and_who_has_it(tmp_path: Path, postgresql: Databases) -> None:
    """The database, without its password: nothing of it is in the directory. Who wants it alone hears whom to stop, and where."""
    address = postgresql.new().replace("slackwater@", f"slackwater:{PASSWORD}@")
    shown = shown_url(address)
    with CountingBackend(latency=0.01) as backend:
        config = written(tmp_path, address, backend)

        def told(*words: str, code: int = 0) -> str:
            named = ["--config", str(config), "--data", str(tmp_path / "data")]
            command = [sys.executable, "-m", "slackwater", *words, *named]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert done.returncode == code, done.stderr
            assert PASSWORD not in done.stderr + done.stdout
            return done.stderr

        assert f"keys in {shown}\n" in told("keys", "create", "--role", "admin")
        server = Server(config, tmp_path / "data", tmp_path / "server.log", environment={"SLACKWATER_API_KEY": "k"})
        try:
            assert f"usage in {shown}\n" in told("usage")
            assert f"the audit log in {shown}\n" in told("audit", "export")
            for words in (("migrate-data", "--to", "embedded"), ("recover",), ("keys", "create")):
                said = told(*words, code=2)
                assert "the ledger is in use by 1 server or worker (server " in said
                assert f" on {socket.gethostname()}): stop all of them first" in said
            listed = subprocess.run(
                [sys.executable, "-m", "slackwater", "members", "--config", str(config)], capture_output=True, text=True
            ).stdout
            assert listed.split("\t")[3] == f"{__version__} (schema {SCHEMA_VERSION})"
            # Before an upgrade, too, the doctor says who is there.
            with psycopg.connect(address, autocommit=True) as db:
                db.execute("UPDATE schema_version SET version = version - 1")
            doctor = [
                sys.executable,
                "-m",
                "slackwater",
                "doctor",
                "--config",
                str(config),
                "--data",
                str(tmp_path / "data"),
            ]
            found = subprocess.run(doctor, capture_output=True, text=True).stdout
            assert f"the next start brings it from schema {SCHEMA_VERSION - 1} to {SCHEMA_VERSION}" in found
            assert f"server of version {__version__} (schema {SCHEMA_VERSION}), for" in found
        finally:
            server.terminate()


def test_an_embedded_ledger_is_not_left_behind(tmp_path: Path, address: str) -> None:
    """A data directory with a ledger of its own is not served with another one."""
    with CountingBackend(latency=0.01) as backend:
        config = written(tmp_path, address, backend)
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "ledger.sqlite").touch()
        with pytest.raises(NotStarted):
            Server(config, tmp_path / "data", tmp_path / "server.log")
        assert "has a ledger of its own" in (tmp_path / "server.log").read_text()


def test_files_are_not_served_with_another_ledger(tmp_path: Path, postgresql: Databases) -> None:
    """Bytes go by the word of the ledger that they belong to: an empty database, or another one, is refused."""
    first, second = postgresql.new(template="template1"), postgresql.new(template="template1")
    with CountingBackend(latency=0.01) as backend:
        server = Server(written(tmp_path, first, backend), tmp_path / "data", tmp_path / "server.log")
        server.upload("in.jsonl", input_lines("line", 1))
        server.terminate()
        with pytest.raises(NotStarted):
            Server(written(tmp_path, second, backend), tmp_path / "data", tmp_path / "server.log")
        assert "is missing or empty" in (tmp_path / "server.log").read_text()
        with psycopg.connect(second) as looked:
            assert looked.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def test_a_database_that_was_put_back(tmp_path: Path, postgresql: Databases) -> None:
    """It is older than the files: refused until somebody says that it counts. What it does not name is put aside then."""
    address = postgresql.new(template="template1")
    with CountingBackend(latency=0.01) as backend:
        config = written(tmp_path, address, backend)
        server = Server(config, tmp_path / "data", tmp_path / "server.log")
        kept = server.upload("kept.jsonl", input_lines("line", 1))
        server.terminate()
        copy = postgresql.new(template=address.partition("@/")[2].partition("?")[0])
        server = Server(config, tmp_path / "data", tmp_path / "server.log")
        lost = server.upload("lost.jsonl", input_lines("line", 2))
        server.terminate()
        config = written(tmp_path, copy, backend)
        with pytest.raises(NotStarted):
            Server(config, tmp_path / "data", tmp_path / "server.log")
        assert "is older than the files" in (tmp_path / "server.log").read_text()
        recover = [
            sys.executable,
            "-m",
            "slackwater",
            "recover",
            "--config",
            str(config),
            "--data",
            str(tmp_path / "data"),
        ]
        done = subprocess.run([*recover, "--yes"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "done: 1 files are in" in done.stdout
        server = Server(config, tmp_path / "data", tmp_path / "server.log")
        try:
            assert server.call("GET", f"/files/{kept}")["id"] == kept
            with pytest.raises(AssertionError, match="404"):
                server.call("GET", f"/files/{lost}")
        finally:
            server.terminate()


def test_the_embedded_ledger_needs_none_of_it() -> None:
    """Nothing of PostgreSQL is imported by a server that does not have it."""
    asked = "import slackwater.cli.serve, slackwater.cli.run, sys; print([name for name in sys.modules if 'psycopg' in name])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
