"""A batch that one server is given is taken up by the other: by a hint at once, and by its own looks where hints are lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from slackwater.core.batch import TERMINAL, Status
from slackwater.pipeline import loops
from tests.together.servers import Served, config_in, serving
from tests.together.test_caches import CONFIG, line

pytestmark = pytest.mark.postgresql

END_LISTENERS = b"""SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE application_name = 'slackwater listener' AND datname = current_database()"""
# Longer than any test: who waits so long and goes on has been woken.
FOR_EVER = 100_000.0


async def without_stages(served: Served) -> None:
    """It answers calls, and does nothing for batches."""
    for loop in served.service._loops:
        loop.end()
    await asyncio.wait(served.service._tasks)


def without_looks(served: Served, *, but: str = "") -> None:
    """Its stages step when they are hinted at, and only then."""
    for loop in [
        *served.service._loops,
        *(each for each in served.service.fleet.watched() if isinstance(each, loops.Loop)),
    ]:
        if loop.name not in ("commit", "renew", but):
            loop._idle_seconds = FOR_EVER
            loop._hint.notify()


async def completed(served: Served, batch_id: str) -> None:
    """Asks its ledger until the batch has ended."""
    while (batch := await served.ledger.batch(batch_id)) is None or batch.status not in TERMINAL:
        await asyncio.sleep(0)
    assert batch.status is Status.COMPLETED


async def created(served: Served) -> str:
    """A batch."""
    file = (await served.upload(line("d"))).json()["id"]
    batch_id: str = (await served.create(file)).json()["id"]
    return batch_id


@contextlib.asynccontextmanager
async def two(folder: Path, address: str) -> AsyncIterator[tuple[Served, Served]]:
    """Two servers; the first one sends nothing."""
    config = config_in(folder, CONFIG)
    async with (
        asyncio.timeout(60),
        serving(address, config, folder / "data", works=False) as one,
        serving(address, config, folder / "data") as other,
    ):
        yield one, other


def test_hints_are_enough(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From create on one server to the end on the other, no stage there looks by itself: all of them are woken, one by the
    other server and the next ones by each other."""
    monkeypatch.setattr(loops, "REST_SECONDS", FOR_EVER)

    async def main() -> None:
        async with two(tmp_path, address) as (one, other):
            await without_stages(one)
            while not (other.ledger.together and other.ledger.together.listening):
                await asyncio.sleep(0)
            without_looks(other)
            for _ in range(3):
                await completed(one, await created(one))

    asyncio.run(main())


def test_each_step_may_be_anothers(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One server validates and finalizes, the other one sends; no look is needed in between."""
    monkeypatch.setattr(loops, "REST_SECONDS", FOR_EVER)

    async def main() -> None:
        async with two(tmp_path, address) as (one, other):
            for each in (one, other):
                while not (each.ledger.together and each.ledger.together.listening):
                    await asyncio.sleep(0)
            await without_stages(other)
            without_looks(one)
            without_looks(other)
            for _ in range(3):
                await completed(other, await created(other))

    asyncio.run(main())


def test_looks_are_enough(tmp_path: Path, address: str) -> None:
    """Where nobody listens, and nobody can, everything goes its way at the pace at which the numbers are looked at."""

    async def main() -> None:
        async with two(tmp_path, address) as (one, other):
            await without_stages(one)
            together = other.ledger.together
            assert together is not None
            await together.close()
            assert not together.listening
            without_looks(other, but="follow")
            await completed(one, await created(one))

    asyncio.run(main())


def test_a_killed_connection_is_made_again(tmp_path: Path, address: str) -> None:
    """What was hinted at meanwhile is found by the first look after that."""

    async def main() -> None:
        async with two(tmp_path, address) as (one, other):
            await without_stages(one)
            together = other.ledger.together
            assert together is not None
            for _ in range(3):
                while not together.listening:
                    await asyncio.sleep(0)
                with psycopg.connect(address, autocommit=True) as db:
                    assert (True,) in db.execute(END_LISTENERS).fetchall()
                await completed(one, await created(one))

    asyncio.run(main())
