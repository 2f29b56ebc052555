"""What every Ledger promises of deployments that were made over the API, and of the regions that answered."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from slackwater.core.batch import Policies, Stage, WindowElapsed
from slackwater.core.errors import NoRoom
from slackwater.ports import Ledger, NewShard, OpenBatches, StoredDeployment
from tests.adapters.ledger_contract import batch, claimed, segment, started

STORED = StoredDeployment(
    resource="red",
    name="a",
    body={"sku": {"name": "GlobalBatch"}, "properties": {"dynamicThrottlingEnabled": True}, "tags": {"ä": '"'}},
    etag="1",
    created_at=1,
    updated_at=2,
)


class DeploymentContract:
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

    def test_deployments_come_back_as_they_went_in(self, run: Any) -> None:
        """Every field is kept; one of the same name in the same resource replaces the one before."""

        async def story(ledger: Ledger) -> None:
            other = msgspec.structs.replace(STORED, resource="blue", deleted_at=5)
            for each in (STORED, other):
                await ledger.put_deployment(each)
            assert await ledger.deployments() == [other, STORED]
            changed = msgspec.structs.replace(STORED, body={}, etag="2", updated_at=9)
            await ledger.put_deployment(changed)
            assert await ledger.deployments() == [other, changed]

        run(story)

    def test_a_deployment_is_changed_by_who_has_seen_it(self, run: Any) -> None:
        """Only the version that somebody names is replaced, and nothing that is being deleted; None is one that is not there."""

        async def story(ledger: Ledger) -> None:
            second = msgspec.structs.replace(STORED, etag="2")
            assert not await ledger.put_deployment(second, over="1")
            assert await ledger.deployments() == []
            assert await ledger.put_deployment(STORED, over=None)
            assert not await ledger.put_deployment(second, over=None)
            assert not await ledger.put_deployment(second, over="2")
            assert await ledger.deployments() == [STORED]
            assert await ledger.put_deployment(second, over="1")
            going = msgspec.structs.replace(second, deleted_at=7)
            assert await ledger.put_deployment(going, over="2")
            assert not await ledger.put_deployment(second, over="2")
            assert not await ledger.put_deployment(going, over="2")
            assert await ledger.deployments() == [going]

        run(story)

    def test_changes_at_once_of_one_version(self, run: Any) -> None:
        """One of them is made."""

        async def story(ledger: Ledger) -> None:
            versions = [msgspec.structs.replace(STORED, etag=str(number)) for number in range(8)]
            made = await asyncio.gather(*(ledger.put_deployment(each, over=None) for each in versions))
            assert made.count(True) == 1
            assert await ledger.deployments() == [versions[made.index(True)]]

        run(story)

    def test_there_are_only_so_many(self, run: Any) -> None:
        """One more is refused, at once or one after the other; one that is there can be replaced."""

        async def story(ledger: Ledger) -> None:
            new = [msgspec.structs.replace(STORED, name=str(number)) for number in range(8)]
            ends = await asyncio.gather(
                *(ledger.put_deployment(each, over=None, most=3) for each in new), return_exceptions=True
            )
            assert ends.count(True) == 3
            assert sum(isinstance(end, NoRoom) for end in ends) == 5
            kept = (await ledger.deployments())[0]
            assert await ledger.put_deployment(msgspec.structs.replace(kept, etag="2"), over="1", most=3)

        run(story)

    def test_a_batch_does_not_come_to_a_deployment_that_has_gone(self, run: Any) -> None:
        """Whoever has validated it finds out in the transaction, and nothing is changed."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_batch(batch(1, resource="red"))
            await ledger.put_deployment(STORED)
            order: dict[str, Any] = {
                "deployment": "red/a",
                "endpoint": "/chat/completions",
                "total": 1,
                "tokens": 1,
                "shards": [NewShard(offset=0, length=10, lines=1, tokens=1)],
                "stored": "a",
            }
            assert await ledger.remove_deployment(STORED, key="red/a")
            assert await ledger.accept_batch("batch-1", **order) is None
            assert await ledger.batch("batch-1") == batch(1, resource="red")
            await ledger.put_deployment(STORED)
            assert await ledger.accept_batch("batch-1", **order) is Stage.WAITING
            assert not await ledger.remove_deployment(STORED, key="red/a")

        run(story)

    def test_a_deployment_in_use_is_not_removed(self, run: Any) -> None:
        """Neither under a batch that waits for validation, nor under one that runs; once it has ended, it goes."""

        async def story(ledger: Ledger) -> None:
            await ledger.put_deployment(STORED)
            await ledger.put_deployment(msgspec.structs.replace(STORED, resource="default"))
            await ledger.add_batch(batch(1, deployment="red/a", resource="red"))
            assert not await ledger.remove_deployment(STORED, key="red/a")
            assert await ledger.open_batches("red/a") == OpenBatches(count=1, first_expires_at=2_000)
            assert await ledger.open_batches("a") == OpenBatches(count=0, first_expires_at=None)
            await ledger.reject_batch("batch-1", errors=[], now=5)
            assert await ledger.open_batches("red/a") == OpenBatches(count=0, first_expires_at=None)
            assert await ledger.remove_deployment(STORED, key="red/a")
            assert [each.resource for each in await ledger.deployments()] == ["default"]

        run(story)

    def test_the_first_window_that_ends(self, run: Any) -> None:
        """Over all batches that have not ended, whether they end with it or not."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, 1, expires_at=5_000)
            await started(ledger, 2, expires_at=3_000, policies=Policies(window_elapsed=WindowElapsed.EXPIRE))
            assert await ledger.open_batches("d") == OpenBatches(count=2, first_expires_at=3_000)
            await ledger.elapse_windows(now=4_000)
            assert await ledger.begin_finalizing(now=4_000) is not None
            assert await ledger.publish_files("batch-2", output=None, error=None, now=4_000) is not None
            assert await ledger.open_batches("d") == OpenBatches(count=1, first_expires_at=5_000)

        run(story)

    def test_regions_are_those_of_results_that_count(self, run: Any) -> None:
        """Each once, by name; what comes under an old epoch does not count."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, shards=(3,))
            shard = await claimed(ledger)
            first = msgspec.structs.replace(segment(shard, 0), regions=("west", "east"))
            late = msgspec.structs.replace(segment(shard, 1, epoch=shard.epoch + 1), regions=("south",))
            again = msgspec.structs.replace(segment(shard, 2), regions=("east",))
            await ledger.commit_segments([first, late, again], now=1.0, lease_seconds=10.0)
            assert await ledger.batch_regions("batch-0") == ["east", "west"]
            assert await ledger.batch_regions("nobody") == []

        run(story)
