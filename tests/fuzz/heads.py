"""Fuzzing of heads and chunks, byte by byte: `python -m tests.fuzz.heads --requests 1000000`.

Requests of every shape are made, most of them then broken somewhere, cut into pieces at random and given to a connection of the
front door; without a network, because that is most of what a request costs. What it lets in is held against a second
parser (h11): if both take a stretch of bytes for requests, then for the same ones, with the same bodies. Whatever comes,
nothing raises, nothing is a 5xx, no more is kept than may be, and memory does not grow.
"""

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import h11
import uvloop
from msgspec import Struct, field
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from slackwater.api.arriving.connection import Connection
from slackwater.api.arriving.front_door import FrontDoor
from slackwater.core.arriving.heads import HeadLimits
from slackwater.core.arriving.patience import Patience

LIMITS = HeadLimits(head_bytes=2048, headers=20)
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
METHODS = (b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH", b"CONNECT", b"get", b"PRI", b"FOO")
TARGETS = (
    b"/",
    b"/v1/files?limit=1",
    b"*",
    b"http://h/p",
    b"//a",
    b"/%2e%2e",
    b"/%zz",
    b"/\xff",
    b"a:1",
    b"/" + b"u" * 3000,
)
VERSIONS = (b"HTTP/1.1",) * 8 + (b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b"")
NAMES = (
    b"X",
    b"Accept",
    b"Content-Type",
    b"Expect",
    b"Connection",
    b"Upgrade",
    b"Cookie",
    b"X-Y",
    b"X Y",
    b"",
    b"X\x00",
)
VALUES = (
    b"a",
    b"",
    b"close",
    b"keep-alive",
    b"upgrade",
    b"h2c",
    b"100-continue",
    b"a\tb",
    b"\xff\xfe",
    b"a\x00b",
    b"a\rb",
    b"a\n b",
    b"v" * 2500,
    b"v" * 20000,
)
HOSTS = (b"localhost",) * 8 + (b"[::1]:80", b"[::1", b"a b", b"", b"a/b")
LENGTHS = (b"+1", b"-1", b"1, 1", b"0x1", b"", b"99999999999999999999", b"1 1", b"1_0")
CODINGS = (b"chunked",) * 6 + (b"Chunked", b"gzip, chunked", b"identity", b"chunked, chunked", b" chunked", b"xchunked")
SIZES = (b"0x1", b"-1", b"", b"g", b"ffffffffffffffffff", b" 1", b"1 ")
EXTENSIONS = (b"",) * 6 + (b";a", b";a=b", b';a="b"', b";" + b"e" * 3000, b" ;a")
ENDS = (b"\r\n",) * 20 + (b"\n", b"\r", b"\r\r\n", b"\n\r\n")


class Outcome(Struct):
    """What was found."""

    requests: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    alike: int = 0
    stricter: int = 0
    """Let in by h11 and not by us."""
    faults: dict[str, bytes] = field(default_factory=dict)
    """An example of each kind of fault."""


class Maker:
    """Makes streams of requests; the same seed makes the same."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def _rarely(self, choices: Sequence[bytes], otherwise: bytes) -> bytes:
        return self.random.choice(choices) if self.random.random() < 0.04 else otherwise

    def request(self) -> bytes:
        """One request, more or less."""
        chance, end = self.random, self.random.choice(ENDS) if self.random.random() < 0.03 else b"\r\n"
        method = chance.choice(METHODS[:7]) if chance.random() < 0.95 else chance.choice(METHODS)
        target = self._rarely(TARGETS, b"/a")
        lines = [method + b" " + target + b" " + self._rarely(VERSIONS, b"HTTP/1.1")]
        lines += [b"Host: " + self._rarely(HOSTS, b"h")] * (1 if chance.random() < 0.96 else chance.choice((0, 2)))
        for _ in range(chance.choice((0, 0, 1, 2, 30)) if chance.random() < 0.5 else 0):
            lines.append(
                self._rarely(NAMES, b"X") + self._rarely((b" :", b":", b"\t:"), b": ") + self._rarely(VALUES, b"v")
            )
        body = b""
        framing = chance.random()
        if framing < 0.3:
            body = chance.randbytes(chance.choice((0, 1, 5, 300)))
            lines.append(b"Content-Length: " + self._rarely(LENGTHS, str(len(body)).encode()))
        if framing < 0.02 or 0.3 <= framing < 0.6:
            lines.append(b"Transfer-Encoding: " + self._rarely(CODINGS, b"chunked"))
            body = self._chunks()
        if chance.random() < 0.02:
            lines.append(b"Content-Length: " + str(len(body)).encode())
        fields = lines[1:]
        chance.shuffle(fields)
        lines[1:] = fields
        return end.join(lines) + end + end + body

    def _chunks(self) -> bytes:
        chance = self.random
        made = b""
        for _ in range(chance.choice((0, 1, 2, 9))):
            piece = chance.randbytes(chance.choice((1, 2, 17, 200)))
            size = self._rarely(SIZES, b"%x" % len(piece))
            made += (
                size + self._rarely(EXTENSIONS, b"") + self._rarely(ENDS, b"\r\n") + piece + self._rarely(ENDS, b"\r\n")
            )
        made += b"0" + self._rarely(EXTENSIONS, b"") + b"\r\n"
        for _ in range(chance.choice((0, 0, 0, 1, 3))):
            made += self._rarely(NAMES, b"T") + b": " + self._rarely((*VALUES, b"x" * 5000), b"v") + b"\r\n"
        return made + b"\r\n"

    def stream(self) -> tuple[bytes, int]:
        """What comes on one connection, and of how many requests it was made."""
        count = self.random.choice((1, 1, 2, 3))
        data = bytearray(b"".join(self.request() for _ in range(count)))
        if self.random.random() < 0.3:
            for _ in range(self.random.choice((1, 1, 3))):
                place = self.random.randrange(len(data))
                what = self.random.random()
                if what < 0.4:
                    data[place] = self.random.choice(b"\r\n\0 :;0aA\xff")
                elif what < 0.7:
                    del data[place : place + self.random.choice((1, 2, 10))]
                else:
                    data[place:place] = self.random.choice((b"\r\n", b"\n", b" ", b"\r\n\r\n", b"0", b"a" * 3000))
                if not data:
                    data += b"\r\n"
        return bytes(data), count

    def pieces(self, data: bytes) -> list[bytes]:
        """The same bytes, as a network may bring them."""
        if self.random.random() < 0.5:
            return [data]
        cuts = sorted(self.random.sample(range(len(data) + 1), min(len(data), self.random.choice((1, 3, 20)))))
        ends = [*cuts, len(data)]
        return [data[start:end] for start, end in zip([0, *cuts], ends, strict=True) if end > start]


class Wire(asyncio.Transport):
    """Takes answers, and remembers whether anybody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closing = False
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        self.closing = True

    abort = close


class Fuzz:
    """A front door, and what the application behind it has seen on the connection at hand."""

    def __init__(self) -> None:
        self.door = FrontDoor(limits=LIMITS, patience=Patience(), connections_max=100)
        self.state = ServerState()
        self.seen: list[tuple[bytes, bytes]] = []
        self.outcome = Outcome()

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reads a request to its end and answers it."""
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        self.seen.append((scope["method"].encode(), body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def try_one(self, data: bytes, pieces: Sequence[bytes]) -> None:
        """One connection, from its beginning to its end."""
        self.seen.clear()
        wire, connection = Wire(), Connection(self.door, self.application, self.state)
        connection.connection_made(wire)
        # Not of a stranger: their requests would take turns, which takes time.
        connection.known()
        left = list(pieces)
        while left and not wire.closing:
            if not wire.reading:
                for _ in range(3):
                    await asyncio.sleep(0)
                if not wire.reading and not wire.closing:
                    self._fault("nobody reads on", data)
                    break
                continue
            buffer = connection.get_buffer(-1)
            piece = left.pop(0)
            if len(piece) > len(buffer):
                left.insert(0, piece[len(buffer) :])
                piece = piece[: len(buffer)]
            buffer[: len(piece)] = piece
            connection.buffer_updated(len(piece))
            if len(connection._held) > 2 * LIMITS.head_bytes:
                self._fault("more is kept than may be", data)
        for _ in range(8):
            await asyncio.sleep(0)
        connection.connection_lost(None)
        await asyncio.sleep(0)
        statuses = [int(status) for status in STATUS.findall(wire.written) if status != b"100"]
        self.outcome.answers.update(statuses)
        if any(status >= 500 for status in statuses):
            self._fault("a 5xx", data)
        if self.door.connections or self.state.connections:
            self._fault("a connection is left", data)
        self._compare(data)

    def _compare(self, data: bytes) -> None:
        theirs = requests_of(data)
        if theirs is None:
            return
        ours = self.seen
        both = min(len(ours), len(theirs))
        if ours[:both] != theirs[:both]:
            self._fault("another reading than h11's", data)
        elif len(ours) < len(theirs):
            self.outcome.stricter += 1
        elif len(ours) > len(theirs):
            self._fault("let in, and h11 does not", data)
        else:
            self.outcome.alike += 1

    def _fault(self, kind: str, data: bytes) -> None:
        self.outcome.faults.setdefault(kind, data)


def requests_of(data: bytes) -> list[tuple[bytes, bytes]] | None:
    """Method and body of the requests that h11 finds whole; None where it cannot be compared."""
    reader = h11.Connection(h11.SERVER, max_incomplete_event_size=LIMITS.head_bytes)
    reader.receive_data(data)
    found: list[tuple[bytes, bytes]] = []
    method, body = b"", b""
    try:
        while True:
            event = reader.next_event()
            if isinstance(event, h11.Request):
                method, body = event.method, b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                found.append((method, body))
                reader.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                reader.send(h11.EndOfMessage())
                if reader.our_state is not h11.DONE or reader.their_state is not h11.DONE:
                    return found
                reader.start_next_cycle()
            else:
                return found
    except h11.ProtocolError as error:
        # It does not read over empty lines before a request, as a server should (RFC 9112, section 2.2).
        return None if str(error) == "no request line received" else found


def rss() -> int:
    """Bytes of memory of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def fuzz(*, count: int, seed: int) -> tuple[Outcome, int]:
    """So many requests, and by how many bytes memory has grown since the first tenth of them."""

    async def run() -> tuple[Outcome, int]:
        maker, fuzzing = Maker(seed), Fuzz()
        settled = 0
        while fuzzing.outcome.requests < count:
            data, made = maker.stream()
            await fuzzing.try_one(data, maker.pieces(data))
            fuzzing.outcome.requests += made
            if not settled and fuzzing.outcome.requests >= count // 10:
                settled = rss()
        return fuzzing.outcome, rss() - settled

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


@click.command()
@click.option("--requests", "count", default=1_000_000, show_default=True, help="How many, at least.")
@click.option("--seed", default=0, show_default=True, help="The same seed makes the same requests.")
def main(count: int, seed: int) -> None:
    """Fuzzes heads and chunks, and prints how often each status came."""
    begun = time.monotonic()
    outcome, growth = fuzz(count=count, seed=seed)
    for status, number in sorted(outcome.answers.items()):
        click.echo(f"{number:10,}  {status}")
    click.echo(
        f"{outcome.requests:,} requests in {time.monotonic() - begun:.0f} s; read like h11: {outcome.alike:,} connections, "
        f"more strictly: {outcome.stricter:,}; memory grew by {growth / 2**20:.1f} MiB"
    )
    for kind, example in outcome.faults.items():
        click.echo(f"\nFAULT {kind}\n{example!r}")
    raise SystemExit(1 if outcome.faults or growth > 8 << 20 else 0)


if __name__ == "__main__":
    main()
