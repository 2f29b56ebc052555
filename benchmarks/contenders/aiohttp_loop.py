"""The careful person's loop: aiohttp, gather, a semaphore, results kept in memory. `aiohttp_loop.py INPUT OUTPUT URL N`."""

import asyncio
import json
import sys

import aiohttp
import uvloop


async def main(source, target, url, concurrency):
    semaphore = asyncio.Semaphore(concurrency)
    connector = aiohttp.TCPConnector(limit=concurrency)
    with open(source) as file:
        lines = [json.loads(line) for line in file]
    async with aiohttp.ClientSession(connector=connector) as session:

        async def one(line):
            async with semaphore, session.post(url + "/chat/completions", json=line["body"]) as response:
                return {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": await response.json()}}

        results = await asyncio.gather(*(one(line) for line in lines))
    with open(target, "w") as file:
        file.writelines(json.dumps(result) + "\n" for result in results)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
