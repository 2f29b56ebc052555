"""The loop that everybody writes: openai.AsyncOpenAI and a semaphore. `openai_loop.py INPUT OUTPUT URL N`."""

import asyncio
import json
import sys

from openai import AsyncOpenAI


async def main(source, target, url, concurrency):
    semaphore = asyncio.Semaphore(concurrency)
    client = AsyncOpenAI(base_url=url, api_key="any")
    with open(source) as file:
        lines = [json.loads(line) for line in file]

    async def one(line):
        async with semaphore:
            answer = await client.chat.completions.create(**line["body"])
            return {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": answer.model_dump()}}

    results = await asyncio.gather(*(one(line) for line in lines))
    with open(target, "w") as file:
        file.writelines(json.dumps(result) + "\n" for result in results)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
