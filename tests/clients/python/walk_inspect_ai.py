"""The road of a batch with inspect_ai: evaluations whose requests go in batches, of chats and of responses, as OpenAI's and as
Azure's. Started by tests/clients/test_packages.py.
"""

import os
import tempfile
from typing import Any

os.environ["OPENAI_API_VERSION"] = "2024-10-21"

import inspect_ai
import openai
from inspect_ai.dataset import Sample
from inspect_ai.model import BatchConfig, GenerateConfig, get_model

URL, KEY = os.environ["SLACKWATER_URL"], os.environ["SLACKWATER_KEY"]
NAME = "meta-llama/Llama-3.1-8B"
QUESTIONS = [f"When does tide {number} turn?" for number in range(3)]
WAYS = ((f"openai/{NAME}", f"{URL}/v1"), (f"openai/azure/{NAME}", URL))
BATCH = BatchConfig(size=3, send_delay=5, tick=0.05)
client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY)


def evaluate(name: str, base_url: str, folder: str, **options: Any) -> None:
    """Three samples, one batch."""
    before = {batch.id for batch in client.batches.list()}
    model = get_model(name, base_url=base_url, api_key=KEY, config=GenerateConfig(batch=BATCH), **options)
    task = inspect_ai.Task(dataset=[Sample(input=question) for question in QUESTIONS])
    (log,) = inspect_ai.eval(task, model=model, display="none", log_dir=folder)
    assert log.status == "success", log.error
    assert log.samples is not None
    assert sorted(str(sample.input) for sample in log.samples) == QUESTIONS
    for sample in log.samples:
        answer = sample.output
        assert answer.completion.startswith(f"Echo of: {sample.input}\n"), answer
        assert answer.usage is not None, answer
        assert answer.usage.output_tokens > 0, answer
    made = [batch for batch in client.batches.list() if batch.id not in before]
    assert [(batch.status, batch.request_counts.completed) for batch in made] == [("completed", 3)], made
    assert made[0].endpoint.endswith("responses" if options["responses_api"] else "chat/completions")


with tempfile.TemporaryDirectory() as logs:
    for way in WAYS:
        for responses in (False, True):
            evaluate(*way, logs, responses_api=responses)
print("inspect_ai")
