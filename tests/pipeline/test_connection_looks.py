"""A few engines are looked at at once, and nobody waits for those who never answer."""

import asyncio
import contextlib
from typing import cast

import pytest

from slackwater.core.errors import TooBusy
from slackwater.pipeline.accounts.connection_looks import EACH_MAX, LOOKS_MAX, Looks
from slackwater.ports import EngineLooker


def test_one_more_is_told_to_come_later() -> None:
    """As many as there may be, then no more; whoever has ended makes room, also by an error."""

    async def story() -> None:
        looks = Looks(lambda: cast(EngineLooker, object()))
        over = asyncio.Event()

        async def look(resource: str) -> None:
            async with looks.one(resource):
                begun.release()
                await over.wait()
                raise OSError

        begun = asyncio.Semaphore(0)
        tasks = [asyncio.ensure_future(look(f"team{number // EACH_MAX}")) for number in range(LOOKS_MAX)]
        for _ in tasks:
            await begun.acquire()
        with pytest.raises(TooBusy):
            async with looks.one("another"):
                pass
        over.set()
        assert all(isinstance(each, OSError) for each in await asyncio.gather(*tasks, return_exceptions=True))
        async with looks.one("another"):
            pass

    asyncio.run(story())


def test_nobody_keeps_others_from_looking() -> None:
    """Who looks at as many as they may is told to come later, and somebody else looks."""

    async def story() -> None:
        looks = Looks(lambda: cast(EngineLooker, object()))
        async with contextlib.AsyncExitStack() as held:
            for _ in range(EACH_MAX):
                await held.enter_async_context(looks.one("greedy"))
            with pytest.raises(TooBusy):
                await held.enter_async_context(looks.one("greedy"))
            async with looks.one("another"):
                pass
        async with looks.one("greedy"):
            pass

    asyncio.run(story())
