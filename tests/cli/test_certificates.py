"""A server whose certificate is of an authority of one's own, over TLS on loopback, as a balancer in the house has it."""

import json
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.adapters.tls_proxy import Authority
from tests.cli.conftest import Terminal
from tests.cli.scripted import Reply, scripted

BATCHES = Reply.of({"object": "list", "data": [], "has_more": False})
COMMANDS = (("batches", "list", "--json"), ("members", "--json"))
MEMBERS = Reply.of({"object": "list", "data": []})


def secret(certificate: Path) -> ssl.SSLContext:
    """What a server has that shows it."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    return tls


@pytest.fixture
def person(tmp_path: Path) -> Terminal:
    """Somebody with a key, for whom no variable names authorities yet."""
    someone = Terminal(tmp_path, {"SLACKWATER_API_KEY": "k"})
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        someone.environment.pop(name, None)
    return someone


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_an_authority_of_ones_own_is_named_with_the_usual_variables(
    tmp_path: Path, person: Terminal, host: str
) -> None:
    """On this machine, too, where no proxy counts: a file, or a folder as OpenSSL has it."""
    ours = Authority(tmp_path, "ours")
    folder = tmp_path / "authorities"
    folder.mkdir()
    (folder / f"{_hash_of(ours.root)}.0").write_bytes(ours.root.read_bytes())
    with scripted(
        lambda call: MEMBERS if call.path.endswith("/members") else BATCHES, tls=secret(ours.certificate(host))
    ) as server:
        url = server.url.replace("127.0.0.1", host)
        for words in COMMANDS:
            for names in ({"SSL_CERT_FILE": str(ours.root)}, {"SSL_CERT_DIR": str(folder)}):
                json.loads(person.well(*words, "--server", url, **names))
        assert person("health", "--server", url, SSL_CERT_FILE=str(ours.root)).returncode == 0


@pytest.mark.parametrize(
    ("trouble", "remedy"),
    [
        ("nobody's", "set SSL_CERT_FILE=FILE"),
        ("another's", "set SSL_CERT_FILE=FILE"),
        ("another host", "name the server as its certificate does"),
        ("expired", "have it renewed, or correct the clock"),
    ],
)
def test_a_certificate_that_is_not_trusted_is_said_as_such(
    tmp_path: Path, person: Terminal, trouble: str, remedy: str
) -> None:
    """Somebody is there, so nobody is sent to look whether a server runs; and nothing was told to it."""
    ours, other = Authority(tmp_path, "ours"), Authority(tmp_path, "other")
    named = {} if trouble == "nobody's" else {"SSL_CERT_FILE": str(other.root if trouble == "another's" else ours.root)}
    host, days = "db.test" if trouble == "another host" else "localhost", -2 if trouble == "expired" else 2
    with scripted(lambda call: BATCHES, tls=secret(ours.certificate(host, days=days))) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        for words in (*COMMANDS, ("health",)):
            done = person(*words, "--server", url, **named)
            (line,) = done.stderr.splitlines()
            assert done.returncode == 1
            assert line.startswith(f"error: {url} is there, and its certificate is not trusted (")
            assert remedy in line
        assert not server.calls


@pytest.mark.parametrize("text", [None, "nothing of the kind"])
def test_a_list_of_authorities_that_cannot_be_used_is_named(tmp_path: Path, person: Terminal, text: str | None) -> None:
    """In one line, also where nothing is there."""
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)
    done = person("batches", "list", "--server", "https://localhost:1", SSL_CERT_FILE=str(file))
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith(f"error: SSL_CERT_FILE {file} cannot be used: ")


def test_a_server_without_tls_is_not_taken_for_none(person: Terminal) -> None:
    """https:// where it should be http://."""
    with scripted(lambda call: BATCHES) as server:
        done = person("batches", "list", "--server", server.url.replace("http:", "https:"))
        assert "is there, and does not speak TLS: is it http://?" in done.stderr


def test_the_doctor_says_where_an_authority_of_an_engine_is_named(tmp_path: Path, person: Terminal) -> None:
    """ca_file, or the usual variable, with either of which the engine answers."""
    ours = Authority(tmp_path, "ours")
    with scripted(lambda call: Reply.of({"data": [{"id": "m"}]}), tls=secret(ours.certificate("127.0.0.1"))) as engine:
        text = f'[[deployments]]\nname = "m"\n[[deployments.backends]]\nurl = "{engine.url}/v1"\n'
        (tmp_path / "slackwater.toml").write_text(text)
        words = ("doctor", "--config", "slackwater.toml")
        assert "its certificate is not trusted" in (said := person(*words).stdout)
        assert "name it with ca_file" in said
        assert "not trusted" not in person(*words, SSL_CERT_FILE=str(ours.root)).stdout
        (tmp_path / "slackwater.toml").write_text(f'{text}ca_file = "ours.pem"\n')
        assert "not trusted" not in person(*words).stdout


def _hash_of(root: Path) -> str:
    """By which OpenSSL finds it in a folder."""
    return subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", str(root)], capture_output=True, text=True, check=True
    ).stdout.strip()
