"""A few engines are looked at at once, and nobody waits for those who never answer."""

import asyncio
from typing import cast

import pytest

from slackwater.core.errors import TooBusy
from slackwater.pipeline.accounts.connection_looks import LOOKS_MAX, Looks
from slackwater.ports import EngineLooker


def test_one_more_is_told_to_come_later() -> None:
    """As many as there may be, then no more; whoever has ended makes room, also by an error."""

    async def story() -> None:
        looks = Looks(lambda: cast(EngineLooker, object()))
        over = asyncio.Event()

        async def look() -> None:
            async with looks.one():
                begun.release()
                await over.wait()
                raise OSError

        begun = asyncio.Semaphore(0)
        tasks = [asyncio.ensure_future(look()) for _ in range(LOOKS_MAX)]
        for _ in tasks:
            await begun.acquire()
        with pytest.raises(TooBusy):
            async with looks.one():
                pass
        over.set()
        assert all(isinstance(each, OSError) for each in await asyncio.gather(*tasks, return_exceptions=True))
        async with looks.one():
            pass

    asyncio.run(story())
