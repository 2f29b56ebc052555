"""Small input files are validated beside large ones, by the same rules, and nobody's files keep anybody else waiting."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.system_clock import SystemClock
from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.adapters.work.quick_counter import QuickCounter
from slackwater.adapters.work.tiktoken_counter import TiktokenCounter
from slackwater.core.batch import Stage, Status
from slackwater.core.errors import LedgerUnavailable
from slackwater.core.input.line_judge import Rules
from slackwater.core.sending.deployment import Capabilities
from slackwater.core.sending.pause import Pause, Target
from slackwater.pipeline.input.input_scan import scan_input
from slackwater.pipeline.input.small_files import scan_small
from slackwater.pipeline.input.validator import Validator
from slackwater.pipeline.loops import Pace
from slackwater.ports import SMALL_INPUT_BYTES, Clock, Offload, Start
from tests.adapters.ledger_contract import batch
from tests.pipeline.engines import inline, played
from tests.pipeline.test_validator import GOOD, deployment
from tests.simulation.virtual import VirtualClock, VirtualLoop

T = TypeVar("T")
RULES = Rules(family="azure", endpoint="/v1/chat/completions", deployments={"d": Capabilities()})
TENANTS = ("ann", "bob", "cy")


def line(custom_id: str, text: str = "Hello") -> bytes:
    body = GOOD["body"] | {"messages": [{"role": "user", "content": text}]}  # type: ignore[operator]
    return json.dumps(GOOD | {"custom_id": custom_id, "body": body}, ensure_ascii=False).encode() + b"\n"


async def written(blobs: DiskBlobs, key: str, data: bytes) -> None:
    writer = await blobs.create(key)
    await writer.write(data)
    await writer.publish()


@pytest.mark.parametrize(
    "data",
    [
        b"".join(line(str(number), f"The tide rises {number} times, прилив 停潮") for number in range(90)),
        line("a") + b"\n" * 200 + line("b") + b" \r\n",
        line("a") + line("a") + b"{" + b"\n" * 300 + b"[1]\n",
        b"",
        b"\n\n",
    ],
    ids=["good", "blank lines", "wrong", "empty", "nothing but blanks"],
)
def test_a_small_file_is_judged_like_any_other(tmp_path: Path, data: bytes) -> None:
    """Shards, tokens, errors and their line numbers are the same, wherever it is read."""

    async def story() -> None:
        blobs = DiskBlobs(tmp_path)
        await written(blobs, "f", data)
        quick = {"d": QuickCounter("o200k_base")}
        small = await scan_small(blobs, "f", RULES, quick, shard_lines_max=40)
        large = scan_input(blobs, "f", RULES, {"d": TiktokenCounter("o200k_base")}, shard_lines_max=40)
        assert small == large

    asyncio.run(story())


def test_what_is_not_small_is_left_alone(tmp_path: Path) -> None:
    """A file that is larger than it was said to be, and one with too many words, are for the Offload."""

    async def story() -> None:
        blobs = DiskBlobs(tmp_path)
        await written(blobs, "large", line("a", "x" * SMALL_INPUT_BYTES))
        await written(blobs, "dense", line("a", "ab" * 400))
        for key in ("large", "dense"):
            assert await scan_small(blobs, key, RULES, QuickCounter("o200k_base")) is None

    asyncio.run(story())


def test_blank_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    """However many there are, wherever a block of the reader ends: what comes behind them has its number and its place."""
    # The reader has blocks of 256 KiB.
    blank = b"\n" * 300_000 + b" \t\r\n" * 100_000
    (tmp_path / "f").write_bytes(line("a") + blank + b"  " + line("b") + blank + b"{")
    scan = scan_input(DiskBlobs(tmp_path), "f", RULES, None)
    assert [error.line for error in scan.errors] == [800_003]
    (tmp_path / "f").write_bytes(line("a") + blank + b"  " + line("b") + blank)
    (shard,) = scan_input(DiskBlobs(tmp_path), "f", RULES, None).shards
    assert (shard.offset, shard.length, shard.lines) == (0, 2 * len(line("a")) + len(blank) + 2, 2)


class Hanging:
    """An Offload that does nothing, as long as one lets it."""

    def __init__(self) -> None:
        self.calls = 0
        self.ended = 0

    async def run(self, function: Callable[..., T], *args: object) -> T:
        self.calls += 1
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.ended += 1
        raise AssertionError("it never comes back")


async def waiting(
    directory: Path, offload: Offload, clock: Clock, sizes: list[tuple[str, int]], **options: Any
) -> tuple[SqlLedger, Validator]:
    """A validator, and batches of tenants with input files that are said to be so large; all have one line."""
    ledger, blobs = SqlLedger.open(":memory:", inline=True), DiskBlobs(directory, run=inline)
    for number, (tenant, size) in enumerate(sizes):
        await written(blobs, f"files/{number}", line("a"))
        await ledger.add_batch(batch(number, resource=tenant, input_bytes=size))
    targets = [
        deployment().__class__(**{"name": "d", "model": "d", "backends": (), "resource": name}) for name in TENANTS
    ]
    options = {"quick_counter": {}} | options
    validator = Validator(ledger, blobs, clock, offload, deployments=lambda: targets, counter=None, **options)
    return ledger, validator


def test_small_files_never_wait_for_large_ones(tmp_path: Path) -> None:
    """While large files of two tenants are read, and many of theirs wait, the five lines of a third are through at once."""

    async def story() -> None:
        large, offload = SMALL_INPUT_BYTES + 1, Hanging()
        sizes = [("ann", large)] * 20 + [("bob", large)] * 20 + [("cy", 500)]
        ledger, validator = await waiting(tmp_path, offload, SystemClock(), sizes)
        reading = [asyncio.create_task(validator.step()) for _ in range(2)]
        while offload.calls < 2:
            await asyncio.sleep(0)
        assert await validator.step_small() is Pace.BUSY
        assert (await ledger.next_to_validate(after="bob", small=True)) is None
        assert (await ledger.next_to_validate(after="bob")).resource == "ann"  # type: ignore[union-attr]
        # Two tenants, two files: nobody has both places.
        assert validator._in_hand == {"batch-0", "batch-20"}
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)

    asyncio.run(story())


class Failing:
    """A ledger that cannot be reached when it is asked for the next batch but one, that one time."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def next_to_validate(self, **about: Any) -> Any:
        self.asked += 1
        if self.asked == 2:
            raise LedgerUnavailable("away")
        return await self._ledger.next_to_validate(**about)


def test_what_was_taken_before_the_ledger_was_away_is_taken_again(tmp_path: Path) -> None:
    """A batch that was in hand when another one was looked for waits for nobody."""

    async def story() -> None:
        ledger, validator = await waiting(tmp_path, InlineOffload(), SystemClock(), [("ann", 500), ("bob", 500)])
        validator._ledger = Failing(ledger)  # type: ignore[assignment]
        with pytest.raises(LedgerUnavailable):
            await validator.step_small()
        assert validator._in_hand == set()
        assert await validator.step_small() is Pace.BUSY
        assert await ledger.next_to_validate(after="", small=True) is None

    asyncio.run(story())


def test_the_turn_goes_round_the_tenants(tmp_path: Path) -> None:
    """Of each tenant the oldest is first, and who has many comes again when everybody else has had a turn."""

    async def story() -> None:
        large = SMALL_INPUT_BYTES + 1
        sizes = [("ann", large)] * 4 + [("bob", large)] * 2 + [("cy", large)]
        order: list[str] = []
        _, validator = await waiting(
            tmp_path, InlineOffload(), SystemClock(), sizes, price_of=lambda _: None, moved=lambda *_: order.append("")
        )
        taken = []
        for _ in sizes:
            batch = await validator._next(small=False)
            assert batch is not None
            taken.append((batch.resource, batch.id))
            await validator._take(batch)
        assert [tenant for tenant, _ in taken] == ["ann", "bob", "cy", "ann", "bob", "ann", "ann"]
        assert [name for tenant, name in taken if tenant == "ann"] == [f"batch-{number}" for number in range(4)]
        assert await validator.step() is Pace.IDLE
        assert len(order) == len(sizes)

    asyncio.run(story())


def test_a_file_that_takes_too_much_of_a_processor_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its batch has an error that says so, and the next one has its turn."""

    async def story() -> None:
        large = 1 << 20
        ledger, validator = await waiting(tmp_path, InlineOffload(), SystemClock(), [("ann", large)] * 2)
        with monkeypatch.context() as patch:
            # As if its first line had taken that long.
            patch.setattr("slackwater.pipeline.input.validator.READ_SECONDS", -5.0)
            patch.setattr("slackwater.pipeline.input.validator.PATIENCE", -10)
            assert await validator.step() is Pace.BUSY
        failed = await ledger.batch("batch-0")
        assert failed is not None
        assert failed.status is Status.FAILED
        assert "seconds of a processor. Split it into several files." in (failed.errors or [])[0].message
        assert await validator.step() is Pace.BUSY
        other = await ledger.batch("batch-1")
        assert other is not None
        assert other.status is not Status.FAILED

    asyncio.run(story())


def test_a_reading_of_which_nothing_comes_is_not_the_file_s_doing(tmp_path: Path) -> None:
    """However long it waits for a disk, a store or a processor: it is ended then, and tried again; others have their turn."""

    async def whole(loop: VirtualLoop) -> None:
        offload = Hanging()
        large = 100 << 20
        ledger, validator = await waiting(tmp_path, offload, VirtualClock(loop), [("ann", large)] * 2)
        begun = loop.time()
        assert await validator.step() is Pace.BUSY
        assert 1_000.0 < loop.time() - begun < 10_000.0
        assert offload.ended == 1
        assert await validator.step() is Pace.BUSY
        assert offload.calls == 2
        batches = [await ledger.batch(f"batch-{number}") for number in range(2)]
        assert [each and each.status for each in batches] == [Status.VALIDATING] * 2

    played(whole)


def test_who_has_lost_its_turn_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Another server had let the batch in, when this one found that the file cannot be read: it has not been rejected."""

    async def story() -> None:
        ledger, validator = await waiting(tmp_path, InlineOffload(), SystemClock(), [("ann", 500)])
        batch = await ledger.batch("batch-0")
        assert batch is not None
        with caplog.at_level(logging.INFO):
            await validator.step_small()
            assert "batch_validated" in caplog.text
            await validator._give_up(batch, "It was late.")
        assert "batch_rejected" not in caplog.text
        there = await ledger.batch("batch-0")
        assert there is not None
        assert there.status is not Status.FAILED

    asyncio.run(story())


def test_a_batch_starts_with_its_validation_where_there_is_room() -> None:
    """In the same transaction; not before those that wait, not beyond what the deployment may hold, not while it is paused."""

    async def story() -> None:
        ledger = SqlLedger.open(":memory:", inline=True)

        async def accepted(number: int, tokens: int, limit: int | None) -> Stage | None:
            await ledger.add_batch(batch(number))
            if number == 3:
                await ledger.pause(
                    Pause(what=Target.BATCH, target="batch-3", resource="default", who="ann", reason="", since=0)
                )
            start = Start(limit=limit, ranks=[], now=1_100)
            return await ledger.accept_batch(
                f"batch-{number}",
                deployment=f"d{number // 3}",
                endpoint="/x",
                total=1,
                tokens=tokens,
                shards=[],
                start=start,
            )

        # Alone it starts, however much it weighs.
        assert await accepted(0, 10, 5) is Stage.RUNNING
        assert await accepted(1, 1, 10) is Stage.WAITING
        assert await accepted(2, 1, None) is Stage.WAITING
        first = await ledger.batch("batch-0")
        assert first is not None
        assert (first.status, first.in_progress_at) == (Status.IN_PROGRESS, 1_100)
        assert await accepted(3, 1, None) is Stage.WAITING
        assert await ledger.unranked() == []

    asyncio.run(story())
