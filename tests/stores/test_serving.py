"""Whole batches through a real server whose files are in an object store: it is killed, cut off, and given the wrong place."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest

from tests.crash.rounds import input_lines
from tests.server import NotStarted, Server
from tests.stores.bad_line import BadLine
from tests.stores.servers import Server as Store

pytestmark = [pytest.mark.stores, pytest.mark.timeout(240)]
LINES = 3000


class Place:
    """A configuration that names a place in a store, and a data directory."""

    def __init__(self, store: Store, scratch: Path, *, latency: float = 0.05) -> None:
        self.scratch = scratch
        self.store = store
        self.data = scratch / "data"
        self.config = scratch / "slackwater.toml"
        self.environment = {"FILES_KEY": store.secret}
        self.address = store.address("box")
        self._latency = latency
        self.write()

    def write(self, *, address: str | None = None, port: int = 0, files: bool = True) -> None:
        """Writes the configuration again, for another place, or by way of another port."""
        endpoint = self.store.endpoint.replace(str(self.store.port), str(port or self.store.port))
        named = (
            f'files = "{address or self.address}"\nfiles_endpoint = "{endpoint}"\nfiles_key_env = "FILES_KEY"\n'
            if files
            else ""
        )
        self.config.write_text(
            f'[server]\n{named}[[deployments]]\nname = "crash"\n[[deployments.backends]]\n'
            f"echo = {{ latency_seconds = {self._latency} }}\nconcurrency = 64\n"
        )

    def serve(self, data: Path | None = None) -> Server:
        """Starts a server."""
        return Server(self.config, data or self.data, self.scratch / "server.log", self.environment)

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Runs another command."""
        return subprocess.run(
            [sys.executable, "-m", "slackwater", *words],
            capture_output=True,
            text=True,
            env=os.environ | self.environment,
            timeout=120,
        )

    @property
    def log(self) -> str:
        """What the servers have said."""
        return (self.scratch / "server.log").read_text()


@pytest.fixture
def place(store: Store, tmp_path: Path) -> Place:
    """A place of its own in each of the two stores."""
    return Place(store, tmp_path)


@pytest.fixture
def line(store: Store) -> Iterator[BadLine]:
    """The line to it."""
    line = BadLine(store.port)
    yield line
    line.close()


def until(what: Callable[[], bool], seconds: float = 90.0) -> None:
    """Waits until something is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def client_of(server: Server) -> openai.OpenAI:
    """The client that people have."""
    return openai.OpenAI(base_url=f"http://{server.address}/v1", api_key="any", max_retries=8)


def check(client: openai.OpenAI, batch_id: str, prefix: str, lines: int = LINES) -> None:
    """Every line is in the output once."""
    batch = client.batches.retrieve(batch_id)
    assert (batch.status, batch.error_file_id) == ("completed", None)
    assert batch.output_file_id is not None
    text = client.files.content(batch.output_file_id).text
    ids = [json.loads(each)["custom_id"] for each in text.splitlines()]
    assert sorted(ids) == sorted(f"{prefix}-{number}" for number in range(lines))


def openai_lines(prefix: str, lines: int) -> bytes:
    """The same lines as OpenAI has them."""
    return input_lines(prefix, lines).replace(b'"/chat/completions"', b'"/v1/chat/completions"')


def done(client: openai.OpenAI, batch_id: str) -> int:
    """Lines that have a result."""
    batch = client.batches.retrieve(batch_id)
    assert batch.status != "failed", batch.errors
    counts = batch.request_counts
    assert counts is not None
    return counts.completed


def begin(client: openai.OpenAI, prefix: str, lines: int = LINES) -> str:
    """Uploads a file and makes a batch of it."""
    file = client.files.create(file=("input.jsonl", openai_lines(prefix, lines)), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h").id


def ended(client: openai.OpenAI, batch_id: str) -> bool:
    """Whether a batch is through."""
    return client.batches.retrieve(batch_id).status in ("completed", "failed", "expired", "cancelled")


def test_a_batch_with_the_server_killed_in_the_middle(place: Place) -> None:
    """Three times. Nothing is lost or doubled, nothing is in the folder, and what the batch needed is removed from the store."""
    server = place.serve()
    client = client_of(server)
    batch_id = begin(client, "killed")
    for share in (1, 900, 1800):
        while done(client, batch_id) < share:
            time.sleep(0.05)
        server.kill()
        server = place.serve()
        client = client_of(server)
    until(lambda: ended(client, batch_id))
    check(client, batch_id, "killed")
    # A range, a retrieval, and a deletion.
    output = client.batches.retrieve(batch_id).output_file_id
    assert output is not None
    size = client.files.retrieve(output).bytes
    assert len(client.files.content(output).read()) == size
    client.files.delete(output)
    with pytest.raises(openai.NotFoundError):
        client.files.content(output)
    assert server.terminate() == 0
    assert not [each for each in (place.data / "blobs").rglob("*") if each.is_file()]
    assert place.environment["FILES_KEY"] not in place.log


def test_a_store_that_goes_in_the_middle(place: Place, line: BadLine) -> None:
    """The batch waits for it and nothing is lost; it is told, the service is not ready, and callers hear 503."""
    place.write(port=line.port)
    server = place.serve()
    client = client_of(server)
    batch_id = begin(client, "cut")
    until(lambda: done(client, batch_id) >= 1)
    line.die()
    until(lambda: "files_unavailable" in place.log)
    impatient = openai.OpenAI(base_url=f"http://{server.address}/v1", api_key="any", max_retries=0)
    with pytest.raises(openai.InternalServerError, match="store of its files") as said:
        impatient.files.create(file=("input.jsonl", openai_lines("not", 3)), purpose="batch")
    assert said.value.status_code == 503
    assert b"files_not_writable" in ready(server)
    line.dead = False
    until(lambda: ended(client, batch_id))
    check(client, batch_id, "cut")
    until(lambda: b"files_not_writable" not in ready(server))
    assert "files_answer_again" in place.log
    assert server.terminate() == 0


def ready(server: Server) -> bytes:
    """What a load balancer hears."""
    return subprocess.run(["curl", "-s", f"http://{server.address}/readyz"], capture_output=True, check=True).stdout


def test_lost_answers_and_a_slow_store(place: Place, line: BadLine) -> None:
    """A batch ends whole while the answer of every so many puts is lost, and each takes its time."""
    place.write(port=line.port)
    server = place.serve()
    client = client_of(server)
    line.delay = 0.3
    over = threading.Event()

    def lose() -> None:
        while not over.wait(0.7):
            line.lose = b"PUT", 1

    losing = threading.Thread(target=lose)
    losing.start()
    try:
        batch_id = begin(client, "lossy")
        until(lambda: ended(client, batch_id))
        check(client, batch_id, "lossy")
        assert line.lost
    finally:
        over.set()
        losing.join()
    assert server.terminate() == 0


def test_places_that_do_not_belong_to_the_ledger(place: Place, tmp_path: Path) -> None:
    """Another ledger's, another place, none, and an older ledger: each is refused in words before anything is changed."""
    server = place.serve()
    client = client_of(server)
    batch_id = begin(client, "mine", 5)
    until(lambda: ended(client, batch_id))
    assert server.terminate() == 0
    # Another ledger.
    other = tmp_path / "other"
    assert "is missing or empty" in refused(place, other)
    place.write(address=place.store.address("box"))
    elsewhere = place.serve(other)
    client_of(elsewhere).files.create(file=("input.jsonl", openai_lines("other", 3)), purpose="batch")
    assert elsewhere.terminate() == 0
    place.write()
    assert "is another ledger" in refused(place, other)
    # Another place, and none.
    place.write(address=place.store.address("box"))
    assert "correct it" in refused(place, place.data)
    place.write(files=False)
    assert f"are in {place.address}" in refused(place, place.data)
    # The right one.
    place.write()
    server = place.serve()
    check(client_of(server), batch_id, "mine", 5)
    assert server.terminate() == 0
    # Commands for a data directory say where the files are.
    for words in (
        ("backup", "--output", str(tmp_path / "backups")),
        ("recover",),
    ):
        said = place.command(*words, "--data", str(place.data))
        assert said.returncode == 2
        assert f"the files are in {place.address}" in said.stderr
    # With the ledger elsewhere, too, the way that is right for both.
    with_database = tmp_path / "with-database.toml"
    with_database.write_text(
        place.config.read_text().replace(
            "[server]\n", '[server]\ndatabase = "postgresql://nobody@127.0.0.1:1/none"\n', 1
        )
    )
    said = place.command(
        "backup", "--output", str(tmp_path / "backups"), "--config", str(with_database), "--data", str(place.data)
    )
    assert said.returncode == 2
    assert f"the files are in {place.address}" in said.stderr
    assert "'Back-ups while servers work' in docs/object-stores.md" in said.stderr
    doctor = place.command("doctor", "--config", str(place.config), "--data", str(place.data))
    assert "written, read, listed and removed" in doctor.stdout, doctor.stdout + doctor.stderr
    # A folder that has files already.
    (other / "blobs" / "files").mkdir(parents=True, exist_ok=True)
    (other / "blobs" / "files" / "file-1").write_bytes(b"x")
    assert "has files in it" in refused(place, other)


def refused(place: Place, data: Path) -> str:
    """What a start says that is refused."""
    before = len(place.log)
    with pytest.raises(NotStarted):
        place.serve(data).terminate()
    return place.log[before:]
