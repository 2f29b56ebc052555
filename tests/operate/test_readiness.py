"""`/healthz` and `/readyz` of a real server, through everything that may keep it from work, and back."""

import contextlib
import json
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.api.calls import Caller, chat
from tests.api.conftest import CONFIG
from tests.crash.counting_backend import CountingBackend
from tests.server import Server


def asked(address: str, path: str = "/readyz") -> tuple[int, Any]:
    """The status and the body."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def codes(address: str) -> list[str]:
    """Why it is not ready; empty where it is. The status says the same as the body."""
    status, body = asked(address)
    assert (status == 200) == (body["status"] == "ready") == (body["reasons"] == [])
    return [reason["code"] for reason in body["reasons"]]


def until(true: Callable[[], bool]) -> None:
    """Asks again and again; the limit only keeps a broken server from hanging the tests."""
    limit = time.monotonic() + 60
    while not true():
        assert time.monotonic() < limit
        signal.sigtimedwait([], 0.02)


@contextlib.contextmanager
def served(root: Path, config: str = CONFIG) -> Iterator[Server]:
    (root / "slackwater.toml").write_text(config)
    server = Server(root / "slackwater.toml", root / "data", root / "server.log")
    try:
        yield server
    finally:
        server.kill()


def test_a_well_service_is_ready(tmp_path: Path) -> None:
    """Both answer 200 without a key, also with a slash at the end."""
    with served(tmp_path) as server:
        assert asked(server.address, "/readyz/") == (
            200,
            {"status": "ready", "reasons": [], "backends": {"ok": len(re.findall("deployments.backends", CONFIG))}},
        )
        assert asked(server.address, "/healthz") == (200, {"status": "ok"})


def test_starting(tmp_path: Path) -> None:
    """While the ledger is not open yet, the process is alive and not ready, and answers nothing else."""
    with served(tmp_path) as server:
        assert server.terminate() == 0
    ledger = sqlite3.connect(tmp_path / "data" / "ledger.sqlite", isolation_level=None)
    # A schema that is to be brought up to date, and a lock that somebody has on it.
    ledger.execute("PRAGMA user_version = 0")
    for (table,) in ledger.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    ).fetchall():
        ledger.execute(f"DROP TABLE {table}")
    # As it was before the first start.
    (tmp_path / "data" / "slackwater.mark").unlink()
    ledger.execute("BEGIN IMMEDIATE")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "slackwater", "serve", "--config", "slackwater.toml", "--data", "data"]
    process = subprocess.Popen(
        [*command, "--port", str(port)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    address = f"127.0.0.1:{port}"
    try:

        def listening() -> bool:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                return asked(address, "/healthz")[0] == 200
            return False

        until(listening)
        assert codes(address) == ["starting"]
        assert asked(address, "/v1/files")[0] == 503
        ledger.execute("ROLLBACK")
        ledger.close()
        until(lambda: codes(address) == [])
    finally:
        process.kill()
        process.wait(10)


def test_stopping(tmp_path: Path) -> None:
    """From the first signal on, while requests are in flight, it is alive and says that it takes no more."""
    with CountingBackend(latency=3.0) as backend:
        config = f'[[deployments]]\nname = "demo-batch"\n[[deployments.backends]]\nurl = "{backend.url}"\n'
        with served(tmp_path, config) as server:
            Caller(server, "openai").create(chat(1))
            until(lambda: backend.in_flight == 1)
            server.process.terminate()
            until(lambda: codes(server.address) == ["stopping"])
            assert asked(server.address, "/healthz")[0] == 200
            assert server.process.wait(60) == 0


def test_a_full_disk(tmp_path: Path) -> None:
    """A write that found no room makes it unready; once there is room, it finds that out by itself."""
    with served(tmp_path) as server:
        caller = Caller(server, "openai")
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        assert caller.upload(chat(1)).status >= 500
        assert codes(server.address) == ["files_not_writable"]
        # A batch that was there before would meet the same. Bytes are first, so the ledger is asked with something else.
        assert (
            caller("POST", "/uploads", {"filename": "a", "purpose": "batch", "bytes": 1, "mime_type": "a/b"}).status
            >= 500
        )
        assert codes(server.address) == ["ledger_not_writable", "files_not_writable"]
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        until(lambda: codes(server.address) == [])
        assert caller.upload(chat(1)).status == 200


def test_little_free_space(tmp_path: Path) -> None:
    """Below the floor of the configuration it is not ready, from the start, and says how much it wants."""
    with served(tmp_path, f"[server]\nfree_bytes_min = {1 << 60}\n" + CONFIG) as server:
        assert codes(server.address) == ["disk_space_low"]
        assert f"{1 << 60:,}" in asked(server.address)[1]["reasons"][0]["message"]


def test_a_stage_that_fails_again_and_again(tmp_path: Path) -> None:
    """A stage that has gone wrong a few times in a row is named, and no longer once it works. Nobody's name is told."""
    with served(tmp_path) as server:
        ledger = sqlite3.connect(tmp_path / "data" / "ledger.sqlite", isolation_level=None, timeout=30)
        ledger.execute("ALTER TABLE batch RENAME COLUMN queued_number TO gone")
        until(lambda: "stage_failing" in codes(server.address))
        assert set(codes(server.address)) == {"stage_failing"}
        reasons = asked(server.address)[1]["reasons"]
        assert "The stage 'claim' of the deployment" in " ".join(reason["message"] for reason in reasons)
        ledger.execute("ALTER TABLE batch RENAME COLUMN gone TO queued_number")
        ledger.close()
        until(lambda: codes(server.address) == [])
