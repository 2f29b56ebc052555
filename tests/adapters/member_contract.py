"""What every Ledger promises about members: whose duty is what, and what becomes of what a dead one had. To be inherited."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.batch import Stage
from slackwater.core.files.file import FileStatus
from slackwater.core.members import Duty, Member
from slackwater.core.sending.shared_slots import Ask
from slackwater.core.telling.webhooks import DeliveryState, Outcome
from slackwater.core.watching.cluster import DutyHeld, ShardsHeld
from slackwater.ports import NewShard
from tests.adapters.import_contract import next_id, ordered
from tests.adapters.ledger_contract import batch, claimed, file, segment, started
from tests.adapters.webhook_contract import failed, listening

Story = Callable[[SqlLedger], Awaitable[None]]
NOW = 5_000


def member(name: str) -> Member:
    """A member."""
    return Member(id=name, host="here", version="1", started_at=1.0, until=9.0)


async def joined(ledger: SqlLedger, *names: str) -> None:
    """Members of these names; the first of them asks."""
    for name in names:
        await ledger.add_member(member(name))
    ledger.act_as(names[0])


async def exhausted(ledger: SqlLedger, number: int = 0) -> None:
    """A batch that has nothing left to run."""
    await started(ledger, number, shards=(1,))
    shard = await claimed(ledger, owner="a-0")
    assert await ledger.commit_segments([segment(shard, 0)], now=1.0, lease_seconds=9.0) == []
    assert await ledger.finish_shard(shard.batch_id, shard.index, epoch=shard.epoch)


class MemberContract:
    """Inherit, and define `open`."""

    def open(self, place: Any) -> SqlLedger:
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

    def test_the_first_batches_that_have_something_are_claimed_from(self, run: Any) -> None:
        """In the order in which they are named, past those of which others have claimed all, and no more than are wanted."""

        async def story(ledger: SqlLedger) -> None:
            await started(ledger, 0, shards=(1,))
            await started(ledger, 1, shards=(1, 1))
            await started(ledger, 2, shards=(1, 1))
            await joined(ledger, "a", "b")

            async def claim(most: int | None, *numbers: int) -> list[tuple[str, int]]:
                names = [f"batch-{number}" for number in numbers]
                shards = await ledger.claim_shards(names, owner="b-0", now=0, lease_seconds=9, most=most)
                return [(shard.batch_id, shard.index) for shard in shards]

            assert await claim(0, 0, 1) == []
            assert await claim(1, 3, 0, 1) == [("batch-0", 0)]
            assert await claim(2, 0, 2, 1, 1) == [("batch-2", 0), ("batch-1", 0)]
            assert await claim(2, 0, 1) == [("batch-1", 1)]
            assert await claim(None, 0, 1) == []
            assert await claim(None) == []
            # What was in the hands of a dead one is there again.
            await ledger.bury("b")
            assert await claim(None, 1, 0) == [("batch-1", 0), ("batch-0", 0)]
            await ledger.request_cancel("batch-1", now=5)
            assert await claim(1, 1, 2) == [("batch-2", 0)]

        run(story)

    def test_members_come_back_as_they_went_in(self, run: Any) -> None:
        """And each knows whether there are others."""

        async def story(ledger: SqlLedger) -> None:
            assert await ledger.members() == []
            assert not await ledger.others()
            await joined(ledger, "b", "a")
            assert await ledger.members() == [member("a"), member("b")]
            assert await ledger.others()
            await ledger.bury("a")
            assert not await ledger.others()
            assert await ledger.bury("a") is None

        run(story)

    def test_a_member_says_for_which_deployments_it_sends(self, run: Any) -> None:
        """None as long as it has not said so; one that is none any more says nothing, and nobody is any more by it."""

        async def story(ledger: SqlLedger) -> None:
            worker = Member(id="w", host="there", version="1", kind="worker", started_at=2.0, until=9.0, sends_for=())
            await joined(ledger, "a")
            await ledger.add_member(worker)
            assert await ledger.members() == [member("a"), worker]
            await ledger.send_for("w", ["b", "tenant/ü"])
            told = [each.sends_for for each in await ledger.members()]
            assert told == [None, ("b", "tenant/ü")]
            await ledger.send_for("w", [])
            assert [each.sends("b") for each in await ledger.members()] == [True, False]
            await ledger.bury("w")
            await ledger.send_for("w", ["b"])
            assert await ledger.members() == [member("a")]

        run(story)

    def test_what_each_has_in_hand(self, run: Any) -> None:
        """Shards of all its workers, its duties, and the slots of engines that it was granted and that are not over."""

        async def story(ledger: SqlLedger) -> None:
            await joined(ledger, "a", "b")
            await started(ledger, shards=(2,) * 4)
            for owner in ("a-0", "a-1", "b-0"):
                await claimed(ledger, owner=owner)
            new = batch(1)
            await ledger.add_batch(new)
            assert await ledger.next_to_validate() is not None
            now = (await ledger.cluster(now=100.0)).now
            for name, wanted in (("a", 9), ("b", 1)):
                ask = Ask(engine="http://engine:1", wanted=wanted, held=0, limit=8, serial=1)
                await ledger.share_engines(name, [ask], seconds=20.0, now=now)
            await ledger.bury_shares("c", now=now)
            found = await ledger.cluster(now=now)
            assert [each.id for each in found.members] == ["a", "b"]
            assert list(found.shards) == [ShardsHeld("a", "d", 2), ShardsHeld("b", "d", 1)]
            assert found.duties == [DutyHeld("a", Duty.VALIDATE, new.id)]
            assert [(each.member, each.engine, each.wanted) for each in found.slots] == [
                ("a", "http://engine:1", 9),
                ("b", "http://engine:1", 1),
            ]
            assert 0 < sum(each.slots for each in found.slots) <= 8
            await ledger.end_duty(Duty.VALIDATE, new.id)
            await ledger.leave_engines("a", {"http://engine:1": 1})
            assert await ledger.bury("b") == 1
            found = await ledger.cluster(now=now)
            assert not found.duties
            assert [each.member for each in found.shards] == ["a"]
            assert [each.member for each in found.slots] == ["b"]

        run(story)

    def test_a_burial_frees_leases_of_that_one(self, run: Any) -> None:
        """All of its workers', at once, and nobody else's, however alike the names are. What was committed stays."""

        async def story(ledger: SqlLedger) -> None:
            await joined(ledger, "a", "aa", "b")
            await started(ledger, shards=(2,) * 5)
            mine = [await claimed(ledger, owner=owner) for owner in ("a-0", "a-1", "aa-0", "b-0", "a-10")]
            assert await ledger.commit_segments([segment(mine[0], 1)], now=1.0, lease_seconds=9.0) == []
            assert await ledger.bury("a") == 3
            for shard in (mine[0], mine[1], mine[4]):
                late = segment(shard, 0)
                assert await ledger.commit_segments([late], now=1.0, lease_seconds=9.0) == [
                    (shard.batch_id, shard.index, shard.epoch)
                ]
            states = await ledger.renew_leases(
                [(shard.batch_id, shard.index, shard.epoch) for shard in mine], now=1.0, lease_seconds=9.0
            )
            assert [state.index for state in states] == [mine[2].index, mine[3].index]
            again = await claimed(ledger, owner="b-0")
            assert (again.index, again.done) == (0, b"\x02")
            assert again.epoch > mine[0].epoch

        run(story)

    def test_a_burial_of_who_has_leases_in_a_batch_that_ends(self, run: Any) -> None:
        """They do not go back to the queue: the batch can end."""

        async def story(ledger: SqlLedger) -> None:
            await joined(ledger, "a", "b")
            await started(ledger, shards=(2, 2))
            await claimed(ledger, owner="b-0")
            await ledger.request_cancel("batch-0", now=NOW)
            assert await ledger.begin_finalizing(now=NOW) is None
            assert await ledger.bury("b") == 1
            ending = await ledger.begin_finalizing(now=NOW)
            assert ending is not None
            assert ending.id == "batch-0"

        run(story)

    def test_nothing_is_claimed_of_a_batch_that_ends(self, run: Any) -> None:
        """Whoever has heard of it before is too late."""

        async def story(ledger: SqlLedger) -> None:
            await started(ledger, shards=(2, 2))
            await ledger.request_cancel("batch-0", now=NOW)
            assert await ledger.claim_shards(["batch-0"], owner="a-0", now=0.0, lease_seconds=9.0) == []

        run(story)

    def test_a_start_frees_leases_of_who_is_no_member(self, run: Any) -> None:
        """As an older version has left them, or a ledger that has moved. Where nobody is a member, all are a dead one's."""

        async def story(ledger: SqlLedger) -> None:
            await started(ledger, shards=(1,) * 4)
            for owner in ("a-0", "b-0", "gone-0", "b1-0"):
                await claimed(ledger, owner=owner)
            await joined(ledger, "a", "b")
            assert await ledger.release_leases(now=0.0, dead_owners_except="") == 2
            assert await ledger.release_leases(now=0.0, dead_owners_except="") == 0
            # A lease whose time is over is over, whosever it is.
            assert await ledger.release_leases(now=99.0) == 2

        run(story)

    def test_a_batch_is_validated_by_one(self, run: Any) -> None:
        """Until that one has ended it, or is dead. The others take the next one."""

        async def story(ledger: SqlLedger) -> None:
            await joined(ledger, "a", "b")
            for number in range(3):
                await ledger.add_batch(batch(number))
            assert (await ledger.next_to_validate()).id == "batch-0"  # type: ignore[union-attr]
            ledger.act_as("b")
            assert (await ledger.next_to_validate()).id == "batch-1"  # type: ignore[union-attr]
            assert (await ledger.next_to_validate(skip=("batch-1",))).id == "batch-2"  # type: ignore[union-attr]
            assert await ledger.next_to_validate(skip=("batch-1", "batch-2")) is None
            await ledger.end_duty(Duty.VALIDATE, "batch-2")
            ledger.act_as("a")
            # One's own is given again, as it is without members.
            assert (await ledger.next_to_validate()).id == "batch-0"  # type: ignore[union-attr]
            assert (await ledger.next_to_validate(skip=("batch-0",))).id == "batch-2"  # type: ignore[union-attr]
            await ledger.bury("b")
            assert (await ledger.next_to_validate(skip=("batch-0", "batch-2"))).id == "batch-1"  # type: ignore[union-attr]

        run(story)

    def test_small_batches_and_tenants_are_told_apart_as_before(self, run: Any) -> None:
        """What others do is passed over in every tenant's row."""

        async def story(ledger: SqlLedger) -> None:
            await joined(ledger, "a", "b")
            await ledger.add_batch(batch(0, resource="ann", input_bytes=10))
            await ledger.add_batch(batch(1, resource="bob", input_bytes=10))
            assert (await ledger.next_to_validate(small=True)).id == "batch-0"  # type: ignore[union-attr]
            ledger.act_as("b")
            assert (await ledger.next_to_validate(small=True)).id == "batch-1"  # type: ignore[union-attr]
            assert await ledger.next_to_validate(after="bob", small=True, skip=("batch-1",)) is None

        run(story)

    def test_a_batch_that_two_have_validated(self, run: Any) -> None:
        """The second one is told that there is nothing to do, whichever way it went; there is one set of shards."""

        async def story(ledger: SqlLedger) -> None:
            await ledger.add_batch(batch(0))
            shards = [NewShard(offset=0, length=100, lines=2, tokens=2)]
            words = {"deployment": "d", "endpoint": "/chat/completions", "total": 2, "tokens": 2, "shards": shards}
            first = await ledger.accept_batch("batch-0", **words)  # type: ignore[arg-type]
            assert first is Stage.WAITING
            assert await ledger.accept_batch("batch-0", **words) is None  # type: ignore[arg-type]
            assert not await ledger.reject_batch("batch-0", errors=[], now=NOW)
            assert len(await ledger.unfinished_shards("batch-0")) == 1

        run(story)

    def test_a_batch_is_finalized_by_one(self, run: Any) -> None:
        """And published once: the second one gets nothing, and the batch has the files of the first."""

        async def story(ledger: SqlLedger) -> None:
            await joined(ledger, "a", "b")
            await exhausted(ledger)
            assert (await ledger.begin_finalizing(now=NOW)).id == "batch-0"  # type: ignore[union-attr]
            ledger.act_as("b")
            assert await ledger.begin_finalizing(now=NOW) is None
            # One that was taken for dead while it did so, and goes on.
            await ledger.bury("a")
            assert (await ledger.begin_finalizing(now=NOW)).id == "batch-0"  # type: ignore[union-attr]
            ended = await ledger.publish_files("batch-0", output=file(1), error=None, now=NOW)
            assert ended is not None
            assert ended.output_file_id == "file-1"
            assert await ledger.publish_files("batch-0", output=file(2), error=None, now=NOW) is None
            assert await ledger.file("file-2") is None
            assert await ledger.begin_finalizing(now=NOW) is None

        run(story)

    def test_a_file_is_fetched_by_one(self, run: Any) -> None:
        """What two have brought is one file: that of the first, with its bytes."""

        async def story(ledger: SqlLedger) -> None:
            await joined(ledger, "a", "b")
            await ordered(ledger, 1)
            await ordered(ledger, 2)
            assert await next_id(ledger) == "file-1"
            ledger.act_as("b")
            assert await next_id(ledger) == "file-2"
            assert await next_id(ledger, skip=("file-2",)) is None
            assert await ledger.finish_import("file-1", status=FileStatus.PROCESSED, size=1, blob="files/x")
            assert not await ledger.finish_import("file-1", status=FileStatus.PROCESSED, size=2, blob="files/y")
            assert (await ledger.file("file-1")).blob == "files/x"  # type: ignore[union-attr]
            await ledger.end_duty(Duty.IMPORT, "file-2")
            assert await ledger.postpone_import("file-2", tries=1, not_before=NOW + 5.0)
            ledger.act_as("a")
            assert await next_id(ledger, now=NOW) is None
            assert await next_id(ledger, now=NOW + 5.0) == "file-2"

        run(story)

    def test_an_endpoint_is_sent_to_by_one(self, run: Any) -> None:
        """Another one sends to the others; what two have sent counts once."""

        async def story(ledger: SqlLedger) -> None:
            await joined(ledger, "a", "b")
            await listening(ledger, 0, 1)
            await failed(ledger)
            first = await ledger.next_delivery(now=NOW)
            ledger.act_as("b")
            second = await ledger.next_delivery(now=NOW)
            assert first is not None
            assert second is not None
            assert {first.endpoint.id, second.endpoint.id} == {"whe-0", "whe-1"}
            assert await ledger.next_delivery(now=NOW, skip=(second.endpoint.id,)) is None
            outcome = Outcome(state=DeliveryState.DELIVERED, tries=1, at=NOW, due_at=0.0, status=200, failure=None)
            assert await ledger.record_delivery(first.delivery.id, outcome)
            assert not await ledger.record_delivery(first.delivery.id, outcome)

        run(story)

    def test_a_duty_that_has_been_done_is_not_begun_again(self, run: Any) -> None:
        """Somebody has ended it between the look at what is to be done and the taking."""

        async def story(ledger: SqlLedger) -> None:
            await joined(ledger, "a", "b")
            await ledger.add_batch(batch(0))
            await ledger.add_batch(batch(1))
            before = await ledger.next_to_validate()
            assert before is not None
            await ledger.end_duty(Duty.VALIDATE, before.id)
            await ledger.reject_batch("batch-0", errors=[], now=NOW)
            for gone in ("batch-0", "batch-9"):
                assert not await ledger.duties.take(Duty.VALIDATE, gone, "still_to_validate", {"thing": gone})
            ledger.act_as("b")
            assert (await ledger.next_to_validate()).id == "batch-1"  # type: ignore[union-attr]

        run(story)

    def test_without_members_nothing_is_written(self, run: Any) -> None:
        """An embedded ledger has one who works with it, and no duties."""

        async def story(ledger: SqlLedger) -> None:
            await ledger.add_batch(batch(0))
            assert (await ledger.next_to_validate()).id == "batch-0"  # type: ignore[union-attr]
            rows = await ledger.sql.database.read(lambda db: db.execute("SELECT count(*) FROM duty").fetchone()[0])
            assert rows == 0
            await ledger.end_duty(Duty.VALIDATE, "batch-0")
            assert not await ledger.others()

        run(story)
