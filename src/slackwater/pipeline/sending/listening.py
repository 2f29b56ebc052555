"""Calls that somebody listens to: they are streamed, so that the gaps between chunks show how long a step of the engine takes.

Before: the dispatcher, where its engine has somebody who wants that. After: its reply, which is the same as without a stream.
What must hold: listening never costs a line an attempt, and never decides what a line says. What a stream leaves in doubt (an
error that would end the line, an answer that is not whole although the stream has ended) is asked for again without one, at once.
"""

from collections.abc import Callable
from typing import Protocol

from slackwater.core.errors import BackendError, BackendReplyBroken, BackendUnreachable, StreamBroken
from slackwater.core.sending.answer_kinds import Answer, ErrorInside, Unreadable
from slackwater.core.sending.answers import read_answer
from slackwater.core.sending.door import Door
from slackwater.core.sending.engine_names import backend_label
from slackwater.core.sending.evidence import Kind, evidence_of
from slackwater.core.sending.likeness import Likeness
from slackwater.core.sending.request import Reply, Request
from slackwater.core.sending.streaming import Form, Streaming, asks_to_stream
from slackwater.pipeline.sending.large_answers import LARGE_BYTES
from slackwater.ports import Backend, Clock
from slackwater.telemetry import BackendMeter, counters, event

# Of larger answers nobody learns.
SAMPLE_BYTES = 1 << 16
# Not in any string: its quotes would be escaped.
CHOICES = b'"choices":['
# Larger ones are not read here: the event loop would stand still.
READ_BYTES = LARGE_BYTES


class Listener(Protocol):
    """Hears how one call gets on. Moments are those of the clock's `monotonic`. It must not raise, or wait."""

    def chunk(self, tokens: int, at: float) -> None:
        """A part of the answer has come, or several at once: so many tokens so far. The first time is the first chunk.

        The first may bring no token (it often has the role alone), and of later ones the number may be the same.
        """
        ...

    def ended(self, at: float) -> None:
        """There are no more: the call is over, however it ended, or it could not be streamed."""
        ...


Wants = Callable[[Door, Request], Listener | None]
"""Asked before each call that may be streamed; who listens to this one, if anybody."""


class ListenedCalls:
    """The calls of one backend at an engine where somebody listens."""

    def __init__(self, name: str, backend: Backend, door: Door, clock: Clock, streaming: Streaming) -> None:
        """`name` is the backend's; `streaming` is what is known of streams there."""
        self._name = name
        self._backend = backend
        self._door = door
        self._clock = clock
        self._streaming = streaming
        self._likeness: dict[str, Likeness] = {}

    async def send(self, request: Request, body: bytes, wants: Wants, meter: BackendMeter) -> Reply:
        """One call, as `Backend.send` makes it. Where there is a second one, `meter` hears of it."""
        form = self._streaming.form(self._clock.monotonic())
        listener = None if form is Form.PLAIN else wants(self._door, request)
        if listener is None:
            return await self._plain(request.path, body)
        asking = asks_to_stream(body, request.path, continuous=form is Form.CONTINUOUS)
        if asking is None:
            listener.ended(self._clock.monotonic())
            return await self._plain(request.path, body)
        reply = await self._streamed(listener, request.path, asking)
        if reply is not None:
            reply = self._unstreamed(reply, request.path)
            if reply is not None and not self._doubtful(reply):
                return reply
        counters["requests_sent"] += 1
        meter.sent += 1
        plain = await self._plain(request.path, body)
        if reply is not None and 200 <= plain.status < 300:
            self._streaming.refused(reply.body, self._clock.monotonic())
            event("stream_refused", backend=backend_label(self._name), status=reply.status)
        return plain

    async def _streamed(self, listener: Listener, path: str, asking: bytes) -> Reply | None:
        """The reply to a request for a stream; None where it came as one and was no whole answer."""
        clock = self._clock
        try:
            return await self._backend.send(
                path, asking, heard=lambda tokens: listener.chunk(tokens, clock.monotonic())
            )
        except StreamBroken as error:
            self._broke(str(error))
            return None
        except BackendUnreachable:
            # It was not sent, and says nothing of streams.
            raise
        except BackendError as error:
            # It may be the engine's end, or only that of streams: nobody else's attempts are risked to find out. What would be
            # the same each time, such as an answer without end, is asked for once more, without one.
            self._broke(str(error))
            if isinstance(error, BackendReplyBroken) and error.final:
                return None
            raise
        finally:
            listener.ended(clock.monotonic())

    def _broke(self, reason: str) -> None:
        self._streaming.broke(self._clock.monotonic())
        event("stream_broke", backend=backend_label(self._name), reason=reason)

    async def _plain(self, path: str, body: bytes) -> Reply:
        reply = await self._backend.send(path, body)
        small = reply.status == 200 and len(reply.body) <= SAMPLE_BYTES
        if small and path not in self._likeness and isinstance(read_answer(reply.body, path=path), Answer):
            self._likeness[path] = Likeness(reply.body)
        return reply

    def _unstreamed(self, reply: Reply, path: str) -> Reply | None:
        """The reply as it would have come without a stream; None where nobody can tell."""
        if len(reply.body) > READ_BYTES or not (reply.streamed or 200 <= reply.status < 300):
            return reply
        read = read_answer(reply.body, path=path)
        if not reply.streamed:
            # Who answers without a stream answers; what is no answer may be one to the stream alone.
            if not isinstance(read, Answer):
                self._broke("it has no answer where a stream was asked for")
                return None
            return reply
        if isinstance(read, ErrorInside) and CHOICES not in reply.body:
            # It came too late for the status. Without a stream it would have had it.
            return Reply(read.status, read.body, read.retry_after)
        if isinstance(read, ErrorInside):
            # An answer that says so itself does without a stream, too.
            return reply
        if not isinstance(read, Answer) or read.usage is None:
            # An engine that knows no `stream_options` leaves out the usage, without a word.
            self._broke("the stream has no answer in it" if isinstance(read, Unreadable) else "the stream has no usage")
            return None
        if (likeness := self._likeness.get(path)) is None:
            return reply
        return Reply(reply.status, likeness.given_to(reply.body), held=reply.held)

    def _doubtful(self, reply: Reply) -> bool:
        """Whether a refusal would be what the line says: it may be about the stream."""
        if 200 <= reply.status < 300:
            return False
        said = evidence_of(reply.status, reply.body, retry_after=reply.retry_after, dropped=reply.dropped)
        # Whoever is busy says that whatever is asked. Everything else may be about the stream, whatever its status.
        return said.kind is not Kind.BUSY
