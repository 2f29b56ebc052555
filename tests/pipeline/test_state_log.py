"""The log has one warning for each change of state, and one plain line when it is over: never one for a line or a call."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from slackwater.core.errors import BackendReplyBroken, BackendUnreachable
from slackwater.core.sending.door import Door, DoorState
from slackwater.core.sending.evidence import SUCCESS, Evidence, Kind
from slackwater.core.sending.pause import Target
from slackwater.pipeline.sending.state_log import StateLog
from tests.pipeline.engines import GOOD, Answer, ScriptedEngine, refusal, served
from tests.pipeline.engines import Service as Served
from tests.pipeline.test_pauses import ENGINE, Operator
from tests.pipeline.test_sending import texts

STATES = ("backend_state", "engine_silent", "engine_listens", "paused", "resumed")


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Level and name of every line about states, and every other warning."""
    return [
        (record.levelname, str(record.args[0]) if isinstance(record.args, tuple) else record.msg)
        for record in caplog.records
        if record.levelno > logging.INFO or (isinstance(record.args, tuple) and record.args[0] in STATES)
    ]


OUTAGES: dict[str, tuple[Answer, str, str]] = {
    "500": (refusal(500), "backend_state", "backend_state"),
    "401": (refusal(401), "backend_state", "backend_state"),
    "no money": (refusal(429, code="insufficient_quota"), "backend_state", "backend_state"),
    "hang-up": (BackendReplyBroken("hung up", lost=True), "backend_state", "backend_state"),
    "nobody": (BackendUnreachable("refused", sent=False), "engine_silent", "engine_listens"),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind == "500" else pytest.mark.long) for kind in OUTAGES]
)
def test_an_outage_of_an_hour(tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    """Two batches on two deployments, 64 calls at once, and an hour of looks: a warning, and a line when it is over."""
    caplog.set_level(logging.INFO, "slackwater")
    answer, begins, ends = OUTAGES[kind]

    async def story(service: Served) -> None:
        engine = ScriptedEngine(
            service.loop, lambda text, each: answer if 5 < service.loop.time() < 3600 else GOOD, seconds=0.5
        )
        batches = [await service.batch(texts(600), deployment=name) for name in ("a", "b")]
        for name in ("a", "b"):
            service.serve(engine, deployment=name, slots=32)
        for batch in batches:
            await service.ended(batch, seconds_max=20_000)

    served(tmp_path, story)
    assert told(caplog) == [("WARNING", begins), ("INFO", ends)]


def test_an_engine_that_dies_and_comes_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Calls break off, then nobody listens: the silence is the warning, and what broke off is no second one."""
    caplog.set_level(logging.INFO, "slackwater")

    def script(text: str, engine: ScriptedEngine) -> Answer:
        if 5 < engine.now <= 5.6:
            return BackendReplyBroken("hung up", lost=True)
        return BackendUnreachable("refused", sent=False) if 5.6 < engine.now < 600 else GOOD

    async def story(service: Served) -> None:
        engine = ScriptedEngine(service.loop, script, seconds=0.5)
        batch = await service.batch(texts(600))
        service.serve(engine, slots=8)
        await service.ended(batch, seconds_max=20_000)

    served(tmp_path, story)
    assert told(caplog) == [("WARNING", "engine_silent"), ("INFO", "engine_listens")]


def test_a_loaded_engine_is_no_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A token bucket that says "wait a second" all the time: a line or two a minute, not one for each wait."""
    caplog.set_level(logging.INFO, "slackwater")

    async def story(service: Served) -> float:
        spent: dict[int, int] = {}

        def script(text: str, engine: ScriptedEngine) -> Answer:
            second = int(engine.now)
            spent[second] = spent.get(second, 0) + 1
            return GOOD if spent[second] <= 5 else refusal(429, second + 1 - engine.now)

        engine = ScriptedEngine(service.loop, script)
        batch = await service.batch(texts(1500))
        service.serve(engine, slots=16)
        return await service.ended(batch)

    took = served(tmp_path, story)
    assert took > 240
    assert len(told(caplog)) <= 2 * (took / 60 + 1)
    assert told(caplog)[:2] == [("WARNING", "backend_state"), ("INFO", "backend_state")]


def test_pauses_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """However often somebody says it, and however often it is looked at."""
    caplog.set_level(logging.INFO, "slackwater")

    async def story(service: Served) -> None:
        engine = ScriptedEngine(service.loop)
        await service.batch(texts(100))
        service.serve(engine)
        operator = Operator(service)
        for _ in range(3):
            await operator.pause(Target.ENGINE, ENGINE)
            await operator.pauses.step()
            await asyncio.sleep(60)
        for _ in range(3):
            await operator.resume(Target.ENGINE, ENGINE)

    served(tmp_path, story)
    assert told(caplog) == [("WARNING", "paused"), ("INFO", "resumed")]


def test_a_change_while_busy_is_news_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """Only "busy again" is left out; what is worse is told whenever it comes, and so is the end of what was told."""
    caplog.set_level(logging.INFO, "slackwater")
    door, log = Door(slots=4), StateLog("e")

    def hears(evidence: Evidence, now: float) -> None:
        door.heard(evidence, begun=now, now=now)
        log.door(door, lambda: ["b"], now=now)

    busy: Callable[[], Evidence] = lambda: Evidence(Kind.BUSY, "wait", 1.0)  # noqa: E731
    for now in (0.0, 2.0, 4.0):
        hears(busy(), now)
        hears(SUCCESS, now + 1.5)
    hears(busy(), 30.0)
    hears(Evidence(Kind.BLOCKED, "no money"), 30.5)
    assert door.state is DoorState.BLOCKED
    door.probed(SUCCESS, begun=31.0, now=100.0, answered=True)
    log.door(door, lambda: ["b"], now=100.0)
    hears(busy(), 101.0)
    states = [record.args[1]["state"] for record in caplog.records if isinstance(record.args, tuple)]  # type: ignore[index,call-overload]
    assert states == ["busy", "ok", "blocked", "ok", "busy"]
