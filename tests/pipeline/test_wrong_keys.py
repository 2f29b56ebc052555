"""Answers to wrong keys wait, but not without limit."""

import asyncio

import pytest

from slackwater.adapters.system_clock import SystemClock
from slackwater.core.accounts.wrong_keys import FREE
from slackwater.core.errors import TooBusy
from slackwater.pipeline.accounts.wrong_keys import WAITING_MAX, SlowDown
from slackwater.telemetry import meters


class HeldClock(SystemClock):
    """Its time stands still, and nobody who waits for it comes back before a test says so."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        self.over = asyncio.Event()

    def monotonic(self) -> float:
        return 1000.0

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        await self.over.wait()


async def storm() -> None:
    clock = HeldClock()
    slow_down = SlowDown(clock)
    before = meters.keys_refused
    for _ in range(FREE):
        await slow_down.refused("10.0.0.1")
    assert clock.waited == []
    waiting = [asyncio.create_task(slow_down.refused("10.0.0.1")) for _ in range(WAITING_MAX)]
    await asyncio.sleep(0)
    assert len(clock.waited) == WAITING_MAX
    with pytest.raises(TooBusy):
        await slow_down.refused("10.0.0.1")
    await slow_down.refused("10.0.0.2")
    clock.over.set()
    await asyncio.gather(*waiting)
    assert meters.keys_refused == before + FREE + WAITING_MAX + 2


def test_so_many_wait_and_no_more() -> None:
    """The first are free, some wait, all others are sent away; another place does not notice, and all are counted."""
    asyncio.run(storm())
