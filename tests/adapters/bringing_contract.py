"""What every Ledger promises about batches whose user keeps their bytes himself. A test module inherits the class."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec import structs

from slackwater.core.batch import Batch, Policies, Status, UserStorage, WindowElapsed
from slackwater.ports import Ledger
from tests.adapters.ledger_contract import batch, file, started
from tests.adapters.studio_contract import ids

Story = Callable[[Ledger], Awaitable[None]]
STORAGE = UserStorage(input_url="https://a.test/in/x.jsonl", folder_url="https://a.test/out", version='"v1"')


def elsewhere(number: int, **changes: Any) -> Batch:
    """A batch whose input is to be brought."""
    return batch(number, **({"input_file_id": "", "input_blob": "", "storage": STORAGE} | changes))


async def next_id(ledger: Ledger, *skip: str, busy: tuple[str, ...] = ()) -> str | None:
    """The id of the batch whose input is to be brought next."""
    found = await ledger.next_to_bring(skip=skip, busy=busy)
    return None if found is None else found.id


async def brought(ledger: Ledger, number: int) -> bool:
    """Its input is here."""
    storage = structs.replace(STORAGE, checksum=7)
    return await ledger.finish_bringing(
        f"batch-{number}", blob=f"files/b{number}", size=10, storage=storage, deployment="d", tokens=5
    )


class BringingContract:
    """Inherit, and define `open`."""

    def open(self, place: Any) -> Ledger:
        """A new, empty ledger below `place`."""
        raise NotImplementedError

    @pytest.fixture
    def run(self, tmp_path: Any) -> Callable[[Story], None]:
        """Runs a story over a new ledger."""

        def runner(story: Story) -> None:
            async def main() -> None:
                ledger = self.open(tmp_path)
                try:
                    await story(ledger)
                finally:
                    await ledger.close()

            asyncio.run(main())

        return runner

    def test_its_input_comes_before_it_is_validated(self, run: Any) -> None:
        """It is nobody's to validate until its bytes are here; then it holds what was estimated."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_batch(elsewhere(0))
            assert await ledger.next_to_validate() is None
            assert await ledger.next_to_bring() == elsewhere(0)
            assert await brought(ledger, 0)
            assert await next_id(ledger) is None
            assert not await brought(ledger, 0), "once"
            found = await ledger.next_to_validate()
            assert found is not None
            assert (found.input_blob, found.input_bytes, found.deployment) == ("files/b0", 10, "d")
            assert found.storage == structs.replace(STORAGE, checksum=7)
            assert await ledger.enqueued_tokens("d") == 5
            assert await ledger.blob_in_use("files/b0")

        run(story)

    def test_nobody_s_many_batches_keep_another_one_waiting(self, run: Any) -> None:
        """Whose resource has one in hand comes last, and the oldest comes first."""

        async def story(ledger: Ledger) -> None:
            for number, resource in enumerate(("much", "much", "much-more", "much")):
                await ledger.add_batch(elsewhere(number, resource=resource))
            assert await next_id(ledger) == "batch-0"
            assert await next_id(ledger, "batch-0") == "batch-1"
            assert await next_id(ledger, "batch-0", busy=("much",)) == "batch-2"
            assert await next_id(ledger, "batch-0", "batch-2", busy=("much", "much-more")) == "batch-1"
            assert await next_id(ledger, "batch-0", "batch-1", "batch-2", "batch-3") is None

        run(story)

    def test_it_ends_before_its_input_has_come(self, run: Any) -> None:
        """Cancelled, refused, or out of time: what comes after that is not taken."""

        async def story(ledger: Ledger) -> None:
            expires = Policies(window_elapsed=WindowElapsed.EXPIRE)
            for number in range(3):
                await ledger.add_batch(elsewhere(number, policies=expires if number == 2 else Policies()))
            cancelled = await ledger.request_cancel("batch-0", now=1_500)
            assert cancelled is not None
            assert cancelled.status is Status.CANCELLING
            assert await ledger.reject_batch("batch-1", errors=[], now=1_500)
            assert await ledger.elapse_windows(now=1_999) == []
            assert await ledger.elapse_windows(now=2_000) == ["batch-2"]
            assert await next_id(ledger) is None
            assert not any([await brought(ledger, number) for number in range(3)])
            ending = await ledger.begin_finalizing(now=2_001, elsewhere=True)
            assert ending is not None
            assert ending.id == "batch-0"

        run(story)

    def test_results_that_go_elsewhere_are_ended_apart(self, run: Any) -> None:
        """A store that is away keeps nobody from ending whose results are files here."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, 1, storage=STORAGE)
            await started(ledger, 2)
            for number in (1, 2):
                await ledger.request_cancel(f"batch-{number}", now=1_200)
            here = await ledger.begin_finalizing(now=1_300)
            there = await ledger.begin_finalizing(now=1_300, elsewhere=True)
            assert here is not None
            assert there is not None
            assert (here.id, there.id) == ("batch-2", "batch-1")
            assert await ledger.begin_finalizing(now=1_300, skip=["batch-2"]) is None
            where = structs.replace(STORAGE, output_url="https://a.test/out/1/results.jsonl")
            ended = await ledger.publish_files("batch-1", output=None, error=None, now=1_400, storage=where)
            assert ended is not None
            assert ended == await ledger.batch("batch-1")
            assert (ended.status, ended.storage, ended.output_file_id) == (Status.CANCELLED, where, None)
            kept = await ledger.publish_files("batch-2", output=file(9), error=None, now=1_400)
            assert kept is not None
            assert kept.storage is None

        run(story)

    def test_it_is_found_by_the_name_of_its_blob(self, run: Any) -> None:
        """As others are by that of their file."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_batch(elsewhere(0))
            await ledger.add_batch(elsewhere(1, storage=structs.replace(STORAGE, input_url="s3://box/other.jsonl")))
            assert await ids(ledger, search="X.jsonl") == ["0"]

        run(story)
