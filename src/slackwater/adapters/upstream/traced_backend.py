"""A backend whose calls are traced, put before the real one. Without tracing it is not there, and nothing pays for it.

The names of attributes are those of OpenTelemetry's conventions for calls of generative models. Never prompts or answers.
"""

import asyncio
import urllib.parse
from collections.abc import Callable

import msgspec
from msgspec import Struct

from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.core.errors import BackendError
from slackwater.core.sending.answer_kinds import Answer, ErrorInside
from slackwater.core.sending.answers import read_answer
from slackwater.core.sending.binary_answers import BINARY
from slackwater.core.sending.request import Reply
from slackwater.ports import Backend, Metered, Polled, Span, SpanKind, Tracing
from slackwater.telemetry import origin_of, work_in_hand

OPERATIONS = {
    "/chat/completions": "chat",
    "/completions": "text_completion",
    "/responses": "chat",
    "/embeddings": "embeddings",
    "/messages": "chat",
}
# Of a backend that has nothing to be asked for.
NOTHING_THERE = Reply(404, b"")
# A model's name in a request is a user's text.
NAME_MAX = 200


class _Body(Struct):
    model: str = ""


_body = msgspec.json.Decoder(_Body)


class TracedBackend:
    """Begins a span for those calls that are sampled, and sends its name along."""

    def __init__(self, backend: Backend, tracing: Tracing, *, url: str) -> None:
        """`url` is where the backend is; empty for the built-in one."""
        self._backend = backend
        self._tracing = tracing
        place = urllib.parse.urlsplit(url)
        self._place: dict[str, str | int | float] = {}
        if place.hostname:
            port = place.port or (443 if place.scheme == "https" else 80)
            self._place = {"server.address": place.hostname, "server.port": port}

    async def send(self, path: str, body: bytes, *, heard: Callable[[int], None] | None = None) -> Reply:
        """One call, as the backend makes it."""
        work = work_in_hand.get()
        operation = OPERATIONS.get(path, path.strip("/"))
        span = self._tracing.begin(
            operation,
            SpanKind.CLIENT,
            link=None if work is None else origin_of(work.batch_id),
            attributes={"gen_ai.operation.name": operation, "gen_ai.provider.name": "openai", **self._place},
        )
        if span is None:
            return await self._backend.send(path, body, heard=heard)
        if work is not None:
            span.note({"slackwater.deployment": work.deployment, "slackwater.batch.id": work.batch_id})
            if work.attempts > 1:
                span.note({"http.request.resend_count": work.attempts - 1})
        _note_model(span, body)
        try:
            if isinstance(self._backend, HttpBackend):
                more = b"traceparent: %b\r\n" % span.traceparent.encode()
                reply = await self._backend.send_with(path, body, more, heard=heard)
            else:
                reply = await self._backend.send(path, body, heard=heard)
            _note_reply(span, path, reply)
            return reply
        except BackendError as error:
            span.fail(error.code)
            raise
        except asyncio.CancelledError:
            span.fail("aborted")
            raise
        finally:
            span.end()

    async def get(self, path: str) -> Reply:
        """One GET, for a call that is traced already."""
        if not isinstance(self._backend, Polled):
            return NOTHING_THERE
        return await self._backend.get(path)

    async def metrics(self) -> Reply | None:
        """The metrics page of the server, where it may have one. That is no call of anybody's batch."""
        return await self._backend.metrics() if isinstance(self._backend, Metered) else None

    async def close(self) -> None:
        """Ends idle connections."""
        await self._backend.close()


def _note_model(span: Span, body: bytes) -> None:
    try:
        model = _body.decode(body).model[:NAME_MAX]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    span.note({"gen_ai.request.model": model})


def _note_reply(span: Span, path: str, reply: Reply) -> None:
    span.note({"http.response.status_code": reply.status})
    if not 200 <= reply.status < 300:
        span.fail(str(reply.status))
        return
    if path in BINARY and not reply.body.startswith(b"{"):
        # Nothing in sound says who made it.
        return
    answer = read_answer(reply.body, path=path)
    if isinstance(answer, ErrorInside):
        span.fail(str(answer.status))
    if not isinstance(answer, Answer):
        return
    if answer.model is not None:
        span.note({"gen_ai.response.model": answer.model[:NAME_MAX]})
    if (usage := answer.usage) is not None:
        tokens = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        span.note({f"gen_ai.usage.{name}": number for name, number in tokens.items()})
