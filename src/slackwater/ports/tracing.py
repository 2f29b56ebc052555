"""Whoever collects traces. Where nobody does there is no Tracing at all, and what would call it is not built."""

from collections.abc import Mapping
from enum import Enum
from typing import Protocol


class SpanKind(Enum):
    """Who waits for what: we answer a call, we make one, or we work by ourselves."""

    SERVER = "server"
    CLIENT = "client"
    INTERNAL = "internal"


class Span(Protocol):
    """Something that takes time. It is sent away after its end, and never holds prompts, answers or keys."""

    @property
    def traceparent(self) -> str:
        """Its name for others, as the header of W3C Trace Context."""
        ...

    def note(self, attributes: Mapping[str, str | int | float]) -> None:
        """Says more about it."""
        ...

    def fail(self, reason: str) -> None:
        """It did not go well; `reason` is a code or the name of a class, not a message."""
        ...

    def end(self) -> None:
        """It is over. Nothing can be added after that."""
        ...


class Tracing(Protocol):
    """Makes spans of what is sampled. Every method is quick and raises nothing: a trace is never worth a request."""

    def begin(
        self,
        name: str,
        kind: SpanKind,
        *,
        parent: str | None = None,
        link: str | None = None,
        attributes: Mapping[str, str | int | float],
    ) -> Span | None:
        """A span that begins now, or None where this one is not sampled.

        `parent` is the traceparent of a caller, which decides whether there is a span; without one, a share of all is
        sampled. `link` is that of something which this was caused by without being a part of it.
        """
        ...

    async def close(self) -> None:
        """Sends what has not been sent, within a bounded time."""
        ...
