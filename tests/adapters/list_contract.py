"""What every Ledger promises of its lists of batches. Inherit the class and say how to open a ledger."""

import asyncio
import operator
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slackwater.core.batch import Batch, BatchError, Status
from slackwater.core.errors import InvalidRequest
from slackwater.core.watching.listing import (
    EQUALITY,
    EVERY_BATCH,
    INTEGER_LEAST,
    INTEGER_MOST,
    NUMBERS,
    ORDERED,
    BatchQuery,
    Condition,
    Field,
    Operator,
    Ordering,
)
from slackwater.ports import Ledger, NewShard
from tests.adapters.claiming import claim
from tests.adapters.ledger_contract import batch, segment
from tests.chosen import examples

ENDPOINTS = ("/chat/completions", "/v1/chat/completions", "/v1/embeddings")
# The moments of a world lie between these, so that conditions hit, miss and tie.
FIRST, LAST = 100, 108
# Keys and values with what JSON, SQL and a pattern each have a meaning of.
METADATA = (
    None,
    {},
    {"team": "tides"},
    {"team": "Tides", "a.\"b\\'%": "x"},
    {"zero": "\0", "name": "100 %", "team": ""},
)
ENDS = (Status.VALIDATING, Status.FAILED, Status.IN_PROGRESS, Status.COMPLETED, Status.CANCELLING, Status.CANCELLED)


async def travelled(ledger: Ledger, number: int, end: Status, *, moments: list[int], **changes: Any) -> None:
    """A batch that went all the way to a status, each step at the next of `moments`."""
    new = batch(number, **changes)
    await ledger.add_batch(new)
    if end is Status.FAILED:
        await ledger.reject_batch(new.id, errors=[BatchError(code="empty_file", message="m")], now=moments.pop(0))
    if end in (Status.VALIDATING, Status.FAILED):
        return
    deployment, shard = f"deployment-{number}", NewShard(offset=0, length=1, lines=1, tokens=1)
    await ledger.accept_batch(new.id, deployment=deployment, endpoint="/x", total=1, tokens=1, shards=[shard])
    await ledger.enqueue([new.id], now=moments.pop(0))
    if end in (Status.CANCELLING, Status.CANCELLED):
        await ledger.request_cancel(new.id, now=moments.pop(0))
    if end is Status.COMPLETED:
        await ledger.rank_shards(new.id, [0.0])
        claimed = await claim(ledger, deployment, owner="w", now=0, seconds=9)
        assert claimed is not None
        await ledger.commit_segments([segment(claimed, 0)], now=0, lease_seconds=9)
        await ledger.finish_shard(new.id, 0, epoch=claimed.epoch)
        finalizing = await ledger.begin_finalizing(now=moments.pop(0))
        assert finalizing is not None
        assert finalizing.id == new.id
    if end in (Status.COMPLETED, Status.CANCELLED):
        await ledger.publish_files(new.id, output=None, error=None, now=moments.pop(0))


async def world(ledger: Ledger, seed: int, size: int = 40) -> list[Batch]:
    """Batches of every kind, many of them of the same second, in the order in which they were recorded."""
    chance = random.Random(seed)
    for number in range(size):
        moments = sorted(chance.randint(FIRST, LAST) for _ in range(4))
        await travelled(
            ledger,
            number,
            chance.choice(ENDS),
            moments=moments[1:],
            # A clock may step back between two batches.
            created_at=moments[0],
            expires_at=moments[0] + chance.randint(1, 3),
            endpoint=chance.choice(ENDPOINTS),
            input_file_id=f"file-{chance.randrange(3)}",
            metadata=chance.choice(METADATA),
        )
    found = [await ledger.batch(f"batch-{number}") for number in range(size)]
    return [each for each in found if each is not None]


def matches(found: Batch, condition: Condition) -> bool:
    """The meaning of a condition, said once more."""
    value: Any = getattr(found, condition.field.value)
    wanted = condition.value
    if condition.field is Field.METADATA:
        value = (found.metadata or {}).get(condition.key)
    if condition.field is Field.ENDPOINT:
        value, wanted = value.removeprefix("/v1"), str(wanted).removeprefix("/v1")
    if value is None:
        return condition.operator is Operator.NE
    return bool(getattr(operator, condition.operator.value)(value, wanted))


def in_order(batches: list[Batch], ordering: Ordering) -> list[Batch]:
    """The meaning of an order: by value, absent ones first, then in order of creation; or all of that backwards."""

    def key(place: int) -> Any:
        value = getattr(batches[place], ordering.field.value)
        return (value is not None, value if value is not None else 0, batches[place].created_at, place)

    return [batches[place] for place in sorted(range(len(batches)), key=key, reverse=ordering.descending)]


def _condition(field: Field) -> st.SearchStrategy[Condition]:
    if field in NUMBERS:
        values = st.one_of(
            st.integers(FIRST - 1, LAST + 1), st.sampled_from((INTEGER_LEAST, INTEGER_MOST)), st.integers(99, 112)
        )
        return st.builds(Condition, st.just(field), st.sampled_from(Operator), values)
    if field is Field.METADATA:
        keys = st.sampled_from(("team", "TEAM", "name", "a.\"b\\'%", ""))
        values = st.sampled_from(("tides", "", "x", "100 %", "nothing"))
        return st.builds(Condition, st.just(field), st.sampled_from(sorted(EQUALITY)), values, keys)
    texts = {
        Field.STATUS: st.sampled_from(Status),
        Field.ENDPOINT: st.sampled_from((*ENDPOINTS, "/embeddings", "/nothing")),
        Field.INPUT_FILE_ID: st.sampled_from(("file-0", "file-1", "file-9", "' OR 1=1 --")),
    }
    return st.builds(Condition, st.just(field), st.sampled_from(sorted(EQUALITY)), texts[field])


QUERIES = st.builds(
    BatchQuery,
    conditions=st.lists(st.sampled_from(Field).flatmap(_condition), max_size=3).map(tuple),
    ordering=st.builds(Ordering, field=st.sampled_from(sorted(ORDERED)), descending=st.booleans()),
)


class ListContract:
    """Inherit, and define `open`."""

    def open(self, place: Any) -> Ledger:
        """A new, empty ledger below `place`."""
        raise NotImplementedError

    def play(self, place: Path, story: Callable[[Ledger], Awaitable[None]]) -> None:
        """Runs a story over a new ledger."""

        async def main() -> None:
            ledger = self.open(place)
            try:
                await story(ledger)
            finally:
                await ledger.close()

        asyncio.run(main())

    def test_batches_are_paged_newest_first(self, tmp_path: Path) -> None:
        """By default; over many pages every batch is seen once, and an unknown cursor is the caller's fault."""

        async def story(ledger: Ledger) -> None:
            for number in range(25):
                await ledger.add_batch(batch(number))
            seen: list[str] = []
            while page := await ledger.batches(after=seen[-1] if seen else None, limit=10):
                seen += [each.id for each in page]
            assert seen == [f"batch-{number}" for number in reversed(range(25))]
            with pytest.raises(InvalidRequest) as caught:
                await ledger.batches(after="nobody", limit=1)
            assert caught.value.param == "after"

        self.play(tmp_path, story)

    def test_newest_is_by_moment_before_order_of_recording(self, tmp_path: Path) -> None:
        """A batch that was recorded later with an earlier moment is the older one."""

        async def story(ledger: Ledger) -> None:
            for number, created_at in enumerate((5, 7, 6, 7)):
                await ledger.add_batch(batch(number, created_at=created_at))
            found = await ledger.batches(limit=9)
            assert [each.id for each in found] == ["batch-3", "batch-1", "batch-2", "batch-0"]

        self.play(tmp_path, story)

    @pytest.mark.parametrize("seed", range(3))
    def test_every_query_is_answered_as_the_model_answers(self, tmp_path: Path, seed: int) -> None:
        """Pages of any size, cursors that match or not: the sequence that the query means, each batch once."""
        with asyncio.Runner() as loop:
            ledger = self.open(tmp_path)
            batches = loop.run(world(ledger, seed))
            assert {each.status for each in batches} == set(ENDS)

            @settings(max_examples=examples(150), suppress_health_check=list(HealthCheck))
            @given(query=QUERIES, limit=st.integers(1, 12), start=st.none() | st.integers(0, len(batches) - 1))
            def check(query: BatchQuery, limit: int, start: int | None) -> None:
                sequence = in_order(batches, query.ordering)
                behind = 0 if start is None else sequence.index(batches[start]) + 1
                expected = [
                    each
                    for each in sequence[behind:]
                    if all(matches(each, condition) for condition in query.conditions)
                ]
                after, seen = None if start is None else batches[start].id, list[Batch]()
                while page := loop.run(ledger.batches(query, after=after, limit=limit)):
                    assert len(page) == limit or len(seen) + len(page) == len(expected)
                    seen += page
                    after = page[-1].id
                assert seen == expected

            try:
                check()
            finally:
                loop.run(ledger.close())

    def test_a_cursor_that_no_longer_matches_still_says_where(self, tmp_path: Path) -> None:
        """A batch that was the last of a page may move on; the next page begins behind it all the same."""

        async def story(ledger: Ledger) -> None:
            for number in range(6):
                await ledger.add_batch(batch(number))
            query = BatchQuery(conditions=(Condition(Field.STATUS, Operator.EQ, Status.VALIDATING),))
            page = await ledger.batches(query, limit=2)
            assert [each.id for each in page] == ["batch-5", "batch-4"]
            await ledger.request_cancel("batch-4", now=5)
            await ledger.request_cancel("batch-2", now=5)
            page = await ledger.batches(query, after="batch-4", limit=9)
            assert [each.id for each in page] == ["batch-3", "batch-1", "batch-0"]

        self.play(tmp_path, story)

    def test_contradictions_are_empty(self, tmp_path: Path) -> None:
        """Conditions that exclude each other match nothing, at the ends of 64 bits too."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_batch(batch())
            assert len(await ledger.batches(EVERY_BATCH, limit=9)) == 1
            for conditions in (
                (
                    Condition(Field.STATUS, Operator.EQ, Status.VALIDATING),
                    Condition(Field.STATUS, Operator.EQ, Status.FAILED),
                ),
                (Condition(Field.CREATED_AT, Operator.GT, 5_000), Condition(Field.CREATED_AT, Operator.LT, 4_000)),
                (Condition(Field.CREATED_AT, Operator.GT, INTEGER_MOST),),
                (Condition(Field.CREATED_AT, Operator.LT, INTEGER_LEAST),),
            ):
                assert await ledger.batches(BatchQuery(conditions=conditions), limit=9) == []

        self.play(tmp_path, story)
