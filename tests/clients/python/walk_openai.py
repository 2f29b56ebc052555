"""The whole road with whatever version of openai's package is installed, against a server that is running.

Started by tests/clients/test_packages.py, in an environment that has that version first; SLACKWATER_URL and SLACKWATER_KEY say
where the server is and what it accepts. It is no part of the package, and uses nothing of it.
"""

import asyncio
import io
import json
import os
import time
from typing import Any

import openai
from openai.types import ModerationCreateResponse
from openai.types.chat import ChatCompletion

URL, KEY = os.environ["SLACKWATER_URL"], os.environ["SLACKWATER_KEY"]
MODEL = "meta-llama/Llama-3.1-8B"
CHAT = {"messages": [{"role": "user", "content": "When does the tide turn?"}]}
BODIES: dict[str, tuple[type[Any] | None, dict[str, Any]]] = {
    "/v1/chat/completions": (ChatCompletion, CHAT),
    "/v1/moderations": (ModerationCreateResponse, {"input": "x"}),
    "/v1/responses": (None, {"input": "x"}),
}
try:
    # From 1.66 on.
    from openai.types.responses import Response

    BODIES["/v1/responses"] = (Response, {"input": "x"})
except ImportError:
    pass
try:
    # From 2.2 on, with batches of these later.
    from openai.types import ImagesResponse, Video

    BODIES["/v1/images/generations"] = (ImagesResponse, {"prompt": "a boat"})
    BODIES["/v1/videos"] = (Video, {"prompt": "a wave"})
except ImportError:
    pass


def lines(url: str, payload: dict[str, Any]) -> bytes:
    """Three requests."""
    rows = [
        {"custom_id": f"task-{number}", "method": "POST", "url": url, "body": {"model": MODEL, **payload}}
        for number in range(3)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def walk(client: Any, *, azure: bool) -> None:
    """Upload, create, poll, list, download, read strictly, cancel, delete."""
    assert any(model.id == MODEL for model in client.models.list())
    assert client.models.retrieve(MODEL).id == MODEL
    for url, (kind, payload) in BODIES.items():
        data = lines(url, payload)
        file = client.files.create(file=("tides 潮.jsonl", io.BytesIO(data)), purpose="batch")
        assert (file.filename, file.bytes) == ("tides 潮.jsonl", len(data))
        made = client.batches.create(
            input_file_id=file.id,
            endpoint=url.removeprefix("/v1") if azure else url,
            completion_window="24h",
            metadata={"team": "tides"},
        )
        deadline = time.monotonic() + 60
        while (batch := client.batches.retrieve(made.id)).status not in ("completed", "failed"):
            assert time.monotonic() < deadline, batch
            time.sleep(0.05)
        assert batch.status == "completed", batch
        assert (batch.request_counts.total, batch.request_counts.completed) == (3, 3)
        content = client.files.content(batch.output_file_id)
        answers = [json.loads(line) for line in content.text.splitlines()]
        assert sorted(answer["custom_id"] for answer in answers) == ["task-0", "task-1", "task-2"]
        for answer in answers:
            assert kind is None or kind.model_validate_json(json.dumps(answer["response"]["body"]), strict=True)
        assert client.files.content(file.id).read() == data
        assert client.files.delete(file.id).deleted
    listed = [batch.id for batch in client.batches.list(limit=1)]
    assert len(listed) == len(set(listed)) >= len(BODIES)
    said = ""
    try:
        client.batches.retrieve("batch_nobody")
    except openai.NotFoundError as error:
        said = str(error)
    assert "No batch found" in said


async def asynchronous() -> None:
    """The other half of the package."""
    async with openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0) as client:
        assert [batch.id async for batch in client.batches.list(limit=1)]


for prefix in ("/v1", "/openai/v1"):
    walk(openai.OpenAI(base_url=URL + prefix, api_key=KEY, max_retries=0), azure=False)
options: dict[str, Any] = {"azure_endpoint": URL, "api_key": KEY, "api_version": "2024-10-21", "max_retries": 0}
walk(openai.AzureOpenAI(**options), azure=True)
asyncio.run(asynchronous())
print("openai", openai.__version__)
