"""Large answers from the backend to the disk: read elsewhere, written in parts, and counted until they are durable."""

import asyncio
import json
from pathlib import Path
from typing import cast

import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.system_clock import SystemClock
from slackwater.adapters.upstream.http_reply import ReplyTooLarge
from slackwater.adapters.work.process_offload import InlineOffload, ProcessOffload
from slackwater.core.errors import StorageFull
from slackwater.core.sending.answer_kinds import Answer
from slackwater.core.sending.budget import Budget, Held
from slackwater.core.sending.door import Door
from slackwater.core.sending.evidence import Kind
from slackwater.core.sending.judgement import UNREADABLE_MAX, RetryPolicy, Setback
from slackwater.core.sending.request import Outcome, Reply, Result
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.feed import Feed
from slackwater.pipeline.sending.journal import Journal
from slackwater.pipeline.sending.large_answers import LARGE_BYTES, LargeAnswers
from slackwater.pipeline.sending.lease import Item, Lease, read_request
from slackwater.ports import Offload, Shard
from tests.adapters.ledger_contract import claimed, started

FILLER = "x" * LARGE_BYTES
# Line ends for Unicode, which no result line may have raw.
ENDS = "潮\u2028\u2029\u0085汐"
LINE = b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m"}}\n'


SHARD = Shard(
    batch_id="b",
    index=0,
    epoch=1,
    places=(),
    lines=4,
    done=b"",
    endpoint="/chat/completions",
    deployment="d",
)


class Answering:
    """Answers one thing, or fails so."""

    def __init__(self, reply: Reply | Exception) -> None:
        self.reply = reply

    async def send(self, path: str, body: bytes) -> Reply:
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply

    async def close(self) -> None:
        """Nothing to close."""


async def attempted(reply: Reply | Exception, offload: Offload | None = None) -> tuple[Result | Setback, Door]:
    """What becomes of the line, and the door that heard of it."""
    clock = SystemClock()
    engine = Engine("http://e", clock, slots=1)
    door = engine.door("key", "m", slots=1)
    dispatcher = Dispatcher(
        "b",
        Answering(reply),
        engine=engine,
        door=door,
        concurrency=1,
        model=None,
        retry=RetryPolicy(attempts_max=1),
        clock=clock,
        region="here",
        large=LargeAnswers(offload or InlineOffload()),
    )
    item = Item(Lease(SHARD, LINE), 3, 0, len(LINE), len(LINE), read_request(3, LINE, "/chat/completions"))
    assert item.request is not None
    return await dispatcher.attempt(item, item.request, clock.monotonic()), door


def held(budget: Budget, length: int) -> Held:
    share = budget.share(lambda: None)
    share.grow(length)
    share.seal()
    return share.hold()


@pytest.mark.parametrize("kind", [bytes, bytearray])
@pytest.mark.parametrize("status", [200, 400])
def test_a_large_answer_is_what_a_small_one_is(kind: type, status: int) -> None:
    """Usage and model are read, it is put on one line, and the line is whole, whatever its status; its place goes along."""
    usage = '{"prompt_tokens":5,"completion_tokens":7}'
    text = f'{{\n"choices":[{{"text":"{ENDS}{FILLER}{ENDS}"}}],\r\n"model":"m","usage":{usage}}}\n'
    budget = Budget()
    place = held(budget, len(text))
    outcome, _ = asyncio.run(attempted(Reply(status, cast(bytes, kind(text.encode())), held=place)))
    assert isinstance(outcome, Result)
    assert (outcome.text, outcome.held, outcome.region, outcome.mended) == (b"", place, "here", False)
    line = b"".join(outcome.parts)
    assert len(line) == outcome.size
    assert line.index(b"\n") == len(line) - 1
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line)["response"]["body"] == json.loads(text)
    assert json.loads(line)["response"]["status_code"] == status
    assert (outcome.outcome is Outcome.COMPLETED) == (status == 200)
    if status == 200:
        assert outcome.model == "m"
        assert outcome.usage is not None
        assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (5, 7)


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_a_large_answer_that_is_nearly_right_is_mended_elsewhere(kind: type) -> None:
    """What comes back from the other process is the body that is written; it is counted as mended."""
    text = '{"choices":[{"text":"' + ENDS + FILLER + '","logprob":NaN}],\n"model":"m"}'

    async def story() -> Result | Setback:
        offload = ProcessOffload()
        try:
            return (await attempted(Reply(200, cast(bytes, kind(text.encode()))), offload))[0]
        finally:
            await offload.close()

    outcome = asyncio.run(story())
    assert isinstance(outcome, Result)
    assert outcome.mended
    assert outcome.model == "m"
    line = b"".join(outcome.parts)
    assert len(line.decode().splitlines()) == 1
    body = json.loads(line)["response"]["body"]
    assert body == json.loads(text.replace("NaN", "null"))


def test_a_large_answer_with_an_error_inside_is_that_refusal() -> None:
    """Its code counts as if it were the status: the line's own ends it whole, another one sets it back."""
    error = '{\n"error":{"code":%d,"message":"no"},"rest":"' + FILLER + '"}'
    budget = Budget()
    own, door = asyncio.run(attempted(Reply(200, (error % 400).encode(), held=held(budget, 1))))
    assert isinstance(own, Result)
    assert own.outcome is Outcome.FAILED
    written = json.loads(b"".join(own.parts))
    response, said = written["response"], written["error"]
    assert said["code"] == "error_inside"
    assert (response["status_code"], response["body"]) == (400, json.loads(error % 400))
    assert door.open
    del own
    busy, _ = asyncio.run(attempted(Reply(200, (error % 429).encode(), 7.0, held=held(budget, 1))))
    assert isinstance(busy, Setback)
    assert (busy.evidence.kind, busy.evidence.wait) == (Kind.BUSY, 7.0)
    assert budget.held == 0


def test_large_answers_that_are_not_json() -> None:
    """An error is cut to its beginning, as a small one is; a success is none. Neither keeps its place."""
    budget = Budget()
    for status in (200, 400, 500):
        reply = Reply(status, b"<html>" + FILLER.encode(), held=held(budget, len(FILLER)))
        outcome, _ = asyncio.run(attempted(reply))
        del reply
        assert budget.held == 0
        if status == 400:
            assert isinstance(outcome, Result)
            assert outcome.outcome is Outcome.FAILED
            assert 0 < len(outcome.text) < 3000
            continue
        assert isinstance(outcome, Setback)
        assert len(outcome.message) < 3000
        assert (outcome.attempts_max == UNREADABLE_MAX) == (status == 200)


def test_an_answer_over_the_limit_costs_one_call_and_does_not_speak_against_the_door() -> None:
    """It ends its line, and the setting that would allow it is named."""
    outcome, door = asyncio.run(attempted(ReplyTooLarge(1000)))
    assert isinstance(outcome, Result)
    assert outcome.outcome is Outcome.FAILED
    assert b"`answer_bytes` in `[worker]`" in outcome.text
    assert door.open


def test_places_are_given_back_when_results_are_durable(tmp_path: Path) -> None:
    """Not before: a commit that finds no room keeps both the results and their places."""

    async def story() -> None:
        ledger, blobs, budget = SqlLedger.open(":memory:"), DiskBlobs(tmp_path), Budget()
        await started(ledger, shards=(3,))
        lease = Lease(await claimed(ledger), b"")
        journal = Journal(ledger, blobs, SystemClock(), owner="w", lease_seconds=30, budget=budget)
        large = (b"head ", b"x" * 1_000_000, b" tail\n")
        journal.add(lease, Result(0, Outcome.COMPLETED, b"small\n"))
        journal.add(lease, Result(1, Outcome.COMPLETED, b"", parts=large, held=held(budget, 1_000_011)))
        journal.add(lease, Result(2, Outcome.FAILED, b"", parts=large, held=held(budget, 1_000_011)))
        assert budget.held == journal.size == 2 * 1_000_011 + 6

        class Full:
            async def open_log(self, key: str) -> object:
                raise StorageFull("no room")

        journal._blobs = Full()  # type: ignore[assignment]
        with pytest.raises(StorageFull):
            await journal.commit()
        assert budget.held == 2 * 1_000_011 + 6
        journal._blobs = blobs
        assert await journal.commit() == 3
        assert (budget.held, journal.size) == (0, 0)
        logs = {path.suffix: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert logs == {".output": b"small\n" + b"".join(large), ".error": b"".join(large)}
        await journal.close_logs(keep=set())
        await ledger.close()

    asyncio.run(story())


def test_large_sound_is_wrapped_where_it_lies_and_counted() -> None:
    """It is a third longer than it came; nobody is held up for that, and all of it is given back."""

    async def story() -> None:
        budget, size = Budget(1 << 20), LARGE_BYTES + 1
        data = bytearray(b"ID3" + bytes(size - 3))
        reply = Reply(200, cast(bytes, data), content_type="audio/mpeg", held=held(budget, size))
        read = await LargeAnswers(InlineOffload()).read_reply(reply, path="/audio/speech")
        assert isinstance(read, Answer)
        assert read.body is cast(bytes, data)
        assert reply.held is not None
        assert reply.held.bytes == budget.held == len(data)
        assert json.loads(bytes(data))["bytes"] == size
        reply.held.release()
        reply.held.grow(5)
        assert budget.held == 0

    asyncio.run(story())


def test_bodies_that_are_out_and_open_shards_are_counted() -> None:
    """A line that waits for another try holds nothing; whatever ends gives back what it held."""

    class Taking:
        open_elsewhere: tuple[Door, ...] = ()

        def __init__(self, door: Door) -> None:
            self.door = door

        def admits(self, circuit: object, now: float) -> bool:
            return True

    async def story() -> None:
        clock, budget = SystemClock(), Budget()
        feed = Feed(clock, bytes_max=1 << 20, budget=budget)
        taker = Taking(Engine("http://e", clock, slots=1).door("key", "m", slots=1))
        lease = Lease(SHARD, LINE * 2)
        feed.add(lease)
        assert budget.held == 2 * len(LINE)
        item = feed.take(taker, clock.monotonic())
        assert item is not None
        assert budget.held == 3 * len(LINE)
        feed.give_back(item)
        feed.park(item, 60.0)
        assert budget.held == 2 * len(LINE)
        feed.close(lease)
        feed.close(lease)
        assert budget.held == 0

    asyncio.run(story())
