"""What every Ledger promises to those who watch: sessions, lists in short, queues, new results."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from slackwater.core.accounts.resource import Role
from slackwater.core.accounts.session import Session
from slackwater.core.batch import BatchError, RequestCounts, Status
from slackwater.core.errors import InvalidRequest
from slackwater.core.sending.request import Outcome
from slackwater.core.watching.batch_history import BatchHistory
from slackwater.ports import BatchDone, BlobRange, DeploymentLoad, Ledger, NewResults
from tests.adapters.ledger_contract import batch, claimed, file, segment, started

SESSION = Session(
    digest="d",
    resource="red",
    role=Role.USER,
    name="user/key1",
    anywhere=True,
    origin="key:abc",
    created_at=100,
    expires_at=200,
)
BOTH = frozenset(Outcome)


async def ids(ledger: Ledger, **asked: Any) -> list[str]:
    """The ids of a page of a resource, `default` if it is not named."""
    page = await ledger.batch_overview(**({"resource": "default", "limit": 100} | asked))
    return [row.batch.id.removeprefix("batch-") for row in page.rows]


async def waiting(ledger: Ledger, number: int, **changes: Any) -> None:
    """A validated batch that waits for room."""
    new = batch(number, **changes)
    await ledger.add_batch(new)
    assert await ledger.accept_batch(new.id, deployment="d", endpoint="/chat/completions", total=1, tokens=7, shards=[])


class StudioContract:
    """Inherit, and define `open`."""

    def open(self, place: Path) -> Ledger:
        """A ledger below `place`; the same one where there is one."""
        raise NotImplementedError

    @pytest.fixture
    def run(self, tmp_path: Path) -> Any:
        """Runs a story over a new ledger."""

        def runner(story: Any) -> None:
            async def main() -> None:
                ledger = self.open(tmp_path)
                try:
                    await story(ledger)
                finally:
                    await ledger.close()

            asyncio.run(main())

        return runner

    def test_sessions(self, run: Any) -> None:
        """They come back as they went in, until they are deleted; what is over goes when the next one comes."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_session(SESSION, most=10)
            assert await ledger.session("d") == SESSION
            assert await ledger.session("x") is None
            later = msgspec.structs.replace(SESSION, digest="e", created_at=200, expires_at=300, anywhere=False)
            await ledger.add_session(later, most=10)
            assert await ledger.session("d") is None
            assert await ledger.session("e") == later
            assert await ledger.delete_session("e")
            assert not await ledger.delete_session("e")
            assert await ledger.session("e") is None

        run(story)

    def test_sessions_are_bounded(self, run: Any) -> None:
        """The oldest goes for one too many."""

        async def story(ledger: Ledger) -> None:
            for number in range(5):
                new = msgspec.structs.replace(SESSION, digest=str(number), created_at=100 + number)
                await ledger.add_session(new, most=3)
            assert [await ledger.session(str(number)) is not None for number in range(5)] == [
                False,
                False,
                True,
                True,
                True,
            ]

        run(story)

    def test_an_overview_is_newest_first_and_pages(self, run: Any) -> None:
        """Each batch of the resource once, and none of another; a cursor of another resource is none."""

        async def story(ledger: Ledger) -> None:
            for number in range(7):
                await ledger.add_batch(batch(number, resource="red" if number == 3 else "default"))
            assert await ids(ledger) == ["6", "5", "4", "2", "1", "0"]
            assert await ids(ledger, limit=2) == ["6", "5"]
            assert await ids(ledger, limit=2, after="batch-5") == ["4", "2"]
            assert await ids(ledger, resource="red") == ["3"]
            for cursor in ("batch-3", "nothing"):
                with pytest.raises(InvalidRequest):
                    await ids(ledger, after=cursor)

        run(story)

    def test_an_overview_selects(self, run: Any) -> None:
        """By status, several of them merged; by deployment; by both."""

        async def story(ledger: Ledger) -> None:
            for number in range(6):
                await ledger.add_batch(batch(number, deployment="d" if number % 2 else "e"))
            for number in (1, 2):
                await ledger.reject_batch(f"batch-{number}", errors=[BatchError(code="c", message="wrong")], now=5)
            await ledger.request_cancel("batch-4", now=6)
            failed, cancelling = {Status.FAILED}, {Status.FAILED, Status.CANCELLING}
            assert await ids(ledger, statuses=failed) == ["2", "1"]
            assert await ids(ledger, statuses=cancelling) == ["4", "2", "1"]
            assert await ids(ledger, statuses=cancelling, limit=2, after="batch-4") == ["2", "1"]
            assert await ids(ledger, deployment="d") == ["5", "3", "1"]
            assert await ids(ledger, deployment="e", statuses=failed) == ["2"]
            assert await ids(ledger, deployment="nothing") == []
            page = await ledger.batch_overview(resource="default", limit=1)
            assert page.counts == {Status.VALIDATING: 3, Status.FAILED: 2, Status.CANCELLING: 1}
            assert (await ledger.batch_overview(resource="red", limit=1)).counts == {}

        run(story)

    def test_an_overview_of_those_with_failures(self, run: Any) -> None:
        """Those of which requests have failed, in any status or in some; counted where they have completed."""

        async def story(ledger: Ledger) -> None:
            for number in range(6):
                await started(ledger, number, shards=(4,), metadata={"team": "tides"} if number == 4 else None)
                shard = await claimed(ledger)
                await ledger.commit_segments(
                    [segment(shard, 0, 1, 2, 3, failed=number % 2)], now=1.0, lease_seconds=9.0
                )
                if number < 4:
                    await ledger.finish_shard(f"batch-{number}", 0, epoch=shard.epoch)
                    assert await ledger.begin_finalizing(now=2)
                    await ledger.publish_files(f"batch-{number}", output=None, error=None, now=3)
            assert await ids(ledger, with_failures=True) == ["5", "3", "1"]
            assert await ids(ledger, with_failures=True, limit=1, after="batch-5") == ["3"]
            assert await ids(ledger, with_failures=True, statuses={Status.COMPLETED}) == ["3", "1"]
            assert await ids(ledger, with_failures=True, statuses={Status.IN_PROGRESS}, deployment="d") == ["5"]
            assert await ids(ledger, with_failures=True, search="batch-3") == ["3"]
            assert await ids(ledger, with_failures=True, search="tides") == []
            assert await ids(ledger, with_failures=True, resource="red") == []
            page = await ledger.batch_overview(resource="default", limit=1)
            assert (page.completed_with_failures, page.counts[Status.COMPLETED]) == (2, 4)

        run(story)

    def test_an_overview_searches(self, run: Any) -> None:
        """In ids, names of input files and values of metadata, in any case; every character means itself."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_file(file(1, filename="Quartals_Bericht.jsonl"))
            await ledger.add_batch(batch(1))
            await ledger.add_batch(batch(2, metadata={"team": 'Ünit "7"', "rate": "100%"}))
            await ledger.add_batch(batch(3, metadata={"needle": "x"}))
            await ledger.add_batch(batch(4, resource="red", metadata={"street": "Tide"}))
            await ledger.reject_batch("batch-3", errors=[], now=5)
            for text, found in {
                "BATCH-3": ["3"],
                "quartals_b": ["1"],
                "ünit": ["2"],
                '"7"': ["2"],
                "100%": ["2"],
                "1_0": [],
                "%": ["2"],
                "needle": [],
                "batch-": ["3", "2", "1"],
                "\\": [],
            }.items():
                assert await ids(ledger, search=text) == found, text
            assert await ids(ledger, search="batch-", statuses={Status.FAILED}) == ["3"]
            assert await ids(ledger, search="batch-", deployment="d") == []
            assert await ids(ledger, search="batch-", limit=1, after="batch-3") == ["2"]
            assert await ids(ledger, search="tide", resource="red") == ["4"]
            rows = (await ledger.batch_overview(resource="default", limit=9)).rows
            assert [row.filename for row in rows] == [None, None, "Quartals_Bericht.jsonl"]

        run(story)

    def test_an_overview_of_some_metadata(self, run: Any) -> None:
        """Each key with its value, exactly as it was given, and together with everything else that is asked for."""

        async def story(ledger: Ledger) -> None:
            odd = "a.\"b\\'%?:"
            await ledger.add_batch(batch(1, metadata={"team": "Tides", "name": "night"}))
            await ledger.add_batch(batch(2, metadata={"team": "tides", "zero": "\0"}))
            await ledger.add_batch(batch(3, metadata={"other": "Tides", "team": "Tides and more"}))
            await ledger.add_batch(batch(4, metadata={odd: "Ünit 100%", "empty": ""}))
            await ledger.add_batch(batch(5))
            await ledger.add_batch(batch(6, resource="red", metadata={"team": "Tides"}))
            await ledger.add_batch(batch(7, metadata={"team": "Tides"}, deployment="d"))
            await ledger.reject_batch("batch-1", errors=[], now=5)
            tides = ("team", "Tides")
            assert await ids(ledger, metadata=[tides]) == ["7", "1"]
            assert await ids(ledger, metadata=[tides], limit=1, after="batch-7") == ["1"]
            assert await ids(ledger, metadata=[tides, ("name", "night")]) == ["1"]
            assert await ids(ledger, metadata=[tides, ("team", "tides")]) == []
            assert await ids(ledger, metadata=[tides], statuses={Status.FAILED, Status.VALIDATING}) == ["7", "1"]
            assert await ids(ledger, metadata=[tides], statuses={Status.FAILED}) == ["1"]
            assert await ids(ledger, metadata=[tides], deployment="d", search="batch-") == ["7"]
            assert await ids(ledger, metadata=[tides], search="night") == ["1"]
            assert await ids(ledger, metadata=[tides], with_failures=True) == []
            assert await ids(ledger, metadata=[(odd, "Ünit 100%")]) == ["4"]
            assert await ids(ledger, metadata=[("empty", "")]) == ["4"]
            assert await ids(ledger, metadata=[("nothing", "")]) == []

        run(story)

    def test_queues(self, run: Any) -> None:
        """A position is for validated batches that wait, by deployment, oldest first; whoever starts makes room."""

        async def story(ledger: Ledger) -> None:
            for number in (1, 2, 3):
                await waiting(ledger, number)
            await ledger.add_batch(batch(4, deployment="d", enqueued_tokens=5))
            await started(ledger, 5)
            positions = [await ledger.queue_position(f"batch-{number}") for number in (1, 2, 3, 4, 5, 6)]
            assert positions == [1, 2, 3, None, None, None]
            rows = (await ledger.batch_overview(resource="default", limit=9)).rows
            assert [row.queue_position for row in rows] == [None, None, 3, 2, 1]
            load = await ledger.deployment_load("d")
            assert (load.open_batches, load.waiting_batches, load.waiting) == (5, 3, 21)
            assert load.held == await ledger.enqueued_tokens("d") - 21
            await ledger.enqueue(["batch-1"], now=5)
            await ledger.request_cancel("batch-2", now=5)
            assert await ledger.queue_position("batch-3") == 1
            assert await ledger.deployment_load("x") == DeploymentLoad(
                open_batches=0, held=0, waiting_batches=0, waiting=0
            )

        run(story)

    def test_batches_at_work(self, run: Any) -> None:
        """How far each is that runs, when its first result came, and how many answers were mended."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, 0, shards=(3,))
            await waiting(ledger, 1)
            shard = await claimed(ledger)
            assert await ledger.batches_at_work(limit=9) == [BatchDone("batch-0", 0, 0)]
            for line, now in ((0, 17.9), (1, 30.0)):
                counted = msgspec.structs.replace(segment(shard, line), counts=RequestCounts(completed=1))
                await ledger.commit_segments([counted], now=now, lease_seconds=9)
            assert await ledger.batches_at_work(limit=9) == [BatchDone("batch-0", 2, 2)]
            assert await ledger.batches_at_work(limit=0) == []
            found = await ledger.batch("batch-0")
            assert found is not None
            assert found.first_result_at == 17
            assert found.answers_mended == 0
            mended = msgspec.structs.replace(segment(shard, 2), mended=1)
            late = msgspec.structs.replace(segment(shard, 2, epoch=shard.epoch + 1), mended=1)
            assert await ledger.commit_segments([late], now=31.0, lease_seconds=9) == [
                ("batch-0", shard.index, shard.epoch + 1)
            ]
            await ledger.commit_segments([mended], now=31.0, lease_seconds=9)
            found = await ledger.batch("batch-0")
            assert found is not None
            assert found.answers_mended == 1

        run(story)

    def test_the_sizes_of_shards(self, run: Any) -> None:
        """In the order of the input, whatever has become of them; none of a batch that is not there."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, 0, shards=(4, 1, 3))
            shard = await claimed(ledger)
            done = segment(shard, *range(shard.lines))
            assert await ledger.commit_segments([done], now=1.0, lease_seconds=9.0) == []
            assert await ledger.shard_sizes("batch-0") == [4, 1, 3]
            assert await ledger.shard_sizes("nothing") == []

        run(story)

    def test_histories_of_batches(self, run: Any) -> None:
        """What several have seen is added up; of what is not there nothing is kept, and it goes with its batch."""

        async def story(ledger: Ledger) -> None:
            first, second = BatchHistory(), BatchHistory()
            first.hear([], 2, at=1_000)
            second.hear([], 3, at=1_000)
            second.hear([], 5, at=1_500)
            await ledger.add_batch(batch(1))
            await ledger.add_batch(batch(2))
            assert await ledger.batch_history("batch-1") is None
            await ledger.add_batch_histories({"batch-2": second, "batch-1": first, "nothing": second})
            await ledger.add_batch_histories({"batch-1": second})
            whole = await ledger.batch_history("batch-1")
            assert whole is not None
            assert (whole.step, [each.failed for each in whole.steps.values()]) == (8, [5, 5])
            assert await ledger.batch_history("batch-2") == second
            assert await ledger.batch_history("nothing") is None
            await ledger.reject_batch("batch-1", errors=[], now=5)
            assert await ledger.forget_batches("default", ended_before=9, limit=9) == ["batch-1"]
            await ledger.add_batch_histories({"batch-1": second})
            assert await ledger.batch_history("batch-1") is None

        run(story)

    def test_results_behind_a_cursor(self, run: Any) -> None:
        """Each committed byte once, in the order of each log, whichever row names it; what is not committed is never told."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, 0, shards=(4, 4))
            one, two = await claimed(ledger), await claimed(ledger)

            async def commit(*segments: Any) -> None:
                await ledger.commit_segments(segments, now=1.0, lease_seconds=9.0)

            def wrong(shard: Any, line: int, at: int) -> Any:
                return msgspec.structs.replace(
                    segment(shard, line), output=None, error=BlobRange(key="errors", offset=at, length=10)
                )

            async def behind(seen: dict[str, int], outcomes: Any = BOTH) -> list[NewResults]:
                return await ledger.results_behind("batch-0", seen=seen, outcomes=outcomes, limit=100)

            # The first row has errors only, and is given results behind those of a later row.
            await commit(wrong(one, 0, 0))
            await commit(segment(two, 0, 1, offset=0), segment(two, 2, offset=90, epoch=two.epoch + 1))
            await commit(segment(one, 1, offset=20))
            output = [each.range for each in await behind({}, {Outcome.COMPLETED})]
            assert output == [BlobRange(key="log", offset=0, length=30)]
            assert [each.range.key for each in await behind({}, {Outcome.FAILED})] == ["errors"]
            assert {(each.outcome, each.range.key) for each in await behind({})} == {
                (Outcome.COMPLETED, "log"),
                (Outcome.FAILED, "errors"),
            }
            rest = await behind({"log": 5, "errors": 10})
            assert rest == [NewResults(outcome=Outcome.COMPLETED, range=BlobRange(key="log", offset=5, length=25))]
            assert await behind({"log": 30, "errors": 10}) == []
            assert await ledger.results_behind("nothing", seen={}, outcomes=BOTH, limit=9) == []

        run(story)
