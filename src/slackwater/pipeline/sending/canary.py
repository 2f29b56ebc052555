"""The canary: one of our calls at an engine is streamed while others use it, too, so that each step is seen as it happens.

Before: the engine's pacing, which wants to know. After: the listened call (`listening`), whose answer is the same as without.
"""

from collections.abc import Callable

from slackwater.core.sending.request import Request

# Whoever reads a stream of calls to tools may find something else in it than whoever reads all of it at once.
TOOLS = (b'"tools"', b'"functions"', b'"response_format"')


class Canary:
    """Hears one call (the Listener of `listening`), and says how long each of its tokens took."""

    __slots__ = ("_at", "_gap", "_over", "_tokens")

    def __init__(self, gap: Callable[[float, int, float], None], over: Callable[[], None]) -> None:
        """`gap(seconds, tokens, at)` for each chunk with tokens after the first; `over()` once, at the end."""
        self._gap = gap
        self._over = over
        self._at: float | None = None
        self._tokens = 0

    def chunk(self, tokens: int, at: float) -> None:
        """So many tokens so far."""
        if self._at is None or not self._tokens:
            # How long a first token takes says how long its prompt was.
            self._at, self._tokens = at, tokens
            return
        more = tokens - self._tokens
        if more > 0:
            self._gap(at - self._at, more, at)
            self._at, self._tokens = at, tokens

    def ended(self, at: float) -> None:
        """There is no more of it."""
        self._over()


def may_be_streamed(request: Request) -> bool:
    """Whether an answer that is put together from chunks is sure to be the one that would have come whole."""
    return not any(word in request.body for word in TOOLS)
