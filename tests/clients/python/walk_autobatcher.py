"""The road of a batch with autobatcher, a client of openai's whose calls wait for a batch: one for each endpoint. Started by
tests/clients/test_packages.py.
"""

import asyncio
import os

from autobatcher import BatchOpenAI

MODEL = "meta-llama/Llama-3.1-8B"
QUESTIONS = [f"When does tide {number} turn?" for number in range(3)]


async def walk() -> None:
    """Calls that are made at once."""
    client = BatchOpenAI(
        api_key=os.environ["SLACKWATER_KEY"],
        base_url=os.environ["SLACKWATER_URL"] + "/v1",
        batch_size=len(QUESTIONS),
        poll_interval_seconds=0.05,
        completion_window="24h",
    )
    before = {batch.id async for batch in client.batches.list()}
    async with asyncio.timeout(60):
        chats, responses, embeddings = await asyncio.gather(
            asyncio.gather(
                *(
                    client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": question}])
                    for question in QUESTIONS
                )
            ),
            asyncio.gather(*(client.responses.create(model=MODEL, input=question) for question in QUESTIONS)),
            asyncio.gather(*(client.embeddings.create(model=MODEL, input=question) for question in QUESTIONS)),
        )
    for question, chat, response in zip(QUESTIONS, chats, responses, strict=True):
        for text in (chat.choices[0].message.content, response.output_text):
            assert text.startswith(f"Echo of: {question}\n"), text
    vectors = {tuple(embedding.data[0].embedding) for embedding in embeddings}
    assert len(vectors) == len(QUESTIONS), embeddings
    made = [batch async for batch in client.batches.list() if batch.id not in before]
    assert sorted((batch.endpoint, batch.request_counts.completed) for batch in made) == [
        ("/v1/chat/completions", 3),
        ("/v1/embeddings", 3),
        ("/v1/responses", 3),
    ], made
    await client.close()


asyncio.run(walk())
print("autobatcher")
