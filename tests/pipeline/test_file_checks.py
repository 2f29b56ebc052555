"""Checks of input files before there is a batch: a few at once, and nothing is lost when one goes wrong."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.api import wire
from slackwater.api.dialects import AZURE_V1, OPENAI
from slackwater.core.accounts.price import Price
from slackwater.core.errors import InvalidRequest, NotFound, TooBusy
from slackwater.core.files.file import FileStatus, Purpose
from slackwater.core.input.line_judge import InputLimits
from slackwater.core.quota.dynamic import Allowance
from slackwater.core.sending.deployment import BackendRef, Deployment, WhenFull
from slackwater.pipeline.input.file_checks import AT_ONCE_MAX, FileChecks
from tests.adapters.ledger_contract import batch, file
from tests.api.calls import chat

DEPLOYMENT = Deployment(
    name="demo-batch",
    model="m",
    backends=(BackendRef(name="b", concurrency=1),),
    enqueued_token_limit=50,
    when_full=WhenFull.QUEUE,
)


class SlowOffload(InlineOffload):
    """Begins when it is told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def run(self, function: Callable[..., Any], *args: object) -> Any:
        await self.go.wait()
        return await super().run(function, *args)


class World:
    """Files of one resource, and their checks."""

    def __init__(self, place: Path) -> None:
        self.ledger = SqlLedger.open(place / "ledger.sqlite")
        self.blobs = DiskBlobs(place / "blobs")
        self.offload = SlowOffload()
        self.size = 0

        async def allowance(deployment: Deployment) -> Allowance:
            return Allowance(limit=deployment.enqueued_token_limit, configured=deployment.enqueued_token_limit)

        self.checks = FileChecks(
            self.ledger,
            self.blobs,
            self.offload,
            deployments=lambda: [DEPLOYMENT],
            counter=None,
            price_of=lambda model: Price(input=2_000_000, cached_input=0, output=0, discount=50),
            allowance=allowance,
            limits=InputLimits(lines_max=100, embedding_inputs_max=100, errors_max=10),
        )

    async def check(self, **changes: Any) -> Any:
        """Checks a file."""
        whole = {"size": self.size}
        return await self.checks.check(file(1, **(whole | changes)), family="azure", endpoint=None)


@pytest.fixture
def play(tmp_path: Path) -> Any:
    """Plays a story in a new world with one file."""

    def player(story: Any, data: bytes = chat(2)) -> None:
        async def main() -> None:
            world = World(tmp_path)
            world.size = len(data)
            writer = await world.blobs.create("files/1")
            await writer.write(data)
            await writer.publish()
            try:
                await story(world)
            finally:
                await world.ledger.close()

        asyncio.run(main())

    return player


def test_a_few_at_once(play: Any) -> None:
    """One more is refused at once, with a time to come back; afterwards there is room again, also after a fault."""

    async def story(world: World) -> None:
        running = [asyncio.create_task(world.check()) for _ in range(AT_ONCE_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(TooBusy) as refused:
            await world.check()
        for dialect in (AZURE_V1, OPENAI):
            answer = wire.error_response(dialect, refused.value)
            assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")
            assert json.loads(answer.body)["error"]["code"] == "too_many_requests"
        running.pop().cancel()
        world.offload.go.set()
        assert (await running[0]).scan.errors == []
        with pytest.raises(NotFound):
            await world.check(blob="files/nothing")
        for _ in range(AT_ONCE_MAX + 1):
            assert (await world.check()).scan.total == 2

    play(story)


def test_room_and_cost(play: Any) -> None:
    """What others hold counts; the cost is that of the input at the price of now, with the discount."""

    async def story(world: World) -> None:
        world.offload.go.set()
        await world.ledger.add_batch(batch(1, deployment="demo-batch", enqueued_tokens=49))
        found = await world.check()
        assert (found.room.held, found.room.limit, found.room.fits, found.room.waits) == (49, 50, False, True)
        # A millionth of 2.00, halved, in the unit of 10^-14.
        assert found.input_cost == found.scan.tokens * 10**8
        assert found.deployment == DEPLOYMENT

    play(story)


def test_a_wrong_file_has_neither_room_nor_cost(play: Any) -> None:
    """There is nothing that could be held or paid."""

    async def story(world: World) -> None:
        world.offload.go.set()
        found = await world.check()
        assert found.room is found.input_cost is None
        assert [each.text for each in found.excerpts] == ["nonsense"]

    play(story, b"nonsense\n")


@pytest.mark.parametrize("changes", [{"purpose": Purpose.VISION}, {"status": FileStatus.PENDING}])
def test_only_input_files_that_are_there(play: Any, changes: dict[str, Any]) -> None:
    """Others are refused before anything is read."""

    async def story(world: World) -> None:
        with pytest.raises(InvalidRequest):
            await world.check(**changes)

    play(story)
