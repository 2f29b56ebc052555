"""Keys of backends in files: a new one is taken while the server runs, and what was refused is tried at once."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.api.calls import Caller, chat
from tests.server import Server

ANSWER = json.dumps(
    {
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
).encode()


class Engine:
    """Knows one key, which may be another one from now on, and which keys it was asked with."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.seen: list[str] = []
        self.url = ""


@contextlib.contextmanager
def engine(key: str) -> Iterator[Engine]:
    """An engine on loopback."""
    state = Engine(key)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            given = self.headers["Authorization"].removeprefix("Bearer ")
            state.seen.append(given)
            good = given == state.key
            body = ANSWER if good else b'{"error": {"message": "no such key"}}'
            self.send_response(200 if good else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


CONFIG = """
[[deployments]]
name = "a"
[[deployments.backends]]
url = "{url}"
api_key_file = "engine.key"
concurrency = 4
[[deployments]]
name = "b"
[[deployments.backends]]
url = "{url}"
api_key_file = "engine.key"
concurrency = 4
"""


def until_refusing(caller: Caller) -> None:
    """Waits until the server knows that its key is not taken."""
    deadline = time.monotonic() + 60
    while True:
        backends = [each["backends"][0] for each in caller("GET", "/deployment_status").json["data"]]
        if any(each["health"] == "refusing" for each in backends):
            return
        assert time.monotonic() < deadline, backends


def test_a_new_key_is_taken_without_a_restart(tmp_path: Path) -> None:
    """Both deployments wait while their key is refused; a new one in the file, and they go on. Nothing fails, nothing leaks."""
    with engine("sk-new") as upstream:
        (tmp_path / "engine.key").write_text("sk-old\n")
        (tmp_path / "slackwater.toml").write_text(CONFIG.format(url=upstream.url))
        server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "log")
        try:
            caller = Caller(server, "openai")
            made = [caller.create(chat(20, model=name)).json["id"] for name in ("a", "b")]
            until_refusing(caller)
            # An empty file is one that is being written: the old key goes on being used.
            (tmp_path / "engine.key").write_text("")
            os.kill(server.process.pid, signal.SIGHUP)
            while "key_file_unusable" not in (tmp_path / "log").read_text():
                assert server.process.poll() is None
            # As careful programs change a file: another one in its place.
            (tmp_path / "engine.key.new").write_text("sk-new")
            os.replace(tmp_path / "engine.key.new", tmp_path / "engine.key")
            os.kill(server.process.pid, signal.SIGHUP)
            for batch_id in made:
                assert caller.ended(batch_id)["request_counts"] == {"total": 20, "completed": 20, "failed": 0}
            assert set(upstream.seen) == {"sk-old", "sk-new"}
            first = upstream.seen.index("sk-new")
            assert set(upstream.seen[first + 8 :]) == {"sk-new"}
            # It rotates while everything is well, too, and without a signal.
            upstream.key = "sk-third"
            (tmp_path / "engine.key").write_text("sk-third")
            made = [caller.create(chat(20, model=name)).json["id"] for name in ("a", "b")]
            for batch_id in made:
                assert caller.ended(batch_id)["request_counts"]["completed"] == 20
        finally:
            server.kill()
        log = (tmp_path / "log").read_text()
        assert log.count("backend_key_changed") == 2
        assert log.count("key_file_unusable") == 1
        assert "sk-" not in log
        ledger = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("ledger*"))
        assert b"sk-new" not in ledger
