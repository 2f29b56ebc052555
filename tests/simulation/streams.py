"""Calls of the world that are streamed: how an engine sends its answer in pieces, and who listens.

A stream may go wrong in the middle in its own ways. Nobody is to see in a result that there was one.
"""

import json
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from slackwater.core.errors import BackendReplyBroken, BackendTimeout
from slackwater.core.sending.assembling import Assembling
from slackwater.core.sending.door import Door
from slackwater.core.sending.request import Reply, Request
from tests.simulation.content import SECONDS_SLOW

if TYPE_CHECKING:
    from tests.simulation.engines import WorldEngine
    from tests.simulation.world import World

# One in so many lines is listened to, always the same ones.
LISTENED = 3
STEP_SECONDS = 0.01
# What a stream ends with that goes wrong in the middle.
BROKE_OFF = b'{"error":{"message":"trouble in the middle","code":500}}'


class WorldListener:
    """Somebody who wants to know how long a step takes, and minds the order in which it is told."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._tokens = 0
        self._at = world.loop.time()
        self._over = False
        world.listeners["begun"] += 1

    def chunk(self, tokens: int, at: float) -> None:
        if self._over or tokens < self._tokens or at < self._at:
            self._world.checks.note(f"a listener heard of {tokens} tokens at {at}, after {self._tokens} at {self._at}")
        self._tokens, self._at = tokens, at

    def ended(self, at: float) -> None:
        if self._over or at < self._at:
            self._world.checks.note("a listener heard twice of an end")
        self._over = True
        self._world.listeners["ended"] += 1


def wants_of(world: "World") -> Callable[[Door, Request], WorldListener | None]:
    """Who listens to the calls of an engine of the world."""

    def wants(door: Door, request: Request) -> WorldListener | None:
        return WorldListener(world) if zlib.crc32(request.body) % LISTENED == 0 else None

    return wants


async def streamed(
    world: "World", engine: "WorldEngine", path: str, text: str, reply: Reply, heard: Callable[[int], None]
) -> Reply:
    """The reply of an engine that was asked for a stream: in pieces, where it is an answer, or an error inside one."""
    try:
        whole = json.loads(reply.body)
    except ValueError:
        return reply
    if reply.status != 200 or not isinstance(whole, dict):
        return reply
    answer = Assembling(path)
    mishap = world.mishap(text)
    for place, event in enumerate(_events(whole)):
        await engine.work(STEP_SECONDS)
        if mishap is not None and place == 2:
            world.listeners["mishaps"] += 1
            if mishap < 0.25:
                await engine.work(SECONDS_SLOW)
                raise BackendTimeout("nothing more of the answer in time")
            if mishap < 0.5:
                event = b"data: " + BROKE_OFF + b"\n\n"
            elif mishap < 0.75:
                raise BackendReplyBroken("the connection was closed inside the answer", lost=True)
            else:
                break
        answer.feed(event)
        heard(answer.tokens)
    body = answer.whole()
    world.listeners["streamed"] += 1
    return Reply(200, body, streamed=True)


def _events(whole: dict[str, Any]) -> list[bytes]:
    choices = whole.pop("choices", None) or []
    if "error" in whole or whole.get("object") == "error":
        return [_event({"choices": [_choice({"role": "assistant", "content": "half"})]}), _event(whole)]
    usage = whole.pop("usage", None)
    events = []
    for choice in choices:
        message = choice["message"]
        events.append(_event(whole | {"choices": [_choice({"role": message["role"], "content": ""})]}))
        events += [_event(whole | {"choices": [_choice({"content": each})]}) for each in message["content"]]
        events.append(_event(whole | {"choices": [_choice({}, choice["finish_reason"])]}))
    return [*events, _event(whole | {"choices": [], "usage": usage}), b"data: [DONE]\n\n"]


def _choice(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": reason}


def _event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"
