"""A shard in the hands of a worker, and its lines on their way: each parsed when it is taken, and only a place while it waits.

Before: the worker's claim. After: the feed, which hands the lines out.
"""

import asyncio
from enum import Enum

import msgspec
from msgspec import Struct

from slackwater.core.endpoints import EVERY_ENDPOINT
from slackwater.core.sending.checksums import custom_id_in
from slackwater.core.sending.circuit import Circuit
from slackwater.core.sending.judgement import Trial
from slackwater.core.sending.limit_shape import Sent
from slackwater.core.sending.lines import LineWriter, path_in, read_input_line
from slackwater.core.sending.request import Request
from slackwater.pipeline.sending.shard_lines import shard_digest
from slackwater.ports import Shard


class Cause(Enum):
    """Why the work on a shard ends early. The first cause stays, unless it is a pause: that one lets calls end by themselves."""

    PAUSED = "paused"
    STOPPED = "stopped"
    EXPIRED = "expired"
    FENCED = "fenced"
    SHUTDOWN = "shutdown"


class Lease:
    """A shard in the hands of this worker: its unread lines, what is in flight, and what has been written."""

    __slots__ = (
        "_at",
        "_data",
        "_lines",
        "_next",
        "cause",
        "circuit",
        "committed",
        "done",
        "ended",
        "exhausted",
        "in_flight",
        "keeps",
        "line_tokens",
        "path",
        "read",
        "shard",
        "size",
        "unjournaled",
        "waiting",
        "writer",
    )

    def __init__(self, shard: Shard, data: bytes, circuit: Circuit | None = None, *, keeps: bool = False) -> None:
        """`keeps`: these are not the bytes of the input, so that they cannot be let go and read again."""
        self.shard = shard
        self.keeps = keeps
        self.path = shard.endpoint
        self.read = read_request if shard.endpoint != EVERY_ENDPOINT else read_addressed
        self.done = shard.done
        self.circuit = circuit or Circuit()
        """That of its batch."""
        self.writer = LineWriter(shard_digest(shard.batch_id, shard.index))
        self.size = len(data)
        self.line_tokens = shard.tokens / shard.lines if shard.lines else 0.0
        """Tokens of one of its lines, on average."""
        self._data: bytes | None = data
        self._at = 0
        self._next = 0
        self._lines = shard.lines
        self.cause: Cause | None = None
        self.exhausted = False
        self.ended = False
        """Whether the ledger knows that the shard is through."""
        # Calls that are out, in the order in which they began.
        self.in_flight: dict[asyncio.Task[None], Item] = {}
        self.circuit.calls.append(self.in_flight)
        # Lines that wait for another try.
        self.waiting: dict[Item, None] = {}
        self.unjournaled = 0
        self.committed = sum(byte.bit_count() for byte in shard.done)

    @property
    def complete(self) -> bool:
        """Whether every line of the shard is journaled."""
        return self.committed == self.shard.lines

    @property
    def unread(self) -> int:
        """Lines that nobody has taken yet, about: those that are journaled already may be among them."""
        return 0 if self.exhausted or self.cause is not None else self._lines - self._next

    @property
    def lines_seen(self) -> int:
        """How many lines have been read, or given up."""
        return self._next

    @lines_seen.setter
    def lines_seen(self, lines: int) -> None:
        self._next = lines

    @property
    def settled(self) -> bool:
        """Whether nothing of this shard is on its way any more: it can be finished, or given back."""
        if self.in_flight or self.unjournaled:
            return False
        return self.complete or self.cause is not None or (self.exhausted and not self.waiting)

    def next_item(self) -> "Item | None":
        """The next line that is not journaled yet, without a request where it cannot be read; None at the end."""
        done, data = self.done, self._data
        assert data is not None, "the bytes of a shard with unread lines are kept"
        at, end, lines = self._at, self.size, self._lines
        # Bytes that have changed may have more lines than were counted; there are results for those that were.
        while at < end and (line := self._next) < lines:
            start = at
            at = data.find(b"\n", start) + 1 or end
            text = data[start:at]
            # A blank one; without its line end it is not even that.
            if text.isspace():
                continue
            self._next, self._at = line + 1, at
            if done and line >> 3 < len(done) and done[line >> 3] >> (line & 7) & 1:
                continue
            request = self.read(line, text, self.path)
            custom_id = custom_id_in(text) if request is None else request.custom_id
            return Item(self, line, start, at, at - start, request, custom_id)
        self._at = at
        self.exhausted = True
        return None

    def text_of(self, item: "Item") -> bytes | None:
        """The bytes of a line; None where they have to be read from the input again."""
        return None if self._data is None else self._data[item.start : item.stop]

    def let_go(self) -> int:
        """Forgets the bytes; what waits is read again. Returns how many they were."""
        if self._data is None or not self.exhausted or self.keeps:
            return 0
        self._data = None
        return self.size

    @property
    def held(self) -> int:
        """Bytes that are in memory."""
        return 0 if self._data is None else self.size


class Item(Struct, eq=False):
    """A line on its way: where it lies in its shard, and its history where it has one."""

    lease: Lease
    line: int
    start: int
    stop: int
    size: int
    request: Request | None
    """None while it waits, and where it cannot be read."""
    custom_id: str = ""
    trial: Trial | None = None
    asks: float = 0.0
    """About how many tokens it asks for, with all that it may generate; 0 while nobody has wanted to know."""
    sent: Sent | None = None
    """What its door's quota knows of its call, while that is out."""

    def __repr__(self) -> str:
        # Not what is in it: it may come into a log.
        return f"<line {self.line} of {self.lease.shard.batch_id}>"

    def read(self, text: bytes) -> Request | None:
        """Parses the line again."""
        self.request = request = self.lease.read(self.line, text, self.lease.path)
        self.custom_id = (self.custom_id or custom_id_in(text)) if request is None else request.custom_id
        return request


def read_request(line: int, text: bytes, path: str) -> Request | None:
    """Parses a line for the endpoint at `path`. None for what is no line any more, although validation has found one there."""
    try:
        read = read_input_line(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError):
        return None
    return Request(line, read.custom_id, bytes(read.body), path)


def read_addressed(line: int, text: bytes, path: str) -> Request | None:
    """The same for a line that has an endpoint of its own; `path` is none."""
    try:
        return read_request(line, text, path_in(text))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
