"""The engines of several servers: what is out there is counted there, also for who stands still or is gone."""

import asyncio
import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from slackwater.core.errors import BackendError, BackendReplyBroken, BackendTimeout, BackendUnreachable
from slackwater.core.sending.request import Reply
from tests.simulation.content import Content, answer, reply_to
from tests.simulation.servers.database import HANGS, REFUSES, UP
from tests.simulation.servers.plan import EnginePlan, Mood

if TYPE_CHECKING:
    from tests.simulation.servers.server import Server
    from tests.simulation.servers.world import World

PROBE = "ping"
WIRE_SECONDS = 0.02
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 60.0


class Call:
    """A request on its way, at the engine, or on its way back."""

    __slots__ = ("answer", "at", "engine", "epoch", "out", "server", "text")

    def __init__(self, server: "Server", engine: "Upstream", text: str, epoch: int) -> None:
        self.server = server
        self.engine = engine
        self.text = text
        self.epoch = epoch
        self.out = False
        self.at = 0.0
        self.answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()


class Upstream:
    """One engine."""

    def __init__(self, world: "World", plan: EnginePlan, number: int) -> None:
        self.world = world
        self.name = plan.name
        self.limit = plan.slots
        self.seconds = plan.seconds
        self.number = number
        self.out: dict[Call, None] = {}
        self.out_max = 0
        self.gone_until = 0.0
        self.deaths = 0

    def arrives(self, call: Call) -> None:
        """A request has come through."""
        world = self.world
        if call.answer.cancelled():
            # Its connection was closed before.
            return
        if world.time < self.gone_until:
            self._says(call, BackendUnreachable("nobody is there", sent=False))
            return
        call.out, call.at = True, world.time
        if call.text != PROBE:
            self.out[call] = None
            self.out_max = max(self.out_max, len(self.out))
            world.sending.arrived(call)
        world.at(world.chance.uniform(*self.seconds), functools.partial(self._ends, call))

    def _ends(self, call: Call) -> None:
        if not call.out:
            return
        world = self.world
        content = Content.GOOD if call.text == PROBE else world.lines[call.text]
        self._over(call)
        if content is Content.KILLER:
            world.sending.killed(call)
            self._dies()
        mishap = None if content is Content.KILLER else world.mishap(call.text)
        said: Reply | BackendError
        if mishap is not None:
            said = Reply(500, b'{"error":{"message":"trouble"}}') if mishap < 0.5 else Reply(429, b"", mishap)
        elif call.text == PROBE:
            said = Reply(200, answer(PROBE))
        else:
            try:
                said = reply_to(call.text, content)
            except BackendError as error:
                said = error
        self._says(call, said)

    def _over(self, call: Call) -> None:
        call.out = False
        self.out.pop(call, None)

    def _dies(self) -> None:
        self.deaths += 1
        # Long enough for somebody to see it: they ask once a second.
        self.gone_until = self.world.time + self.world.chance.uniform(1.5, 5.0)
        for call in list(self.out):
            self._over(call)
            self._says(call, BackendReplyBroken("the connection ended", lost=True))

    def _says(self, call: Call, said: Reply | BackendError) -> None:
        self.world.at(self.world.chance.uniform(0.0, WIRE_SECONDS), functools.partial(self._comes, call, said))

    def _comes(self, call: Call, said: Reply | BackendError) -> None:
        server = call.server
        if server.way_to(self) == HANGS:
            # It is lost on the way, and whoever waits gives up some time.
            self.world.at(ANSWER_SECONDS, functools.partial(self._tell, call, BackendTimeout("no answer in time")))
        elif server.way_to(self) == REFUSES:
            self._tell(call, BackendReplyBroken("the connection was reset", lost=True))
        else:
            self._tell(call, said)

    def _tell(self, call: Call, said: Reply | BackendError) -> None:
        def hears() -> None:
            if call.answer.done():
                return
            if isinstance(said, BackendError):
                call.answer.set_exception(said)
            else:
                self.world.sending.answered(call, said)
                call.answer.set_result(said)

        call.server.process.inside(hears)

    def breaks_off(self, call: Call) -> None:
        """Its connection was closed, and that has come through."""
        if call.out:
            self._over(call)

    def closed(self, server: "Server") -> None:
        """So were all of a process that has ended."""
        for call in [call for call in self.out if call.server is server]:
            self.breaks_off(call)


class FarBackend:
    """The way of one server to one engine."""

    def __init__(self, server: "Server", engine: Upstream) -> None:
        self._server = server
        self._engine = engine

    async def send(self, path: str, body: bytes, *, heard: Callable[[int], None] | None = None) -> Reply:
        """Whatever comes back. What has been sent arrives, whatever becomes of who sent it."""
        server, engine = self._server, self._engine
        world = server.world
        text = json.loads(body)["messages"][0]["content"]
        call = Call(server, engine, text, 0 if text == PROBE else server.epoch_of_call())
        if text != PROBE:
            world.sending.sent(call)
        way = server.way_to(engine)
        if way == HANGS:
            await asyncio.sleep(CONNECT_SECONDS)
        if way != UP:
            raise BackendUnreachable("no way to it", sent=False)
        world.at(world.chance.uniform(0.0, WIRE_SECONDS), functools.partial(engine.arrives, call))
        try:
            return await call.answer
        except asyncio.CancelledError:
            call.answer.cancel()
            world.at(WIRE_SECONDS, functools.partial(engine.breaks_off, call))
            raise

    async def close(self) -> None:
        """Nothing to close."""


def has_mishaps(world: "World") -> bool:
    """Whether calls fail by themselves now."""
    return not world.calm and Mood.MISHAPS in world.plan.troubles
