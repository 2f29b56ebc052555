"""A real `slackwater serve` in a process of its own, and the few HTTP calls that a crash test makes."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SERVE = ("slackwater", "serve")


def ledger_options(config: Path, data: Path) -> list[str]:
    """What a command is given that opens the ledger of this server by itself."""
    return ["--data", str(data), *(["--config", str(_on_ledger(config, data))] if _on_postgresql() else [])]


def _on_postgresql() -> bool:
    return os.environ.get("SLACKWATER_TEST_LEDGER") == "postgresql"


def _on_ledger(config: Path, data: Path) -> Path:
    """The configuration with the ledger that this run of tests is about."""
    if not _on_postgresql():
        return config
    from tests.postgresql import with_database

    return with_database(config, data)


class NotStarted(AssertionError):
    """The process has ended, or said something else, instead of saying where it listens."""


class Server:
    """One incarnation on a data directory. `kill()` is kill -9."""

    def __init__(
        self,
        config: Path,
        data: Path,
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        module: Sequence[str] = SERVE,
        options: Sequence[str] = ("--port", "0"),
    ) -> None:
        """`module` is what is run, with its first arguments; `options` are its last ones."""
        self.started = time.monotonic()
        self.data = data
        config = _on_ledger(config, data)
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    *module,
                    "--config",
                    str(config),
                    "--data",
                    str(data),
                    *options,
                ],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | (environment or {}),
            )
        assert self.process.stdout is not None
        greeting = self.process.stdout.readline()
        url = next((word.rstrip(",") for word in greeting.split() if word.startswith("http://")), None)
        if url is None:
            raise NotStarted(f"the server did not start: {greeting!r}; see {log}")
        self.address = urllib.parse.urlsplit(url).netloc

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
        """One call of the Azure dialect; returns the parsed JSON."""
        return json.loads(self.raw(method, path, body, **headers))

    def raw(self, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        """One call of the Azure dialect; returns the body of a successful answer."""
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            target = f"/openai{path}{'&' if '?' in path else '?'}api-version=2024-10-21"
            connection.request(method, target, body, {"api-key": "any"} | names)
            answer = connection.getresponse()
            data = answer.read()
            assert 200 <= answer.status < 300, f"{method} {path}: {answer.status} {data[:300]!r}"
            return data
        finally:
            connection.close()

    def upload(self, name: str, data: bytes) -> str:
        """Uploads an input file and returns its id."""
        mark = "crash-test-boundary"
        body = (
            (
                f'--{mark}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
                f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
                "Content-Type: application/json\r\n\r\n"
            ).encode()
            + data
            + f"\r\n--{mark}--\r\n".encode()
        )
        file_id: str = self.call("POST", "/files", body, Content_Type=f"multipart/form-data; boundary={mark}")["id"]
        return file_id

    def create_batch(self, file_id: str) -> str:
        """Creates a batch of chat completions and returns its id."""
        body = json.dumps({"input_file_id": file_id, "endpoint": "/chat/completions", "completion_window": "24h"})
        batch_id: str = self.call("POST", "/batches", body.encode(), Content_Type="application/json")["id"]
        return batch_id

    def batch(self, batch_id: str) -> Any:
        """The batch object as it is now."""
        return self.call("GET", f"/batches/{batch_id}")

    def kill(self) -> None:
        """kill -9, and nothing else."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def terminate(self) -> int:
        """A gentle stop; returns the exit code."""
        self.process.terminate()
        return self.process.wait(60)
