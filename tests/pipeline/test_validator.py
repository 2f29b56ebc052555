"""What validation leaves of an input file, and what it takes from the configuration of a deployment."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.system_clock import SystemClock
from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.core.batch import Batch, Status
from slackwater.core.files.file import File, Purpose
from slackwater.core.sending.deployment import BackendRef, Capabilities, Deployment
from slackwater.pipeline.input.validator import Validator
from tests.adapters.ledger_contract import batch, file
from tests.pipeline.engines import inline, played
from tests.simulation.virtual import VirtualClock, VirtualLoop

GOOD = {
    "custom_id": "a",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "d", "messages": [{"role": "user", "content": "Hello"}]},
}


def deployment(limit: int | None = None, *, endpoints: Sequence[str] = ("/chat/completions",)) -> Deployment:
    """A deployment for the model that lines name."""
    return Deployment(
        name="d",
        model="d",
        backends=(BackendRef(name="b", concurrency=1),),
        enqueued_token_limit=limit,
        capabilities=Capabilities(endpoints=tuple(endpoints)),
    )


async def validated(directory: Path, text: str, target: Deployment, *, deleted: bool) -> tuple[Batch, list[str]]:
    """A batch after the validation of its file, which may have been deleted before, and the blobs that are left."""
    ledger, blobs = SqlLedger.open(":memory:"), DiskBlobs(directory)
    writer = await blobs.create("files/0")
    await writer.write(text.encode())
    await writer.publish()
    file = File(id="0", filename="in.jsonl", purpose=Purpose.BATCH, size=len(text), created_at=0, blob="files/0")
    await ledger.add_file(file)
    await ledger.add_batch(batch(0))
    if deleted:
        await ledger.delete_file("0")
    validator = Validator(ledger, blobs, SystemClock(), InlineOffload(), deployments=lambda: [target], counter=None)
    await validator.step()
    after, left = await ledger.batch("batch-0"), await blobs.names("files/")
    await ledger.close()
    assert after is not None
    return after, left


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("{", deployment()),
        (json.dumps(GOOD), deployment(limit=1)),
        (json.dumps(GOOD), deployment(endpoints=["/embeddings"])),
    ],
)
def test_a_deleted_file_goes_with_the_batch_that_it_kept(tmp_path: Path, text: str, target: Deployment) -> None:
    """The bytes of a file that was deleted under a batch go when the batch fails; those of a file that is there stay."""
    after, left = asyncio.run(validated(tmp_path / "deleted", text, target, deleted=True))
    assert (after.status, left) == (Status.FAILED, [])
    after, left = asyncio.run(validated(tmp_path / "kept", text, target, deleted=False))
    assert (after.status, left) == (Status.FAILED, ["0"])


def test_a_batch_that_may_run_keeps_its_bytes(tmp_path: Path) -> None:
    """A file that was deleted under a valid batch is still needed."""
    after, left = asyncio.run(validated(tmp_path, json.dumps(GOOD), deployment(), deleted=True))
    assert (after.status, after.errors, left) == (Status.VALIDATING, None, ["0"])


@pytest.mark.parametrize("kind", ["changed", "cut off", "longer"])
def test_an_input_that_is_not_what_was_uploaded(tmp_path: Path, kind: str) -> None:
    """It is read again a few times, while others are validated; then its batch fails and says why. Nothing of it is sent."""
    text = json.dumps(GOOD).encode() + b"\n"
    spoiled = {"changed": text.replace(b"Hello", b"Jello"), "cut off": text[:-1], "longer": text + b"\n"}[kind]

    async def story(loop: VirtualLoop) -> None:
        ledger, blobs, clock = (
            SqlLedger.open(":memory:", inline=True),
            DiskBlobs(tmp_path, run=inline),
            VirtualClock(loop),
        )
        for number in (0, 1):
            writer = await blobs.create(f"files/{number}")
            await writer.write(text)
            await writer.publish()
            uploaded = file(number, size=writer.size, checksum=writer.checksum)
            await ledger.add_file(uploaded)
            await ledger.add_batch(batch(number))
        blobs.path("files/0").write_bytes(spoiled)
        validator = Validator(ledger, blobs, clock, InlineOffload(), deployments=lambda: [deployment()], counter=None)
        for _ in range(3):
            await validator.step()
        first, neighbour = await ledger.batch("batch-0"), await ledger.batch("batch-1")
        assert first is not None
        assert neighbour is not None
        assert (first.errors, first.deployment, neighbour.deployment) == (None, None, deployment().key)
        while not first.terminal:
            assert loop.time() < 60
            await clock.sleep(1.0)
            await validator.step()
            first = await ledger.batch("batch-0")
            assert first is not None
        assert first.status is Status.FAILED
        assert first.errors is not None
        assert ["could not be read" in each.message for each in first.errors] == [True]
        assert await blobs.names("files/") == ["0", "1"]
        await ledger.close()

    played(story)
