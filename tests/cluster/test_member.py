"""A service that is a member of a cluster: the whole of it, in real time, with one engine that counts for itself."""

import asyncio
from pathlib import Path

import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.config import BackendConfig, Config, DeploymentConfig
from slackwater.core.batch import Status
from slackwater.wiring import open_service
from tests.cluster.limit import a_batch
from tests.cluster.sampled_engine import SampledEngine
from tests.cluster.worker import DEPLOYMENT

SLOTS = 8


def config_of(engine: SampledEngine) -> Config:
    """One deployment on it."""
    backend = BackendConfig(url=engine.url, concurrency=SLOTS)
    return Config(deployments=(DeploymentConfig(name=DEPLOYMENT, model="m", backends=(backend,)),))


@pytest.mark.parametrize("member", ["m1", None])
def test_a_batch_runs(tmp_path: Path, member: str | None) -> None:
    """Within what others leave; with nobody to share with, nothing is written down of it."""

    async def story(engine: SampledEngine) -> None:
        async with open_service(
            config_of(engine), tmp_path, offload=InlineOffload(), counter=None, shares_as=member
        ) as service:
            ledger = service.ledger
            assert isinstance(ledger, SqlLedger)
            holdings = lambda: ledger.sql.database.look(  # noqa: E731
                lambda db: [tuple(row) for row in db.execute("SELECT engine, member, slots FROM engine_slots")]
            )
            await service.start()
            batch = await a_batch(ledger, service.blobs, 200)  # type: ignore[arg-type]
            seen = set()
            while (found := await ledger.batch(batch)) is None or found.status is not Status.COMPLETED:
                seen.update(await holdings())
                await asyncio.sleep(0.01)
            assert (found.counts.completed, engine.answered, engine.out_max) == (200, 200, SLOTS)
            await service.stop()
            assert {name for _, name, _ in seen} == (set() if member is None else {member})
            assert max((slots for *_, slots in seen), default=0) == (0 if member is None else SLOTS)
            assert await holdings() == []

    with SampledEngine(shortest=0.01, longest=0.05).serving() as engine:
        asyncio.run(asyncio.wait_for(story(engine), 60))
