"""A process that sends for one deployment, over a ledger on PostgreSQL that others work on, too. It runs until SIGTERM.

python -m tests.cluster.worker ADDRESS DATA ENGINE SLOTS NAME
"""

import asyncio
import signal
import sys
from pathlib import Path

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.clock import DatabaseClock
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.core.sending.deployment import Deployment
from slackwater.core.sending.judgement import RetryPolicy
from slackwater.core.sending.pace import EnginePace
from slackwater.core.sending.step_target import Point
from slackwater.pipeline.loops import Hint
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.fleet import Post
from slackwater.pipeline.sending.sharing import Sharing
from slackwater.pipeline.sending.worker import Worker, WorkerSettings

DEPLOYMENT = "d"
LEASE_SECONDS = 5.0


async def work(address: str, data: Path, url: str, slots: int, name: str) -> None:
    ledger = SqlLedger.connect(address)
    clock = DatabaseClock(ledger.sql.database)
    await clock.look()
    sharing = Sharing(ledger, clock, member=name)
    engine = Engine(url, clock, slots=slots, pace=EnginePace(Point.FIXED), sharing=sharing)
    dispatcher = Dispatcher(
        url,
        HttpBackend(url),
        engine=engine,
        door=engine.door("key", "m", slots=slots),
        concurrency=slots,
        model=None,
        retry=RetryPolicy(),
        clock=clock,
    )
    worker = Worker(
        DEPLOYMENT,
        [dispatcher],
        owner=name,
        ledger=ledger,
        blobs=DiskBlobs(data),
        clock=clock,
        hint=Hint(),
        settings=WorkerSettings(lease_seconds=LEASE_SECONDS, grace_seconds=5.0),
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    sharing.start()
    post = Post(Deployment(name=DEPLOYMENT, model="m", backends=()), worker)
    post.start()
    await stop.wait()
    await post.end()
    await sharing.close()
    await ledger.close()


if __name__ == "__main__":
    _, address, data, url, slots, name = sys.argv
    asyncio.run(work(address, Path(data), url, int(slots), name))
