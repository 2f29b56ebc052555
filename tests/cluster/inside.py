"""A member that says what it knows, into its log, when it is sent SIGUSR2: `python -m tests.cluster.inside worker ...`.

What the database has of it is not what it believes: its slots, the batches of which it knows that they have shards to claim, what
it has open, what repeats in it and since when a step is under way.
"""

import asyncio
import gc
import signal
import sys
import time
import traceback
from types import FrameType
from typing import Any

from slackwater.adapters.sql.postgresql.together import PostgresqlTogether
from slackwater.cli import main
from slackwater.pipeline.loops import Loop
from slackwater.pipeline.sending.claims import Claims
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.engine_share import EngineShare
from slackwater.pipeline.sending.feed import Feed
from slackwater.pipeline.sending.worker import Worker

BEGUN, OVER = "-- what it knows --", "-- that is all --"


def _engine(engine: Engine) -> str:
    doors = [
        f"{door.state} open={door.open} probing={door.probing} {door.reason!r} quota={door.quota is not None}"
        for door in engine.doors.values()
    ]
    return (
        f"engine {engine.name}: limit={engine.limit} slots={engine.slots} in_flight={engine.in_flight} "
        f"appetite={engine.appetite} listens={engine.reach.listens} {engine.reach.reason!r} held={engine.held} "
        f"alone_since={engine.alone_since} lanes={len(engine._lanes)} idle={len(engine._idle)} "
        f"sends_for={engine._sends_until - time.monotonic():.2f} s paced={engine._paced} usual={engine._usual} "
        f"ready={bool(engine.turns)} doors={doors}"
    )


def _share(share: EngineShare) -> str:
    now = time.monotonic()
    return (
        f"share {share.name}: slots={share.slots} others={share.others} held={share.held} serial={share.serial} "
        f"calls={len(share.calls)} wanted={share._wanted} hungry={share._hungry} due={share.due(now):.2f} s "
        f"asked={now - share._asked_at:.2f} s ago ends={share._ends - now:.2f} s settled={share._settled_at - now:.2f} s "
        f"alone={share._wants_alone}/{share.alone}"
    )


def _claims(claims: Claims) -> str:
    known = {each: (round(place.left), place.of.lines) for each, place in claims._places.items()}
    return f"claims: seen={claims._seen} known={known}"


def _feed(feed: Feed) -> str:
    fresh = feed.fresh
    return (
        f"feed: unread={fresh._unread} wanted={fresh.wanted} shards={fresh.shards} bytes={fresh.bytes} "
        f"waiting={len(feed._waiting)} due={len(feed._due)} suspects={len(feed._suspects)} paused={feed.paused} "
        f"held={feed.held} closed={feed.closed} unwilling={sorted(feed.unwilling())} body_bytes={feed._bytes}"
    )


def _worker(worker: Worker) -> str:
    leases = [
        f"{lease.shard.batch_id}/{lease.shard.index}@{lease.shard.epoch} in_flight={len(lease.in_flight)} "
        f"waiting={len(lease.waiting)} unread={lease.unread} unjournaled={lease.unjournaled} "
        f"committed={lease.committed}/{lease.shard.lines} cause={lease.cause} ended={lease.ended}"
        for lease in worker._leases
    ]
    return (
        f"worker: logs_whole={worker._logs_whole()} claiming={worker._claiming} not_written={worker._not_written} "
        f"reader_waits={[*worker._reader.waiting(time.monotonic())]} leases={leases}"
    )


def _loop(loop: Loop) -> str:
    begun = "-" if loop._begun is None else f"{time.monotonic() - loop._begun:.2f} s"
    return f"loop {loop.name} {loop.of}: failures={loop.failures} step={begun} hints={loop._hint.count}"


def _together(together: PostgresqlTogether) -> str:
    return f"together: listening={together.listening} connecting={together._connecting is not None}"


SHOWN: list[tuple[type[Any], Any]] = [
    (Engine, _engine),
    (EngineShare, _share),
    (Claims, _claims),
    (Feed, _feed),
    (Worker, _worker),
    (Loop, _loop),
    (PostgresqlTogether, _together),
]


def _tell(number: int, frame: FrameType | None) -> None:
    """All of it. In the middle of whatever the process does, so that one that stands still tells where."""
    lines = [BEGUN, f"at {''.join(traceback.format_stack(frame, limit=6)).strip()}"]
    for each in gc.get_objects():
        for kind, shown in SHOWN:
            if type(each) is kind:
                try:
                    lines.append(shown(each))
                except Exception as error:
                    lines.append(f"{kind.__name__}: {error!r}")
    for thread, standing in sys._current_frames().items():
        lines.append(f"thread {thread}: {' < '.join(_places(standing))}")
    try:
        for task in asyncio.all_tasks():
            stack = task.get_stack(limit=3)
            lines.append(f"task {task.get_name()}: {' < '.join(f'{f.f_code.co_qualname}:{f.f_lineno}' for f in stack)}")
    except RuntimeError:
        pass
    print("\n".join([*lines, OVER]), file=sys.stderr, flush=True)


def _places(frame: FrameType | None) -> list[str]:
    found: list[str] = []
    while frame is not None and len(found) < 8:
        found.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
        frame = frame.f_back
    return found


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, _tell)
    main()
