"""The road of a batch with a chain of LangChain's and langasync, which has an HTTP client of its own. Started by
tests/clients/test_packages.py.
"""

import asyncio
import os
import tempfile

os.environ["OPENAI_BASE_URL"] = os.environ["SLACKWATER_URL"] + "/v1"
os.environ["OPENAI_API_KEY"] = os.environ["SLACKWATER_KEY"]
os.environ["LANGASYNC_BATCH_POLL_INTERVAL"] = "0.05"
os.environ["LANGSMITH_TRACING"] = "false"

from langasync import BatchPoller, BatchStatus, batch_chain
from langasync.settings import LangasyncSettings
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

TIDES = ["spring", "neap", "ebb"]


async def walk(folder: str) -> None:
    """Submit, forget, and let the poller bring what has come."""
    settings = LangasyncSettings(LANGASYNC_BASE_STORAGE_PATH=folder)
    prompt = ChatPromptTemplate.from_messages(
        [("system", "You are a pilot."), ("user", "When does the {tide} tide turn?")]
    )
    chain = prompt | ChatOpenAI(model="meta-llama/Llama-3.1-8B") | StrOutputParser()
    await batch_chain(chain, settings).submit([{"tide": tide} for tide in TIDES])
    async with asyncio.timeout(60):
        (result,) = [result async for result in BatchPoller(settings).wait_all()]
    assert result.status_info.status == BatchStatus.COMPLETED, result
    assert result.results is not None, result
    for tide, item in zip(TIDES, result.results, strict=True):
        assert item.startswith(f"Echo of: When does the {tide} tide turn?\n"), result


with tempfile.TemporaryDirectory() as jobs:
    asyncio.run(walk(jobs))
print("langasync")
