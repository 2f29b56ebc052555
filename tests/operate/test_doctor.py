"""`slackwater doctor`: whatever keeps a server from its work is one line with a way out, and exit code 1."""

import asyncio
import json
import os
import resource
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from slackwater.adapters.disk.data_directory import DataDirectory
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.wiring.doctor import examine
from slackwater.wiring.doctor.finding import Level
from slackwater.wiring.doctor.growth import growth_findings
from tests.adapters.ledger_contract import file
from tests.api.calls import Caller, chat
from tests.api.conftest import CONFIG
from tests.issuer import Issuer
from tests.operate.engines import certificate, engine
from tests.server import Server


def doctor(root: Path, config: str, *, data: str = "data", files_max: int = 0, **environment: str) -> dict[str, Any]:
    """What it found: the exit code, and the findings."""
    (root / "slackwater.toml").write_text(config)
    command = [sys.executable, "-m", "slackwater", "doctor", "--config", "slackwater.toml", "--data", data, "--json"]

    def lower() -> None:
        if files_max:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))

    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=60, env=os.environ | environment, preexec_fn=lower
    )
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["well"] == (done.returncode == 0)
    assert found["well"] == all(each["level"] != "fault" for each in found["findings"])
    assert all(each["fix"] for each in found["findings"] if each["level"] in ("warning", "fault"))
    return found


def told(found: dict[str, Any], about: str, level: str) -> str:
    """The messages about something at a level; there must be some."""
    messages = [each["message"] for each in found["findings"] if each["about"] == about and each["level"] == level]
    assert messages, found["findings"]
    return "\n".join(messages)


def backend(url: str, more: str = "") -> str:
    return f'[[deployments]]\nname = "tiny"\n[[deployments.backends]]\nurl = "{url}"\n{more}\n'


@pytest.mark.parametrize(
    "config",
    [
        '[[storage]]\nurl = "/srv/x"',
        '[[storage]]\nurl = "s3://box"\nendpoint = "http://["',
        '[server]\nfiles = "s3:/box"',
        '[server]\nfiles = "az://UPPER/box"\nfiles_endpoint = "http://["',
        '[server]\ndatabase = "postgres:/u@h/db"',
        '[server]\ndatabase = "postgresql://[/db"',
        '[oidc]\nissuers = ["http://["]',
        '[oidc]\nissuers = ["https://127.0.0.1:1"]\njwks_url = "http://["',
        '[[engines]]\nurl = "http://["',
        '[[content_filters]]\nname = "f"\n[content_filters.classifier]\nurl = "http://["',
        '[[deployments]]\nname = "e"\n[[deployments.backends]]\necho = {}\nurl = "http://127.0.0.1:1"',
    ],
)
def test_what_the_configuration_is_refused_for_is_a_line_here(tmp_path: Path, config: str) -> None:
    """Whatever the doctor reads of it besides: no fault of a value ends it."""
    path = tmp_path / "slackwater.toml"
    path.write_text(f'{config}\n[[deployments]]\nname = "d"\n[[deployments.backends]]\necho = {{}}\n')
    found = examine(path, tmp_path / "data", now=time.time)
    assert any(each.about == "configuration" and each.level is Level.FAULT for each in found)


def test_a_well_server(tmp_path: Path) -> None:
    """A running server is found and asked, its files are looked at, and nothing is wrong; the lines say so, too."""
    (tmp_path / "slackwater.toml").write_text(CONFIG)
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
    caller = Caller(server, "openai")
    caller.ended(caller.create(chat(3)).json["id"])
    try:
        found = doctor(tmp_path, f"[server]\nport = {server.address.split(':')[1]}\n" + CONFIG)
        assert found["well"]
        assert "is ready" in told(found, "server", "ok")
        assert str(server.process.pid) in told(found, "data directory", "note")
        assert "sound" in told(found, "ledger", "ok")
        assert told(found, "files", "ok")
        assert "whoever is on this machine may call" in told(found, "keys", "note")
    finally:
        server.kill()
    command = [sys.executable, "-m", "slackwater", "doctor", "--config", "slackwater.toml", "--data", "data"]
    lines = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60).stdout.splitlines()
    assert lines[-1] == "0 faults"
    assert [path.name for path in (tmp_path / "data").glob("doctor*")] == []


def test_every_fault_of_a_configuration(tmp_path: Path) -> None:
    """Each is a line of its own, and everything else is looked at all the same."""
    found = doctor(tmp_path, backend("http://127.0.0.1:9/v1", 'concurency = 5\napi_key_env = "SURELY_NOT_SET"'))
    assert "concurency" in told(found, "configuration", "fault")
    assert told(found, "ledger", "note")


def test_a_key_that_is_not_set_here(tmp_path: Path) -> None:
    """It is a fault, and the backends are looked at all the same: one variable hides nothing of the others."""
    with engine(key="good") as locked, engine() as plain:
        two = backend(plain) + f'[[deployments.backends]]\nurl = "{locked}"\napi_key_env = "SURELY_NOT_SET"\n'
        found = doctor(tmp_path, two)
    assert "SURELY_NOT_SET is not set" in told(found, "configuration", "fault")
    assert "has tiny" in told(found, "backend of tiny", "ok")
    assert "refuses the key" in told(found, "backend of tiny", "fault")


@pytest.mark.parametrize(
    "wrong",
    [
        backend("ftp://127.0.0.1:9"),
        backend("nowhere"),
        backend("http://127.0.0.1:99999/v1"),
        backend("http://[::1/v1"),
        backend("http://127.0.0.1:9/v1", "concurrency = -1"),
        '[oidc]\nissuers = ["nowhere"]\n' + CONFIG,
        "[server]\nport = 99999\n" + CONFIG,
        "[limits]\nupload_bytes = -1\n[[deployments]]\nname = 'd'\n[[deployments.backends]]\necho = {}\n",
    ],
)
def test_values_that_are_wrong(tmp_path: Path, wrong: str) -> None:
    """Each is a fault, and the rest is looked at all the same."""
    found = doctor(tmp_path, wrong)
    assert told(found, "configuration", "fault")
    assert told(found, "ledger", "note")


def test_a_server_elsewhere(tmp_path: Path) -> None:
    """One that was started with another port is not looked for with advice that was followed already; where the configuration
    cannot be read, nobody is asked in its place."""
    (tmp_path / "slackwater.toml").write_text(CONFIG)
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
    try:
        found = doctor(tmp_path, "[server]\nport = 1\n" + CONFIG)
        assert "does not answer" in told(found, "server", "warning")
        (fix,) = (each["fix"] for each in found["findings"] if each["about"] == "server")
        assert "see its log" in fix
        assert "name its --config" not in fix
        unread = doctor(tmp_path, '[server]\nprot = 1\ndata = "data"\n' + CONFIG)
        assert "where it listens is not known" in told(unread, "server", "note")
    finally:
        server.kill()


def test_backends(tmp_path: Path) -> None:
    """One that answers, one whose key is refused, one without the model, one that fails, and one that is not there."""
    with engine(key="good") as locked, engine(model="other") as other, engine(status=503) as failing:
        key = 'api_key_env = "ENGINE_KEY"'
        well = doctor(tmp_path, backend(locked, key), ENGINE_KEY="good")
        assert (well["well"], "has tiny" in told(well, "backend of tiny", "ok")) == (True, True)
        refused = doctor(tmp_path, backend(locked, key), ENGINE_KEY="bad")
        assert "refuses the key" in told(refused, "backend of tiny", "fault")
        unlisted = doctor(tmp_path, backend(other))
        assert "does not list the model tiny; it has other" in told(unlisted, "backend of tiny", "fault")
        assert "status 503" in told(doctor(tmp_path, backend(failing)), "backend of tiny", "fault")
    gone = doctor(tmp_path, backend(other))
    assert "Connection refused" in told(gone, "backend of tiny", "fault")


@pytest.mark.parametrize(
    ("status", "level", "words"),
    [
        (404, "fault", "a request for tiny is refused: status 404"),
        (200, "note", "it answers all the same"),
        (500, "warning", "is answered with status 500"),
    ],
)
def test_a_model_that_is_not_listed(tmp_path: Path, status: int, level: str, words: str) -> None:
    """One request tells whether the engine has it all the same: where it has not, nothing can come of a batch."""
    with engine(model="other", other_models=status) as url:
        found = doctor(tmp_path, backend(url))
    assert words in told(found, "backend of tiny", level)
    assert found["well"] == (level != "fault")


@pytest.mark.parametrize(
    ("endpoints", "level"), [('"rerank", "chat/completions"', "fault"), ('"videos", "images/edits"', "warning")]
)
def test_a_model_of_another_kind_that_is_not_listed(tmp_path: Path, endpoints: str, level: str) -> None:
    """It is tried with what the deployment offers; where the smallest request would make a video, with nothing."""
    with engine(model="other", other_models=404) as url:
        offered = backend(url).replace('name = "tiny"', f'name = "tiny"\nendpoints = [{endpoints}]')
        assert "does not list the model tiny" in told(doctor(tmp_path, offered), "backend of tiny", level)


@pytest.mark.parametrize("more", ["", "/v1/v1", "/v1/chat/completions", "/chat/completions"])
def test_a_url_that_is_not_quite_right(tmp_path: Path, more: str) -> None:
    """Where the same server lists its models beside it, the path is wrong, and the right one is what to write."""
    with engine() as url:
        found = doctor(tmp_path, backend(url.removesuffix("/v1") + more))
    assert f"lists no models (status 404), and {url}/models does" in told(found, "backend of tiny", "fault")
    assert any(each["fix"] == f'write url = "{url}"' for each in found["findings"])


def test_certificates(tmp_path: Path) -> None:
    """One that ends soon is a warning, one that nobody trusts a fault."""
    soon = certificate(tmp_path / "soon.pem", days=3)
    with engine(tls=soon) as url:
        found = doctor(tmp_path, backend(url), SSL_CERT_FILE=str(soon))
        assert "ends in 3 days" in told(found, "backend of tiny", "warning")
        assert "is not trusted" in told(doctor(tmp_path, backend(url)), "backend of tiny", "fault")


def test_the_clock(tmp_path: Path) -> None:
    """A clock that differs from every backend's is a fault; one wrong backend is not our clock's fault."""
    with engine() as right, engine(ahead=600) as wrong:
        assert "behind the one of" in told(doctor(tmp_path, backend(wrong)), "clock", "fault")
        both = backend(right) + f'[[deployments.backends]]\nurl = "{wrong}"\n'
        assert told(doctor(tmp_path, both), "clock", "ok")


def test_a_ledger_from_the_future(tmp_path: Path) -> None:
    """Entries that are later than now mean that the clock went back."""
    served(tmp_path)
    with sqlite3.connect(tmp_path / "data" / "ledger.sqlite") as ledger:
        ledger.execute("UPDATE file SET created_at = ?", (int(time.time()) + 7_200,))
    ledger.close()
    assert "s from now" in told(doctor(tmp_path, CONFIG), "clock", "fault")


def served(root: Path) -> None:
    """A data directory in which a batch has been done."""
    (root / "slackwater.toml").write_text(CONFIG)
    server = Server(root / "slackwater.toml", root / "data", root / "server.log")
    caller = Caller(server, "openai")
    caller.ended(caller.create(chat(3)).json["id"])
    assert server.terminate() == 0


def test_files_that_are_gone(tmp_path: Path) -> None:
    """What the ledger names and the disk has not is a fault that names it."""
    served(tmp_path)
    lost = next((tmp_path / "data" / "blobs" / "files").iterdir())
    lost.unlink()
    assert f"files/{lost.name}" in told(doctor(tmp_path, CONFIG), "files", "fault")


def test_a_damaged_ledger(tmp_path: Path) -> None:
    """It is found without a server, and so is one of a newer version."""
    served(tmp_path)
    path = tmp_path / "data" / "ledger.sqlite"
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * 4096 + whole[12288:])
    assert "damaged" in told(doctor(tmp_path, CONFIG), "ledger", "fault")
    path.write_bytes(whole)
    with sqlite3.connect(path) as ledger:
        ledger.execute("PRAGMA user_version = 99")
    ledger.close()
    assert "schema 99" in told(doctor(tmp_path, CONFIG), "ledger", "fault")


def test_open_to_strangers(tmp_path: Path) -> None:
    """Without a key, an address that others reach is a fault."""
    open_to_all = '[server]\nhost = "0.0.0.0"\n[[resources]]\nname = "team"\n' + CONFIG
    assert "open to others" in told(doctor(tmp_path, open_to_all), "keys", "fault")


def test_too_few_open_files(tmp_path: Path) -> None:
    """More lanes than the process may open connections is a fault, with the figure that is needed."""
    with engine() as url:
        found = doctor(tmp_path, backend(url, "concurrency = 5000"), files_max=1_024)
        assert "may open 1,024" in told(found, "open files", "fault")


def test_little_room(tmp_path: Path) -> None:
    """Less than the floor is a fault; less than one large batch may need is a warning."""
    assert told(doctor(tmp_path, f"[server]\nfree_bytes_min = {1 << 60}\n" + CONFIG), "disk space", "fault")
    large = CONFIG.replace("upload_bytes = 3000000", f"upload_bytes = {1 << 60}")
    assert told(doctor(tmp_path, large), "disk space", "warning")


def test_issuers(tmp_path: Path) -> None:
    """Their keys can be had, or it is said why not."""
    with Issuer() as issuer:
        config = f'[oidc]\nissuers = ["{issuer.url}"]\n' + CONFIG
        about = f"issuer {issuer.url}"
        assert "publishes 1 keys" in told(doctor(tmp_path, config), about, "ok")
        issuer.status = 500
        assert "cannot be had" in told(doctor(tmp_path, config), about, "fault")


def test_health(tmp_path: Path) -> None:
    """`slackwater health` is 0 while the server is well, and 1 with the reasons while it is not, or is gone."""
    (tmp_path / "slackwater.toml").write_text(f"[server]\nfree_bytes_min = {1 << 60}\n" + CONFIG)
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")

    def health(*more: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "slackwater", "health", *more],
            env=os.environ | {"SLACKWATER_URL": f"http://{server.address}/v1"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout + done.stderr

    try:
        # As other commands, it goes by the environment where no option names a server.
        assert health() == (0, "ok\n")
        for option in ("--server", "--url"):
            assert health(option, f"http://{server.address}") == (0, "ok\n")
            assert health(option, "http://127.0.0.1:9")[0] == 1
        assert health("--server", "nowhere")[0] == 2
        code, said = health("--ready")
        assert (code, "disk_space_low" in said) == (1, True)
    finally:
        server.kill()
    assert health()[0] == 1


@pytest.mark.parametrize(("gib_a_day", "level"), [(0, None), (0.01, Level.OK), (1 << 20, Level.WARNING)])
def test_when_the_disk_will_be_full(tmp_path: Path, gib_a_day: float, level: Level | None) -> None:
    """At the rate of the last days; nothing is said where next to nothing came, or all of it today."""
    now, path = 1_800_000_000, DataDirectory.ledger_in(tmp_path)

    async def grow() -> None:
        ledger = SqlLedger.open(path)
        for days in range(1, 5):
            size = int(gib_a_day * (1 << 30))
            await ledger.add_file(file(days, size=size, created_at=now - days * 86_400, blob=f"files/{days}"))
        await ledger.close()

    asyncio.run(grow())
    ledger = sqlite3.connect(path)
    found = growth_findings(ledger, tmp_path, now)
    assert [each.level for each in found] == ([] if level is None else [level])
    assert all("full in about" in each.message for each in found)
    assert growth_findings(ledger, tmp_path, now - 4 * 86_400) == []
    ledger.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes what is another user's")
@pytest.mark.parametrize(("shut", "mode"), [("data", 0o700), ("", 0o700), ("data/files.elsewhere", 0o600)])
def test_what_is_the_service_users_alone(tmp_path: Path, shut: str, mode: int) -> None:
    """It is said on one line, with whose it is and how to look as that user; never a traceback."""
    script = """
        import os, sys
        from pathlib import Path
        from slackwater.wiring.doctor import Level, examine
        os.chdir(sys.argv[1])
        # Modules may lie where only root may look.
        examine(None, Path("nothing"), now=lambda: 0.0)
        import encodings.unicode_escape
        os.setuid(65534)
        for each in examine(None, Path(sys.argv[2]), now=lambda: 0.0):
            if each.level is Level.FAULT:
                print(each.about, each.message, each.fix)
    """
    place = tmp_path / "closed"
    (place / "data").mkdir(parents=True)
    (place / "data" / "files.elsewhere").touch()
    for each, usual in ((tmp_path, 0o755), (place, 0o755), (place / "data", 0o777)):
        each.chmod(usual)
    os.chown(place / shut, 1, 1)
    (place / shut).chmod(mode)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path), "closed/data"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (said,) = [line for line in done.stdout.splitlines() if line.startswith(("data directory", "files"))]
    assert ("Permission denied" if shut.endswith("elsewhere") else "sudo -E -u ") in said
