"""The road of a batch with pydantic-ai: a list of requests, and agents whose requests share a batch. It asks for batches of
responses, and of OpenAI's family only. Started by tests/clients/test_packages.py.
"""

import asyncio
import os
from datetime import timedelta

from pydantic import BaseModel
from pydantic_ai import Agent, ModelRequest
from pydantic_ai.capabilities import BatchModelRequests
from pydantic_ai.direct import model_request_batch
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models.batch import BatchRequest
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.output import NativeOutput
from pydantic_ai.providers.openai import OpenAIProvider

SOON = timedelta(seconds=0.05)
provider = OpenAIProvider(base_url=os.environ["SLACKWATER_URL"] + "/v1", api_key=os.environ["SLACKWATER_KEY"])
model = OpenAIResponsesModel("meta-llama/Llama-3.1-8B", provider=provider)


class Tide(BaseModel):
    """What is asked for."""

    name: str


async def requests() -> None:
    """Answers in the order of the requests, and the refusal of one of them in its place."""
    questions = [f"When does tide {number} turn?" for number in range(3)]
    asked = [BatchRequest(custom_id=text, messages=[ModelRequest.user_text_prompt(text)]) for text in questions]
    asked[1].model_settings = {"max_tokens": -1}
    first, refused, last = await model_request_batch(model, asked, poll_interval=SOON, max_poll_interval=SOON)
    assert isinstance(refused, ModelHTTPError), refused
    assert refused.status_code == 400, refused
    for question, answer in ((questions[0], first), (questions[2], last)):
        assert isinstance(answer, ModelResponse), answer
        assert answer.text is not None, answer
        assert answer.text.startswith(f"Echo of: {question}\n"), answer
        assert answer.usage.output_tokens > 0, answer


async def agents() -> None:
    """Three agents run at once: one batch, an object for each."""
    before = [batch.id async for batch in provider.client.batches.list()]
    async with BatchModelRequests(max_requests=3, poll_interval=SOON, max_poll_interval=SOON) as batching:
        agent = Agent(model, output_type=NativeOutput(Tide), capabilities=[batching])
        runs = await asyncio.gather(*(agent.run(f"Which is tide {number}?") for number in range(3)))
    assert [run.output for run in runs] == [Tide(name="echo")] * 3, runs
    made = [batch async for batch in provider.client.batches.list() if batch.id not in before]
    assert [(batch.status, batch.request_counts.completed) for batch in made] == [("completed", 3)], made


async def walk() -> None:
    """Both ways, not for ever."""
    async with asyncio.timeout(120):
        await requests()
        await agents()


asyncio.run(walk())
print("pydantic-ai")
