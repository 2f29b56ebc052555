"""The script that most people write: `script_openai.py INPUT OUTPUT URL N`.

The openai client with its own retries, a semaphore, gather, and a file at the end. One line that fails ends it.
"""

import asyncio
import json
import sys

from openai import AsyncOpenAI


async def main(source, target, url, concurrency):
    semaphore = asyncio.Semaphore(concurrency)
    client = AsyncOpenAI(base_url=url, api_key="any", max_retries=5)
    with open(source) as file:
        lines = [json.loads(line) for line in file]

    async def one(line):
        async with semaphore:
            answer = await client.chat.completions.create(**line["body"])
            return {"custom_id": line["custom_id"], "response": answer.model_dump()}

    results = await asyncio.gather(*(one(line) for line in lines))
    with open(target, "w") as file:
        file.writelines(json.dumps(result) + "\n" for result in results)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
