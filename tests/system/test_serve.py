"""`slackwater serve` in trouble: what an operator sees, and what is kept."""

import resource
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from tests.api.calls import Caller
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.server import Server

DEMO = '[[deployments]]\nname = "crash"\n[[deployments.backends]]\n'


def slackwater(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command that is expected to end by itself."""
    command = [sys.executable, "-m", "slackwater", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


def serve(tmp_path: Path, backend: str) -> Server:
    (tmp_path / "slackwater.toml").write_text(DEMO + backend)
    return Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")


def wait(server: Server, batch_id: str, status: str) -> dict[str, object]:
    deadline = time.monotonic() + 60
    while (batch := server.batch(batch_id))["status"] != status:
        assert time.monotonic() < deadline, batch
        time.sleep(0.02)
    return dict(batch)


def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    """One line that names the directory and the process, and exit code 2."""
    server = serve(tmp_path, "echo = {}\n")
    try:
        second = slackwater("serve", "--data", "data", "--port", "0", cwd=tmp_path)
        assert second.returncode == 2
        assert "in use by another slackwater" in second.stderr
        assert str(server.process.pid) in second.stderr
        assert second.stderr.count("\n") == 1
    finally:
        server.kill()


def test_data_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """A ledger with a newer schema is left alone, and the message says what to do."""
    server = serve(tmp_path, "echo = {}\n")
    assert server.terminate() == 0
    with sqlite3.connect(tmp_path / "data" / "ledger.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    again = slackwater("serve", "--data", "data", "--port", "0", cwd=tmp_path)
    assert again.returncode == 2
    assert "newer Slackwater (schema 99" in again.stderr
    assert again.stderr.count("\n") == 1


def test_a_missing_environment_variable_is_named(tmp_path: Path) -> None:
    """serve and check-config name the variable and where it is wanted, a line per fault."""
    text = DEMO + 'url = "http://127.0.0.1:9/v1"\napi_key_env = "SURELY_NOT_SET"\nconcurency = 5\n'
    (tmp_path / "slackwater.toml").write_text(text)
    checked = slackwater("check-config", "slackwater.toml", cwd=tmp_path)
    assert (checked.returncode, "did you mean 'concurrency'" in checked.stderr) == (2, True)
    (tmp_path / "slackwater.toml").write_text(text.replace("concurency = 5\n", ""))
    served = slackwater("serve", "--config", "slackwater.toml", cwd=tmp_path)
    assert served.returncode == 2
    assert "SURELY_NOT_SET is not set" in served.stderr


def test_a_section_about_an_engine_that_nobody_uses(tmp_path: Path) -> None:
    """A wrong port is likely a slip, and no fault: check-config and doctor say what does nothing, and where backends are."""
    text = DEMO + 'url = "http://127.0.0.1:9/v1"\n[[engines]]\nurl = "http://127.0.0.1:8"\npace = "strict"\n'
    (tmp_path / "slackwater.toml").write_text(text)
    said = "engine 'http://127.0.0.1:8': no backend of this file is there"
    checked = slackwater("check-config", "slackwater.toml", cwd=tmp_path)
    assert (checked.returncode, said in checked.stderr, "http://127.0.0.1:9" in checked.stderr) == (0, True, True)
    assert said in slackwater("doctor", "--config", "slackwater.toml", cwd=tmp_path).stdout
    (tmp_path / "slackwater.toml").write_text(text.replace('127.0.0.1:8"', '127.0.0.1:9/v1"'))
    assert slackwater("check-config", "slackwater.toml", cwd=tmp_path).stderr == ""


def test_a_quota_that_azure_does_not_publish(tmp_path: Path) -> None:
    """What is assumed of it stops nothing: check-config, doctor and the log of the start say it, once."""
    text = DEMO.replace("[[deployments.backends]]", 'model = "o3"\nquota_tier = "default"\n[[deployments.backends]]')
    (tmp_path / "slackwater.toml").write_text(text + "echo = {}\n")
    said = "Azure publishes no figure for the model 'o3' as global batch; that of gpt-4.1 counts: 200,000,000"
    checked = slackwater("check-config", "slackwater.toml", cwd=tmp_path)
    assert (checked.returncode, checked.stderr.count(said)) == (0, 1)
    examined = slackwater("doctor", "--config", "slackwater.toml", cwd=tmp_path)
    assert (examined.returncode, examined.stdout.count(said)) == (0, 1)
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
    server.kill()
    log = (tmp_path / "server.log").read_text()
    assert (log.count("quota_assumed"), said in log) == (1, True)


def test_servers_that_will_not_hear_each_other(tmp_path: Path) -> None:
    """A meeting place that cannot be used stops nothing: check-config, doctor and the log of the start say it, once."""
    (tmp_path / "taken").write_bytes(b"")
    text = f'[server]\npeers = "{tmp_path}/taken"\n' + DEMO + "echo = {}\n"
    (tmp_path / "slackwater.toml").write_text(text)
    said = f"[server] peers: {tmp_path}/taken: it is no directory of this user"
    checked = slackwater("check-config", "slackwater.toml", cwd=tmp_path)
    assert (checked.returncode, checked.stderr.count(said)) == (0, 1)
    examined = slackwater("doctor", "--config", "slackwater.toml", cwd=tmp_path)
    assert (examined.returncode, examined.stdout.count(said)) == (0, 1)
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
    server.kill()
    log = (tmp_path / "server.log").read_text()
    assert (log.count("peers_unheard"), f"{tmp_path}/taken" in log) == (1, True)
    (tmp_path / "slackwater.toml").write_text(text.replace("/taken", "/board"))
    assert slackwater("check-config", "slackwater.toml", cwd=tmp_path).stderr == ""
    assert "can meet in" in slackwater("doctor", "--config", "slackwater.toml", cwd=tmp_path).stdout


def test_what_a_client_refuses_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    """A header with a line break, or credentials in a URL: said in words by serve and by check-config."""
    text = DEMO + 'url = "http://127.0.0.1:9/v1"\nheaders = { X-Team = "a\\nb" }\n'
    (tmp_path / "slackwater.toml").write_text(text)
    for command in (("check-config", "slackwater.toml"), ("serve", "--config", "slackwater.toml", "--port", "0")):
        refused = slackwater(*command, cwd=tmp_path)
        assert refused.returncode == 2, refused.stderr
        assert "deployment 'crash': backend http://127.0.0.1:9/v1" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_no_key_means_loopback_only(tmp_path: Path) -> None:
    """An open address without a key is refused before anything is opened."""
    refused = slackwater("serve", "--host", "0.0.0.0", "--port", "0", cwd=tmp_path)
    assert (refused.returncode, "api_key_envs" in refused.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_the_last_key_opens_no_door_to_others(tmp_path: Path) -> None:
    """Where others can call, a server whose last keys are deleted lets nobody in, and a start without keys is refused."""
    # An address of this machine alone, which counts as one of others all the same.
    config = '[server]\nhost = "127.0.0.2"\n[[resources]]\nname = "default"\n' + DEMO + "echo = {}\n"
    (tmp_path / "slackwater.toml").write_text(config)
    made = slackwater("keys", "create", "--data", "data", "--role", "admin", cwd=tmp_path)
    key = next(word for word in made.stdout.split() if word.startswith("sw-"))
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
    try:
        admin = Caller(server, "openai", key=key)
        assert admin("DELETE", "/keys/admin").status == 200
        assert admin("GET", "/files").status == 401
        assert Caller(server, "openai", key=None)("POST", "/keys", {"role": "admin"}).status == 401
        shown = Caller(server, "", key=None)("GET", "/studio/session").json
        assert (shown["open"], shown["signed_in"]) == (False, False)
    finally:
        server.kill()


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    """The address, and the advice to choose another port."""
    server = serve(tmp_path, "echo = {}\n")
    try:
        port = server.address.split(":")[1]
        refused = slackwater("serve", "--port", port, "--data", "other", cwd=tmp_path)
        assert (refused.returncode, "choose another --port, such as " in refused.stderr) == (2, True)
    finally:
        server.kill()


def test_a_gentle_stop_keeps_what_is_in_flight(tmp_path: Path) -> None:
    """SIGTERM: calls in flight are answered and journaled, nothing is sent twice, and the next start continues."""
    with CountingBackend(latency=0.3) as backend:
        server = serve(tmp_path, f'url = "{backend.url}"\nconcurrency = 16\n')
        batch_id = server.create_batch(server.upload("in.jsonl", input_lines("stop", 100)))
        while backend.in_flight < 16:
            time.sleep(0.01)
        assert server.terminate() == 0
        assert "the same command continues" in (tmp_path / "server.log").read_text()
        server = serve(tmp_path, f'url = "{backend.url}"\nconcurrency = 16\n')
        wait(server, batch_id, "completed")
        server.kill()
        assert len(backend.received) == 100
        assert all(len(times) == 1 for times in backend.received.values())


def test_a_second_signal_leaves_at_once(tmp_path: Path) -> None:
    """Whoever cannot wait signals twice; what was journaled is kept, and the next start continues."""
    with CountingBackend(latency=3600) as backend:
        server = serve(tmp_path, f'url = "{backend.url}"\nconcurrency = 4\n')
        batch_id = server.create_batch(server.upload("in.jsonl", input_lines("stop", 10)))
        # A batch is in progress before its first request is out.
        while not backend.in_flight:
            time.sleep(0.01)
        log = tmp_path / "server.log"
        server.process.send_signal(signal.SIGTERM)
        while (
            "stopping: 4 calls are out, waiting for their answers for up to 20 s; press Ctrl-C" not in log.read_text()
        ):
            time.sleep(0.01)
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 130
        assert time.monotonic() - started < 5
    server = serve(tmp_path, "echo = {}\n")
    wait(server, batch_id, "completed")
    server.kill()


def test_a_full_disk_pauses_and_goes_on(tmp_path: Path) -> None:
    """No room while journaling: the batch waits, the server answers, and with room again nothing is lost.

    The room is taken with the kernel's limit on file sizes, set from outside on the running process, and given back so.
    """
    with CountingBackend(latency=0.02) as backend:
        server = serve(tmp_path, f'url = "{backend.url}"\nconcurrency = 32\n')
        batch_id = server.create_batch(server.upload("in.jsonl", input_lines("full", 3_000)))
        while server.batch(batch_id)["request_counts"]["completed"] < 200:
            time.sleep(0.01)
        pid, unlimited = server.process.pid, resource.RLIM_INFINITY
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1_000, unlimited))
        log = tmp_path / "server.log"
        while "storage_full" not in log.read_text() and "stage_failed" not in log.read_text():
            time.sleep(0.01)
        paused = server.batch(batch_id)
        assert paused["status"] == "in_progress"
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
        batch = wait(server, batch_id, "completed")
        assert batch["request_counts"] == {"total": 3000, "completed": 3000, "failed": 0}
        output = server.raw("GET", f"/files/{batch['output_file_id']}/content").splitlines()
        assert len(output) == len(set(output)) == 3_000
        # What was answered while there was no room was kept in memory, and not asked for again.
        assert all(len(times) == 1 for times in backend.received.values())
        server.kill()


def test_stopping_on_a_full_disk_is_gentle_too(tmp_path: Path) -> None:
    """The server ends properly, and what could not be written is asked for again by the next start."""
    with CountingBackend(latency=0.02) as backend:
        server = serve(tmp_path, f'url = "{backend.url}"\nconcurrency = 8\n')
        batch_id = server.create_batch(server.upload("in.jsonl", input_lines("full", 1_000)))
        while server.batch(batch_id)["request_counts"]["completed"] < 100:
            time.sleep(0.01)
        # Room enough for the server's log, and for no more results.
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        while "storage_full" not in (tmp_path / "server.log").read_text():
            time.sleep(0.01)
        assert server.terminate() == 0
        assert "Traceback" not in (tmp_path / "server.log").read_text()
        server = serve(tmp_path, f'url = "{backend.url}"\nconcurrency = 8\n')
        batch = wait(server, batch_id, "completed")
        assert batch["request_counts"] == {"total": 1000, "completed": 1000, "failed": 0}
        server.kill()


def test_an_engine_that_restarts_costs_no_line(tmp_path: Path) -> None:
    """The engine is away for a while in the middle of a batch: the batch waits for it and fails no request."""
    with CountingBackend(latency=0.02) as backend:
        server = serve(tmp_path, f'url = "{backend.url}"\nconcurrency = 8\n')
        batch_id = server.create_batch(server.upload("in.jsonl", input_lines("away", 600)))
        while len(backend.answered) < 100:
            time.sleep(0.01)
        port = int(backend.url.rsplit(":", 1)[1].split("/")[0])
    with CountingBackend(latency=0.0, port=port):
        batch = wait(server, batch_id, "completed")
        assert batch["request_counts"] == {"total": 600, "completed": 600, "failed": 0}
        server.kill()
