"""Calls whose long prompts go in slices, where the engine is shared with others (core/sending/slices.py).

Before: the dispatcher, where its engine's pacing says so. After: the call itself, which is the same as without.
What must hold: slices never decide what a line says, and nothing that an engine has against a slice costs the line an attempt: it
goes whole, and where that is taken, slices rest. Only where the engine is busy it is left alone first, as it asks.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
from msgspec import Struct

from slackwater.core.errors import BackendReplyBroken, BackendTimeout, BackendUnreachable
from slackwater.core.sending.engine_names import backend_label
from slackwater.core.sending.evidence import Kind, evidence_of
from slackwater.core.sending.lines import UsageSaid, usage_of
from slackwater.core.sending.request import Reply
from slackwater.core.sending.slices import Cuts, cuts_of
from slackwater.core.sending.slicing import SliceRefusals, next_cut
from slackwater.ports import Backend, Clock
from slackwater.telemetry import BackendMeter, event

# Larger requests go whole: the event loop would stand still while they are cut.
CUT_BYTES = 1 << 20
# What proxies say for an engine that is not there, Cloudflare's included. An engine that works and fails says 500.
STANDING_BEFORE = frozenset({502, 503, 504, *range(520, 528), 530})
# An engine that says so often in a row that it is busy is asked for a whole request: perhaps it says that of slices only.
BUSY_MAX = 3


class Ahead(Protocol):
    """A prompt of which the engine reads one slice after the other. Counts are tokens."""

    tokens: float
    """About how many it has."""

    @property
    def slice(self) -> int:
        """So many may be read at once; 0 for all of them."""
        ...

    def found(self, tokens: float, before: float) -> None:
        """A slice with so many tokens goes, and so many of them went with the one before it."""
        ...

    def rest(self, tokens: float, before: float) -> None:
        """The request itself goes, after slices with so many of its tokens; with none, it goes whole."""
        ...


class _Answer(Struct):
    usage: UsageSaid | None = None


_answer = msgspec.json.Decoder(_Answer).decode


class _Gone(Struct, frozen=True):
    """How the slices of a request went."""

    refused: str = ""
    """Of the role at which one was not taken; empty for none."""
    broke: BackendReplyBroken | None = None
    """What broke off at it."""


class SlicedCalls:
    """Those of one backend."""

    def __init__(self, name: str, backend: Backend, clock: Clock) -> None:
        """`name` is the backend's."""
        self._name = name
        self._backend = backend
        self._clock = clock
        self._refusals = SliceRefusals()
        # How many slices in a row were answered that the engine is busy.
        self._busy = 0

    async def send(
        self, path: str, body: bytes, ahead: Ahead, meter: BackendMeter, whole: Callable[[], Awaitable[Reply]]
    ) -> Reply:
        """Sends the slices of a request, and then the request itself, by `whole`. Raises BackendError as that does."""
        cuts = cuts_of(body, path) if len(body) <= CUT_BYTES else None
        if cuts is None:
            ahead.rest(ahead.tokens, 0.0)
            return await whole()
        gone = await self._slices(path, cuts, ahead, meter)
        if isinstance(gone, Reply):
            return gone
        try:
            reply = await whole()
        except BackendUnreachable:
            if gone.broke is None:
                raise
            # The engine has died of the slice, as it would have of the request.
            raise gone.broke from None
        if gone.broke is not None and reply.status in STANDING_BEFORE:
            # There is only what stands before it. Any other answer is the engine's own to the whole request, as without slices.
            raise gone.broke
        if gone.refused and 200 <= reply.status < 300:
            self._refusals.refused(gone.refused, self._clock.monotonic())
            event("slices_refused", backend=backend_label(self._name), role=gone.refused)
        return reply

    async def _slices(self, path: str, cuts: Cuts, ahead: Ahead, meter: BackendMeter) -> "Reply | _Gone":
        """Sends them. A reply that is returned ends the request."""
        # What is begun goes on while others wait, too: what waits is pushed out of the cache, and read in one piece after that.
        tokens, sent, chars, gone = ahead.tokens, 0.0, 0, _Gone()
        while (upto := next_cut(sent, tokens, ahead.slice)) is not None:
            role = cuts.role(int(cuts.chars * upto / tokens))
            if not self._refusals.takes(role, self._clock.monotonic()):
                break
            body, reached = cuts.slice(int(cuts.chars * upto / tokens))
            if reached <= chars:
                break
            ahead.found(upto, sent)
            meter.slices += 1
            try:
                reply = await self._backend.send(path, body)
            except BackendReplyBroken as error:
                # Whatever was the matter with the slice, the request itself has not been tried.
                gone = _Gone() if error.final else _Gone(role, error)
                break
            except BackendTimeout:
                gone = _Gone(role)
                break
            if not 200 <= reply.status < 300:
                busy = evidence_of(reply.status, reply.body, retry_after=reply.retry_after).kind is Kind.BUSY
                self._busy = self._busy + 1 if busy else 0
                if busy and self._busy < BUSY_MAX:
                    return reply
                gone = _Gone(role)
                break
            self._busy = 0
            meter.slice_tokens += _computed(reply, sent, upto)
            sent, chars = upto, reached
        ahead.rest(tokens, sent)
        return gone


def _computed(reply: Reply, sent: float, upto: float) -> int:
    """The tokens that an engine has computed for a slice: what was new of its prompt, and its answer."""
    try:
        said = _answer(reply.body).usage
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        said = None
    if said is None:
        return int(upto - sent) + 1
    usage = usage_of(said)
    return max(0, usage.input_tokens - (usage.cached_tokens or int(sent))) + usage.output_tokens
