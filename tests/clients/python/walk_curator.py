"""The road of a batch with curator, as OpenAI's and as Azure's: rows of text, then rows of objects. Started by
tests/clients/test_packages.py.
"""

import os
import tempfile
from typing import Any

# It reports to its makers unless it is told not to.
os.environ["TELEMETRY_ENABLED"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["CURATOR_DISABLE_RICH_DISPLAY"] = "1"

import openai
from bespokelabs import curator
from pydantic import BaseModel

URL, KEY = os.environ["SLACKWATER_URL"], os.environ["SLACKWATER_KEY"]
NAME = "meta-llama/Llama-3.1-8B"
QUESTIONS = [f"When does tide {number} turn?" for number in range(3)]
WAYS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("openai", {"base_url": f"{URL}/v1"}),
    ("azure", {"base_url": f"{URL}/openai/v1/", "azure_deployment": NAME}),
)
client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY)


class Tide(BaseModel):
    """What is asked for."""

    name: str


def ask(backend: str, way: dict[str, Any], folder: str, **options: Any) -> list[dict[str, Any]]:
    """Three rows, one batch."""
    before = {batch.id for batch in client.batches.list()}
    # Retries stay on: its client outlives an event loop, and the first call in the next one fails.
    params = {"api_key": KEY, "batch_check_interval": 1, **way}
    llm = curator.LLM(model_name=NAME, backend=backend, batch=True, backend_params=params, **options)
    rows = llm(QUESTIONS, working_dir=folder).dataset.to_list()
    made = [batch for batch in client.batches.list() if batch.id not in before]
    assert [(batch.status, batch.request_counts.completed) for batch in made] == [("completed", 3)], made
    return rows


for backend, way in WAYS:
    with tempfile.TemporaryDirectory() as folder:
        answers = [row["response"] for row in ask(backend, way, folder)]
        for question, answer in zip(QUESTIONS, answers, strict=True):
            assert answer.startswith(f"Echo of: {question}\n"), answer
        assert ask(backend, way, folder, response_format=Tide) == [{"name": "echo"}] * 3
print("curator")
