"""`slackwater migrate-data`, as an operator uses it: real servers, a real database, a batch under way, and death in between."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from slackwater.adapters.disk.data_directory import DataDirectory
from slackwater.adapters.sql.identity import find
from slackwater.adapters.sql.sqlite import connect
from slackwater.core.errors import DataDirectoryError
from slackwater.core.files.belonging import Fit
from slackwater.wiring.belonging import look
from tests.adapters.filled_ledger import fill, rows_of
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.postgresql import Databases
from tests.server import NotStarted, Server
from tests.system.test_postgresql import PASSWORD, completed, ended, until, whole

pytestmark = pytest.mark.postgresql

LINES = 1500


def written(folder: Path, address: str | None, url: str = "http://127.0.0.1:9/v1") -> Path:
    """The configuration of a server, with a database and without."""
    config = folder / ("postgresql.toml" if address else "embedded.toml")
    database = f'database = "{address}"\n' if address else ""
    config.write_text(
        f'[server]\ndata = "{folder / "data"}"\n{database}[[deployments]]\nname = "crash"\n'
        f'[[deployments.backends]]\nurl = "{url}"\nconcurrency = 32\n'
    )
    return config


def migrate_data(config: Path, to: str, *options: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """The command in a process of its own; `before` is what happens there first."""
    words = ["migrate-data", "--to", to, "--config", str(config), *options]
    asked = f"{before}\nfrom slackwater.cli import main\nmain({words!r})"
    return subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=120)


@pytest.fixture
def address(postgresql: Databases) -> str:
    """A database that nothing is in, not even a schema."""
    return postgresql.new(template="template1")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory whose ledger has rows in every table, as a server has left it, and the files that a start looks for."""
    with DataDirectory.open(tmp_path / "data") as directory:
        fill(directory.ledger_path, seed=4)
        found = find(directory.ledger_path)
        assert found.mark is not None
        directory.write_mark(found.mark)
        directory.blobs_path.mkdir()
        for key, size in (found.sample.needed | found.sample.newest).items():
            path = directory.blobs_path / key
            path.parent.mkdir(parents=True, exist_ok=True)
            # A key of a row that was drawn by lot may be no name of a file.
            if path != directory.blobs_path:
                path.write_bytes(b"")
                os.truncate(path, max(0, size))
    return tmp_path / "data"


def test_a_batch_goes_on_there_and_back(tmp_path: Path, address: str) -> None:
    """It begins embedded, goes on over PostgreSQL and ends embedded, past two killed servers. Each line is there once."""
    with CountingBackend(latency=0.05) as backend:
        embedded, database = written(tmp_path, None, backend.url), written(tmp_path, address, backend.url)
        data, log = tmp_path / "data", tmp_path / "server.log"
        server = Server(embedded, data, log)
        batch_id = server.create_batch(server.upload("in.jsonl", input_lines("line", LINES)))
        completed(server, batch_id, 100)
        server.kill()
        assert (data / "ledger.sqlite").stat().st_mode & 0o777 == 0o600
        # As an earlier version made it.
        (data / "ledger.sqlite").chmod(0o644)
        done = migrate_data(database, "postgresql")
        assert done.returncode == 0, done.stderr
        assert "what has arrived is what was sent" in done.stdout
        (aside,) = data.glob("ledger-moved-*.sqlite")
        assert aside.stat().st_mode & 0o777 == 0o600
        assert "the ledger is in postgresql://" in done.stdout
        server = Server(database, data, log)
        assert server.batch(batch_id)["request_counts"]["completed"] >= 100
        completed(server, batch_id, 700)
        server.kill()
        done = migrate_data(database, "embedded")
        assert done.returncode == 0, done.stderr
        assert f"the ledger is {data / 'ledger.sqlite'}; take database out of" in done.stdout
        server = Server(embedded, data, log)
        try:
            assert server.batch(batch_id)["request_counts"]["completed"] >= 700
            until(ended(server, batch_id))
            whole(server, batch_id, LINES)
        finally:
            server.terminate()
        # Only what was out when a server was killed was asked for again.
        assert sum(len(times) - 1 for times in backend.answered.values()) < 500
    assert "Traceback" not in log.read_text()


def usable(data: Path, address: str) -> set[str]:
    """Which ledgers a server would start on with these files."""
    good = set()
    for name, database in (("embedded", ""), ("postgresql", address)):
        try:
            fit, found, _ = look(data, database)
        except DataDirectoryError:
            continue
        if fit is Fit.FITS and not found.empty:
            good.add(name)
    return good


# After which steps a process dies. What comes before one of them comes after the one above it.
DEATHS = {
    "postgresql": [
        "slackwater.adapters.sql.postgresql.moving PostgresqlEnd begin_filling",
        "slackwater.adapters.sql.postgresql.moving PostgresqlEnd finish",
        "slackwater.adapters.sql.postgresql.moving PostgresqlEnd keep",
        "slackwater.adapters.sql.sqlite_moving SqliteSource fold",
        "slackwater.adapters.disk.data_directory DataDirectory _write",
        "slackwater.adapters.disk.data_directory DataDirectory _rename",
        "slackwater.adapters.disk.data_directory DataDirectory let_ledger_go",
    ],
    "embedded": [
        "slackwater.adapters.sql.postgresql.moving PostgresqlEnd begin_reading",
        "slackwater.adapters.sql.sqlite_moving SqliteTarget finish",
        "slackwater.adapters.disk.data_directory DataDirectory _rename",
        "slackwater.adapters.disk.data_directory DataDirectory let_ledger_in",
        "slackwater.adapters.sql.postgresql.moving PostgresqlEnd let_go",
    ],
}
DIES = """
import importlib, os
module, kind, name = {where!r}.split()
kind = getattr(importlib.import_module(module), kind)
whole = getattr(kind, name)
def dies(*arguments):
    whole(*arguments)
    os.kill(os.getpid(), 9)
setattr(kind, name, dies)
"""


@pytest.mark.parametrize(("to", "where"), [(to, where) for to, places in DEATHS.items() for where in places])
def test_death_leaves_one_of_both(data: Path, tmp_path: Path, address: str, to: str, where: str) -> None:
    """kill -9 after every step: a server would start on the old ledger or the new one, never on both. Then it is done again."""
    rows = rows_of(data / "ledger.sqlite")
    config = written(tmp_path, address)
    if to == "embedded":
        assert migrate_data(config, "postgresql").returncode == 0
        assert usable(data, address) == {"postgresql"}
    done = migrate_data(config, to, before=DIES.format(where=where))
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(usable(data, address)) == 1
    again = migrate_data(config, to)
    assert again.returncode == 0, again.stderr
    assert usable(data, address) == {to}
    if to == "postgresql":
        assert migrate_data(config, "embedded").returncode == 0
    assert rows_of(data / "ledger.sqlite") == rows
    # What was done is said, and changes nothing.
    assert "already; take database out of" in migrate_data(config, "embedded").stdout


def test_who_starts_on_the_old_one_is_told(data: Path, tmp_path: Path, address: str) -> None:
    """In one line, with where the ledger is and what to do: the server, and every command that looks into it; both ways."""
    embedded, database = written(tmp_path, None), written(tmp_path, address)
    log = tmp_path / "server.log"
    with pytest.raises(NotStarted):
        Server(database, data, log)
    assert "take [server] database out of the configuration where that ledger counts" in log.read_text()
    assert "move it to the database with 'slackwater migrate-data --to postgresql'" in log.read_text()
    assert migrate_data(database, "postgresql").returncode == 0
    with pytest.raises(NotStarted):
        Server(embedded, data, log)
    said = log.read_text().splitlines()[-1]
    assert said.startswith(f"error: the ledger of {data} moved to postgresql://")
    assert "bring it back with 'slackwater migrate-data --to embedded'" in said
    for command in (["keys", "list"], ["usage"], ["doctor"], ["recover"], ["backup", "--output", str(tmp_path / "b")]):
        words = [sys.executable, "-m", "slackwater", *command, "--config", str(embedded)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0
        assert f"the ledger of {data} moved to postgresql://" in done.stdout + done.stderr, command
        assert "Traceback" not in done.stderr
    assert migrate_data(database, "embedded").returncode == 0
    # The database alone, with a new data directory: nothing else would tell.
    with pytest.raises(NotStarted):
        Server(database, tmp_path / "other", log)
    said = log.read_text().splitlines()[-1]
    assert f"the ledger of this database moved to the data directory {data}" in said
    assert "take [server] database out of the configuration" in said
    # It is not empty, and so not taken for a target.
    refused = migrate_data(database, "postgresql")
    assert refused.returncode == 2
    assert "moved to the data directory" in refused.stderr


def test_what_is_refused(data: Path, tmp_path: Path, address: str, postgresql: Databases) -> None:
    """A server at work on either side, no database, a ledger that is not the one of the files, nothing to move."""
    rows = rows_of(data / "ledger.sqlite")
    database, embedded = written(tmp_path, address), written(tmp_path, None)
    with DataDirectory.open(data):
        done = migrate_data(database, "postgresql")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is in use by another slackwater" in done.stderr
    done = migrate_data(embedded, "postgresql")
    assert done.returncode == 2
    assert "put database = " in done.stderr
    done = migrate_data(database, "embedded", "--replace-zeros")
    assert (done.returncode, "takes every text" in done.stderr) == (2, True)
    done = migrate_data(database, "embedded")
    assert done.returncode == 2
    assert "has a ledger of its own (ledger.sqlite), and not the one of the database" in done.stderr
    (tmp_path / "elsewhere").mkdir()
    done = migrate_data(database, "postgresql", "--data", str(tmp_path / "elsewhere"))
    assert done.returncode == 2
    assert "and so nothing to move" in done.stderr
    done = migrate_data(database, "postgresql", "--data", str(tmp_path / "nowhere"))
    assert (done.returncode, "there is no data directory" in done.stderr) == (2, True)
    with DataDirectory.open(data) as directory:
        mark = find(directory.ledger_path).mark
        assert mark is not None
        directory.write_mark(type(mark)("another", 3))
    done = migrate_data(database, "postgresql")
    assert done.returncode == 2
    assert "is another ledger than the one that the files" in done.stderr
    assert rows_of(data / "ledger.sqlite") == rows
    with psycopg.connect(address) as looked:
        assert looked.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def test_a_database_that_cannot_be_reached(data: Path, tmp_path: Path, address: str) -> None:
    """One line, and nothing of the address that is secret."""
    gone = address.replace("host=", f"connect_timeout=1&password={PASSWORD}&host=/nowhere")
    done = migrate_data(written(tmp_path, gone), "postgresql")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the ledger cannot be reached")
    assert len(done.stderr.splitlines()) == 1
    assert PASSWORD not in done.stderr
    assert not list(data.glob("ledger*moved*"))
    assert look(data)[0] is Fit.FITS


def test_a_zero_character(data: Path, tmp_path: Path, address: str) -> None:
    """It is named in one line, with both ways out; one of them is an option."""
    with contextlib.closing(connect(data / "ledger.sqlite")) as db:
        db.execute("UPDATE file SET filename = 'a' || char(0) || 'b' WHERE seq = 2")
    config = written(tmp_path, address)
    done = migrate_data(config, "postgresql")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "file (seq 2, id 'file c 6'): filename has a zero character" in done.stderr
    assert "repeat this with --replace-zeros" in done.stderr
    assert usable(data, address) == {"embedded"}
    assert migrate_data(config, "postgresql", "--replace-zeros").returncode == 0
    assert usable(data, address) == {"postgresql"}


def test_what_lies_in_the_folder(data: Path, tmp_path: Path, address: str) -> None:
    """The old ledger is one file with nothing beside it, its owner's alone; blobs are not touched."""
    (data / "blobs" / "kept").write_bytes(b"bytes")
    rows = rows_of(data / "ledger.sqlite")
    config = written(tmp_path, address)
    assert migrate_data(config, "postgresql", "--quiet").stdout == ""
    (aside,) = data.glob("ledger-moved-*.sqlite")
    assert sorted(path.name for path in data.iterdir()) == sorted(
        [aside.name, "blobs", "ledger.moved", "slackwater.lock", "slackwater.mark"]
    )
    assert rows_of(aside) == rows
    assert json.loads((data / "ledger.moved").read_text())["aside"] == aside.name
    assert migrate_data(config, "embedded").returncode == 0
    assert not (data / "ledger.moved").exists()
    assert os.stat(data / "ledger.sqlite").st_mode & 0o777 == 0o600
    assert (data / "blobs" / "kept").read_bytes() == b"bytes"
