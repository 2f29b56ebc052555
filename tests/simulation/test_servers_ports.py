"""The world's members and what they tell each other keep the promises that those on PostgreSQL keep."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.presence_contract import PresenceContract
from tests.adapters.together_contract import TogetherContract
from tests.simulation.servers.server import Server
from tests.simulation.servers.world import World


class MemberAlone(Server):
    """A member that looks and buries, and serves nothing."""

    def __init__(self, world: World, name: str) -> None:
        self._name = name
        self.news = 0
        super().__init__(world, name)

    async def _serve(self) -> None:
        self.hints.validate.notify = self._heard  # type: ignore[method-assign]
        self.process.begin(self._watch())

    def _heard(self) -> None:
        self.news += 1

    async def _watch(self) -> None:
        while True:
            await self.membership.hint.wait(self.process, 0.05)
            await self.membership.step()

    def _is_buried(self) -> None:
        # Nobody ends its process here, so that it can be seen what it still can do.
        self.buried = True

    @property
    def watching(self) -> bool:
        return self.membership.watching

    @property
    def told_buried(self) -> bool:
        return self.buried


class WorldStage:
    """A world in which nothing happens by itself."""

    def __init__(self, place: Path) -> None:
        self.world = World(0, place, moods=frozenset())
        self.execute("DELETE FROM webhook_endpoint")

    async def join(self, name: str) -> MemberAlone:
        """One more."""
        server = MemberAlone(self.world, name)
        self.world.servers.append(server)
        await server.joined()
        return server

    def dies(self, name: str) -> None:
        next(each for each in self.world.servers if each.name == name).die()

    async def lose_connections(self) -> None:
        for each in [each for each in self.world.database.sessions if each.kind == "member"]:
            each.reset()

    def stop_listening(self) -> None:
        for each in [each for each in self.world.database.sessions if each.kind == "listener"]:
            each.reset()

    def execute(self, statement: str) -> list[Any]:
        return [tuple(row) for row in self.world.database.sqlite.reader.execute(statement).fetchall()]

    def play(self, story: Callable[..., Awaitable[None]]) -> None:
        """Somebody tells it from a process of its own."""

        async def told() -> None:
            await story()

        self._run(told)

    def _run(self, told: Callable[[], Awaitable[None]]) -> None:
        async def main() -> None:
            await told()

        task = self.world.process("somebody").begin(main())
        while not task.done():
            self.world.run(self.world.time + 1.0)
            assert self.world.time < 300.0, "the story has no end"
        task.result()


class PairStage(WorldStage):
    """The same with two servers from the beginning."""

    def play(self, story: Callable[..., Awaitable[None]]) -> None:
        async def told() -> None:
            one, other = await self.join("one"), await self.join("other")
            await story(one.ledger, other.ledger)

        self._run(told)


class TestPresence(PresenceContract):
    """Locks of the world."""

    @pytest.fixture
    def stage(self, tmp_path: Path) -> Iterator[WorldStage]:
        stage = WorldStage(tmp_path)
        yield stage
        stage.world.close()


class TestTogether(TogetherContract):
    """Hints of the world."""

    @pytest.fixture
    def stage(self, tmp_path: Path) -> Iterator[PairStage]:
        stage = PairStage(tmp_path)
        yield stage
        stage.world.close()
