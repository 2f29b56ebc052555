"""OpenAI's asynchronous clients, strict about types: every answer must be what their own models say it is.

One deployment only, so that the quota headers have something to be about, and one key, so that every way of sending it counts.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.server import Server

KEY = "key-of-the-asynchronous-clients"
CONFIG = """
[server]
api_key_envs = ["SLACKWATER_TEST_KEY"]
[limits]
upload_bytes = 8000000
[[deployments]]
name = "demo-batch"
enqueued_token_limit = 100000
[[deployments.backends]]
echo = { latency_seconds = 0.05 }
concurrency = 8
"""
FAMILIES = ("azure", "azure-v1", "openai")
Connect = Callable[[str], openai.AsyncOpenAI]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for a key."""
    scratch: Path = tmp_path_factory.mktemp("async")
    (scratch / "slackwater.toml").write_text(CONFIG)
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "server.log", {"SLACKWATER_TEST_KEY": KEY})
    yield server
    server.kill()


@pytest.fixture
def connect(server: Server) -> Connect:
    """A client of a family. To be called inside of the event loop that it lives in."""

    def client(family: str) -> openai.AsyncOpenAI:
        common: dict[str, Any] = {"api_key": KEY, "max_retries": 0, "_strict_response_validation": True}
        url = f"http://{server.address}"
        if family == "azure":
            return openai.AsyncAzureOpenAI(azure_endpoint=url, api_version="2024-10-21", **common)
        return openai.AsyncOpenAI(base_url=f"{url}/openai/v1" if family == "azure-v1" else f"{url}/v1", **common)

    return client


def lines(count: int, *, content: str = "Question?") -> bytes:
    """Chat requests."""
    body = {"model": "demo-batch", "messages": [{"role": "user", "content": content}]}
    rows = [
        {"custom_id": f"task-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        for number in range(count)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


async def uploaded(client: openai.AsyncOpenAI, data: bytes) -> Any:
    """An input file."""
    return await client.files.create(file=("in.jsonl", data), purpose="batch")


async def created(client: openai.AsyncOpenAI, file_id: str, **options: Any) -> Any:
    """A batch of chat completions."""
    return await client.batches.create(
        input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h", **options
    )


async def ended(client: openai.AsyncOpenAI, batch_id: str) -> Any:
    """Polls until the batch has ended."""
    async with asyncio.timeout(30):
        while (batch := await client.batches.retrieve(batch_id)).status not in ("completed", "failed", "cancelled"):
            await asyncio.sleep(0.05)
    return batch


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.contract(
    "AVO POST /files",
    "AVO POST /batches",
    "AVO GET /batches/{batch_id}",
    "AVO GET /files/{file_id}/content",
)
def test_the_whole_road(connect: Connect, family: str) -> None:
    """Upload with expiry, wait, create, poll, read, delete twice; strict validation accepts every answer."""

    async def story() -> None:
        client = connect(family)
        file = await client.files.create(
            file=("in.jsonl", lines(3)), purpose="batch", expires_after={"anchor": "created_at", "seconds": 86_400}
        )
        assert file.expires_at == file.created_at + 86_400
        assert (await client.files.wait_for_processing(file.id, poll_interval=0.05)).status == "processed"
        assert (await client.files.retrieve(file.id)).bytes == len(lines(3))
        batch = await created(client, file.id, metadata={"team": "tides"})
        assert batch.endpoint == ("/chat/completions" if family == "azure" else "/v1/chat/completions")
        batch = await ended(client, batch.id)
        assert (batch.status, batch.metadata) == ("completed", {"team": "tides"})
        answers = (await client.files.content(batch.output_file_id)).text.splitlines()
        assert sorted(json.loads(line)["custom_id"] for line in answers) == ["task-0", "task-1", "task-2"]
        assert (await client.files.retrieve(batch.output_file_id)).purpose == "batch_output"
        assert (await client.files.delete(file.id)).deleted is True
        if family == "openai":
            with pytest.raises(openai.NotFoundError):
                await client.files.delete(file.id)
        else:
            assert (await client.files.delete(file.id)).deleted is False

    asyncio.run(story())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cancelled_batch(connect: Connect, family: str) -> None:
    """A batch that runs is cancelled; one that has ended is a conflict."""

    async def story() -> None:
        client = connect(family)
        file = await uploaded(client, lines(2_000))
        batch = await created(client, file.id)
        assert (await client.batches.cancel(batch.id)).status in ("cancelling", "cancelled")
        assert (await ended(client, batch.id)).status == "cancelled"
        done = await created(client, (await uploaded(client, lines(1))).id)
        await ended(client, done.id)
        with pytest.raises(openai.ConflictError):
            await client.batches.cancel(done.id)

    asyncio.run(story())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_failed_batch(connect: Connect, family: str) -> None:
    """The list of errors passes strict validation: `line` is a number or null, the keys are all there."""

    async def story() -> None:
        client = connect(family)
        file = await uploaded(client, lines(1) + b"{broken\n")
        batch = await ended(client, (await created(client, file.id)).id)
        assert batch.status == "failed"
        (error,) = batch.errors.data
        assert (error.code, error.line) == ("invalid_json_line", 2)
        assert error.message
        assert "param" in error.model_fields_set

    asyncio.run(story())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.contract("A.7", "AVO GET /files", "AVO GET /batches")
def test_paging_over_more_than_two_pages(connect: Connect, family: str) -> None:
    """`async for` sees every batch and every file once, newest first, and then ends."""

    async def story() -> None:
        client = connect(family)
        files = [(await uploaded(client, lines(1))).id for _ in range(5)]
        batches = [(await created(client, file_id)).id for file_id in files]
        listed = [batch.id async for batch in client.batches.list(limit=2)]
        assert len(listed) == len(set(listed))
        assert [batch_id for batch_id in listed if batch_id in batches] == batches[::-1]
        seen = [file.id async for file in client.files.list(limit=2, purpose="batch")]
        assert len(seen) == len(set(seen))
        assert [file_id for file_id in seen if file_id in files] == files[::-1]
        oldest_first = [file.id async for file in client.files.list(limit=2, order="asc")]
        assert [file_id for file_id in oldest_first if file_id in files] == files
        for batch_id in batches:
            await ended(client, batch_id)

    asyncio.run(story())


@pytest.mark.parametrize("family", FAMILIES)
def test_raw_answers(connect: Connect, family: str) -> None:
    """Headers that the clients read: the request id under their own name, and Azure's quota where the family has it."""

    async def story() -> None:
        client = connect(family)
        file = await uploaded(client, lines(1))
        raw = await client.batches.with_raw_response.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        batch = raw.parse()
        assert batch._request_id == raw.headers["x-request-id"] == raw.headers["apim-request-id"]
        if family == "openai":
            assert "deployment-enqueued-tokens" not in raw.headers
        else:
            assert raw.headers["deployment-enqueued-tokens"].isdecimal()
            assert raw.headers["deployment-maximum-enqueued-tokens"] == "100000"
        with pytest.raises(openai.NotFoundError) as caught:
            await client.batches.retrieve("batch_that_never_was")
        assert caught.value.request_id == caught.value.response.headers["x-request-id"]
        await ended(client, batch.id)

    asyncio.run(story())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_download_in_pieces(connect: Connect, family: str) -> None:
    """`with_streaming_response` brings the same bytes, without the whole of them at once."""

    async def story() -> None:
        client = connect(family)
        data = lines(3_000, content="tide " * 200)
        file = await uploaded(client, data)
        digest, largest = hashlib.sha256(), 0
        async with client.files.with_streaming_response.content(file.id) as answer:
            # The client says that it takes gzip, and unpacks it piece by piece.
            assert answer.headers["content-encoding"] == "gzip"
            async for piece in answer.iter_bytes(65_536):
                largest = max(largest, len(piece))
                digest.update(piece)
        assert digest.digest() == hashlib.sha256(data).digest()
        assert largest <= 65_536

    asyncio.run(story())


@pytest.mark.parametrize("family", ["azure-v1", "openai"])
def test_models(connect: Connect, family: str) -> None:
    """The deployments, one and all, as OpenAI's clients understand models."""

    async def story() -> None:
        client = connect(family)
        assert [model.id async for model in client.models.list()] == ["demo-batch"]
        assert (await client.models.retrieve("demo-batch")).id == "demo-batch"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("no-such-batch")

    asyncio.run(story())


def test_models_of_azure(server: Server) -> None:
    """Azure's dated family has a model object of its own (spec 9.3), which the client reads where it is not strict."""

    async def story() -> None:
        client = openai.AsyncAzureOpenAI(
            azure_endpoint=f"http://{server.address}", api_key=KEY, api_version="2024-10-21", max_retries=0
        )
        assert [model.id async for model in client.models.list()] == ["demo-batch"]
        assert (await client.models.retrieve("demo-batch")).id == "demo-batch"

    asyncio.run(story())


@pytest.mark.parametrize("family", FAMILIES)
def test_an_upload_in_parts(connect: Connect, family: str, tmp_path: Path) -> None:
    """The client's own helper cuts a file into parts; what comes out is the file, and a batch can be made of it."""

    async def story() -> None:
        client = connect(family)
        data = lines(500, content="tide " * 50)
        (tmp_path / "in.jsonl").write_bytes(data)
        upload = await client.uploads.upload_file_chunked(
            file=tmp_path / "in.jsonl", mime_type="application/jsonl", purpose="batch", part_size=50_000
        )
        assert upload.file is not None
        assert (upload.status, upload.bytes, upload.file.filename) == ("completed", len(data), "in.jsonl")
        assert (await client.files.content(upload.file.id)).content == data
        batch = await created(client, upload.file.id)
        await client.batches.cancel(batch.id)
        assert (await ended(client, batch.id)).status == "cancelled"

    asyncio.run(story())


@pytest.mark.contract("A.2")
def test_a_token_of_a_directory(server: Server) -> None:
    """What `azure_ad_token_provider` brings is a bearer token; a key of the server is one. No other is."""

    async def story() -> None:
        async def right() -> str:
            return KEY

        async def wrong() -> str:
            return "something else"

        options: dict[str, Any] = {"azure_endpoint": f"http://{server.address}", "api_version": "2024-10-21"}
        client = openai.AsyncAzureOpenAI(azure_ad_token_provider=right, max_retries=0, **options)
        assert (await uploaded(client, lines(1))).status == "processed"
        synchronous = openai.AzureOpenAI(azure_ad_token_provider=lambda: KEY, max_retries=0, **options)
        assert (await asyncio.to_thread(synchronous.files.list)).data
        refused = openai.AsyncAzureOpenAI(azure_ad_token_provider=wrong, max_retries=0, **options)
        with pytest.raises(openai.AuthenticationError) as caught:
            await refused.batches.list()
        assert caught.value.code == "401"

    asyncio.run(story())


@pytest.mark.parametrize(("family", "code"), [("azure-v1", "401"), ("openai", "invalid_api_key")])
def test_a_wrong_key(server: Server, family: str, code: str) -> None:
    """401, with the family's code, and no second attempt."""
    url = f"http://{server.address}{'/openai/v1' if family == 'azure-v1' else '/v1'}"
    with pytest.raises(openai.AuthenticationError) as caught:
        openai.OpenAI(base_url=url, api_key="wrong").batches.list()
    assert caught.value.code == code
