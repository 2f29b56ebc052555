"""Prompts that an engine reads: each is over once, and no sooner than it should be where nobody says so."""

import asyncio

import pytest
import uvloop

from slackwater.core.sending.pacing import Pacer
from slackwater.pipeline.sending.prompt_reading import GRAIN_SECONDS, Reading, Readings
from tests.simulation.virtual import VirtualLoop


def test_prompts_are_over_when_they_should_be() -> None:
    """In the order in which they are due, those of which it is said before at once, and no place is left taken."""
    pacer, readings = Pacer(), Readings()
    over: list[tuple[str, float]] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()

        def goes(name: str, tokens: float) -> Reading:
            return Reading(pacer, tokens, 0.0, readings=readings, over=lambda: over.append((name, loop.time() - begun)))

        begun = loop.time()
        goes("long", 10_000.0)
        # Due before the one that is waited for.
        goes("short", 1_000.0)
        said = goes("said", 5_000.0)
        said.over()
        said.over()
        assert over == [("said", 0.0)]
        assert pacer.reading == 2
        await asyncio.sleep(10.0)
        begun = loop.time()
        goes("later", 1_000.0)
        await asyncio.sleep(10.0)

    loop = VirtualLoop()
    try:
        loop.run_until_complete(story())
    finally:
        loop.close()
    assert [name for name, _ in over] == ["said", "short", "long", "later"]
    for (_, at), tokens in zip(over[1:], (1_000.0, 10_000.0, 1_000.0), strict=True):
        due = pacer.reading_seconds(tokens)
        assert due <= at <= due + 2 * GRAIN_SECONDS
    assert pacer.reading == 0
    assert pacer.reading_seconds(0.0) == pytest.approx(0.0)


def test_what_is_due_at_once_is_over_on_the_loop_of_a_server_too() -> None:
    """uvloop makes a handle without a moment for what is due: on a busy machine that is what comes of a short prompt."""
    pacer, readings = Pacer(), Readings()
    over: list[str] = []

    async def story() -> None:
        first = Reading(pacer, 1.0, 0.0, readings=readings, over=lambda: over.append("first"))
        # It is overdue before it is waited for, and so are those that come meanwhile.
        readings.add(first, -1.0)
        for name in ("second", "third"):
            Reading(pacer, 1.0, 0.0, readings=readings, over=lambda name=name: over.append(name))  # type: ignore[misc]
        await asyncio.sleep(0.2)

    uvloop.run(story())
    assert over == ["first", "second", "third"]
    assert pacer.reading == 0
