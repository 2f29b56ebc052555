"""The engines of a world, their doors and their moods, and the backend through which a service calls them.

An engine is there or not, well or sick; a door (a model name at an engine) asks to be left alone, refuses, or lets
everybody in. What is well answers a line by its content.
"""

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from slackwater.core.errors import BackendError, BackendReplyBroken, BackendTimeout, BackendUnreachable, StreamBroken
from slackwater.core.sending.rate_limit_headers import Reading
from slackwater.core.sending.request import Reply
from tests.simulation.content import SECONDS_SLOW, Content, answer, reply_to
from tests.simulation.plan import EnginePlan
from tests.simulation.quotas import SharedQuota
from tests.simulation.streams import streamed

if TYPE_CHECKING:
    from tests.simulation.lives import Incarnation
    from tests.simulation.sending_checks import Call
    from tests.simulation.world import World

# What a request of our own asks.
PROBE = "ping"
LATENCY_MEAN = 0.25
SICKNESSES = ("gone", "500", "hangs up", "silent", "html", "503")
QUOTA = Reply(429, b'{"error":{"code":"insufficient_quota","message":"no money left"}}')


def refusal_of(status: int) -> Reply:
    return Reply(
        status, b'{"error":{"message":"not here"}}', location="http://elsewhere.test/" if status < 400 else None
    )


class WorldDoor:
    """A model name at an engine. Moments are those of the world's loop."""

    def __init__(self, refuses: int | None = None) -> None:
        self.paused_until = 0.0
        self.for_good = None if refuses is None else refusal_of(refuses)
        self.refusal = QUOTA
        self.refuses_until = 0.0
        self.quota: SharedQuota | None = None

    def says(self, now: float) -> Reply | None:
        """What everybody hears who comes now, where it lets nobody in."""
        if self.for_good is not None:
            return self.for_good
        if now < self.refuses_until:
            return self.refusal
        if now < self.paused_until:
            return Reply((429, 503)[int(self.paused_until) % 2], b"", self.paused_until - now)
        return None


class WorldEngine:
    """One upstream."""

    def __init__(self, plan: EnginePlan, number: int) -> None:
        self.name = plan.name
        self.slots = plan.slots
        self.number = number
        self.doors: dict[str, WorldDoor] = {}
        self.sickness = ""
        self.sick_until = 0.0
        self.gone_until = 0.0
        self.deaths = 0
        self.troubles = 0
        """How often something happened to it that is nobody's fault."""
        self.was_blocked = False
        """Whether the account behind one of its doors was ever out of money."""
        # In the order of their beginning, so that a seed can be replayed.
        self._out: dict[asyncio.Future[None], None] = {}

    def fall_sick(self, sickness: str, until: float) -> None:
        """Nothing works until a moment, in this way."""
        self.troubles += 1
        self.sickness, self.sick_until = sickness, until
        if sickness == "gone":
            self.gone_until = until
            self._break("the engine went")

    def die(self, until: float) -> None:
        """What is out breaks off, and nobody listens for a while."""
        self.deaths += 1
        self.gone_until = max(self.gone_until, until)
        self._break("the connection ended")

    def _break(self, why: str) -> None:
        for call in self._out:
            if not call.done():
                call.set_exception(BackendReplyBroken(why, lost=True))

    def recover(self) -> None:
        """Whatever it was, it is over; what was refused for good stays refused."""
        self.sick_until = self.gone_until = 0.0
        for door in self.doors.values():
            door.refuses_until = door.paused_until = 0.0

    def sick(self, now: float) -> str:
        """What is the matter with it, if anything."""
        return self.sickness if now < self.sick_until else ""

    async def work(self, seconds: float) -> None:
        """A call is out for so long. Raises BackendReplyBroken where the engine dies meanwhile."""
        loop = asyncio.get_running_loop()
        call = loop.create_future()
        timer = loop.call_later(seconds, lambda: call.done() or call.set_result(None))
        self._out[call] = None
        try:
            await call
        finally:
            timer.cancel()
            del self._out[call]


class WorldBackend:
    """The way of one deployment to one door, for one life of a service."""

    def __init__(self, life: "Incarnation", engine: WorldEngine, model: str) -> None:
        self._life = life
        self._engine = engine
        self._model = model
        self._door = engine.doors[model]

    async def send(self, path: str, body: bytes, *, heard: Callable[[int], None] | None = None) -> Reply:
        """Answers, at once or in pieces, is slow, fails, is busy, hangs, breaks off, or is not there at all."""
        life, world = self._life, self._life.world
        watch, engine = world.sending, self._engine
        text = json.loads(body)["messages"][0]["content"]
        if not life.alive:
            await life.door()
        if text == PROBE:
            watch.probed(life, engine, self._model)
            await life.door()
            return await self._answer(text, Content.GOOD, None)
        epoch = life.epoch_of_call()
        call = watch.begun(life, engine, self._model, text, epoch)
        try:
            await life.door()
            world.checks.request_was_sent(text, epoch)
            reply = await self._answer(text, world.content(text, engine), call)
            if heard is not None:
                reply = await streamed(world, engine, path, text, reply, heard)
                # Whatever goes wrong with a stream is no answer to the line, which is asked again without one.
                told = (reply.streamed and b'"error"' not in reply.body) or reply.status in (429, 503)
                call.by_content = call.by_content and told
            await life.door()
        except BackendError as error:
            if isinstance(error, StreamBroken):
                call.by_content = False
            watch.broke(call, error)
            raise
        finally:
            watch.over(call)
        watch.answered(call, reply)
        return reply

    async def _answer(self, text: str, content: Content, call: "Call | None") -> Reply:
        world, engine = self._life.world, self._engine
        chance, loop = world.chance, world.loop
        if loop.time() < engine.gone_until:
            raise BackendUnreachable("nobody is there", sent=False)
        said = self._door.says(loop.time())
        if said is not None and not engine.sick(loop.time()):
            await engine.work(0.01)
            return said
        limits: tuple[Reading, ...] = ()
        if self._door.quota is not None:
            admitted, wait, limits = self._door.quota.arrives(loop.time())
            if not admitted:
                await engine.work(0.01)
                return Reply(429, b"", wait, limits=limits)
        sick = engine.sick(loop.time())
        slow = sick == "silent" or content is Content.SLOW
        await engine.work(SECONDS_SLOW if slow else chance.expovariate(1 / LATENCY_MEAN))
        if slow:
            if call is not None:
                call.by_content = not sick
            raise BackendTimeout("no answer in time")
        sick = sick or engine.sick(loop.time())
        if sick:
            return _sick_reply(sick)
        if call is not None:
            call.by_content = True
            if content is Content.KILLER:
                world.sending.killed(call)
                # Long enough for somebody to see it: they ask once a second.
                engine.die(loop.time() + chance.uniform(1.5, 5.0))
        mishap = None if content is Content.KILLER else world.mishap(text)
        if mishap is not None:
            return await self._mishap(mishap)
        reply = Reply(200, answer(text)) if text == PROBE else reply_to(text, content)
        return msgspec.structs.replace(reply, limits=limits) if limits and isinstance(reply, Reply) else reply

    async def _mishap(self, chance: float) -> Reply:
        """Something that befalls one call, whatever it asks."""
        if chance < 0.2:
            await self._engine.work(SECONDS_SLOW)
            raise BackendTimeout("no answer in time")
        if chance < 0.5:
            return Reply(500, b'{"error":{"message":"trouble"}}')
        if chance < 0.8:
            return Reply(429, b'{"error":{"message":"busy"}}')
        raise BackendReplyBroken("half an answer", lost=chance < 0.9)

    async def close(self) -> None:
        """Nothing to close."""


def _sick_reply(sickness: str) -> Reply:
    if sickness == "html":
        return Reply(200, b"<html>sorry</html>")
    if sickness in ("500", "503"):
        return Reply(int(sickness), b'{"error":{"message":"the engine is dead"}}')
    raise BackendReplyBroken("the connection ended", lost=True)


def has_slots(world: "World", engine: WorldEngine) -> int:
    """The limit of an engine: its own, or the largest that a backend names for it."""
    named = [
        backend.concurrency
        for deployment in world.plan.deployments
        for backend in deployment.backends
        if backend.engine == engine.number
    ]
    return engine.slots or max(named, default=0)
