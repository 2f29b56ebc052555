"""What every Ledger promises of accounts: completed work is counted once, and the audit log only grows."""

import asyncio
from typing import Any

import pytest

from slackwater.core.accounts.cost import GroupBy
from slackwater.core.accounts.price import Price
from slackwater.core.accounts.usage import Usage
from slackwater.core.batch import RequestCounts
from slackwater.ports import AuditEntry, AuditSearch, BlobRange, FileCounts, Ledger, NewShard, Segment, Shard
from tests.adapters.claiming import claim
from tests.adapters.ledger_contract import batch, file

DAY = 86_400
CHEAP = Price(input=1, cached_input=0, output=3, discount=50)
DEAR = Price(input=2_500_000, cached_input=1_250_000, output=10_000_000, currency="EUR")
EVERYTHING = tuple(GroupBy)
BEGIN, END = 0, 100_000


async def accepted(
    ledger: Ledger, number: int, *, lines: int, price: Price | None, resource: str = "default", deployment: str = "d"
) -> str:
    """A batch of one shard that may be claimed."""
    new = batch(number, resource=resource)
    await ledger.add_batch(new)
    shard = NewShard(offset=0, length=100, lines=lines, tokens=lines)
    assert await ledger.accept_batch(
        new.id, deployment=deployment, endpoint="/e", total=lines, tokens=lines, shards=[shard], price=price
    )
    await ledger.enqueue([new.id], now=1)
    for waiting in await ledger.unranked():
        await ledger.rank_shards(waiting.batch_id, [float(number)])
    return new.id


def results(shard: Shard, usages: dict[int, Usage | None], *, model: str | None = "m") -> Segment:
    """Results of these lines; those without usage have failed."""
    done = bytearray((shard.lines + 7) // 8)
    for line in usages:
        done[line >> 3] |= 1 << (line & 7)
    completed = [usage for usage in usages.values() if usage is not None]
    return Segment(
        batch_id=shard.batch_id,
        index=shard.index,
        epoch=shard.epoch,
        output=BlobRange(key="log", offset=0, length=1),
        error=None,
        done=bytes(done),
        counts=RequestCounts(completed=len(completed), failed=len(usages) - len(completed)),
        usage=sum(completed, Usage()),
        model=model if completed else None,
    )


def entry(at: int, **changes: str) -> AuditEntry:
    """Something that was done at that moment."""
    usual = {"resource": "default", "who": "w", "action": "a", "object": f"o{at}", "request_id": "i"}
    return AuditEntry(at=at, detail={}, **(usual | changes))


class UsageContract:
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

    def test_accounts_are_kept_apart_as_asked(self, run: Any) -> None:
        """By resource, day, deployment and model, or summed over any of them; prices always stay apart."""

        async def story(ledger: Ledger) -> None:
            orders = (
                ("default", "d", CHEAP),
                ("default", "d", DEAR),
                ("default", "e", CHEAP),
                ("other", "other/d", None),
            )
            for number, (resource, deployment, price) in enumerate(orders):
                await accepted(ledger, number, lines=2, price=price, resource=resource, deployment=deployment)
                shard = await claim(ledger, deployment, owner="w", now=0, seconds=9 * DAY)
                assert shard is not None
                for day in (0, 1):
                    wrote = results(shard, {day: Usage(input_tokens=10**number)}, model=f"m{number}")
                    assert await ledger.commit_segments([wrote], now=(5 + day) * DAY, lease_seconds=9) == []

            async def tokens(
                resource: str | None, *by: GroupBy, days: tuple[int, int] = (0, 9)
            ) -> list[tuple[Any, ...]]:
                entries = await ledger.usage(resource=resource, first_day=days[0], last_day=days[1], by=by, limit=100)
                return [
                    (*(getattr(entry, group.value) for group in GroupBy if group in by), entry.usage.input_tokens)
                    for entry in entries
                ]

            assert sorted(await tokens(None)) == [(20,), (202,), (2000,)]
            assert await tokens(None, GroupBy.RESOURCE, GroupBy.MODEL) == [
                ("default", "m0", 2),
                ("default", "m1", 20),
                ("default", "m2", 200),
                ("other", "m3", 2000),
            ]
            assert sorted(await tokens("default", GroupBy.DAY, GroupBy.DEPLOYMENT)) == [
                (5, "d", 1),
                (5, "d", 10),
                (5, "e", 100),
                (6, "d", 1),
                (6, "d", 10),
                (6, "e", 100),
            ]
            assert sorted(await tokens("default", days=(6, 6))) == [(10,), (101,)]
            assert await tokens("other", GroupBy.DEPLOYMENT, days=(5, 5)) == [("other/d", 1000)]
            assert await tokens("nobody") == await tokens(None, days=(7, 9)) == []
            limited = await ledger.usage(resource=None, first_day=0, last_day=9, by=EVERYTHING, limit=3)
            assert len(limited) == 3

        run(story)

    def test_a_batch_keeps_its_price(self, run: Any) -> None:
        """The price at which it was accepted is on the batch, and on what it adds to the account."""

        async def story(ledger: Ledger) -> None:
            priced = await accepted(ledger, 0, lines=1, price=DEAR, deployment="d0")
            free = await accepted(ledger, 1, lines=1, price=None, deployment="d1")
            for number in range(2):
                shard = await claim(ledger, f"d{number}", owner="w", now=0, seconds=9)
                assert shard is not None
                await ledger.commit_segments([results(shard, {0: Usage(output_tokens=7)})], now=0, lease_seconds=9)
            found = await ledger.batch(priced), await ledger.batch(free)
            assert [each.price for each in found if each is not None] == [DEAR, None]
            entries = await ledger.usage(resource=None, first_day=0, last_day=0, by=(), limit=9)
            assert sorted((entry.price is None, entry.price == DEAR, entry.requests) for entry in entries) == [
                (False, True, 1),
                (True, False, 1),
            ]

        run(story)

    def test_work_that_failed_is_not_charged(self, run: Any) -> None:
        """Results that are all failures leave no account at all."""

        async def story(ledger: Ledger) -> None:
            await accepted(ledger, 0, lines=2, price=CHEAP)
            shard = await claim(ledger, "d", owner="w", now=0, seconds=9)
            assert shard is not None
            await ledger.commit_segments([results(shard, {0: None, 1: None})], now=0, lease_seconds=9)
            assert await ledger.usage(resource=None, first_day=BEGIN, last_day=END, by=EVERYTHING, limit=9) == []

        run(story)

    def test_files_are_counted(self, run: Any) -> None:
        """Of each kind, for each resource."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_file(file(1))
            await ledger.add_file(file(2, expires_at=9_000))
            await ledger.add_file(file(3, resource="other"))
            assert await ledger.file_counts("default") == FileCounts(lasting=1, expiring=1)
            assert await ledger.file_counts("other") == FileCounts(lasting=1, expiring=0)

        run(story)

    def test_the_audit_log_is_read_in_its_order(self, run: Any) -> None:
        """Oldest first, behind a cursor; every resource sees its own."""

        async def story(ledger: Ledger) -> None:
            written = [
                AuditEntry(
                    at=number,
                    resource="other" if number % 2 else "default",
                    who='user/"key1"',
                    action="create_batch",
                    object=f"batch-{number}",
                    detail={"status": 200, "ä": None},
                    request_id=f"r{number}",
                )
                for number in range(6)
            ]
            for entry in written:
                await ledger.add_audit(entry)
            everything = await ledger.audit(resource=None, limit=100)
            assert [entry.seq for entry in everything] == sorted({entry.seq for entry in everything})
            assert [entry.object for entry in everything] == [entry.object for entry in written]
            assert everything[1].detail == {"status": 200, "ä": None}
            first = await ledger.audit(resource="other", limit=2)
            rest = await ledger.audit(resource="other", after=first[-1].seq, limit=2)
            assert [entry.object for entry in first + rest] == ["batch-1", "batch-3", "batch-5"]
            assert await ledger.audit(resource="other", after=rest[-1].seq, limit=2) == []

        run(story)

    def test_the_audit_log_is_read_backwards(self, run: Any) -> None:
        """Newest first, behind a cursor that counts downwards; a new entry moves no page that comes after."""

        async def story(ledger: Ledger) -> None:
            for at in range(6):
                await ledger.add_audit(entry(at, resource="other" if at % 2 else "default"))
            everything = await ledger.audit(resource=None, limit=100, descending=True)
            assert [each.at for each in everything] == [5, 4, 3, 2, 1, 0]
            first = await ledger.audit(resource="other", limit=2, descending=True)
            await ledger.add_audit(entry(7, resource="other"))
            rest = await ledger.audit(resource="other", limit=2, descending=True, after=first[-1].seq)
            assert [each.at for each in first + rest] == [5, 3, 1]
            assert await ledger.audit(resource="other", limit=2, descending=True, after=rest[-1].seq) == []
            assert await ledger.audit(resource="other", limit=2, descending=True, after=0) == []

        run(story)

    @pytest.mark.parametrize(
        ("search", "found"),
        [
            (AuditSearch(), [0, 1, 2, 3]),
            (AuditSearch(who="user"), [0, 1]),
            (AuditSearch(who="USER/key1"), [0]),
            (AuditSearch(action="batch"), [1, 2]),
            (AuditSearch(who="user", action="batch"), [1]),
            (AuditSearch(object="b%_"), [2]),
            (AuditSearch(object="%"), [2, 3]),
            (AuditSearch(object="\\"), [3]),
            (AuditSearch(object="nowhere"), []),
        ],
    )
    def test_the_audit_log_is_searched(self, run: Any, search: AuditSearch, found: list[int]) -> None:
        """All conditions hold; each text means its own characters, in either case; the search stays inside its resource."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_audit(entry(0, who="user/key1", action="upload_file", object="file-1"))
            await ledger.add_audit(entry(1, who="user/key2", action="create_batch", object="batch_1"))
            await ledger.add_audit(entry(2, who="admin/key1", action="cancel_batch", object="ab%_"))
            await ledger.add_audit(entry(3, who="jané", action="create_keys", object="a\\%b"))
            await ledger.add_audit(entry(4, who="user/key1", action="create_batch", object="b%_\\", resource="other"))
            for descending in (False, True):
                entries = await ledger.audit(resource="default", limit=9, search=search, descending=descending)
                assert [each.at for each in entries] == (found[::-1] if descending else found)
            page = await ledger.audit(resource="default", limit=1, search=search, descending=True)
            assert [each.at for each in page] == found[-1:]

        run(story)

    def test_the_audit_log_is_trimmed_at_its_old_end(self, run: Any) -> None:
        """Entries of before a moment go, so many at a time, the oldest first; what is left is as it was."""

        async def story(ledger: Ledger) -> None:
            for at in range(10):
                await ledger.add_audit(entry(at))
            before = await ledger.audit(resource=None, limit=100)
            assert [await ledger.trim_audit(before=7, limit=3) for _ in range(4)] == [3, 3, 1, 0]
            assert await ledger.audit(resource=None, limit=100) == before[7:]
            assert await ledger.trim_audit(before=0, limit=100) == 0
            # The clock had been wrong: what says that it is younger stays, wherever it is.
            await ledger.add_audit(entry(3))
            assert await ledger.trim_audit(before=9, limit=100) == 3
            assert [each.at for each in await ledger.audit(resource=None, limit=100)] == [9]

        run(story)

    def test_numbers_of_the_audit_log_never_come_again(self, run: Any) -> None:
        """A cursor into an emptied log finds what came after it, and nothing of it was given out before."""

        async def story(ledger: Ledger) -> None:
            for at in (1, 2):
                await ledger.add_audit(entry(at))
            cursor = (await ledger.audit(resource=None, limit=100))[-1].seq
            assert await ledger.trim_audit(before=9, limit=100) == 2
            await ledger.add_audit(entry(9))
            assert [each.at for each in await ledger.audit(resource=None, after=cursor, limit=100)] == [9]

        run(story)
