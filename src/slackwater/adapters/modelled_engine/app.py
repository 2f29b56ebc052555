"""The paths of a modelled engine: OpenAI's for completions, and vLLM's for health and metrics."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any
from uuid import uuid4

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from slackwater.adapters.modelled_engine.answers import Choice, Shape, error_of, text_of, usage_of
from slackwater.adapters.modelled_engine.metrics_page import page
from slackwater.adapters.modelled_engine.prompts import Asked, Refused, asked_of, draw, segments_of, tokens_of
from slackwater.adapters.modelled_engine.shipped import trace_named
from slackwater.adapters.modelled_engine.timed_engine import Call, TimedEngine, has_tokens
from slackwater.core.engine_model import EngineRequest

RETRY_AFTER_SECONDS = 1
# What nginx logs for a client that did not wait; nobody reads it.
CLIENT_LEFT = 499
BODY_BYTES_MAX = 64 * 2**20
JSON, EVENTS, PAGE = "application/json", "text/event-stream; charset=utf-8", "text/plain; version=0.0.4; charset=utf-8"


def engine_app(engine: TimedEngine, *, seed: int, max_waiting: int | None = None) -> Starlette:
    """The engine as an ASGI app. With `max_waiting` a call is answered with 429 while so many requests wait."""
    profile = engine.model.profile
    # How long answers are where a call does not say it.
    lengths = tuple(arrival.output_tokens for arrival in trace_named("azure-conv").arrivals)

    async def answer(request: Request) -> ASGIApp:
        chat = request.url.path.endswith("/chat/completions")
        try:
            asked = asked_of(await _body(request), chat=chat)
            requests = _requests(asked, lengths)
        except Refused as refused:
            return _error(400, str(refused), "BadRequestError", param=refused.param)
        if max_waiting is not None and len(engine.model.waiting) >= max_waiting:
            said = f"{len(engine.model.waiting)} requests wait already. Try again later."
            return _error(429, said, "rate_limit_error", headers={"retry-after": str(RETRY_AFTER_SECONDS)})
        call = engine.call(requests, streamed=asked.stream)
        shape = Shape(chat=chat, identity=uuid4().hex, model=asked.model or profile.name)
        return (_Streamed if asked.stream else _Whole)(engine, call, asked, shape)

    def _requests(asked: Asked, lengths: Sequence[int]) -> list[EngineRequest]:
        requests = []
        for prompt in asked.prompts:
            tokens = tokens_of(prompt)
            for index in range(asked.choices):
                name = uuid4().hex
                output = asked.max_tokens or draw(lengths, seed=seed, prompt=prompt, index=index)
                if tokens + output > profile.kv_tokens:
                    said = f"This model's maximum context length is {profile.kv_tokens} tokens. However, you requested"
                    raise Refused(f"{said} {output} output tokens and your prompt contains {tokens} input tokens.")
                requests.append(
                    EngineRequest(
                        id=name,
                        prompt_tokens=tokens,
                        output_tokens=output,
                        segments=segments_of(prompt, block_tokens=profile.block_tokens, salt=asked.salt, unique=name),
                        priority=asked.priority,
                    )
                )
        return requests

    async def models(_: Request) -> Response:
        entry = {"id": profile.name, "object": "model", "created": 0, "owned_by": "slackwater"}
        # Whoever looks whether a model is there need not be told that it is not.
        body = {"object": "list", "data": [{**entry, "max_model_len": profile.kv_tokens}], "any_model": True}
        return Response(msgspec.json.encode(body), media_type=JSON)

    async def health(_: Request) -> Response:
        return Response()

    async def metrics(_: Request) -> Response:
        return Response(page(engine.model, name=profile.name), media_type=PAGE)

    async def online(request: Request) -> Response:
        if engine.traffic is None:
            return _error(404, "There is no online traffic; start the engine with --online KIND:RATE.", "NotFoundError")
        after = request.query_params.get("after", "0")
        if not (after.isascii() and after.isdecimal() and len(after) < 10):
            said = f"after is how many requests are to be over, a whole number, not {after[:40]!r}."
            return _error(400, said, "BadRequestError", param="after")
        if await _left(request, engine.traffic.until(int(after))):
            return Response(status_code=CLIENT_LEFT)
        report = {**engine.traffic.report(), "behind_seconds": round(engine.behind_seconds, 3)}
        return Response(msgspec.json.encode(report), media_type=JSON)

    return Starlette(
        routes=[
            Route("/v1/chat/completions", answer, methods=["POST"]),
            Route("/v1/completions", answer, methods=["POST"]),
            Route("/v1/models", models),
            Route("/health", health),
            Route("/metrics", metrics),
            Route("/sim/online", online),
        ]
    )


async def _left(request: Request, waited: Coroutine[Any, Any, None]) -> bool:
    """Whether the client has gone before that was over."""
    waiting = asyncio.ensure_future(waited)
    leaving = asyncio.ensure_future(request.receive())
    try:
        while not waiting.done():
            await asyncio.wait((waiting, leaving), return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                if leaving.result()["type"] == "http.disconnect":
                    return not waiting.done()
                leaving = asyncio.ensure_future(request.receive())
        return False
    finally:
        waiting.cancel()
        leaving.cancel()


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise Refused(f"The body is larger than {BODY_BYTES_MAX} bytes.")
    return bytes(body)


def _error(
    status: int, message: str, kind: str, *, param: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    return Response(error_of(message, kind, status, param), status, headers, media_type=JSON)


class _Answer:
    """An answer that takes its time, and is given up when the client goes."""

    def __init__(self, engine: TimedEngine, call: Call, asked: Asked, shape: Shape) -> None:
        self._engine, self._call, self._asked, self._shape = engine, call, asked, shape
        self._finish = "stop" if asked.max_tokens is None else "length"

    @contextlib.asynccontextmanager
    async def _watched(self, receive: Receive) -> AsyncIterator[None]:
        """Aborts the call when the client goes, and at the end, whatever that is."""

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            self._engine.abort(self._call)

        watching = asyncio.create_task(watch())
        try:
            yield
            if self._call.lost:
                # Its connection has been cut. To return before uvicorn knows that would look like a fault of ours.
                await watching
        finally:
            watching.cancel()
            self._engine.abort(self._call)

    async def _changed(self) -> None:
        await self._call.changed.wait()
        self._call.changed.clear()

    def _usage(self) -> dict[str, object]:
        """Of the call so far. A prompt counts once, however many choices it has."""
        requests = self._call.requests
        prompts = requests[:: self._asked.choices]
        return usage_of(
            sum(request.prompt_tokens for request in prompts),
            sum(request.cached_tokens for request in prompts),
            sum(map(self._engine.model.generated, requests)),
        )


class _Whole(_Answer):
    """All at once, when it is done."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = self._call
        async with self._watched(receive):
            while not call.over:
                await self._changed()
            if call.lost or call.gone:
                return
            choices = [
                Choice(index, text_of(0, request.output_tokens), self._finish)
                for index, request in enumerate(call.requests)
            ]
            await Response(self._shape.whole(choices, self._usage()), media_type=JSON)(scope, receive, send)


class _Streamed(_Answer):
    """A chunk for each step of the engine; where this is late, several tokens in one, as vLLM does."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = self._call
        sent = [0] * len(call.requests)
        async with self._watched(receive):
            while not any(map(has_tokens, call.requests)) and not call.over:
                await self._changed()
            if call.lost or call.gone:
                return
            headers = [(b"content-type", EVENTS.encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while True:
                events = b"".join(self._events(sent))
                if events:
                    await send({"type": "http.response.body", "body": events, "more_body": True})
                if call.over:
                    break
                await self._changed()
            if not (call.lost or call.gone):
                usage = self._usage() if self._asked.usage_at_end else None
                await send({"type": "http.response.body", "body": self._shape.end(usage)})

    def _events(self, sent: list[int]) -> list[bytes]:
        events = []
        usage = self._usage() if self._asked.usage_always else None
        for index, request in enumerate(self._call.requests):
            have = self._engine.model.generated(request)
            if have <= sent[index]:
                continue
            if sent[index] == 0:
                events.append(self._shape.begin(index, usage))
            finish = self._finish if have == request.output_tokens else None
            events.append(self._shape.chunk(Choice(index, text_of(sent[index], have), finish), usage))
            sent[index] = have
        return events
