"""A database that another application uses: a start and the doctor refuse it in one line, and nothing in it is changed."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.postgresql import Databases
from tests.server import NotStarted, Server

pytestmark = pytest.mark.postgresql

OTHERS = {
    "a table of ours": "CREATE TABLE batch (a int)",
    "an index of ours": "CREATE TABLE mine (a int); CREATE INDEX batch_by_stage ON mine (a)",
    "a view": "CREATE VIEW file AS SELECT 1 AS a",
    "a type": "CREATE TYPE segment AS ENUM ('a')",
    "a function": "CREATE FUNCTION audit_refuses() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "versions": "CREATE TABLE schema_version (installed_rank int)",
    "versions that are numbers": "CREATE TABLE schema_version (version int); INSERT INTO schema_version VALUES (27)",
    "versions and a batch": "CREATE TABLE schema_version (version text); CREATE TABLE batch (a int)",
}
EVERYTHING = """SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1"""


def configured(folder: Path, address: str) -> Path:
    """A configuration that names the database."""
    config = folder / "slackwater.toml"
    config.write_text(
        f'[server]\ndatabase = "{address}"\n[[deployments]]\nname = "d"\n[[deployments.backends]]\necho = {{}}\n'
    )
    return config


@pytest.mark.parametrize("kind", OTHERS)
def test_it_is_refused(tmp_path: Path, postgresql: Databases, kind: str) -> None:
    """With the name of what is in the way, and what to name instead."""
    address = postgresql.new(template="template1")
    config, log = configured(tmp_path, address), tmp_path / "server.log"
    with psycopg.connect(address, autocommit=True) as db:
        db.execute(OTHERS[kind].encode())
        before = db.execute(EVERYTHING).fetchall()
        with pytest.raises(NotStarted):
            Server(config, tmp_path / "data", log)
        assert "Traceback" not in log.read_text()
        said = log.read_text().splitlines()[-1]
        assert said.startswith("error: ")
        assert "another application" in said
        assert "name a database with nothing in it, or a schema of its own" in said
        words = [
            sys.executable,
            "-m",
            "slackwater",
            "doctor",
            "--config",
            str(config),
            "--data",
            str(tmp_path / "data"),
        ]
        looked = subprocess.run(words, capture_output=True, text=True, timeout=60)
        assert (looked.returncode, "another application" in looked.stdout) == (1, True), looked.stdout + looked.stderr
        assert db.execute(EVERYTHING).fetchall() == before


def test_a_schema_of_its_own(tmp_path: Path, postgresql: Databases) -> None:
    """Beside another application's tables, as the words have it."""
    address = postgresql.new(template="template1")
    with psycopg.connect(address, autocommit=True) as db:
        db.execute("CREATE TABLE batch (a int)")
        db.execute("CREATE SCHEMA slackwater")
    config = configured(tmp_path, f"{address}&options=-csearch_path%3Dslackwater")
    for start in range(2):
        server = Server(config, tmp_path / "data", tmp_path / f"server{start}.log")
        assert server.terminate() == 0
