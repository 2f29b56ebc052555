"""The road of a batch with batchwork, which has an HTTP client of its own, as OpenAI's and as Azure's. Azure's batches of
responses are batches of chats to it. Started by tests/clients/test_packages.py.
"""

import asyncio
import os

from batchwork import BatchRequest, Batchwork

NAME, KEY = "meta-llama/Llama-3.1-8B", os.environ["SLACKWATER_KEY"]
QUESTIONS = {f"task-{number}": f"When does tide {number} turn?" for number in range(3)}
WAYS = {f"openai/{NAME}": "/v1", f"azure/{NAME}": "/openai/v1"}


async def walk() -> None:
    """Both ways: submit, wait, collect."""
    asked = [BatchRequest(custom_id=custom_id, prompt=question) for custom_id, question in QUESTIONS.items()]
    async with Batchwork() as client:
        for model, path in WAYS.items():
            url = os.environ["SLACKWATER_URL"] + path
            job = await client.batch(model=model, requests=asked, api_key=KEY, base_url=url)
            await job.wait(timeout=60, poll_interval=0.05)
            answers = {result.custom_id: result for result in await job.collect()}
            assert answers.keys() == QUESTIONS.keys(), answers
            for custom_id, question in QUESTIONS.items():
                text = answers[custom_id].text
                assert text is not None, answers
                assert text.startswith(f"Echo of: {question}\n"), answers


asyncio.run(walk())
print("batchwork")
