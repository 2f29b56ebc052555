"""An engine with a metrics page in virtual time, and deployments over it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from slackwater.core.errors import BackendError, BackendTimeout
from slackwater.core.sending.pace import PACED_CONCURRENCY
from slackwater.core.sending.request import Reply
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.engine_pacing import Pacing
from slackwater.ports import PeerSeat
from tests.pipeline.engines import Call, ScriptedEngine, Service, served

T = TypeVar("T")
STEP = 0.02
TOKENS = 200
NOT_FOUND = Reply(404, b'{"detail":"Not Found"}')


class MeteredEngine(ScriptedEngine):
    """One that makes a token for each request in a step, and counts. Others may use it, too."""

    def __init__(self, service: Service, *, others: int = 0, waiting: int = 0, kv: float = 0.1) -> None:
        super().__init__(service.loop)
        self.others, self.waiting, self.kv = others, waiting, kv
        self.looks: list[float] = []
        self.page: Callable[[], Reply] = self.usual
        self.started = service.loop.time()
        self.step = STEP
        # For so long a call that comes waits before it is begun with.
        self.behind = 0.0

    async def answer(self, call: Call) -> Reply:
        await asyncio.sleep(self.behind + TOKENS * self.step)
        answer = self.script(call.text, self)
        if isinstance(answer, BackendError):
            raise answer
        assert isinstance(answer, Reply)
        return answer

    def becomes_slower(self, times: float) -> None:
        """From now on a step takes that many times as long; those that were are counted."""
        self.started = self.now - times * (self.now - self.started)
        self.step *= times

    async def metrics(self) -> Reply:
        """The page."""
        self.looks.append(self.now)
        await asyncio.sleep(0.003)
        return self.page()

    def usual(self) -> Reply:
        """What it counts."""
        running = self.out + self.others
        steps = (self.now - self.started) / self.step
        said = {
            "num_requests_running": running,
            "num_requests_waiting": self.waiting,
            "kv_cache_usage_perc": self.kv,
            "iteration_tokens_total_count": steps,
            "iteration_tokens_total_sum": steps * (self.others or 1),
            "generation_tokens_total": steps * (self.others or 1),
        }
        return Reply(200, "".join(f"vllm:{name} {value}\n" for name, value in said.items()).encode())


def late() -> Reply:
    """No page in time."""
    raise BackendTimeout("no answer within 2 s (first byte)")


def paced(folder: Path, story: Callable[[Service], Awaitable[T]]) -> T:
    """Runs a story over a service whose backends name no concurrency."""
    return served(folder, story)


class SameEngine:
    """A metered engine, as another server of ours sees it."""

    def __init__(self, engine: MeteredEngine) -> None:
        self.send, self.metrics, self.close = engine.send, engine.metrics, engine.close


def serve(
    service: Service,
    engine: MeteredEngine | SameEngine,
    *,
    named: int | None = None,
    deployment: str = "d",
    seat: PeerSeat | None = None,
) -> Pacing:
    """A deployment over the engine, as the configuration makes it: 64 at once, 256 where it is paced, or what is named."""

    def make(*args: object, **kwargs: object) -> Dispatcher:
        return Dispatcher(*args, **kwargs, most=named or PACED_CONCURRENCY)  # type: ignore[arg-type]

    sender = service.engine_of(engine, slots=named, seat=seat)  # type: ignore[arg-type]
    service.serve(engine, slots=named or 64, make=make, deployment=deployment)
    return sender.pacing


def told(caplog: pytest.LogCaptureFixture, name: str) -> int:
    """How often the log has an event."""
    return sum(bool(record.args) and record.args[0] == name for record in caplog.records)  # type: ignore[index]


async def out_after(service: Service, engine: MeteredEngine, seconds: float) -> int:
    """How many calls are out after so long."""
    await asyncio.sleep(seconds)
    return engine.out
