"""What looking for work costs the ledger: `python benchmarks/looking.py [--batches 10000]`.

Two ledgers on the disk: one with 10 running batches and one with 10,000, of 10 shards each, on ten deployments. In both, 100
shards (or all there are) are in the hands of a worker, each deployment has ten batches that wait for room, a webhook waits
for its time, and no stage finds anything to do. Every call that a stage makes again and again is then made in turn, round
after round, with nothing changed in between, on one thread: so what is measured is what the writer's thread does, or the
event loop where the ledger reads there.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from harness import RESULTS, median, table

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.batch import Batch, Policies, Status, WindowElapsed
from slackwater.core.telling.webhooks import EventType, WebhookEndpoint
from slackwater.ports import NewShard

DEPLOYMENTS, SHARDS, IN_HAND, WAITING, NOW, FAR = 10, 10, 100, 10, 1_760_000_000, 1_760_086_400
FEW = 10


def batch(number: int) -> Batch:
    """A batch as large as they are in practice."""
    return Batch(
        id=f"batch_{number:032x}",
        input_file_id=f"file-{number:032x}",
        input_blob=f"files/{number}",
        endpoint="/chat/completions",
        completion_window="24h",
        status=Status.VALIDATING,
        created_at=NOW,
        expires_at=FAR,
        policies=Policies(window_elapsed=WindowElapsed.EXPIRE if number % 2 else WindowElapsed.CONTINUE),
        metadata={"team": "tides", "run": f"nightly-{number}", "note": "n" * 100},
    )


async def begin(ledger: SqlLedger, number: int, *, start: bool) -> None:
    """A validated batch, which runs with ranks on its shards or waits for room."""
    new = batch(number)
    await ledger.add_batch(new)
    shards = [NewShard(offset=index * 100, length=100, lines=10, tokens=10) for index in range(SHARDS)]
    name = f"deployment-{number % DEPLOYMENTS}"
    await ledger.accept_batch(
        new.id, deployment=name, endpoint="/chat/completions", total=SHARDS * 10, tokens=SHARDS * 10, shards=shards
    )
    if start:
        await ledger.enqueue([new.id], now=NOW)
        await ledger.rank_shards(new.id, [float(index) for index in range(SHARDS)])


async def fill(ledger: SqlLedger, running: int) -> None:
    """Makes everything that is there while nothing happens."""
    endpoint = WebhookEndpoint(
        id="whe_1",
        resource="default",
        name="ours",
        url="https://hooks.example/",
        event_types=tuple(EventType),
        secrets=(),
        created_at=NOW,
        updated_at=NOW,
    )
    await ledger.add_webhook_endpoint(endpoint, most=10)
    # One that has failed, so that a delivery waits.
    await ledger.add_batch(batch(10**6))
    await ledger.reject_batch(batch(10**6).id, errors=[], now=NOW)
    for number in range(running):
        await begin(ledger, number, start=True)
    for number in range(running, running + DEPLOYMENTS * WAITING):
        await begin(ledger, number, start=False)
    for number in range(min(IN_HAND, running * SHARDS)):
        name = f"worker-deployment-{number % DEPLOYMENTS}"
        await ledger.claim_shards([batch(number % running).id], owner=name, now=NOW, lease_seconds=30.0)


Call = Callable[[SqlLedger], Awaitable[Any]]
# Each by the loop that makes it.
CALLS: dict[str, Call] = {
    "validate: next_to_validate": lambda ledger: ledger.next_to_validate(),
    "enqueue: waiting": lambda ledger: ledger.waiting(),
    "schedule: unranked": lambda ledger: ledger.unranked(),
    "claim: queued_batches **": lambda ledger: ledger.queued_batches("deployment-0", after=1 << 40),
    "claim: claim_shards": lambda ledger: ledger.claim_shards(["nobody"], owner="w", now=NOW, lease_seconds=30.0),
    "renew: renew_leases": lambda ledger: ledger.renew_leases([(batch(0).id, 0, 1)], now=NOW, lease_seconds=30.0),
    "finalize: begin_finalizing": lambda ledger: ledger.begin_finalizing(now=NOW),
    "janitor: release_leases": lambda ledger: ledger.release_leases(now=NOW),
    "janitor: elapse_windows": lambda ledger: ledger.elapse_windows(now=NOW),
    "janitor: expired_files": lambda ledger: ledger.expired_files(now=NOW, limit=100),
    "uploads: expire_uploads": lambda ledger: ledger.expire_uploads(now=NOW, limit=100),
    "uploads: uploads_to_empty": lambda ledger: ledger.uploads_to_empty(limit=10),
    "uploads: forget_uploads": lambda ledger: ledger.forget_uploads(ended_before=NOW, limit=100),
    "webhooks: end_overdue": lambda ledger: ledger.end_overdue_deliveries(created_by=NOW - 1, now=NOW, limit=1_000),
    "webhooks: forget_deliveries": lambda ledger: ledger.forget_deliveries(ended_by=NOW, limit=1_000),
    "audit: trim_audit": lambda ledger: ledger.trim_audit(before=NOW, limit=500),
    "webhook: next_delivery *": lambda ledger: ledger.next_delivery(now=NOW),
    "import: next_import *": lambda ledger: ledger.next_import(now=NOW),
    "enqueue: open_batches *": lambda ledger: ledger.open_batches("deployment-0"),
    "create: enqueued_tokens *": lambda ledger: ledger.enqueued_tokens("deployment-0"),
    "progress: batches_at_work **": lambda ledger: ledger.batches_at_work(limit=1_000),
}


async def measure(scratch: Path, running: int, rounds: int) -> dict[str, float]:
    """Milliseconds of each call."""
    ledger = SqlLedger.open(scratch / f"ledger-{running}", inline=True)
    try:
        ledger.sql.reader.execute("PRAGMA synchronous = OFF")
        await fill(ledger, running)
        ledger.sql.reader.execute("PRAGMA synchronous = FULL")
        times: dict[str, list[float]] = {name: [] for name in CALLS}
        for _ in range(rounds):
            for name, call in CALLS.items():
                begun = time.perf_counter()
                await call(ledger)
                times[name].append((time.perf_counter() - begun) * 1_000)
        return {name: median(each) for name, each in times.items()}
    finally:
        await ledger.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RESULTS) as scratch:
        few = asyncio.run(measure(Path(scratch), FEW, options.rounds))
        many = asyncio.run(measure(Path(scratch), options.batches, options.rounds))
    rows = [(name, f"{few[name]:.3f}", f"{many[name]:.3f}", f"{many[name] / few[name]:.2f}") for name in CALLS]
    total = [sum(each for name, each in times.items() if "*" not in name) for times in (few, many)]
    rows.append(("all on the writer's thread", *(f"{each:.3f}" for each in total), f"{total[1] / total[0]:.2f}"))
    print(
        f"Running batches of {SHARDS} shards; medians of {options.rounds} rounds; bar: 1 ms for all at {options.batches:,}"
    )
    print(table(("loop: call", f"ms at {FEW}", f"ms at {options.batches:,}", "ratio"), rows))
    print("*  on the event loop, not on the writer's thread     ** on the thread of searches, 1,000 batches at most")


if __name__ == "__main__":
    main()
