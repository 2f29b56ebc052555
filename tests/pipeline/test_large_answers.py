"""Large answers from the backend to the disk: read elsewhere, written in parts, and counted until they are durable."""

import asyncio
import json
from pathlib import Path
from typing import cast

import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.system_clock import SystemClock
from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.core.errors import StorageFull
from slackwater.core.sending.breaker import Breaker
from slackwater.core.sending.budget import Budget, Held
from slackwater.core.sending.judgement import RetryPolicy
from slackwater.core.sending.lines import LineWriter
from slackwater.core.sending.request import Outcome, Reply, Request, Result
from slackwater.pipeline.sending.dispatcher import Dispatcher, Retry
from slackwater.pipeline.sending.feed import Lease
from slackwater.pipeline.sending.journal import Journal
from slackwater.pipeline.sending.large_answers import LARGE_BYTES, LargeAnswers
from tests.adapters.ledger_contract import claimed, started

FILLER = "x" * LARGE_BYTES


class Answering:
    """Answers one thing."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    async def send(self, path: str, body: bytes) -> Reply:
        return self.reply

    async def close(self) -> None:
        """Nothing to close."""


def attempted(reply: Reply) -> Result | Retry:
    dispatcher = Dispatcher(
        "b",
        Answering(reply),
        concurrency=1,
        model=None,
        retry=RetryPolicy(attempts_max=1),
        breaker=Breaker(),
        clock=SystemClock(),
        chance=lambda: 0.5,
        region="here",
        large=LargeAnswers(InlineOffload()),
    )
    request = Request(3, "a", b"{}")
    return asyncio.run(dispatcher.attempt("/x", request, attempts=1, writer=LineWriter("0" * 32)))


def held(budget: Budget, length: int) -> Held:
    share = budget.share(lambda: None)
    share.grow(length)
    share.seal()
    return share.hold()


@pytest.mark.parametrize("kind", [bytes, bytearray])
@pytest.mark.parametrize("status", [200, 400])
def test_a_large_answer_is_what_a_small_one_is(kind: type, status: int) -> None:
    """Usage and model are read, it is put on one line, and the line is whole, whatever its status; its place goes along."""
    text = '{\n"text":"' + FILLER + '",\r\n"model":"m","usage":{"prompt_tokens":5,"completion_tokens":7}}\n'
    budget = Budget()
    place = held(budget, len(text))
    outcome = attempted(Reply(status, cast(bytes, kind(text.encode())), None, place))
    assert isinstance(outcome, Result)
    assert (outcome.text, outcome.held, outcome.region) == (b"", place, "here")
    line = b"".join(outcome.parts)
    assert len(line) == outcome.size
    assert line.index(b"\n") == len(line) - 1
    assert json.loads(line)["response"]["body"] == json.loads(text)
    assert json.loads(line)["response"]["status_code"] == status
    assert (outcome.outcome is Outcome.COMPLETED) == (status == 200)
    if status == 200:
        assert outcome.model == "m"
        assert outcome.usage is not None
        assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (5, 7)


def test_large_answers_that_are_not_json() -> None:
    """An error is cut to its beginning, as a small one is; a success is none. Neither keeps its place."""
    for status in (200, 400):
        budget = Budget()
        outcome = attempted(Reply(status, b"<html>" + FILLER.encode(), None, held(budget, len(FILLER))))
        assert isinstance(outcome, Result)
        assert outcome.outcome is Outcome.FAILED
        assert outcome.size < 3000
        del outcome
        assert budget.held == 0


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
