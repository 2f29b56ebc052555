"""What every ledger promises of operators' pauses. Inherited together with LedgerContract."""

from typing import Any

from slackwater.core.batch import Status
from slackwater.core.sending.pace import SaidPace
from slackwater.core.sending.pause import Pause, Target
from slackwater.ports import Ledger
from tests.adapters.claiming import claim
from tests.adapters.ledger_contract import batch, claimed, segment, started


def pause_of(target: str = "batch-0", what: Target = Target.BATCH, **changes: Any) -> Pause:
    """A pause."""
    fields: dict[str, Any] = {"resource": "default", "who": "admin/key1", "reason": "why", "since": 1_200}
    return Pause(what=what, target=target, **(fields | changes))


class PauseContract:
    """Inherit beside LedgerContract."""

    def test_a_pause_is_kept_as_it_was_given(self, run: Any) -> None:
        """Every field; who was first is the one who has paused it; kinds and targets are told apart."""

        async def story(ledger: Ledger) -> None:
            engine = pause_of("http://e:1", Target.ENGINE)
            deployment = pause_of("default/d", Target.DEPLOYMENT)
            assert await ledger.pause(engine) == engine
            assert await ledger.pause(deployment) == deployment
            assert await ledger.pause(pause_of("http://e:1", Target.ENGINE, who="other", since=9)) == engine
            assert await ledger.pauses((Target.ENGINE, Target.DEPLOYMENT)) == [engine, deployment]
            assert await ledger.pauses((Target.BATCH,)) == []
            assert await ledger.pause_of(Target.ENGINE, "http://e:2") is None
            assert await ledger.resume(Target.ENGINE, "http://e:1") == engine
            assert await ledger.resume(Target.ENGINE, "http://e:1") is None
            assert await ledger.pauses((Target.ENGINE, Target.DEPLOYMENT)) == [deployment]

        run(story)

    def test_a_pace_is_kept_as_it_was_given(self, run: Any) -> None:
        """The last word about an engine counts, until nothing is said any more."""

        async def story(ledger: Ledger) -> None:
            first = SaidPace(engine="http://e:1", pace="gentle", who="admin/key1", since=1_200)
            later = SaidPace(engine="http://e:1", pace="50ms", who="other", since=1_300)
            other = SaidPace(engine="http://e:2", pace="fixed", who="other", since=1_300)
            for said in (first, other, later):
                await ledger.set_pace(said)
            assert await ledger.paces() == [later, other]
            await ledger.forget_pace("http://e:1")
            await ledger.forget_pace("http://e:3")
            assert await ledger.paces() == [other]

        run(story)

    def test_nobody_claims_of_a_paused_batch(self, run: Any) -> None:
        """Neither what is queued nor what is given back; what is in hand is told, and its results count."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, 0, shards=(2, 2))
            await started(ledger, 1, shards=(2,))
            shard = await claimed(ledger)
            assert shard.batch_id == "batch-0"
            assert await ledger.pause(pause_of()) == pause_of()
            found = await ledger.batch("batch-0")
            assert found is not None
            assert found.paused
            [state] = await ledger.renew_leases([("batch-0", 0, shard.epoch)], now=1.0, lease_seconds=10.0)
            assert (state.paused, state.stop) == (True, False)
            assert await ledger.commit_segments([segment(shard, 0)], now=1.0, lease_seconds=10.0) == []
            assert await ledger.release_shard("batch-0", 0, epoch=shard.epoch)
            assert (await claimed(ledger)).batch_id == "batch-1"
            assert await claim(ledger, "d", owner="w", now=0.0, seconds=10.0) is None
            # A lease that is lost, or whose owner has died, does not bring it back either.
            assert await ledger.resume(Target.BATCH, "batch-0") == pause_of()
            again = await claimed(ledger)
            assert (again.batch_id, again.index, again.done) == ("batch-0", 0, b"\x01")
            await ledger.pause(pause_of())
            assert await ledger.release_leases(now=2.0, dead_owners_except="") == 2
            assert (await claimed(ledger)).batch_id == "batch-1"
            assert await claim(ledger, "d", owner="w", now=0.0, seconds=10.0) is None

        run(story)

    def test_a_batch_that_goes_on_is_news(self, run: Any) -> None:
        """Whoever claims hears that it has shards again, and of nothing while it is paused."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, 0, shards=(1, 1, 1))
            [before] = await ledger.queued_batches("d", after=0)
            await ledger.pause(pause_of())
            assert await ledger.claim_shards(["batch-0"], owner="w", now=0.0, lease_seconds=10.0) == []
            assert await ledger.queued_batches("d", after=before.number) == []
            await ledger.resume(Target.BATCH, "batch-0")
            [again] = await ledger.queued_batches("d", after=before.number)
            assert (again.batch_id, again.lines) == ("batch-0", 3)

        run(story)

    def test_a_batch_that_is_paused_before_it_runs(self, run: Any) -> None:
        """It is validated and let in, and gets its ranks when it goes on."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_batch(batch(0))
            await ledger.pause(pause_of())
            await started(ledger, 1)
            assert await ledger.accept_batch("batch-0", deployment="d", endpoint="/x", total=0, tokens=0, shards=[])
            await ledger.enqueue(["batch-0"], now=1_300)
            assert await ledger.unranked() == []
            await ledger.resume(Target.BATCH, "batch-0")
            assert [each.batch_id for each in await ledger.unranked()] == ["batch-0"]

        run(story)

    def test_whatever_ends_a_batch_ends_its_pause(self, run: Any) -> None:
        """A cancel, its window; what has ended, or never was, cannot be paused."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, 0, shards=(1, 1))
            await ledger.pause(pause_of())
            cancelled = await ledger.request_cancel("batch-0", now=1_300)
            assert cancelled is not None
            assert (cancelled.status, cancelled.paused) == (Status.CANCELLING, False)
            assert await ledger.pauses((Target.BATCH,)) == []
            assert await ledger.pause(pause_of()) is None
            assert await ledger.begin_finalizing(now=1_301) is not None
            ended = await ledger.publish_files("batch-0", output=None, error=None, now=1_302)
            assert ended is not None
            assert ended.status is Status.CANCELLED
            assert await ledger.pause(pause_of()) is None
            assert await ledger.pause(pause_of("nobody")) is None
            assert await ledger.resume(Target.BATCH, "batch-0") is None

        run(story)
