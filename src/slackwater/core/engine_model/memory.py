"""An engine's KV memory: what active requests hold, and the prefixes that are kept in the rest until room is needed.

A shared segment is counted once, however many requests use it. What nobody uses stays as long as there is room and goes in
the order in which it was left (LRU), the tail of a prompt before its head.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator

from slackwater.core.engine_model.requests import EngineRequest, State


class _Resident:
    """A segment in memory: its tokens, and how many active requests use it."""

    __slots__ = ("pins", "tokens")

    def __init__(self, tokens: int, pins: int) -> None:
        self.tokens = tokens
        self.pins = pins


class KvMemory:
    """`capacity` tokens, of which `held` belong to active requests and `idle` to prefixes that nobody uses now."""

    def __init__(self, capacity: int, *, prefix_cache: bool = True) -> None:
        self.capacity = capacity
        self.held = 0
        self.idle = 0
        self._prefix_cache = prefix_cache
        self._resident: dict[Hashable, _Resident] = {}
        self._unused: OrderedDict[Hashable, None] = OrderedDict()

    @property
    def free(self) -> int:
        """Tokens that can be had: idle prefixes make room."""
        return self.capacity - self.held

    def attach(self, request: EngineRequest) -> None:
        """Looks for the request's prefix, pins what is found, and says so in `cached_tokens`."""
        request.pinned, request.private_tokens, request.cached_tokens, request.published = {}, 0, 0, 0
        if not self._prefix_cache:
            return
        for segment, tokens in _spans(request, request.generated):
            resident = self._resident.get(segment)
            if resident is None:
                break
            if resident.pins == 0:
                del self._unused[segment]
                self.idle -= resident.tokens
                self.held += resident.tokens
            resident.pins += 1
            request.pinned[segment] = None
            found = min(resident.tokens, tokens)
            request.cached_tokens += found
            if found < tokens:
                break
        # At least one token has to be computed, or there is nothing to sample from.
        request.cached_tokens = min(request.cached_tokens, request.prompt_tokens + request.generated - 1)

    def hold(self, request: EngineRequest, tokens: int) -> None:
        """The request takes room of its own. It has been made before (`free`)."""
        self.held += tokens
        request.private_tokens += tokens

    def publish(self, request: EngineRequest) -> None:
        """Computed segments become hits for others at once, as vLLM caches whole blocks when they are scheduled."""
        if not self._prefix_cache:
            return
        end = sum(tokens for _, tokens in request.segments[: request.published])
        for segment, tokens in request.segments[request.published : -1]:
            end += tokens
            if end > request.computed:
                break
            request.published += 1
            if segment not in self._resident and request.private_tokens >= tokens:
                self._resident[segment] = _Resident(tokens, 1)
                request.pinned[segment] = None
                request.private_tokens -= tokens

    def release(self, request: EngineRequest) -> None:
        """Takes back all that the request held; what it has computed stays as an idle prefix."""
        own = request.private_tokens
        self.held -= own
        grown = 0
        if self._prefix_cache and request.segments:
            decoding = request.state is State.DECODING
            last = request.segments[-1][0]
            kept: list[tuple[Hashable, int]] = []
            begin = 0
            for segment, tokens in _spans(request, max(0, request.generated - 1) if decoding else 0):
                there = tokens if decoding else min(tokens, max(0, request.computed - begin))
                if segment in request.pinned:
                    grown = there if segment == last else grown
                else:
                    there = min(there, own)
                    if there > 0 and segment not in self._resident:
                        kept.append((segment, there))
                        own -= there
                begin += tokens
            for segment, tokens in reversed(kept):
                self._resident[segment] = _Resident(tokens, 0)
                self._leave(segment, tokens)
            for segment in reversed(request.pinned):
                self._unpin(segment, grown if segment == last else 0)
        request.pinned, request.private_tokens = {}, 0
        self.trim()

    def _unpin(self, segment: Hashable, grown: int) -> None:
        resident = self._resident[segment]
        resident.pins -= 1
        if resident.pins == 0:
            self.held -= resident.tokens
            # The request's own room went back just now; the end of its prompt stays where nobody else looks at it.
            resident.tokens = max(resident.tokens, grown)
            self._leave(segment, resident.tokens)

    def _leave(self, segment: Hashable, tokens: int) -> None:
        self._unused[segment] = None
        self.idle += tokens

    def trim(self) -> None:
        """Drops idle prefixes until everything fits."""
        over = self.held + self.idle - self.capacity
        while over > 0 and self._unused:
            segment = next(iter(self._unused))
            resident = self._resident[segment]
            taken = min(resident.tokens, over)
            resident.tokens -= taken
            self.idle -= taken
            over -= taken
            if resident.tokens == 0:
                del self._resident[segment], self._unused[segment]

    def clear(self) -> None:
        """Everything is gone: the engine has died."""
        self.held = self.idle = 0
        self._resident.clear()
        self._unused.clear()


def _spans(request: EngineRequest, generated: int) -> Iterator[tuple[Hashable, int]]:
    """The request's segments, of which the last one goes on into what it has generated."""
    yield from request.segments[:-1]
    if request.segments:
        segment, tokens = request.segments[-1]
        yield segment, tokens + generated
