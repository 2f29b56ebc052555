"""The road of a batch with LiteLLM, as OpenAI's and as Azure's. Started by tests/clients/test_packages.py."""

import io
import json
import os
import time
from typing import Any

import litellm

URL, KEY = os.environ["SLACKWATER_URL"], os.environ["SLACKWATER_KEY"]
BODY = {"model": "meta-llama/Llama-3.1-8B", "messages": [{"role": "user", "content": "When does the tide turn?"}]}
LINE = {"method": "POST", "url": "/v1/chat/completions", "body": BODY}
DATA = "".join(json.dumps({"custom_id": f"task-{number}", **LINE}) + "\n" for number in range(3)).encode()
WAYS: tuple[dict[str, Any], ...] = (
    {"custom_llm_provider": "openai", "api_base": f"{URL}/v1", "api_key": KEY},
    {"custom_llm_provider": "azure", "api_base": URL, "api_key": KEY, "api_version": "2024-10-21"},
)

for way in WAYS:
    file = litellm.create_file(file=("in.jsonl", io.BytesIO(DATA)), purpose="batch", **way)
    batch = litellm.create_batch(
        completion_window="24h", endpoint="/v1/chat/completions", input_file_id=file.id, metadata={"a": "b"}, **way
    )
    deadline = time.monotonic() + 60
    while batch.status not in ("completed", "failed"):
        assert time.monotonic() < deadline, batch
        time.sleep(0.05)
        batch = litellm.retrieve_batch(batch_id=batch.id, **way)
    assert batch.status == "completed", batch
    content = litellm.file_content(file_id=batch.output_file_id, **way).text
    assert sorted(json.loads(line)["custom_id"] for line in content.splitlines()) == ["task-0", "task-1", "task-2"]
    assert any(each.id == batch.id for each in litellm.list_batches(limit=5, **way).data)
print("litellm")
