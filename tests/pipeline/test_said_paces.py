"""Paces that operators have named: in the configuration, while a service runs, and where nothing can be looked at."""

import asyncio
import logging
from pathlib import Path

import pytest

from slackwater.core.sending.pace import pace_of
from slackwater.core.sending.pacing_view import State
from slackwater.core.sending.request import Reply
from tests.pipeline.engines import GOOD, Service
from tests.pipeline.metered_engine import (
    NOT_FOUND,
    STEP,
    TOKENS,
    MeteredEngine,
    out_after,
    paced,
    serve,
    told,
)


def test_what_is_named_stays_the_most(tmp_path: Path) -> None:
    """An operator's limit is one for paced engines, too."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service)
        serve(service, engine, named=10)
        await service.ended(await service.batch([f"{number}" for number in range(500)]))
        assert engine.out_max == 10

    paced(tmp_path, story)


def test_a_pace_is_named_and_there_is_no_page(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """How long answers take says how many may be out, and the log says that; when there is a page, that does."""
    caplog.set_level(logging.INFO)

    async def story(service: Service) -> None:
        engine = MeteredEngine(service)
        engine.page = lambda: NOT_FOUND
        usage = b'"completion_tokens":%d' % TOKENS
        engine.script = lambda text, engine: Reply(200, GOOD.body.replace(b'"completion_tokens":1', usage))
        pacing = serve(service, engine)
        pacing.obey(pace_of("50ms"))
        await service.batch([f"{number}" for number in range(60_000)], shard_lines=10_000)
        await asyncio.sleep(60.0)
        assert pacing.state is State.ANSWERS
        # The cap is the number that is configured, or would be without a page.
        assert engine.out_max == 64
        engine.step = 10 * STEP
        assert await out_after(service, engine, 200.0) < 20
        view = pacing.view()
        assert view.target == 0.05
        assert view.step is not None
        engine.step = STEP
        assert await out_after(service, engine, 120.0) > 30
        pacing.obey(pace_of("full"))
        assert await out_after(service, engine, 10.0) == 64
        assert pacing.state is State.ABSENT
        pacing.obey(pace_of("strict"))
        await asyncio.sleep(1.0)
        assert pacing.state is State.ANSWERS
        engine.page = engine.usual
        pacing.look_again()
        await asyncio.sleep(2.0)
        assert pacing.state is State.PACED

    paced(tmp_path, story)
    assert told(caplog, "engine_paced_by_answers") == 2


def test_full_where_nothing_can_be_looked_at(tmp_path: Path) -> None:
    """There is nothing to hold: all that is configured goes, and it can be shown. It was held by answers before."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service)
        engine.page = lambda: Reply(401, b"no key")
        pacing = serve(service, engine)
        pacing.obey(pace_of("strict"))
        await service.batch([f"{number}" for number in range(3000)])
        await asyncio.sleep(20.0)
        assert pacing.view().state is State.ANSWERS
        assert pacing.view().why == "status 401"
        pacing.obey(pace_of("full"))
        view = pacing.view()
        assert (view.state, view.window, view.target) == (State.ABSENT, None, None)
        await asyncio.sleep(10.0)
        assert engine.out == 64

    paced(tmp_path, story)


def test_what_an_operator_says_holds_at_once(tmp_path: Path) -> None:
    """`fixed` ends the looks and sends the configured number; another pace begins them again."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service, others=30, waiting=5)
        pacing = serve(service, engine)
        await service.batch([f"{number}" for number in range(50_000)], shard_lines=10_000)
        await asyncio.sleep(6.0)
        assert engine.out == 0
        (sender,) = service.posts["d"].worker.dispatchers
        assert (sender.cap, sender.concurrency) == (256, 64)
        pacing.obey(pace_of("fixed"))
        assert sender.cap == 64
        assert await out_after(service, engine, 0.5) == 64
        seen = len(engine.looks)
        await asyncio.sleep(5.0)
        assert len(engine.looks) == seen
        pacing.obey(pace_of("50ms"))
        await asyncio.sleep(6.0)
        before = pacing.view().target
        pacing.obey(pace_of("strict"))
        strict = pacing.view().target
        assert strict is not None
        assert before is not None
        assert strict < before
        pacing.obey(pace_of("50ms"))
        assert (engine.out, str(pacing.view().pace)) == (0, "50ms")
        assert (pacing.view().said, str(pacing.view().configured)) == (True, "gentle")
        pacing.obey(None)
        assert not pacing.view().said
        assert str(pacing.pace) == "gentle"
        engine.waiting = 0
        assert await out_after(service, engine, 2.0) > 0

    paced(tmp_path, story)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("gentle", "gentle"),
        ("Strict ", "strict"),
        ("full", "full"),
        ("fixed", "fixed"),
        ("0.05s", "50ms"),
        ("50 ms", "50ms"),
    ],
)
def test_how_a_pace_is_written(text: str, shown: str) -> None:
    """One word, or the time between two tokens."""
    assert str(pace_of(text)) == shown


@pytest.mark.parametrize("text", ["", "slo", "fast", "0ms", "50", "11s", "-5ms"])
def test_what_is_no_pace(text: str) -> None:
    """It says what there is."""
    with pytest.raises(ValueError, match="gentle, strict, full, fixed"):
        pace_of(text)
