"""The script that somebody writes the second time: `script_careful.py INPUT OUTPUT URL N`.

aiohttp, a semaphore, six attempts with random exponential waits that keep `Retry-After`, each answer appended as it comes,
failures beside it, and what is there already is left out when it is started again.
"""

import asyncio
import json
import os
import random
import sys

import aiohttp
import uvloop

ATTEMPTS, WAIT_MAX = 6, 60.0


async def main(source, target, url, concurrency):
    done = set()
    if os.path.exists(target):
        with open(target) as file:
            done = {json.loads(line)["custom_id"] for line in file}
    with open(source) as file:
        lines = [line for line in map(json.loads, file) if line["custom_id"] not in done]
    semaphore = asyncio.Semaphore(concurrency)
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector) as session:
        with open(target, "a") as answers, open(target + ".errors", "w") as errors:

            async def call(line):
                for attempt in range(ATTEMPTS):
                    wait = random.uniform(0, min(WAIT_MAX, 2**attempt))
                    try:
                        async with session.post(url + "/chat/completions", json=line["body"]) as response:
                            if response.status == 200:
                                return await response.json(), None
                            said = await response.text()
                            if response.status != 429 and response.status < 500:
                                return None, said
                            if "Retry-After" in response.headers:
                                wait += float(response.headers["Retry-After"])
                    except aiohttp.ClientError as error:
                        said = repr(error)
                    if attempt < ATTEMPTS - 1:
                        await asyncio.sleep(wait)
                return None, said

            async def one(line):
                async with semaphore:
                    answer, fault = await call(line)
                file = answers if fault is None else errors
                file.write(json.dumps({"custom_id": line["custom_id"], "response": answer, "error": fault}) + "\n")
                file.flush()

            await asyncio.gather(*(one(line) for line in lines))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
