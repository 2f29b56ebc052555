"""The road of a batch with batch-openai, as OpenAI's and as Azure's. Started by tests/clients/test_packages.py."""

import os

import openai
from batch_openai import BatchRequestBuilder

URL, KEY = os.environ["SLACKWATER_URL"], os.environ["SLACKWATER_KEY"]
QUESTIONS = {f"task-{number}": f"When does tide {number} turn?" for number in range(3)}
CLIENTS = (
    openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY),
    openai.AzureOpenAI(azure_endpoint=URL, api_key=KEY, api_version="2024-10-21"),
)

for client in CLIENTS:
    builder = BatchRequestBuilder()
    for custom_id, question in QUESTIONS.items():
        messages = [{"role": "user", "content": question}]
        builder.add(messages=messages, model="meta-llama/Llama-3.1-8B", custom_id=custom_id)
    # One that is refused: it is told apart by its error.
    builder.add(messages=messages, model="meta-llama/Llama-3.1-8B", custom_id="refused", max_tokens=-1)
    result = builder.submit(client, description="tides").wait(poll_interval=0.05)
    answers = {item.custom_id: item.content for item in result.succeeded}
    assert answers.keys() == QUESTIONS.keys(), list(result)
    for custom_id, question in QUESTIONS.items():
        assert answers[custom_id].startswith(f"Echo of: {question}\n"), answers
    assert [item.custom_id for item in result.failed] == ["refused"], list(result)
print("batch-openai")
