"""What the unit of back-ups does each night where the ledger is on PostgreSQL, on a cluster that works."""

import os
import shlex
import string
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.cluster.cluster import Cluster, ended, until
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.postgresql import Postgresql, running

CONF = Path(__file__).parents[2] / "deploy" / "systemd" / "backup-postgresql.conf"

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(120)]


def night(server: Postgresql, data: Path, backups: Path, address: str) -> None:
    """Its commands, in their order, each only where the one before it went well."""
    lines = [line.partition("=")[2] for line in CONF.read_text("utf-8").splitlines() if line.startswith("ExecStart=")]
    # The first one takes the unit's own command away.
    assert lines[0] == ""
    for line in lines[1:]:
        text = line.replace("/var/lib/slackwater-backups", str(backups)).replace("/var/lib/slackwater/", f"{data}/")
        words = [string.Template(word).substitute(PGDATABASE=address) for word in shlex.split(text)]
        if words[0] == "pg_dump":
            words[0] = str(server.program("pg_dump"))
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=60, env=os.environ | {"PGDATABASE": address}
        )
        if done.returncode != 0:
            raise subprocess.CalledProcessError(done.returncode, words, stderr=done.stderr)


def test_two_nights(tmp_path: Path) -> None:
    """The dump has the batches of its night, and every file that they name is beside it; one that fails leaves the last one."""
    backups = tmp_path / "backups"
    backups.mkdir()
    with running(careless=False) as server:
        with psycopg.connect(server.address("postgres"), autocommit=True) as admin:
            admin.execute("CREATE DATABASE first")
            admin.execute("CREATE DATABASE second ENCODING 'UTF8' TEMPLATE template0")
        address = server.address("first")
        with CountingBackend(latency=0.0) as backend, Cluster(tmp_path, address, backend) as cluster:
            first = cluster.start()
            files = []
            for number in range(2):
                files.append(first.upload("in.jsonl", input_lines(f"night{number}", 20)))
                batch = first.create_batch(files[-1])
                until(lambda batch=batch: ended(first, batch))
                files.append(first.batch(batch)["output_file_id"])
                night(server, cluster.data, backups, address)
            with pytest.raises(subprocess.CalledProcessError):
                night(server, cluster.data, backups, address + "_that_is_none")
        dump = backups / "ledger.dump"
        put_back = [server.program("pg_restore"), "--no-owner", f"--dbname={server.address('second')}", dump]
        assert subprocess.run(put_back, timeout=60).returncode == 0
        with psycopg.connect(server.address("second")) as restored:
            assert restored.execute("SELECT count(*) FROM batch WHERE stage = 'ended'").fetchone() == (2,)
        there = {path.name for path in (backups / "files").rglob("*")}
        assert set(files) <= there
