"""TLS between a server and its PostgreSQL, against certificates of an authority of our own.

Where PostgreSQL was built without TLS, as that of the tests' wheel, a proxy before it speaks it.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from slackwater.adapters.sql.postgresql.connection import PgConnection
from tests.adapters.cutting_proxy import CuttingProxy
from tests.adapters.tls_proxy import Authority, TlsProxy
from tests.cluster.cluster import Cluster, ended, until, whole
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.postgresql import NOBODY, ROOT, Postgresql, running

pytestmark = pytest.mark.postgresql

PASSWORD = "correct-horse-battery"


def free_port() -> int:
    """One that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def server() -> Iterator[Postgresql]:
    """A PostgreSQL that listens on loopback."""
    # Also at an address that is another one than that of whoever comes.
    with running(settings={"listen_addresses": "127.0.0.1,127.0.0.2", "port": str(free_port())}) as started:
        yield started


@contextlib.contextmanager
def with_certificate(server: Postgresql, certificate: Path) -> Iterator[int]:
    """The port at which it shows this certificate."""
    if "openssl" in server.run("pg_config", "--configure"):
        mine = server.place / "tls.pem"
        shutil.copy(certificate, mine)
        mine.chmod(0o600)
        if os.getuid() == ROOT:
            os.chown(mine, NOBODY, NOBODY)
        server.configure(ssl="on", ssl_cert_file=str(mine), ssl_key_file=str(mine))
        yield int(server.settings["port"])
        return
    proxy = TlsProxy(server.place / "socket", certificate)
    try:
        yield proxy.port
    finally:
        proxy.close()


def address(port: int, options: str) -> str:
    """Where it is, by name."""
    return (
        f"postgresql://slackwater:{PASSWORD}@localhost:{port}/postgres?hostaddr=127.0.0.1&sslmode=verify-full{options}"
    )


def doctor(folder: Path, address: str) -> tuple[list[dict[str, str]], str]:
    """What it finds about the ledger, and all that was said."""
    (folder / "slackwater.toml").write_text(
        f'[server]\ndatabase = "{address}"\n[[deployments]]\nname = "d"\n[[deployments.backends]]\necho = {{}}\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "slackwater", "doctor", "--config", "slackwater.toml", "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    found = json.loads(done.stdout)["findings"]
    return [each for each in found if each["about"] == "ledger"], done.stdout + done.stderr


def test_a_batch_over_tls(tmp_path: Path, server: Postgresql) -> None:
    """Its authority is named, and its name is looked at. The doctor says that the way is secret."""
    ours = Authority(tmp_path, "ours")
    with (
        with_certificate(server, ours.certificate("localhost")) as port,
        CountingBackend(latency=0.01) as backend,
        Cluster(tmp_path, address(port, f"&sslrootcert={ours.root}"), backend) as cluster,
    ):
        first = cluster.start()
        batch_id = first.create_batch(first.upload("in.jsonl", input_lines("line", 50)))
        until(lambda: ended(first, batch_id))
        whole(first, batch_id, 50)
        found, said = doctor(tmp_path, address(port, f"&sslrootcert={ours.root}"))
        assert any(each["message"].endswith("over TLS") for each in found)
        assert not any("unencrypted" in each["message"] for each in found)
        assert PASSWORD not in said + cluster.log(first)


@pytest.mark.parametrize(
    ("trouble", "said", "remedy"),
    [
        ("another name", "does not match host name", "name the host as its certificate does"),
        ("another authority", "certificate verify failed", "sslrootcert=system for a public one), or renew it"),
        ("expired", "certificate verify failed", "sslrootcert=system for a public one), or renew it"),
        ("no authority", "root certificate file", "or name it in the address: sslrootcert=FILE"),
        ("nothing named", "root certificate file", "or sslrootcert=system where a public authority"),
        ("the system's", "certificate verify failed", "name the right authority (sslrootcert=FILE"),
        ("no TLS", "does not support SSL", "turn TLS on there (ssl = on in postgresql.conf)"),
    ],
)
def test_who_is_not_the_database(tmp_path: Path, server: Postgresql, trouble: str, said: str, remedy: str) -> None:
    """Nothing is told to it. The start is refused on one line that says what to do, and the doctor says the same."""
    ours, other = Authority(tmp_path, "ours"), Authority(tmp_path, "other")
    host, days = "db.test" if trouble == "another name" else "localhost", -2 if trouble == "expired" else 2
    root = {"another authority": other.root, "no authority": tmp_path / "nothing.pem"}.get(trouble, ours.root)
    with contextlib.ExitStack() as stack:
        if trouble == "no TLS":
            proxy = CuttingProxy(server.place / "socket")
            stack.callback(proxy.close)
            port = proxy.port
            if "openssl" in server.run("pg_config", "--configure"):
                server.configure(ssl="off")
        else:
            port = stack.enter_context(with_certificate(server, ours.certificate(host, days=days)))
        named = {"nothing named": "", "the system's": "&sslrootcert=system"}
        there = address(port, named.get(trouble, f"&sslrootcert={root}"))
        found, words = doctor(tmp_path, there)
        assert [each["level"] for each in found] == ["fault"]
        assert said in found[0]["message"]
        assert remedy in found[0]["message"]
        served = subprocess.run(
            [sys.executable, "-m", "slackwater", "serve", "--config", "slackwater.toml", "--port", "0"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert served.returncode == 1
        (line,) = [each for each in served.stderr.splitlines() if each.startswith("error: ")]
        assert said in line
        assert remedy in line
        assert "Traceback" not in served.stderr
        # libpq's own advice would have one not look at all.
        assert "disable" not in words + served.stderr
        assert PASSWORD not in words + served.stdout + served.stderr


def test_the_systems_authorities_are_found(tmp_path: Path, server: Postgresql, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sslrootcert=system`: those that SSL_CERT_FILE names, or those of the system's list. The library that comes with psycopg
    looks for that in a folder that no system has."""
    ours = Authority(tmp_path, "ours")
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "PGSSLROOTCERT"):
        monkeypatch.delenv(name, raising=False)
    with with_certificate(server, ours.certificate("localhost")) as port:
        there = address(port, "&sslrootcert=system")
        monkeypatch.setenv("SSL_CERT_FILE", str(ours.root))
        found, _ = doctor(tmp_path, there)
        assert any(each["message"].endswith("over TLS") for each in found)
        if psycopg.pq.__impl__ != "binary":
            return
        monkeypatch.delenv("SSL_CERT_FILE")
        monkeypatch.setattr(
            "slackwater.adapters.sql.postgresql.address.SYSTEMS_LISTS", ("/nonexistent", str(ours.root))
        )
        PgConnection(there, name="test").close()
        # Its name is looked at all the same.
        with pytest.raises(psycopg.OperationalError, match="does not match host name"):
            PgConnection(there.replace("@localhost", "@db.test"), name="test")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have one address on loopback")
def test_a_way_that_is_not_secret(tmp_path: Path, server: Postgresql) -> None:
    """The doctor warns where a connection to another address has no TLS, and not on the machine itself."""
    if "openssl" in server.run("pg_config", "--configure"):
        server.configure(ssl="off")
    port = server.settings["port"]
    for host, warned in (("127.0.0.2", True), ("127.0.0.1", False)):
        found, said = doctor(tmp_path, f"postgresql://slackwater:{PASSWORD}@{host}:{port}/postgres")
        assert any("unencrypted" in each["message"] and each["level"] == "warning" for each in found) == warned
        assert PASSWORD not in said
