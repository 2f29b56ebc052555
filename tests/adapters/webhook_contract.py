"""What every Ledger promises about webhooks. A test module inherits the class."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from slackwater.core.batch import Policies, Status, WindowElapsed
from slackwater.core.errors import InvalidRequest, QuotaExceeded
from slackwater.core.telling.webhooks import (
    Delivery,
    DeliveryState,
    EventType,
    Outcome,
    Secret,
    WebhookEndpoint,
    delivery_id,
    event_id,
    rotated,
    updated,
)
from slackwater.ports import DueDelivery, Ledger
from tests.adapters.ledger_contract import batch, claimed, segment, started

Story = Callable[[Ledger], Awaitable[None]]
NOW = 5_000
EVERYTHING = tuple(EventType)


def endpoint(number: int = 0, **changes: Any) -> WebhookEndpoint:
    """An endpoint of everything; every field may be changed."""
    values: dict[str, Any] = {
        "id": f"whe-{number}",
        "resource": "default",
        "name": "ours",
        "url": f"https://receiver.example/{number}",
        "event_types": EVERYTHING,
        "secrets": (Secret(text="whsec_AAAA", until=None), Secret(text="old", until=9)),
        "created_at": 1_000,
        "updated_at": 1_001,
    }
    return WebhookEndpoint(**values | changes)


async def listening(ledger: Ledger, *numbers: int, **changes: Any) -> None:
    """Endpoints that hear of everything."""
    for number in numbers:
        await ledger.add_webhook_endpoint(endpoint(number, **changes), most=9)


async def failed(ledger: Ledger, number: int = 0, *, now: int = NOW, **changes: Any) -> None:
    """A batch that ends at once, because its file is no good."""
    await ledger.add_batch(batch(number, **changes))
    assert await ledger.reject_batch(f"batch-{number}", errors=[], now=now)


async def next_delivery(ledger: Ledger, *, now: float = NOW, skip: tuple[str, ...] = ()) -> Delivery:
    """The delivery that is to be tried next, which must be there."""
    due = await ledger.next_delivery(now=now, skip=skip)
    assert due is not None
    return due.delivery


async def heard(ledger: Ledger, number: int = 0) -> list[tuple[str, str]]:
    """What an endpoint has heard of, or is to, newest first."""
    found = await ledger.webhook_deliveries(f"whe-{number}", after=None, limit=99)
    return [(delivery.batch_id, delivery.type.value) for delivery in found]


def outcome(**changes: Any) -> Outcome:
    """A first try that was answered with an error; every field may be changed."""
    values: dict[str, Any] = {"state": DeliveryState.PENDING, "tries": 1, "at": NOW, "status": 500, "failure": "No."}
    return Outcome(**values | {"due_at": NOW + 10, "paused_until": NOW + 1.5} | changes)


TAKEN: dict[str, Any] = {"state": DeliveryState.DELIVERED, "status": 200, "failure": None, "paused_until": 0.0}


class WebhookContract:
    """Inherit, and define `open`."""

    def open(self, place: Any) -> Ledger:
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

    def test_an_endpoint_comes_back_as_it_went_in(self, run: Any) -> None:
        """Every field of it, to its own resource and to no other."""

        async def story(ledger: Ledger) -> None:
            await listening(ledger, 0)
            assert await ledger.webhook_endpoint("whe-0", resource="default") == endpoint(0)
            assert await ledger.webhook_endpoint("whe-0", resource="other") is None
            assert await ledger.webhook_endpoint("whe-1", resource="default") is None

        run(story)

    def test_pages(self, run: Any) -> None:
        """Newest first, behind a cursor that must be known; nothing of another resource."""

        async def story(ledger: Ledger) -> None:
            await listening(ledger, 0, 1, 2)
            await listening(ledger, 3, resource="other")

            async def page(resource: str, after: str | None, limit: int) -> list[str]:
                return [e.id for e in await ledger.webhook_endpoints(resource=resource, after=after, limit=limit)]

            assert await page("default", None, 2) == ["whe-2", "whe-1"]
            assert await page("default", "whe-1", 2) == ["whe-0"]
            assert await page("other", None, 2) == ["whe-3"]
            with pytest.raises(InvalidRequest, match="whe-3"):
                await page("default", "whe-3", 2)

        run(story)

    def test_as_many_as_there_may_be(self, run: Any) -> None:
        """Of one resource; another's do not count."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_webhook_endpoint(endpoint(0), most=1)
            with pytest.raises(QuotaExceeded, match="1 webhook endpoints already"):
                await ledger.add_webhook_endpoint(endpoint(1), most=1)
            await ledger.add_webhook_endpoint(endpoint(1, resource="other"), most=1)

        run(story)

    def test_a_change(self, run: Any) -> None:
        """What the function makes is kept; whatever waits is due at once where that is asked for; unknown is None."""

        async def story(ledger: Ledger) -> None:
            await listening(ledger, 0)
            await failed(ledger)
            await ledger.record_delivery((await next_delivery(ledger)).id, outcome(due_at=NOW + 900.0))
            assert await ledger.next_delivery(now=NOW + 899) is None

            def change(each: WebhookEndpoint) -> WebhookEndpoint:
                assert (each.failures, each.last_failure) == (1, "No.")
                return updated(each, url="https://other.example/", event_types=EVERYTHING[:1], now=NOW + 5)

            changed = await ledger.change_webhook_endpoint(
                "whe-0", resource="default", change=change, hasten_to=NOW + 5
            )
            assert changed == await ledger.webhook_endpoint("whe-0", resource="default")
            assert changed is not None
            assert (changed.url, changed.event_types, changed.failures) == (
                "https://other.example/",
                EVERYTHING[:1],
                0,
            )
            assert (await next_delivery(ledger, now=NOW + 5)).tries == 1
            kept = await ledger.change_webhook_endpoint(
                "whe-0", resource="default", change=lambda each: rotated(each, "new", keep_old=True, now=NOW)
            )
            assert kept is not None
            assert [secret.text for secret in kept.secrets] == ["new", "whsec_AAAA"]
            assert await ledger.webhook_endpoint("whe-0", resource="default") == kept
            for endpoint_id, resource in (("whe-0", "other"), ("whe-9", "default")):
                assert await ledger.change_webhook_endpoint(endpoint_id, resource=resource, change=change) is None

        run(story)

    def test_a_rejected_batch_is_announced(self, run: Any) -> None:
        """One delivery for each endpoint that hears of it, due at once; a second rejection adds nothing."""

        async def story(ledger: Ledger) -> None:
            await listening(ledger, 0, 1)
            await failed(ledger)
            assert not await ledger.reject_batch("batch-0", errors=[], now=NOW + 1)
            event = event_id("batch-0", EventType.BATCH_FAILED)
            expected = Delivery(
                id=delivery_id(event, "whe-0"),
                event_id=event,
                endpoint_id="whe-0",
                type=EventType.BATCH_FAILED,
                batch_id="batch-0",
                created_at=NOW,
                due_at=NOW,
            )
            assert await ledger.next_delivery(now=NOW) == DueDelivery(delivery=expected, endpoint=endpoint(0))
            assert await heard(ledger, 0) == await heard(ledger, 1) == [("batch-0", "batch.failed")]

        run(story)

    def test_a_finished_batch_is_announced(self, run: Any) -> None:
        """As what it ended as, once, whoever publishes it again."""

        async def story(ledger: Ledger) -> None:
            await listening(ledger, 0)
            await started(ledger, 0, shards=(1,))
            shard = await claimed(ledger)
            await ledger.commit_segments([segment(shard, 0)], now=0, lease_seconds=10)
            await ledger.finish_shard("batch-0", 0, epoch=shard.epoch)
            await ledger.begin_finalizing(now=NOW)
            assert await heard(ledger) == []
            ended = await ledger.publish_files("batch-0", output=None, error=None, now=NOW)
            assert ended is not None
            assert ended.status is Status.COMPLETED
            assert await ledger.publish_files("batch-0", output=None, error=None, now=NOW) is None
            assert await heard(ledger) == [("batch-0", "batch.completed")]

        run(story)

    def test_cancelled_and_expired_batches_are_announced(self, run: Any) -> None:
        """Their events have names of their own; a batch that is only cancelling has not ended."""

        async def story(ledger: Ledger) -> None:
            await listening(ledger, 0)
            await started(ledger, 0)
            await ledger.request_cancel("batch-0", now=NOW)
            assert await heard(ledger) == []
            await ledger.publish_files("batch-0", output=None, error=None, now=NOW)
            await started(ledger, 1, policies=Policies(window_elapsed=WindowElapsed.EXPIRE))
            await ledger.elapse_windows(now=NOW)
            await ledger.publish_files("batch-1", output=None, error=None, now=NOW)
            assert await heard(ledger) == [("batch-1", "batch.expired"), ("batch-0", "batch.cancelled")]

        run(story)

    def test_who_hears(self, run: Any) -> None:
        """Endpoints of the batch's resource that want such events, and that were there when it ended."""

        async def story(ledger: Ledger) -> None:
            await listening(ledger, 0, event_types=(EventType.BATCH_FAILED,))
            await listening(ledger, 1, event_types=(EventType.BATCH_COMPLETED, EventType.BATCH_EXPIRED))
            await listening(ledger, 2, resource="other")
            await failed(ledger, 0)
            await failed(ledger, 1, resource="other")
            await listening(ledger, 3)
            assert [await heard(ledger, number) for number in range(4)] == [
                [("batch-0", "batch.failed")],
                [],
                [("batch-1", "batch.failed")],
                [],
            ]

        run(story)

    def test_a_deleted_endpoint_takes_its_deliveries_with_it(self, run: Any) -> None:
        """Its owner alone can delete it, once; whoever is sending learns that nothing is to be recorded."""

        async def story(ledger: Ledger) -> None:
            await listening(ledger, 0)
            await failed(ledger)
            sending = await next_delivery(ledger)
            assert not await ledger.delete_webhook_endpoint("whe-0", resource="other")
            assert await ledger.delete_webhook_endpoint("whe-0", resource="default")
            assert not await ledger.delete_webhook_endpoint("whe-0", resource="default")
            assert await ledger.next_delivery(now=NOW) is None
            assert not await ledger.record_delivery(sending.id, outcome())
            assert await heard(ledger) == []

        run(story)

    def test_a_delivered_one(self, run: Any) -> None:
        """It has ended, its endpoint is well, and nothing is counted twice."""

        async def story(ledger: Ledger) -> None:
            await listening(ledger, 0)
            await failed(ledger)
            one = await next_delivery(ledger)
            assert await ledger.record_delivery(one.id, outcome())
            assert not await ledger.record_delivery(one.id, outcome()), "this try has been recorded"
            assert await ledger.record_delivery(one.id, outcome(tries=2, at=NOW + 9, **TAKEN))
            assert not await ledger.record_delivery(one.id, outcome(tries=3)), "it has ended"
            assert await ledger.next_delivery(now=NOW + 99) is None
            (done,) = await ledger.webhook_deliveries("whe-0", after=None, limit=9)
            assert (done.state, done.tries, done.last_status, done.last_failure, done.ended_at) == (
                DeliveryState.DELIVERED,
                2,
                200,
                None,
                NOW + 9,
            )
            well = await ledger.webhook_endpoint("whe-0", resource="default")
            assert well is not None
            assert (well.failures, well.last_success_at, well.last_failure_at) == (0, NOW + 9, NOW)

        run(story)

    def test_a_failed_try(self, run: Any) -> None:
        """It comes back at its moment; until the pause is over, its endpoint is sent nothing, and others are."""

        async def story(ledger: Ledger) -> None:
            await listening(ledger, 0, 1)
            await failed(ledger, 0)
            await failed(ledger, 1)
            first = await next_delivery(ledger, skip=("whe-1",))
            assert await ledger.record_delivery(first.id, outcome())
            assert (await next_delivery(ledger)).endpoint_id == "whe-1"
            assert await ledger.next_delivery(now=NOW, skip=("whe-1",)) is None
            assert await ledger.next_delivery(now=NOW + 1.4, skip=("whe-1",)) is None
            assert (await next_delivery(ledger, now=NOW + 1.5, skip=("whe-1",))).batch_id == "batch-1"
            again = await ledger.next_delivery(now=NOW + 10, skip=("whe-1",))
            assert again is not None
            assert again.delivery.batch_id == "batch-1", "the one that has been due longer"
            assert again.endpoint.failures == 1
            assert await ledger.record_delivery(again.delivery.id, outcome(**TAKEN))
            late = await next_delivery(ledger, now=NOW + 10, skip=("whe-1",))
            assert (late.id, late.tries, late.due_at, late.last_status) == (first.id, 1, NOW + 10, 500)

        run(story)

    def test_gone(self, run: Any) -> None:
        """The endpoint is disabled, whatever waits for it is dead, and it is announced nothing until it is changed."""

        async def story(ledger: Ledger) -> None:
            await listening(ledger, 0)
            await failed(ledger, 0)
            await failed(ledger, 1)
            one = await next_delivery(ledger)
            assert await ledger.record_delivery(one.id, outcome(state=DeliveryState.DEAD, status=410, gone=True))
            assert await ledger.next_delivery(now=NOW + 99) is None
            found = await ledger.webhook_deliveries("whe-0", after=None, limit=9)
            assert [(each.state, each.tries, each.ended_at) for each in found] == [
                (DeliveryState.DEAD, 0, NOW),
                (DeliveryState.DEAD, 1, NOW),
            ]
            disabled = await ledger.webhook_endpoint("whe-0", resource="default")
            assert disabled is not None
            assert (disabled.state, disabled.disabled_at) == ("disabled", NOW)
            await failed(ledger, 2)
            assert len(await heard(ledger)) == 2
            await ledger.change_webhook_endpoint(
                "whe-0", resource="default", change=lambda each: updated(each, now=NOW)
            )
            await failed(ledger, 3)
            assert (await next_delivery(ledger)).batch_id == "batch-3"

        run(story)

    def test_overdue(self, run: Any) -> None:
        """What waits behind others that fail dies in its time as well; what nobody has tried yet does not."""

        async def story(ledger: Ledger) -> None:
            await listening(ledger, 0, 1)
            for number in range(3):
                await failed(ledger, number, now=NOW + number)
            tried = await next_delivery(ledger, skip=("whe-1",))
            await ledger.record_delivery(tried.id, outcome())
            assert await ledger.end_overdue_deliveries(created_by=NOW + 1, now=NOW + 7, limit=1) == 1
            assert await ledger.end_overdue_deliveries(created_by=NOW + 1, now=NOW + 7, limit=9) == 1
            assert await ledger.end_overdue_deliveries(created_by=NOW + 1, now=NOW + 7, limit=9) == 0
            states = {}
            for number in (0, 1):
                found = await ledger.webhook_deliveries(f"whe-{number}", after=None, limit=9)
                states[number] = [each.state.value for each in found]
                assert all(each.last_failure for each in found if each.state is DeliveryState.DEAD)
            assert states == {0: ["pending", "dead", "dead"], 1: ["pending"] * 3}

        run(story)

    def test_what_is_forgotten(self, run: Any) -> None:
        """What ended long ago; never what waits."""

        async def story(ledger: Ledger) -> None:
            await listening(ledger, 0)
            await failed(ledger, 0)
            await failed(ledger, 1)
            await ledger.record_delivery((await next_delivery(ledger)).id, outcome(at=NOW + 5, **TAKEN))
            assert await ledger.forget_deliveries(ended_by=NOW + 4, limit=9) == 0
            assert await ledger.forget_deliveries(ended_by=NOW + 5, limit=9) == 1
            assert await heard(ledger) == [("batch-1", "batch.failed")]

        run(story)

    def test_pages_of_deliveries(self, run: Any) -> None:
        """Newest first, behind a cursor of the same endpoint."""

        async def story(ledger: Ledger) -> None:
            await listening(ledger, 0, 1)
            for number in range(3):
                await failed(ledger, number)
            page = await ledger.webhook_deliveries("whe-0", after=None, limit=2)
            assert [each.batch_id for each in page] == ["batch-2", "batch-1"]
            rest = await ledger.webhook_deliveries("whe-0", after=page[-1].id, limit=2)
            assert [each.batch_id for each in rest] == ["batch-0"]
            with pytest.raises(InvalidRequest, match="after"):
                await ledger.webhook_deliveries("whe-1", after=page[-1].id, limit=2)

        run(story)
