"""Where a long input file is cut, so that each piece is within the limits of a batch. Lines stay whole and in order.

A piece begins and ends with a request. Blank lines lie inside of pieces, where they count as bytes, or between them, and then
they are left out.
"""

from msgspec import Struct

from slackwater.core.errors import InvalidRequest


class PieceLimits(Struct, frozen=True, kw_only=True):
    """What one piece may have; 0 is no limit."""

    requests: int = 0
    bytes: int = 0
    tokens: int = 0


class Piece(Struct, frozen=True, kw_only=True):
    """A run of bytes of the file, and what is in it."""

    offset: int
    length: int
    requests: int
    tokens: int


class Splitter:
    """Takes the requests of a file in order, and knows where to cut."""

    def __init__(self, limits: PieceLimits) -> None:
        self._limits = limits
        self._start = self._end = self._requests = self._tokens = 0
        self.pieces: list[Piece] = []

    def add(self, start: int, end: int, tokens: int, *, line: int) -> None:
        """Adds the request in these bytes of the file. Raises InvalidRequest where it is too large for any piece."""
        limits = self._limits
        for size, most, unit in ((end - start, limits.bytes, "bytes"), (tokens, limits.tokens, "tokens")):
            if most and size > most:
                raise InvalidRequest(
                    f"line {line:,} alone has {size:,} {unit}, and a piece may have {most:,}; shorten the line, or allow more"
                )
        full = (
            (limits.requests and self._requests >= limits.requests)
            or (limits.bytes and end - self._start > limits.bytes)
            or (limits.tokens and self._tokens + tokens > limits.tokens)
        )
        if self._requests and full:
            self.finish()
        if not self._requests:
            self._start = start
        self._end = end
        self._requests += 1
        self._tokens += tokens

    def finish(self) -> None:
        """Ends the piece, if there is one."""
        if self._requests:
            self.pieces.append(
                Piece(
                    offset=self._start,
                    length=self._end - self._start,
                    requests=self._requests,
                    tokens=self._tokens,
                )
            )
            self._requests = self._tokens = 0
