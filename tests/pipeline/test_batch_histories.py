"""What is written down of how batches go: all that journals have committed, once, and never more than there is room for."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from slackwater.core.watching.batch_history import SECONDS, BatchHistory, quantile
from slackwater.pipeline.loops import Pace
from slackwater.pipeline.watching.batch_histories import TOGETHER_MAX, WAITING_MAX, BatchHistories
from tests.pipeline.engines import GOOD, ScriptedEngine, Service, refusal, served
from tests.pipeline.test_sending import texts


class Books:
    """What a ledger has of it. It may be away."""

    def __init__(self) -> None:
        self.kept: dict[str, BatchHistory] = {}
        self.away = False
        self.writes: list[int] = []

    async def add_batch_histories(self, news: Mapping[str, BatchHistory]) -> None:
        if self.away:
            raise OSError("away")
        self.writes.append(len(news))
        for batch_id, each in news.items():
            self.kept.setdefault(batch_id, BatchHistory()).take(each)


def test_all_that_is_durable_is_told_once(tmp_path: Path) -> None:
    """Over two lives of a worker: as many as the batch has counted, in the seconds in which they ended, with what calls took."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(
            service.loop, lambda text, each: refusal(400) if text.startswith("bad") else GOOD, seconds=0.6
        )
        batch = await service.batch([*texts(900), *texts(100, "bad")])
        for seconds in (60, 600):
            service.serve(engine, slots=4)
            await asyncio.sleep(seconds)
            await service.stop()
            await service.histories.close()
        assert await service.counts(batch) == (900, 100)
        found = await service.ledger.batch_history(batch)
        assert found is not None
        steps = found.steps.values()
        assert (sum(each.completed for each in steps), sum(each.failed for each in steps)) == (900, 100)
        assert sum(each.output_tokens for each in steps) == sum(found.tokens.values()) == 900
        assert found.step == 2
        # Four at a time.
        assert max(each.completed for each in steps) <= 2 * 4 / 0.6 + 8
        median = quantile(found.seconds, 0.5, bounds=SECONDS)
        assert median == pytest.approx(0.6, rel=0.2)

    served(tmp_path, story)


def test_a_ledger_that_is_away(tmp_path: Path) -> None:
    """What could not be written waits, together with what comes meanwhile; then some batches go at a time."""

    async def story(service: Service) -> None:
        books = Books()
        histories = BatchHistories(books, service.clock)  # type: ignore[arg-type]
        books.away = True
        histories.hear("first", [], 2)
        with pytest.raises(OSError, match="away"):
            await histories.step()
        histories.hear("first", [], 3)
        for number in range(WAITING_MAX):
            histories.hear(f"batch-{number}", [], 1)
        # A stop does not wait for it.
        await histories.close()
        books.away = False
        while await histories.step() is Pace.BUSY:
            pass
        assert sum(each.failed for each in books.kept["first"].steps.values()) == 5
        # There was no room for the last one.
        assert len(books.kept) == WAITING_MAX
        assert set(books.writes) == {TOGETHER_MAX, 0} - {0}

    served(tmp_path, story)
