"""Commands on a ledger that is on PostgreSQL: what they say of a configuration, of the database, and what they do in it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.postgresql import Databases
from tests.server import Server

pytestmark = pytest.mark.postgresql

PASSWORD = "correct-horse-battery"
DEPLOYMENT = '[[deployments]]\nname = "d"\n[[deployments.backends]]\necho = {}\n'


def slackwater(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "slackwater", *words],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('database = "mysql://db/x"', "database: must look like postgresql://host:5432/name"),
        ('database = "postgresql://db"', "database: must look like postgresql://host:5432/name"),
        ('database_password_env = "DB"', "there is no database that the password could belong to"),
        (
            f'database = "postgresql://r:{PASSWORD}@db/x"\ndatabase_password_env = "DB"',
            "it has a password, and so has database_password_env",
        ),
        (
            'database = "postgresql://r@db/x"\ndatabase_password_env = "NOT_SET"',
            "the environment variable NOT_SET is not set",
        ),
        (
            f'database = "postgresql://r:{PASSWORD}@db/x?sslmod=verify-full"',
            '[server]: database: invalid URI query parameter: "sslmod"',
        ),
        ('database = "postgresql://db/x?sslmode=full"', "[server]: database: sslmode has to be disable, allow, prefer"),
        ('database = "postgresql://db:abc/x"', "[server]: database: port has to be a number from 1 to 65535"),
        (f'database = "postgresql://r:{PASSWORD}/x@db/x"', "[server]: database: port has to be a number"),
        (f'database = "postgresql://r:{PASSWORD}%zz@db/x"', "[server]: database: it is no address"),
        (f'database = "postgresql://r:x@{PASSWORD}@db/x"', "[server]: database: it is no address"),
    ],
)
def test_what_is_wrong_with_an_address(tmp_path: Path, settings: str, said: str) -> None:
    """check-config says it in a line, and nothing that is secret."""
    (tmp_path / "slackwater.toml").write_text(f"[server]\n{settings}\n{DEPLOYMENT}")
    done = slackwater("check-config", "slackwater.toml", cwd=tmp_path, DB="x")
    assert done.returncode == 2
    assert said in done.stderr
    assert PASSWORD not in done.stderr


def test_each_fault_of_an_address_has_a_line(tmp_path: Path) -> None:
    """All at once, as of any other setting."""
    (tmp_path / "slackwater.toml").write_text(
        f'[server]\ndatabase = "postgresql://db:abc/x?sslmode=full&connect_timeout=soon"\n{DEPLOYMENT}'
    )
    done = slackwater("check-config", "slackwater.toml", cwd=tmp_path)
    lines = done.stderr.splitlines()
    assert sorted(line.split()[3] for line in lines) == ["connect_timeout", "port", "sslmode"]
    assert all(line.startswith("slackwater.toml: [server]: database: ") for line in lines), "the file is named, as ever"


def test_a_password_that_is_not_there_hides_no_fault(tmp_path: Path) -> None:
    """Neither of the address, nor of a backend; what is hidden would be met at the next try."""
    (tmp_path / "slackwater.toml").write_text(
        '[server]\ndatabase = "postgresql://r@db/x?sslmode=full"\ndatabase_password_env = "NOT_SET"\n'
        f'{DEPLOYMENT}\n[[deployments.backends]]\nurl = "http://127.0.0.1:9/v1"\nheaders = {{ "a b" = "c" }}\n'
    )
    for command in (
        ("check-config", "slackwater.toml"),
        ("serve", "--config", "slackwater.toml"),
        ("doctor", "--config", "slackwater.toml"),
    ):
        done = slackwater(*command, cwd=tmp_path)
        said = done.stderr + done.stdout
        assert "slackwater.toml: [server] database_password_env: the environment variable NOT_SET" in said
        assert "slackwater.toml: [server]: database: sslmode has to be" in said
        assert "slackwater.toml: deployment 'd': backend http://127.0.0.1:9/v1: " in said


def test_nobody_is_there(tmp_path: Path, postgresql: Databases) -> None:
    """The list of members says so, with what to do, in a pipe, too; it is no error, and standard output has nothing."""
    (tmp_path / "slackwater.toml").write_text(f'[server]\ndatabase = "{postgresql.new()}"\n{DEPLOYMENT}')
    done = slackwater("members", "--config", "slackwater.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "no server or worker works with the ledger; start one: slackwater serve --config slackwater.toml"
    ]
    done = slackwater("members", "--config", "slackwater.toml", "--json", cwd=tmp_path)
    assert (done.returncode, json.loads(done.stdout)["data"]) == (0, [])
    assert "start one" in done.stderr


def test_every_command_says_what_is_wrong_with_an_address(tmp_path: Path) -> None:
    """On one line, before anything is asked of anybody."""
    (tmp_path / "slackwater-data").mkdir()
    (tmp_path / "slackwater.toml").write_text(
        f'[server]\ndatabase = "postgresql://r:{PASSWORD}@db/x?sslmod=verify-full"\n{DEPLOYMENT}'
    )
    for words in (
        ("serve", "--port", "0"),
        ("worker",),
        ("members",),
        ("doctor",),
        ("migrate-data", "--to", "postgresql"),
    ):
        done = slackwater(*words, "--config", "slackwater.toml", cwd=tmp_path)
        said = done.stdout + done.stderr
        assert done.returncode in (1, 2), said
        assert "sslmod" in said
        assert "Traceback" not in said
        assert PASSWORD not in said


def test_a_good_address(tmp_path: Path) -> None:
    """check-config opens nothing: the database need not be there."""
    (tmp_path / "slackwater.toml").write_text(
        f'[server]\ndatabase = "postgresql://r@a:5432,b:5432/x"\ndatabase_password_env = "DB"\n{DEPLOYMENT}'
    )
    done = slackwater("check-config", "slackwater.toml", cwd=tmp_path, DB=PASSWORD)
    assert done.returncode == 0, done.stderr


def test_a_directory_whose_ledger_was_never_in_it(tmp_path: Path, postgresql: Databases) -> None:
    """Nothing speaks of an empty ledger, or makes one, where only the directory is named; nor where another database is."""
    address, config = postgresql.new(template="template1"), tmp_path / "slackwater.toml"
    config.write_text(f'[server]\ndatabase = "{address}"\n{DEPLOYMENT}')
    data = tmp_path / "data"
    server = Server(config, data, tmp_path / "server.log")
    server.upload("in.jsonl", b"{}\n")
    assert server.terminate() == 0
    before = sorted(each.name for each in data.iterdir())
    for words in (("recover",), ("recover", "--yes"), ("keys", "create"), ("serve", "--port", "0")):
        done = slackwater(*words, "--data", str(data), cwd=tmp_path)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "is in a database" in done.stderr
        assert "--config" in done.stderr
        assert sorted(each.name for each in data.iterdir()) == before
    config.write_text(f'[server]\ndatabase = "{postgresql.new(template="template1")}"\n{DEPLOYMENT}')
    done = slackwater("serve", "--port", "0", "--config", str(config), "--data", str(data), cwd=tmp_path)
    assert done.returncode == 2
    assert "recover --config FILE" in done.stderr
    assert "slackwater restore" not in done.stderr


def test_keys_usage_and_audit(tmp_path: Path, postgresql: Databases) -> None:
    """With the server's configuration, commands work in the ledger that it names; the password comes from the environment."""
    address = postgresql.new(template="template1")
    (tmp_path / "slackwater.toml").write_text(
        f'[server]\ndatabase = "{address}"\ndatabase_password_env = "DB"\n{DEPLOYMENT}'
    )
    options = ("--config", "slackwater.toml")
    made = slackwater("keys", "create", *options, cwd=tmp_path, DB=PASSWORD)
    assert made.returncode == 0, made.stderr
    listed = slackwater("keys", "list", "--json", *options, cwd=tmp_path, DB=PASSWORD)
    assert len(json.loads(listed.stdout)) == 2, listed.stderr
    usage = slackwater("usage", *options, cwd=tmp_path, DB=PASSWORD)
    assert usage.returncode == 0, usage.stderr
    audit = slackwater("audit", "export", *options, cwd=tmp_path, DB=PASSWORD)
    assert "create" in audit.stdout, audit.stderr
    backup = slackwater("backup", *options, "--output", "backups", cwd=tmp_path, DB=PASSWORD)
    assert backup.returncode == 2
    assert "PostgreSQL's own means" in backup.stderr
    assert not list(tmp_path.glob("*/ledger*"))
    assert PASSWORD not in made.stdout + made.stderr + backup.stderr


def test_the_doctor_knows_the_database(tmp_path: Path, postgresql: Databases) -> None:
    """What it is, what it must not be, and that it is not there."""
    address = postgresql.new(template="template1")
    (tmp_path / "slackwater.toml").write_text(f'[server]\ndatabase = "{address}"\n{DEPLOYMENT}')
    options = ("--config", "slackwater.toml", "--json")
    found = json.loads(slackwater("doctor", *options, cwd=tmp_path).stdout)["findings"]
    said = {(each["level"], each["message"].partition(":")[0]) for each in found if each["about"] == "ledger"}
    assert ("ok", "postgresql") in said
    assert ("note", "there is no schema yet; the first start makes it") in said
    assert ("warning", "its role may do everything in this database server") in said
    # That of tests does not sync what it writes.
    assert ("fault", "PostgreSQL has fsync = off") in said
    slackwater("keys", "create", "--config", "slackwater.toml", cwd=tmp_path)
    found = json.loads(slackwater("doctor", *options, cwd=tmp_path).stdout)["findings"]
    assert [each["message"] for each in found if each["about"] == "keys"] == ["callers need one of 2 keys"]
    gone = address.replace("host=", f"connect_timeout=1&password={PASSWORD}&host=/nowhere")
    (tmp_path / "slackwater.toml").write_text(f'[server]\ndatabase = "{gone}"\n{DEPLOYMENT}')
    lost = slackwater("doctor", *options, cwd=tmp_path)
    assert lost.returncode == 1
    assert "the ledger cannot be reached" in lost.stdout
    assert PASSWORD not in lost.stdout + lost.stderr


def test_what_a_database_allows_too_little_of(tmp_path: Path, postgresql: Databases) -> None:
    """Room for one server beside none that is there yet; and sessions that are ended while they listen."""
    address = postgresql.new(template="template1")
    (tmp_path / "slackwater.toml").write_text(f'[server]\ndatabase = "{address}"\n{DEPLOYMENT}')
    slackwater("keys", "create", "--config", "slackwater.toml", cwd=tmp_path)

    def found() -> dict[str, str]:
        done = slackwater("doctor", "--config", "slackwater.toml", "--json", cwd=tmp_path)
        return {each["message"]: each["level"] for each in json.loads(done.stdout)["findings"]}

    def about(words: str) -> list[str]:
        return [level for message, level in found().items() if words in message]

    assert about("a first server or worker may need 9") == ["ok"]
    assert about("idle_session_timeout") == []
    with psycopg.connect(address, autocommit=True) as db:
        name = db.info.dbname
        db.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 8".encode())
        db.execute(f"ALTER DATABASE {name} SET idle_session_timeout = '30s'".encode())
    assert about("PostgreSQL takes 8 of the role of the ledger") == ["warning"]
    assert about("idle_session_timeout = 30000 ms") == ["warning"]


def test_members_of_what_has_none(tmp_path: Path, postgresql: Databases) -> None:
    """Of an empty database and of one that nobody serves there are none; an embedded ledger is none of a database's; another
    version's is not guessed at; and one that is away is said to be, on one line without its password."""
    address = postgresql.new(template="template1")
    config = tmp_path / "slackwater.toml"
    config.write_text(f'[server]\ndatabase = "{address}"\n{DEPLOYMENT}')
    members = ("members", "--json", "--config", "slackwater.toml")
    assert json.loads(slackwater(*members, cwd=tmp_path).stdout)["data"] == []
    slackwater("keys", "create", "--config", "slackwater.toml", cwd=tmp_path)
    found = json.loads(slackwater(*members, cwd=tmp_path).stdout)
    assert (found["data"], found["warnings"], found["shared"]) == ([], [], True)
    with psycopg.connect(address, autocommit=True) as db:
        db.execute("UPDATE schema_version SET version = 27")
    other = slackwater(*members, cwd=tmp_path)
    assert (other.returncode, other.stderr.count("\n")) == (1, 1)
    assert "schema 27" in other.stderr
    gone = address.replace("host=", f"connect_timeout=1&password={PASSWORD}&host=/nowhere")
    config.write_text(f'[server]\ndatabase = "{gone}"\n{DEPLOYMENT}')
    lost = slackwater(*members, cwd=tmp_path)
    assert (lost.returncode, lost.stderr.count("\n")) == (1, 1)
    assert PASSWORD not in lost.stdout + lost.stderr
    config.write_text(DEPLOYMENT)
    embedded = slackwater(*members, cwd=tmp_path)
    assert embedded.returncode == 2
    assert "names no database" in embedded.stderr
