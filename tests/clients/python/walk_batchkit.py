"""The road of a batch of responses with batchkit-ai, and its way with a request that is refused. Started by
tests/clients/test_packages.py.
"""

import os
import tempfile
from typing import Any

import openai
from batchkit import BatchClient

QUESTIONS = [f"When does tide {number} turn?" for number in range(3)]
REFUSED = "This one asks for the impossible."
client = openai.OpenAI(base_url=os.environ["SLACKWATER_URL"] + "/v1", api_key=os.environ["SLACKWATER_KEY"])


def request(question: str) -> dict[str, Any]:
    """A body for /v1/responses."""
    return {"input": question, "temperature": 9 if question == REFUSED else 1}


with tempfile.TemporaryDirectory() as folder:
    job = BatchClient(client, storage_root=folder).map(
        name="tides",
        items=[*QUESTIONS, REFUSED],
        model="meta-llama/Llama-3.1-8B",
        build_request=request,
        metadata={"team": "tides"},
    )
    rows = job.wait(timeout=60, poll_interval=0.05).ordered().rows
assert job.status == "completed", job.status
assert [row.ok for row in rows] == [True] * len(QUESTIONS) + [False], rows
for question, row in zip(QUESTIONS, rows[:-1], strict=True):
    assert row.source_item == question, row
    text = row.response["body"]["output"][0]["content"][0]["text"]
    assert text.startswith(f"Echo of: {question}\n"), row
print("batchkit-ai")
