"""Long prompts in slices, at an engine with a prefix cache that others use: what is sent, and that no line shows it."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from slackwater.core.errors import BackendError, BackendReplyBroken, BackendTimeout, BackendUnreachable
from slackwater.core.sending.rate_limit_headers import read_rate_limits
from slackwater.core.sending.request import Reply
from slackwater.pipeline.sending.slicing import BUSY_MAX
from tests.pipeline.engines import GOOD, PROBE, Service, refusal, served
from tests.pipeline.metered_engine import MeteredEngine, serve, told

# Of a request, and of a prompt that is no long one.
WORDS, FEW = 1600, 20
BLOCK, TOKEN_SECONDS = 16, 0.0001
Script = Callable[[dict[str, Any], "CachingEngine"], Reply | BackendError]


def usual(body: dict[str, Any], engine: "CachingEngine") -> Reply:
    """A good answer."""
    return GOOD


class CachingEngine(MeteredEngine):
    """One that reads what it has not read before, a word for a token, and then makes tokens. `caches`: whether it keeps them."""

    def __init__(self, service: Service, script: Script = usual, *, caches: bool = True, says: bool = True) -> None:
        super().__init__(service, others=20)
        self.says_how = script
        self.caches, self.says = caches, says
        self.bodies: list[dict[str, Any]] = []
        self.read: list[int] = []
        self.looked_up = self.found = 0
        self._kept: set[tuple[str, ...]] = set()

    async def send(self, path: str, body: bytes, *, heard: Callable[[int], None] | None = None) -> Reply:
        said = json.loads(body)
        self.bodies.append(said)
        self.out += 1
        self.out_max = max(self.out_max, self.out)
        try:
            words = tuple(said["messages"][-1]["content"].split())
            new = len(words) - self._found(words)
            self.read.append(new)
            await asyncio.sleep(new * TOKEN_SECONDS + self.step * (1 if said.get("max_tokens") == 1 else 50))
            answer = self.says_how(said, self)
        finally:
            self.out -= 1
        if isinstance(answer, BackendError):
            raise answer
        return answer

    def _found(self, words: tuple[str, ...]) -> int:
        blocks = range(BLOCK, len(words) + 1, BLOCK)
        found = max((upto for upto in blocks if words[:upto] in self._kept), default=0)
        self.looked_up += len(words)
        self.found += found
        if self.caches:
            self._kept.update(words[:upto] for upto in blocks)
        return found

    def usual(self) -> Reply:
        """Its page."""
        cache = f'vllm:cache_config_info{{block_size="{BLOCK}",enable_prefix_caching="{self.says}"}} 1\n'
        counts = f"vllm:prefix_cache_queries_total {self.looked_up}\nvllm:prefix_cache_hits_total {self.found}\n"
        return Reply(200, super().usual().body + (cache + counts).encode())

    @property
    def slices(self) -> list[dict[str, Any]]:
        """The requests for one token that are no requests of ours."""
        return [each for each in self.bodies if is_slice(each)]

    @property
    def wholes(self) -> list[str]:
        """What was asked for in whole."""
        return [each["messages"][-1]["content"] for each in self.bodies if "max_tokens" not in each]


def is_slice(body: dict[str, Any]) -> bool:
    return body.get("max_tokens") == 1 and body["messages"][-1]["content"] != PROBE


def prompt(number: int) -> str:
    """A long one, which has nothing in common with any other."""
    return " ".join(f"w{number}x{place}" for place in range(WORDS))


def told_story(folder: Path, story: Callable[[Service], Awaitable[None]]) -> None:
    served(folder, story)


async def done(service: Service, texts: list[str], *, tokens: int = WORDS) -> None:
    """A batch with these goes through without a fault."""
    batch = await service.batch(texts, line_tokens=tokens)
    await service.ended(batch)
    assert await service.counts(batch) == (len(texts), 0)


async def known(service: Service) -> None:
    """The engine has been seen with others for a while."""
    await done(service, [f"short {number}" for number in range(60)], tokens=FEW)


def test_a_long_prompt_goes_in_slices(tmp_path: Path) -> None:
    """None of them, and no rest, is read in one piece that is much longer than others bear; each line is asked for once."""

    async def story(service: Service) -> None:
        engine = CachingEngine(service)
        pacing = serve(service, engine)
        await known(service)
        size = pacing.view().slice
        assert size is not None
        assert size < WORDS / 2
        assert size % BLOCK == 0
        engine.read.clear()
        before = len(engine.bodies)
        texts = [prompt(number) for number in range(12)]
        await done(service, texts)
        assert sorted(engine.wholes[-12:]) == sorted(texts)
        assert len(engine.wholes) == 72
        assert len(engine.slices) >= 12 * 2
        assert len(engine.bodies) == before + len(engine.slices) + 12
        # The words in a slice are cut where a word ends, and its size may grow.
        assert max(engine.read) < 2.2 * 1024
        assert max(engine.read) < WORDS
        meter = service.posts["d"].worker.dispatchers[0].meter
        assert meter.slices == len(engine.slices)
        assert meter.slice_tokens > 0
        assert meter.sent == 72

    told_story(tmp_path, story)


def test_nobody_else_is_there(tmp_path: Path) -> None:
    """Then nobody is disturbed, and prompts go whole."""

    async def story(service: Service) -> None:
        engine = CachingEngine(service)
        engine.others = 0
        serve(service, engine)
        await done(service, [prompt(number) for number in range(12)])
        assert engine.slices == []

    told_story(tmp_path, story)


@pytest.mark.parametrize("said", ["the page", "the operator"])
def test_no_slices_are_wanted(tmp_path: Path, said: str) -> None:
    """An engine that says it keeps no prefixes, and an operator who wants none."""

    async def story(service: Service) -> None:
        engine = CachingEngine(service, says=said != "the page")
        pacing = serve(service, engine)
        pacing._slices = said != "the operator"
        await known(service)
        await done(service, [prompt(number) for number in range(12)])
        assert engine.slices == []

    told_story(tmp_path, story)


def test_slices_that_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The lines cost nothing, and it is tried with none of them for a while after the request itself was taken."""
    caplog.set_level(logging.INFO)

    def refuses(body: dict[str, Any], engine: CachingEngine) -> Reply:
        return refusal(400) if is_slice(body) else GOOD

    async def story(service: Service) -> None:
        engine = CachingEngine(service, refuses)
        serve(service, engine)
        await known(service)
        await done(service, [prompt(number) for number in range(12)])
        tried = len(engine.slices)
        assert 1 <= tried <= 12
        await done(service, [prompt(number) for number in range(12, 24)])
        assert len(engine.slices) == tried
        assert len(engine.wholes) == 60 + 24

    told_story(tmp_path, story)
    assert told(caplog, "slices_refused") >= 1


def test_a_line_that_is_refused_itself(tmp_path: Path) -> None:
    """It says what the engine says to it, and nothing follows for the slices of others."""

    def refuses(body: dict[str, Any], engine: CachingEngine) -> Reply:
        return refusal(400) if body["messages"][-1]["content"].startswith("w0x") else GOOD

    async def story(service: Service) -> None:
        engine = CachingEngine(service, refuses)
        serve(service, engine)
        await known(service)
        batch = await service.batch([prompt(0)], line_tokens=WORDS)
        await service.ended(batch)
        assert await service.counts(batch) == (0, 1)
        before = len(engine.slices)
        await done(service, [prompt(1)])
        assert len(engine.slices) > before

    told_story(tmp_path, story)


def test_a_cache_in_which_nothing_is_found(tmp_path: Path) -> None:
    """Whatever the page says: after some prompts no more slices are sent, and what was sent is told apart."""

    async def story(service: Service) -> None:
        engine = CachingEngine(service, caches=False)
        pacing = serve(service, engine)
        await known(service)
        await done(service, [prompt(number) for number in range(60)])
        tried = len(engine.slices)
        assert tried > 0
        assert pacing.view().slice is None
        await done(service, [prompt(number) for number in range(60, 80)])
        assert len(engine.slices) == tried

    told_story(tmp_path, story)


@pytest.mark.parametrize("trouble", [refusal(429, 3.0), refusal(503, 3.0)])
def test_an_engine_that_is_busy_at_a_slice(tmp_path: Path, trouble: Reply) -> None:
    """It is left alone as long as it asks, and the line is sent again at no charge."""

    def busy(body: dict[str, Any], engine: CachingEngine) -> Reply:
        return trouble if engine.now < until[0] else GOOD

    until = [0.0]

    async def story(service: Service) -> None:
        engine = CachingEngine(service, busy)
        serve(service, engine)
        await known(service)
        until[0] = engine.now + 60.0
        await done(service, [prompt(number) for number in range(3)])
        assert engine.now >= until[0]

    told_story(tmp_path, story)


@pytest.mark.parametrize(
    "trouble",
    [refusal(429, 3.0), BackendReplyBroken("the connection was closed"), BackendTimeout("no answer within 600 s")],
    ids=["busy", "closed", "hangs"],
)
def test_an_engine_that_takes_all_but_slices(tmp_path: Path, trouble: Reply | BackendError) -> None:
    """Whatever it does with them, each line is sent whole and costs no attempt; then they are left."""

    def odd(body: dict[str, Any], engine: CachingEngine) -> Reply | BackendError:
        return trouble if is_slice(body) else GOOD

    async def story(service: Service) -> None:
        engine = CachingEngine(service, odd)
        serve(service, engine)
        await known(service)
        begun = engine.now
        await done(service, [prompt(number) for number in range(12)])
        assert engine.now - begun < 60.0
        tried = len(engine.slices)
        assert 1 <= tried <= 12 + BUSY_MAX
        await done(service, [prompt(number) for number in range(12, 24)])
        assert len(engine.slices) == tried
        assert sorted(engine.wholes[60:]) == sorted(prompt(number) for number in range(24))

    told_story(tmp_path, story)


def test_an_engine_whose_requests_are_counted(tmp_path: Path) -> None:
    """A slice is a request, and would take the place of one: prompts go whole."""

    async def story(service: Service) -> None:
        said = {b"x-ratelimit-limit-requests": b"6000", b"x-ratelimit-remaining-requests": b"5900"}
        limited = msgspec.structs.replace(GOOD, limits=read_rate_limits(said, now=0.0))
        engine = CachingEngine(service, lambda body, engine: limited)
        serve(service, engine)
        await known(service)
        await done(service, [prompt(number) for number in range(6)])
        assert engine.slices == []
        assert service.posts["d"].worker.dispatchers[0].door.quota is not None

    told_story(tmp_path, story)


def test_an_engine_that_dies_of_slices(tmp_path: Path) -> None:
    """As of requests: whoever was out is tried again."""

    def dies(body: dict[str, Any], engine: CachingEngine) -> Reply | BackendError:
        if is_slice(body) and len(engine.slices) == 5:
            return BackendReplyBroken("the connection was closed", lost=True)
        return GOOD

    async def story(service: Service) -> None:
        engine = CachingEngine(service, dies)
        serve(service, engine)
        await known(service)
        await done(service, [prompt(number) for number in range(6)])
        assert set(engine.wholes[60:]) == {prompt(number) for number in range(6)}

    told_story(tmp_path, story)


def test_a_line_that_kills_its_engine(tmp_path: Path) -> None:
    """It dies at the line's slices already, for some seconds each time: that is found out, and the line ends."""
    down = [0.0]

    def dies(body: dict[str, Any], engine: CachingEngine) -> Reply | BackendError:
        if engine.now < down[0]:
            return BackendUnreachable("connection refused", sent=False)
        if body["messages"][-1]["content"].startswith("w0x"):
            down[0] = engine.now + 5.0
            return BackendReplyBroken("the connection was closed", lost=True)
        return GOOD

    async def story(service: Service) -> None:
        engine = CachingEngine(service, dies)
        serve(service, engine)
        await known(service)
        batch = await service.batch([prompt(number) for number in range(3)], line_tokens=WORDS)
        await service.ended(batch)
        assert await service.counts(batch) == (2, 1)

    told_story(tmp_path, story)


def test_an_answer_to_a_slice_that_nobody_can_take(tmp_path: Path) -> None:
    """It says nothing of the line, which goes whole."""

    def odd(body: dict[str, Any], engine: CachingEngine) -> Reply | BackendError:
        return BackendReplyBroken("the answer is too large", final=True) if is_slice(body) else GOOD

    async def story(service: Service) -> None:
        engine = CachingEngine(service, odd)
        serve(service, engine)
        await known(service)
        await done(service, [prompt(number) for number in range(3)])
        assert len(engine.slices) >= 3

    told_story(tmp_path, story)


def test_others_that_wait_between_two_slices(tmp_path: Path) -> None:
    """Nothing new is begun. What is goes on: the beginning of it would be pushed out of the cache, and read in one piece then."""

    async def story(service: Service) -> None:
        engine = CachingEngine(service)
        pacing = serve(service, engine)
        await known(service)
        engine.step = 1.0
        batch = await service.batch([prompt(0)], line_tokens=WORDS)
        while not engine.slices:
            await asyncio.sleep(0.1)
        engine.waiting = 5
        await service.ended(batch)
        assert pacing.view().frozen
        assert await service.counts(batch) == (1, 0)
        begun = len(engine.bodies)
        await service.batch([prompt(1)], line_tokens=WORDS)
        await asyncio.sleep(20.0)
        assert len(engine.bodies) == begun

    told_story(tmp_path, story)


def test_a_server_that_stops_between_two_slices(tmp_path: Path) -> None:
    """The request is seen to its end, as any other that is out."""

    async def story(service: Service) -> None:
        engine = CachingEngine(service)
        serve(service, engine)
        await known(service)
        batch = await service.batch([prompt(0)], line_tokens=WORDS)
        while not engine.slices:
            await asyncio.sleep(0.01)
        assert engine.wholes[60:] == []
        await service.stop()
        assert engine.out == 0
        assert await service.counts(batch) == (1, 0)

    told_story(tmp_path, story)
