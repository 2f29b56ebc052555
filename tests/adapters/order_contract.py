"""What every Ledger promises of new files and new batches: quotas of files, keys of repeated creates, held tokens."""

import asyncio
from typing import Any

import msgspec
import pytest

from slackwater.core.accounts.resource import Role, Slot, StoredKey
from slackwater.core.errors import Conflict, InvalidRequest, NoRoom, QuotaExceeded
from slackwater.core.files.file import FileLimits, Purpose
from slackwater.ports import IdempotencyKey, Ledger, NewShard
from tests.adapters.ledger_contract import batch, file, started

LIMITS = FileLimits(lasting=2, expiring=3)
KEY = IdempotencyKey(key="mine", digest="d1")


class OrderContract:
    """Inherit, and define `open`."""

    def open(self, place: Any) -> Ledger:
        """A new, empty ledger below `place`."""
        raise NotImplementedError

    @pytest.fixture
    def run(self, tmp_path: Any) -> Any:
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

    def test_each_kind_of_file_has_its_own_quota(self, run: Any) -> None:
        """Files without expiry, files with one, and results of batches do not take each other's room."""

        async def story(ledger: Ledger) -> None:
            for number in range(5):
                await ledger.add_file(file(number, purpose=Purpose.BATCH_OUTPUT), limits=LIMITS)
            for number in range(10, 12):
                await ledger.add_file(file(number), limits=LIMITS)
            with pytest.raises(
                QuotaExceeded, match=r"^The quota for files without expiry is reached. The maximum is 2\."
            ):
                await ledger.add_file(file(13), limits=LIMITS)
            for number in range(20, 23):
                await ledger.add_file(file(number, expires_at=9_000), limits=LIMITS)
            with pytest.raises(QuotaExceeded, match="with expiry"):
                await ledger.add_file(file(24, expires_at=9_000), limits=LIMITS)
            await ledger.delete_file("file-10")
            await ledger.add_file(file(14), limits=LIMITS)
            assert await ledger.file("file-13") is None

        run(story)

    def test_files_at_once_do_not_pass_the_quota_together(self, run: Any) -> None:
        """Of many uploads that end at the same moment, only as many are kept as there is room for."""

        async def story(ledger: Ledger) -> None:
            ends = await asyncio.gather(
                *(ledger.add_file(file(number), limits=LIMITS) for number in range(8)), return_exceptions=True
            )
            assert sum(end is None for end in ends) == 2
            assert sum(isinstance(end, QuotaExceeded) for end in ends) == 6

        run(story)

    def test_expired_files_are_not_listed(self, run: Any) -> None:
        """A file is gone from lists at the second of its expiry, and pages stay full."""

        async def story(ledger: Ledger) -> None:
            for number in range(6):
                await ledger.add_file(file(number, expires_at=100 if number % 2 else None))
            page = await ledger.files(purpose=None, after=None, limit=3, descending=True, now=100)
            assert [each.id for each in page] == ["file-4", "file-2", "file-0"]
            page = await ledger.files(purpose=None, after=None, limit=3, descending=True, now=99)
            assert [each.id for each in page] == ["file-5", "file-4", "file-3"]

        run(story)

    def test_a_list_goes_on_behind_a_deleted_file(self, run: Any) -> None:
        """Who deletes each file that a list shows sees them all, in either order."""

        async def story(ledger: Ledger) -> None:
            for descending in (True, False):
                for number in range(7):
                    await ledger.add_file(file(number))
                seen: list[str] = []
                while page := await ledger.files(
                    purpose=None, after=seen[-1] if seen else None, limit=2, descending=descending, now=0
                ):
                    for each in page:
                        seen.append(each.id)
                        await ledger.delete_file(each.id)
                assert seen == sorted(seen, reverse=descending)
                assert len(seen) == 7
            with pytest.raises(InvalidRequest, match="after"):
                await ledger.files(purpose=None, after="nobody", limit=2, descending=True, now=0)

        run(story)

    def test_a_key_makes_one_batch(self, run: Any) -> None:
        """A second batch under the same key is not added: the first one is the answer, as it is by now."""

        async def story(ledger: Ledger) -> None:
            first = await ledger.add_batch(batch(1), key=KEY)
            assert first == batch(1)
            await ledger.request_cancel(first.id, now=5)
            again = await ledger.add_batch(batch(2), key=KEY)
            assert (again.id, again.cancelling_at) == (first.id, 5)
            assert await ledger.batch_of_key(KEY) == again
            assert await ledger.batch("batch-2") is None
            assert await ledger.batch_of_key(IdempotencyKey(key="other", digest="d1")) is None

        run(story)

    def test_a_key_of_another_order_is_a_conflict(self, run: Any) -> None:
        """The message names the batch that has the key; nothing is added."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_batch(batch(1), key=KEY)
            other = IdempotencyKey(key="mine", digest="d2")
            with pytest.raises(Conflict, match="batch-1"):
                await ledger.add_batch(batch(2), key=other)
            with pytest.raises(Conflict, match="batch-1"):
                await ledger.batch_of_key(other)
            assert await ledger.batch("batch-2") is None

        run(story)

    def test_creates_at_once_under_one_key(self, run: Any) -> None:
        """Whoever comes first makes the batch; all get that one."""

        async def story(ledger: Ledger) -> None:
            made = await asyncio.gather(*(ledger.add_batch(batch(number), key=KEY) for number in range(8)))
            assert len({each.id for each in made}) == 1
            assert len(await ledger.batches(limit=10)) == 1

        run(story)

    def test_estimated_tokens_are_held_until_they_are_counted(self, run: Any) -> None:
        """From create on a batch holds its estimate, from validation on its count, and nothing once it has ended."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_batch(batch(1, deployment="d", enqueued_tokens=50))
            assert await ledger.enqueued_tokens("d") == 50
            assert await ledger.counted_tokens("d") == 0
            await ledger.reject_batch("batch-1", errors=[], now=5)
            assert await ledger.enqueued_tokens("d") == 0
            await started(ledger, 2, shards=(7,), deployment="d", enqueued_tokens=50)
            assert await ledger.enqueued_tokens("d") == await ledger.counted_tokens("d") == 7

        run(story)

    def test_creates_at_once_do_not_pass_the_limit_together(self, run: Any) -> None:
        """Of 30 that come at once, as many are let in as there is room for, by what they are estimated at."""

        async def story(ledger: Ledger) -> None:
            new = [batch(number, deployment="d", enqueued_tokens=10) for number in range(30)]
            ends = await asyncio.gather(
                *(ledger.add_batch(each, token_limit=80) for each in new), return_exceptions=True
            )
            assert sum(isinstance(end, NoRoom) for end in ends) == 22
            assert await ledger.enqueued_tokens("d") == 80

        run(story)

    def test_what_waits_starts_as_far_as_there_is_room(self, run: Any) -> None:
        """Looked at in the transaction that starts it: what was let in since somebody looked counts. One alone always starts."""

        async def story(ledger: Ledger) -> None:
            for number in range(5):
                await waiting(ledger, number, 4)
            ids = [f"batch-{number}" for number in range(5)]
            # Two have looked at the same moment, and think of different batches.
            first, second = await asyncio.gather(
                ledger.enqueue(ids[:2], now=1, deployment="d", limit=10),
                ledger.enqueue(ids[1:4], now=1, deployment="d", limit=10),
            )
            assert len({*first, *second}) == len(first) + len(second) == 2
            assert await ledger.enqueue(ids, now=1, deployment="d", limit=10) == []
            assert await ledger.enqueue(ids[3:], now=1, deployment="d", limit=12) == ids[3:4]
            assert await ledger.enqueue(["batch-4", "nobody"], now=1) == ["batch-4"]
            await waiting(ledger, 5, 100, deployment="e")
            assert await ledger.enqueue(["batch-5"], now=1, deployment="e", limit=10) == ["batch-5"]

        run(story)

    def test_a_key_is_changed_only_where_there_is_one(self, run: Any) -> None:
        """Whoever makes one of two anew does not bring back a role whose keys were taken away meanwhile."""

        async def story(ledger: Ledger) -> None:
            key = StoredKey(resource="red", role=Role.USER, slot=Slot.KEY1, digest="1", hint="h", created_at=1)
            assert not await ledger.put_keys([key], instead=True)
            assert await ledger.keys() == []
            assert await ledger.put_keys([key])
            other = msgspec.structs.replace(key, slot=Slot.KEY2, digest="2")
            assert await ledger.put_keys([other], instead=True)
            assert await ledger.keys() == [key, other]
            assert not await ledger.put_keys([msgspec.structs.replace(other, role=Role.ADMIN)], instead=True)
            assert not await ledger.put_keys([msgspec.structs.replace(other, resource="blue")], instead=True)
            assert await ledger.keys() == [key, other]

        run(story)


async def waiting(ledger: Ledger, number: int, tokens: int, *, deployment: str = "d") -> None:
    """A batch that waits for room for so many tokens."""
    await ledger.add_batch(batch(number, deployment=deployment))
    assert await ledger.accept_batch(
        f"batch-{number}",
        deployment=deployment,
        endpoint="/chat/completions",
        total=1,
        tokens=tokens,
        shards=[NewShard(offset=0, length=10, lines=1, tokens=tokens)],
    )
