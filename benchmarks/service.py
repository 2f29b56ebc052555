"""A real `slackwater serve` for benchmarks, and calls that hold nothing large in memory."""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PIECE = 1 << 20
BOUNDARY = "slackwater-benchmark"


class Service:
    """The address of a running server, and its process."""

    def __init__(self, process: subprocess.Popen[str], address: str, *, key: str = "benchmark") -> None:
        self.process = process
        self.address = address
        self._key = key

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One JSON call of the Azure dialect."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(
                method, self._url(path), data, {"Content-Type": "application/json", "api-key": self._key}
            )
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status < 300, text
            return json.loads(text)
        finally:
            connection.close()

    def _url(self, path: str) -> str:
        return f"/openai{path}?api-version=2024-10-21"

    def upload(self, path: Path) -> str:
        """Streams a file up; returns its id."""
        head = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--{BOUNDARY}\r\n'
            f'Content-Disposition: form-data; name="file"; filename="{path.name}"\r\n\r\n'
        ).encode()
        tail = f"\r\n--{BOUNDARY}--\r\n".encode()
        connection = http.client.HTTPConnection(self.address, timeout=600)
        connection.putrequest("POST", self._url("/files"))
        connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
        connection.putheader("api-key", self._key)
        connection.putheader("Content-Length", str(len(head) + path.stat().st_size + len(tail)))
        connection.endheaders(head)
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                connection.send(piece)
        connection.send(tail)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        file_id: str = answer["id"]
        return file_id

    def download(self, file_id: str) -> int:
        """Reads a file's content and throws it away; returns its bytes."""
        connection = http.client.HTTPConnection(self.address, timeout=600)
        connection.request("GET", self._url(f"/files/{file_id}/content"), headers={"api-key": self._key})
        answer, size = connection.getresponse(), 0
        while piece := answer.read(PIECE):
            size += len(piece)
        connection.close()
        return size

    def create(self, file_id: str) -> str:
        """Creates a batch; returns its id."""
        body = {"input_file_id": file_id, "endpoint": "/chat/completions", "completion_window": "24h"}
        batch_id: str = self.call("POST", "/batches", body)["id"]
        return batch_id

    def wait(self, batch_id: str, *, seconds: float = 300.0) -> Any:
        """Polls until the batch has ended."""
        deadline = time.monotonic() + seconds
        while (batch := self.call("GET", f"/batches/{batch_id}"))["status"] not in ("completed", "failed", "cancelled"):
            assert time.monotonic() < deadline, batch
            time.sleep(0.1)
        return batch


@contextmanager
def service(
    scratch: Path, backend: str, *, name: str = "bench", concurrency: int = 256, attempts: int = 5, more: str = ""
) -> Iterator[Service]:
    """Serves one deployment on a backend, from a data directory of its own. `more` are further lines of the configuration."""
    config = scratch / "slackwater.toml"
    config.write_text(
        f'[[deployments]]\nname = "{name}"\n[[deployments.backends]]\nurl = "{backend}"\n'
        f"concurrency = {concurrency}\nattempts = {attempts}\n{more}"
    )
    command = [sys.executable, "-m", "slackwater", "serve", "--config", str(config)]
    process = subprocess.Popen(
        [*command, "--data", str(scratch / "data"), "--port", "0", "--log-level", "warning"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = next(word.rstrip(",") for word in process.stdout.readline().split() if word.startswith("http://"))
        yield Service(process, urlsplit(url).netloc)
    finally:
        process.terminate()
        process.wait(30)
