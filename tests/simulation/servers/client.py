"""Who asks any of the servers for something: a call that is not answered is made again, elsewhere. And who hears of ends."""

import asyncio
import functools
import hashlib
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from slackwater.core.batch import EmptyFiles, Policies, Status, WindowElapsed
from slackwater.core.errors import SendFailed, SlackwaterError, StorageTrouble
from slackwater.core.files.file import File, Purpose
from slackwater.core.sending.pause import Target
from slackwater.core.telling.webhooks import TYPE_OF_END, EventType, Secret, WebhookEndpoint
from slackwater.pipeline.admission import Order
from slackwater.ports import IdempotencyKey
from tests.simulation.checks import must
from tests.simulation.servers.plan import DeploymentPlan, contents_of

if TYPE_CHECKING:
    from tests.simulation.servers.server import Server
    from tests.simulation.servers.world import World

ENDPOINTS = 2
Verb = Callable[["Server"], Awaitable[object]]


class Ordered:
    """A batch that somebody wants."""

    def __init__(self, batch_id: str, deployment: DeploymentPlan) -> None:
        self.batch_id = batch_id
        self.deployment = deployment
        self.made = False


class Client:
    """All of them."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.orders: list[Ordered] = []
        self.paused: dict[tuple[Target, str], float] = {}
        """What is paused, and since when that is known to have been heard."""
        self.busy = 0
        """Calls that are still to be answered."""

    def ask(
        self, verb: Verb, then: Callable[[], None] = lambda: None, *, asked: Callable[[], None] = lambda: None
    ) -> None:
        """Asks one server after the other, until one has answered; a call that takes long may come through all the same."""
        self.busy += 1
        world, answered = self._world, False

        async def call(server: "Server") -> None:
            nonlocal answered
            try:
                await verb(server)
            except StorageTrouble:
                return
            except SlackwaterError as refusal:
                # An answer, too: what was to be cancelled has ended, or what was to be deleted is gone.
                world.refusals[type(refusal).__name__] += 1
            except Exception as error:
                world.checks.note(f"a call was answered with a fault: {error!r}")
            if not answered:
                answered = True
                # The answer is on its way to whoever asked.
                world.at(0.0, arrived)

        def arrived() -> None:
            self.busy -= 1
            then()

        def attempt() -> None:
            if answered:
                return
            servers = [each for each in world.servers if each.up]
            if servers:
                asked()
                server = world.chance.choice(servers)
                server.does(call(server))
            world.at(world.chance.uniform(1.0, 15.0), attempt)

        attempt()

    # Batches

    def order(self, deployment: DeploymentPlan, then: Callable[[], None] = lambda: None) -> Ordered:
        """A batch with an input file of its own."""
        world, chance = self._world, self._world.chance
        order = Ordered(f"batch_{len(self.orders)}", deployment)
        self.orders.append(order)
        lot = contents_of(chance, chance.choice((1, 2, 7, 23, 40)), world.plan)
        rows = []
        for line, content in enumerate(lot):
            text = f"{order.batch_id}/{line}"
            world.lines[text] = content
            row = {"custom_id": f"{order.batch_id}-{line}", "method": "POST", "url": "/chat/completions"}
            body = {"model": deployment.name, "messages": [{"role": "user", "content": text}]}
            rows.append(json.dumps(row | {"body": body}))
        data = "\n".join(rows).encode()
        file = world.put_file(f"file-{order.batch_id}", data)
        policies = Policies(empty_files=chance.choice(list(EmptyFiles)), window_elapsed=WindowElapsed.CONTINUE)
        world.expect(order, len(lot))

        async def create(server: "Server") -> None:
            await server.admission.create(
                Order(input_file_id=file.id, endpoint="/chat/completions", completion_window="24h"),
                batch_id=order.batch_id,
                endpoint="/chat/completions",
                policies=policies,
                key=IdempotencyKey(key=order.batch_id, digest=hashlib.sha256(data).hexdigest()),
            )

        def made() -> None:
            order.made = True
            then()

        self.ask(create, made)
        return order

    def cancel(self) -> None:
        """One of those that were made."""
        made = [each for each in self.orders if each.made]
        if made:
            order = self._world.chance.choice(made)
            self.ask(lambda server: server.admission.cancel(order.batch_id))

    # What operators say

    def pause(self, what: Target, target: str) -> None:
        """Pauses something through one server, and resumes it through another, some time."""
        world, place = self._world, (what, target)
        if place in world.pausing:
            return
        world.pausing.add(place)

        def resumes() -> None:
            self.paused.pop(place, None)

        def resumed() -> None:
            self.paused.pop(place, None)
            world.pausing.discard(place)

        def heard() -> None:
            if what is not Target.BATCH:
                self.paused[place] = world.time
            world.at(
                world.chance.uniform(1.0, 15.0),
                lambda: self.ask(lambda server: _pauses(server).resume(what, target, who="w"), resumed, asked=resumes),
            )

        # A call that comes late must not pause it again once it was resumed: the operator has seen to that.
        self.ask(lambda server: _paused_once(world, server, what, target), heard)

    # Deployments

    def make(self, then: Callable[[DeploymentPlan], None]) -> None:
        """One more, through any server."""
        plan = self._world.another_deployment()
        self.ask(
            lambda server: _plane(server).put("default", plan.name, {"engines": list(plan.engines)}), lambda: then(plan)
        )

    def delete(self, plan: DeploymentPlan) -> None:
        """It goes when its batches have ended."""
        self.ask(lambda server: _plane(server).delete("default", plan.name))


def _pauses(server: "Server") -> Any:
    assert server.service is not None
    return server.service.pauses


def _plane(server: "Server") -> Any:
    assert server.service is not None
    return server.service.control_plane


async def _paused_once(world: "World", server: "Server", what: Target, target: str) -> None:
    if (what, target) in world.pausing:
        await _pauses(server).pause(what, target, resource="default", who="w", reason="")


class Receiver:
    """The endpoints of webhooks."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.heard: dict[tuple[str, str], list[str]] = defaultdict(list)
        """By URL and batch: the ids of what has come."""
        self.types: dict[str, set[str]] = defaultdict(set)

    @staticmethod
    def endpoints() -> list[WebhookEndpoint]:
        """Those that there are."""
        return [
            WebhookEndpoint(
                id=f"whe-{number}",
                resource="default",
                name="ours",
                url=f"https://receiver.example/{number}",
                event_types=tuple(EventType),
                secrets=(Secret(text="whsec_AAAA"),),
                created_at=1_000,
                updated_at=1_000,
            )
            for number in range(ENDPOINTS)
        ]

    def sender(self, server: "Server") -> "WorldSender":
        """The way of one server to them."""
        return WorldSender(self._world, self, server)

    def at_rest(self) -> None:
        """Each end was heard of by everybody, under one id."""
        for order in self._world.client.orders:
            batch = self._world.batch(order.batch_id)
            for endpoint in self.endpoints():
                ids = self.heard[endpoint.url, order.batch_id]
                must(ids, f"{endpoint.url} never heard of the end of {order.batch_id}")
                must(len(set(ids)) == 1, f"{endpoint.url} heard of the end of {order.batch_id} as {set(ids)}")
            said = self.types[order.batch_id]
            must(
                said == {TYPE_OF_END[Status(batch.status)].value},
                f"{order.batch_id} is {batch.status}, and said to be {said}",
            )


class WorldSender:
    """The Sender port."""

    def __init__(self, world: "World", receiver: Receiver, server: "Server") -> None:
        self._world = world
        self._receiver = receiver
        self._server = server

    def check(self, url: str) -> str:
        """Every address will do."""
        return "receiver.example"

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> int:
        """It arrives, or not; and the answer comes back, or not."""
        world, chance = self._world, self._world.chance
        fails = not world.calm and chance.random() < 0.2
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def arrives() -> None:
            if fails and chance.random() < 0.5:
                says(0)
                return
            said = json.loads(body)
            self._receiver.heard[url, said["data"]["id"]].append(headers["webhook-id"])
            self._receiver.types[said["data"]["id"]].add(said["type"])
            says(500 if fails else 200)

        def says(status: int) -> None:
            world.at(chance.uniform(0.0, 0.2), functools.partial(self._server.process.inside, lambda: tell(status)))

        def tell(status: int) -> None:
            if not answer.done():
                answer.set_result(status)

        world.at(chance.uniform(0.0, 0.2), arrives)
        status = await answer
        if not status:
            raise SendFailed("nothing came back")
        return status


def input_file(file_id: str, data: bytes, *, now: float) -> File:
    """The row of an input file."""
    return File(
        id=file_id,
        filename="in.jsonl",
        purpose=Purpose.BATCH,
        size=len(data),
        created_at=int(now),
        blob=f"files/{file_id}",
    )
