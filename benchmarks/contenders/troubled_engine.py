"""An engine in trouble, for `trouble.py`: `troubled_engine.py PORT LATENCY_MS [PEERS]`. Loopback only.

The first part of a path is the mood of a door (`/ok/v1`, `/401/v1`, `/silent/v1`, ...), and words in a prompt decide about a
line (`ALWAYS500`, `HANGUP`, `ALWAYS429`, `ALWAYS429WAIT`, `KILLS`). `GET /_stats` tells what came, by mood and by word.
`/outage500/v1` and `/outage401/v1` are so for the first SECONDS after their first call (`/outage500-60/v1`), then answer.
`/bucket-50/v1` lets 50 calls a second through and tells the others how long to wait. `/revoked-500/v1` answers 401 from the
501st call on.
"""

import asyncio
import json
import math
import re
import sys
import time
from collections import Counter

PORT, LATENCY = int(sys.argv[1]), float(sys.argv[2]) / 1000
RESTART_SECONDS = 2.0
WORDS = ("ALWAYS500", "HANGUP", "ALWAYS429WAIT", "ALWAYS429", "KILLS")
REASONS = {200: "OK", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 429: "Busy", 500: "Error", 502: "Bad"}
ANSWER = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
    }
).encode()


class Door:
    """What one mood remembers."""

    def __init__(self) -> None:
        self.calls = 0
        self.first = 0.0
        self.first_success = 0.0
        self.last = 0.0
        self.tokens = 0.0
        self.filled_at = 0.0
        self.paused_until = 0.0
        self.inside_pause = 0
        self.successes: list[float] = []


class Engine:
    """All doors, and the life of the process behind them."""

    def __init__(self) -> None:
        self.doors: dict[str, Door] = {}
        self.words: Counter[str] = Counter()
        self.deaths = 0
        self.dead = asyncio.Event()
        self.in_flight = self.in_flight_max = 0
        self.server: asyncio.Server | None = None
        self.writers: set[asyncio.StreamWriter] = set()

    async def serve(self) -> None:
        while True:
            self.dead = asyncio.Event()
            self.server = await asyncio.start_server(self.handle, "127.0.0.1", PORT, backlog=4096)
            await self.dead.wait()
            self.deaths += 1
            self.server.close()
            for writer in list(self.writers):
                writer.transport.abort()
            await asyncio.sleep(RESTART_SECONDS)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                method, path, _ = head.split(b" ", 2)
                length = re.search(rb"content-length: *(\d+)", head, re.I)
                body = await reader.readexactly(int(length[1])) if length else b""
                if not await self.answer(method.decode(), path.decode(), body, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError, RuntimeError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def answer(self, method: str, path: str, body: bytes, writer: asyncio.StreamWriter) -> bool:
        if path == "/_stats":
            doors = {
                name: {key: value for key, value in vars(door).items() if key != "successes"}
                | {"per_second": per_second(door)}
                for name, door in self.doors.items()
            }
            stats = {"doors": doors, "words": self.words, "deaths": self.deaths, "in_flight_max": self.in_flight_max}
            return say(writer, 200, json.dumps(stats).encode())
        if method == "GET":
            return say(writer, 200, b'{"object":"list","data":[{"id":"m","object":"model"}]}')
        mood = path.split("/")[1]
        door = self.doors.setdefault(mood, Door())
        now = time.monotonic()
        door.calls += 1
        door.first = door.first or now
        door.last = now
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        try:
            return await self.act(mood, door, body, now, writer)
        finally:
            self.in_flight -= 1

    async def act(self, mood: str, door: Door, body: bytes, now: float, writer: asyncio.StreamWriter) -> bool:
        text = body.decode("utf-8", "replace")
        word = next((word for word in WORDS if word in text), None)
        if word is not None:
            self.words[word] += 1
        outage = re.fullmatch(r"outage(\d+)-([\d.]+)", mood)
        if outage and now - door.first < float(outage[2]):
            return say(writer, int(outage[1]), b'{"error":{"message":"not now","type":"x","code":"y"}}')
        if mood.startswith("revoked-") and door.calls > int(mood[8:]):
            return say(writer, 401, b'{"error":{"message":"invalid key","type":"x","code":"invalid_api_key"}}')
        if mood in ("401", "403", "404", "500", "502"):
            return say(writer, int(mood), b'{"error":{"message":"no","type":"x","code":"y"}}')
        if mood == "html":
            return say(writer, 200, b"<html><body>Sign in</body></html>", kind="text/html")
        if mood == "hangup":
            writer.transport.abort()
            return False
        if mood == "silent":
            await asyncio.sleep(3600)
        if mood.startswith("bucket-") and not self.poured(door, float(mood[7:]), now):
            wait = max(0.0, door.paused_until - now)
            told = f"Retry-After: {math.ceil(wait)}\r\nRetry-After-Ms: {int(wait * 1000) + 1}\r\n"
            return say(writer, 429, b'{"error":{"message":"slow down"}}', told)
        if word == "KILLS":
            await asyncio.sleep(min(0.05, LATENCY))
            self.dead.set()
            await asyncio.sleep(60)
        await asyncio.sleep(LATENCY)
        if word == "ALWAYS500":
            return say(writer, 500, b'{"error":{"message":"cannot identify image file","code":500}}')
        if word == "HANGUP":
            writer.transport.abort()
            return False
        if word == "ALWAYS429":
            return say(writer, 429, b'{"error":{"message":"too long for now"}}')
        if word == "ALWAYS429WAIT":
            return say(writer, 429, b'{"error":{"message":"later"}}', "Retry-After: 2\r\n")
        door.successes.append(time.monotonic())
        door.first_success = door.first_success or time.monotonic()
        return say(writer, 200, ANSWER)

    def poured(self, door: Door, rate: float, now: float) -> bool:
        """Whether the bucket, of one second's size, has a token; else everybody is told to wait until it is half full."""
        if now < door.paused_until:
            door.inside_pause += 1
        door.filled_at = door.filled_at or now
        door.tokens = min(rate, door.tokens + (now - door.filled_at) * rate) if door.calls > 1 else rate
        door.filled_at = now
        if door.tokens >= 1:
            door.tokens -= 1
            return True
        if now >= door.paused_until:
            door.paused_until = now + 0.5
        return False


def per_second(door: Door) -> list[int]:
    """Successes in each second from the first one on."""
    if not door.successes:
        return []
    begin = door.successes[0]
    counts = Counter(int(moment - begin) for moment in door.successes)
    return [counts[second] for second in range(int(door.successes[-1] - begin) + 1)]


def say(writer: asyncio.StreamWriter, status: int, body: bytes, more: str = "", kind: str = "application/json") -> bool:
    head = f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: {kind}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    return True


try:
    import uvloop

    uvloop.run(Engine().serve())
except ImportError:
    asyncio.run(Engine().serve())
