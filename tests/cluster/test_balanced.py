"""Three servers behind a balancer that sends each call to the next one: a client sees one service."""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.api.browser import Browser
from tests.cluster.balancer import Balancer
from tests.cluster.cluster import Cluster, until
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.postgresql import Databases

LISTED = "/openai/batches?api-version=2024-10-21"

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(600)]


@pytest.fixture
def cluster(tmp_path: Path, postgresql: Databases) -> Iterator[Cluster]:
    """Three servers."""
    address = postgresql.new(template="template1")
    with CountingBackend(latency=0.02) as backend, Cluster(tmp_path, address, backend) as cluster:
        for _ in range(3):
            cluster.start()
        yield cluster


def client_of(balancer: Balancer, *, retries: int) -> openai.OpenAI:
    """The real client, that makes a new connection for each call."""
    return openai.OpenAI(
        base_url=f"http://{balancer.address}/v1",
        api_key="any",
        max_retries=retries,
        default_headers={"Connection": "close"},
    )


def test_a_client_sees_one_service(cluster: Cluster) -> None:
    """An upload goes on at another server with each part; what one has answered is true at the next at once; and each page of
    a list goes on where the one before it has ended."""
    with Balancer([each.address for each in cluster.servers]) as balancer:
        client = client_of(balancer, retries=0)
        pieces = [input_lines(f"part{number}", 50) + b"\n" for number in range(7)]
        data = b"".join(pieces)
        upload = client.uploads.create(
            bytes=len(data), filename="in.jsonl", mime_type="application/jsonl", purpose="batch"
        )
        parts = [client.uploads.parts.create(upload.id, data=io.BytesIO(each)).id for each in pieces]
        done = client.uploads.complete(upload.id, part_ids=parts, md5=hashlib.md5(data).hexdigest())
        assert done.file is not None
        assert client.files.content(done.file.id).content == data
        batches = []
        for number in range(10):
            made = client.batches.create(
                input_file_id=done.file.id,
                endpoint="/chat/completions",  # type: ignore[arg-type]
                completion_window="24h",
                metadata={"number": str(number)},
            )
            # The next server knows of it, and the one after that.
            assert client.batches.retrieve(made.id).id == made.id
            assert made.id in {each.id for each in client.batches.list(limit=3).data}
            batches.append(made.id)
        # Newest first, three at a time, each page at another server.
        assert [each.id for each in client.batches.list(limit=3)] == batches[::-1]
        stopped = client.batches.cancel(batches[-1])
        assert stopped.status == "cancelling"
        assert client.batches.retrieve(batches[-1]).status in ("cancelling", "cancelled")
        until(lambda: client.batches.retrieve(batches[-1]).status == "cancelled")
        for batch_id in batches[:-1]:
            until(lambda batch_id=batch_id: client.batches.retrieve(batch_id).status == "completed")
            output = client.batches.retrieve(batch_id).output_file_id
            assert output is not None
            contents = [client.files.content(output).content for _ in cluster.servers]
            assert len(set(contents)) == 1
            names = [json.loads(line)["custom_id"] for line in contents[0].splitlines()]
            assert len(names) == len(set(names)) == 350
        client.files.delete(done.file.id)
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(done.file.id)
        assert set(balancer.taken) == {each.address for each in cluster.servers}


def test_one_that_dies_takes_no_call_along(cluster: Cluster) -> None:
    """kill -9 of one of three while a client uploads, creates and polls: its own retries are enough, and every batch ends."""
    with Balancer([each.address for each in cluster.servers]) as balancer:
        client = client_of(balancer, retries=5)
        batches = []
        for number in range(12):
            if number == 4:
                cluster.servers[0].kill()
            file = client.files.create(file=("in.jsonl", input_lines(f"batch{number}", 40)), purpose="batch")
            made = client.batches.create(
                input_file_id=file.id,
                endpoint="/chat/completions",  # type: ignore[arg-type]
                completion_window="24h",
                extra_headers={"Idempotency-Key": f"order-{number}"},
            )
            batches.append(made.id)
        assert len(set(batches)) == 12
        for batch_id in batches:
            until(lambda batch_id=batch_id: client.batches.retrieve(batch_id).status == "completed")
            counts = client.batches.retrieve(batch_id).request_counts
            assert counts is not None
            assert (counts.total, counts.completed, counts.failed) == (40, 40, 0)
        assert len(list(client.batches.list(limit=5))) == 12


def test_who_has_signed_in_is_signed_in_everywhere(tmp_path: Path, postgresql: Databases) -> None:
    """Studio's session is the ledger's: the next server knows it, and none knows it any more when it has ended at one."""
    address = postgresql.new(template="template1")
    with CountingBackend(latency=0.02) as backend, Cluster(tmp_path, address, backend) as cluster:
        cluster.config.write_text(
            cluster.config.read_text().replace("[server]\n", '[server]\napi_key_envs = ["BALANCED_KEY"]\n')
        )
        for _ in range(3):
            cluster.start(environment={"BALANCED_KEY": "the-key"})
        with Balancer([each.address for each in cluster.servers]) as balancer:
            browser = Browser(balancer)
            assert browser("GET", LISTED).status == 401
            assert browser("POST", "/studio/session", {"key": "the-key"}).status == 200
            cookies = dict(browser.cookies)
            assert [browser("GET", LISTED).status for _ in range(6)] == [200] * 6
            assert browser("DELETE", "/studio/session").status < 300
            browser.cookies = cookies
            assert [browser("GET", LISTED).status for _ in cluster.servers] == [401] * 3
