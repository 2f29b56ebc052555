"""One input line on its way: the request that is sent, the reply that came, and the line that is written for it."""

from enum import StrEnum

from msgspec import Struct

from slackwater.core.accounts.usage import Usage
from slackwater.core.sending.budget import Held
from slackwater.core.sending.rate_limit_headers import Reading


class Request(Struct, frozen=True, gc=False):
    """One accepted input line. `line` is its place in the shard from 0; `body` is JSON as the user wrote it.

    `path` is that of its endpoint, without version, such as `/chat/completions`.
    """

    line: int
    custom_id: str
    body: bytes
    path: str


class Reply(Struct, frozen=True, gc=False):
    """What a backend answered. `retry_after` is in seconds; None where it asked for nothing.

    `content_type` is known only where the body does not begin like a JSON object, is said to be sound or pictures, or the status
    is not 2xx; `location` only for 3xx. Most answers are neither, and pay for neither.
    """

    status: int
    body: bytes
    retry_after: float | None = None
    content_type: str | None = None
    location: str | None = None
    held: Held | None = None
    """Where the body is large: its place in the memory budget, to be kept as long as the body is."""
    dropped: bool = False
    """Whether a router in front of the engine says that it let the request fall, and not the engine."""
    came: int | None = None
    """The status that it came with, where that was a good one with an error inside: `status` is what the error counts as."""
    streamed: bool = False
    """Whether it came in chunks, and was put together."""
    limits: tuple[Reading, ...] = ()
    """What its headers say of rate limits."""


class Outcome(StrEnum):
    """Which file a line goes to, and how it is counted."""

    COMPLETED = "completed"
    FAILED = "failed"


class Result(Struct, frozen=True, gc=False):
    """One finished request: its place in the shard, the line for the output or error file (with its newline), the tokens."""

    line: int
    outcome: Outcome
    text: bytes
    usage: Usage | None = None
    model: str | None = None
    region: str = ""
    """Where the backend that answered stands; empty where none did, or nobody has said."""
    mended: bool = False
    """Whether its answer had to be made valid JSON first."""
    parts: tuple[bytes, ...] = ()
    """The line in pieces, in the place of `text`, where it is so large that joining them would cost too much."""
    held: Held | None = None
    """Their place in the memory budget, which is given back when they are durable."""
    seconds: float | None = None
    """How long the call took that brought its answer."""

    @property
    def completed(self) -> bool:
        """Whether it was answered."""
        return self.outcome is Outcome.COMPLETED

    @property
    def size(self) -> int:
        """Bytes of the line."""
        return len(self.text) + sum(map(len, self.parts)) if self.parts else len(self.text)
