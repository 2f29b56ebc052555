"""Reads requests with a parser that is strict about each line: one whole head at a time, then the bytes of its body.

What it is given is bounded by whoever gives it (connection.py). What lies around the chunks of a body is counted here.
"""

import urllib.parse
from typing import Protocol

import httptools
from starlette.types import Scope

from slackwater.core.arriving.heads import HeadLimits, Refusal, framing_fault, meaning_fault, whole_fault

ASGI = {"version": "3.0", "spec_version": "2.4"}
CHUNKED = -1
"""A body in chunks has no length before its end."""


class Receiver(Protocol):
    """Who hears what is read."""

    def request_began(self, scope: Scope, *, expects: bool, keep_alive: bool) -> None:
        """A head is fine. `expects`: its peer wants to be told before it sends the body."""
        ...

    def body_came(self, piece: bytes) -> None:
        """Some of the body."""
        ...

    def request_ended(self) -> None:
        """All of the body has come."""
        ...


class RequestReader:
    """Reads one request after the other."""

    __slots__ = (
        "_around",
        "_began",
        "_chunks",
        "_codings",
        "_expects",
        "_headers",
        "_hosts",
        "_limits",
        "_parser",
        "_receiver",
        "_refusal",
        "_url",
        "behind",
        "left",
        "over",
    )

    def __init__(self, receiver: Receiver, limits: HeadLimits) -> None:
        self.left = 0
        """Bytes of the body that are still to come, or CHUNKED."""
        self.over = False
        """Whether all of the request has come."""
        self.behind = False
        """Whether something came behind a last chunk that nobody can say the beginning of."""
        self._receiver: Receiver | None = receiver
        self._limits = limits
        self._parser = httptools.HttpRequestParser(self)
        self._began = False
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._hosts: list[bytes] = []
        self._codings: list[bytes] = []
        self._expects = False
        self._refusal: Refusal | None = None
        # Of a body in chunks: bytes that are no body, and how many chunks there were.
        self._around = self._chunks = 0

    def close(self) -> None:
        """Nothing more is read. The parser and its reader know each other, and so do this one and its receiver."""
        del self._parser
        self._receiver = None

    def head(self, head: bytes) -> Refusal | None:
        """Reads a whole head. The receiver hears of it, where nothing is wrong with it."""
        refusal = whole_fault(head, self._limits)
        if refusal is not None:
            return refusal
        self._url, self._headers, self._hosts, self._codings = b"", [], [], []
        self._began = self._expects = self.over = False
        self._refusal = None
        self.left = self._around = self._chunks = 0
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            # Nobody speaks anything else here, and then the request counts as if it had not asked (RFC 9110, section 7.8).
            plain = _without_upgrade(head)
            if plain == head:
                return Refusal.MALFORMED
            self._parser = httptools.HttpRequestParser(self)
            return self.head(plain)
        except httptools.HttpParserError:
            return self._refusal or Refusal.MALFORMED
        # The preface of HTTP/2 looks like a head, and is none.
        return None if self._began else Refusal.MALFORMED

    def body(self, data: bytes | memoryview) -> Refusal | None:
        """Reads bytes of a body; of one with a length, no more than `left`."""
        if self.left > 0:
            self.left -= len(data)
        else:
            self._around += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if not self.over:
                return Refusal.MALFORMED
            self.behind = True
        if self.over:
            self.left = 0
        elif self.left == CHUNKED:
            return framing_fault(around=self._around, chunks=self._chunks, limits=self._limits)
        return None

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self.over:
            # Behind the last chunk, in one piece with it.
            raise ValueError("another request")

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._began:
            # Of a trailer. What it says is not asked for, and its size is counted with the chunks.
            return
        # White space behind a value is none of it (RFC 9112, section 5.1), and the parser leaves it there.
        name, value = name.lower(), value.rstrip(b" \t")
        self._headers.append((name, value))
        if name == b"host":
            self._hosts.append(value)
        elif name == b"transfer-encoding":
            self._codings.append(value)
        elif name == b"content-length":
            self.left = int(value)
        elif name == b"expect":
            self._expects = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        parser, receiver = self._parser, self._receiver
        if parser.should_upgrade() or receiver is None:
            return
        version = parser.get_http_version()
        self._refusal = meaning_fault(version=version, hosts=self._hosts, transfer_encodings=self._codings)
        if self._refusal is not None:
            raise ValueError(self._refusal.value)
        url = httptools.parse_url(self._url)
        path = url.path.decode("ascii")
        scope = {
            "type": "http",
            "asgi": ASGI,
            "http_version": version,
            "scheme": "http",
            "method": parser.get_method().decode("ascii"),
            "root_path": "",
            "path": urllib.parse.unquote(path) if "%" in path else path,
            "raw_path": url.path,
            "query_string": url.query or b"",
            "headers": self._headers,
            "state": {},
        }
        if self._codings:
            self.left = CHUNKED
        self._began = True
        expects = self._expects and version == "1.1"
        receiver.request_began(scope, expects=expects, keep_alive=parser.should_keep_alive())

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def on_body(self, piece: bytes) -> None:
        self._around -= len(piece)
        if self._receiver is not None:
            self._receiver.body_came(piece)

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade() or self._receiver is None:
            return
        self.over = True
        self._receiver.request_ended()


def _without_upgrade(head: bytes) -> bytes:
    """A head without its wish to speak another protocol."""
    lines = head.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith(b"upgrade:"))
