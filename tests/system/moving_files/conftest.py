"""What a server has left whose files are to move."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.system.moving_files.desk import LINES, Desk
from tests.system.test_postgresql import completed, ended, until


@pytest.fixture(scope="session")
def backend() -> Iterator[CountingBackend]:
    """What all servers send to."""
    with CountingBackend(latency=0.05) as counting:
        yield counting


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, backend: CountingBackend) -> Path:
    """What a server has left that was killed: a batch that has ended, one under way, files, and parts of an upload."""
    desk = Desk(tmp_path_factory.mktemp("served"), backend.url)
    server = desk.serve()
    first = server.create_batch(server.upload("first.jsonl", input_lines("first", 20)))
    until(ended(server, first))
    upload = server.call(
        "POST",
        "/uploads",
        json.dumps({"filename": "u", "purpose": "batch", "bytes": 8, "mime_type": "application/jsonl"}).encode(),
        Content_Type="application/json",
    )
    mark = "boundary"
    part = f'--{mark}\r\nContent-Disposition: form-data; name="data"; filename="x"\r\n\r\n1234\r\n--{mark}--\r\n'
    server.raw(
        "POST",
        f"/uploads/{upload['id']}/parts",
        part.encode(),
        Content_Type=f"multipart/form-data; boundary={mark}",
    )
    second = server.create_batch(server.upload("second.jsonl", input_lines("second", LINES)))
    completed(server, second, 60)
    server.kill()
    return desk.scratch


@pytest.fixture
def desk(served: Path, tmp_path: Path, backend: CountingBackend) -> Desk:
    """A copy of that, of its own."""
    shutil.copytree(served / "data", tmp_path / "data")
    return Desk(tmp_path, backend.url)
