"""An engine's limit over processes that die, stand still and wake up: never above, sampled at the engine. And each line once.

python -m tests.cluster.limit [--workers 6] [--seconds 60] [--slots 60] [--seed 0] [--longest 2.0] [--calm] [--restart]

`--calm`: nobody dies, for what the limit's use is then. `--restart`: the database is killed in the middle, and started again.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psycopg
from msgspec import Struct

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.batch import Batch, Policies, Status
from slackwater.core.errors import StorageTrouble
from slackwater.ports import NewShard
from tests.cluster.sampled_engine import SampledEngine
from tests.cluster.worker import DEPLOYMENT
from tests.postgresql import Postgresql, running

SHARD_LINES, PATH = 50, "/chat/completions"
# Before that nobody knows how long calls are, and those of the lost are counted for a minute.
WARM_UP_SECONDS = 5.0


class Found(Struct, kw_only=True):
    """What came of it."""

    slots: int
    out_max: int
    used: float
    """What part of the limit was used, from some seconds after the start to the end of the troubles."""
    answered: int
    broken_off: int
    kills: int
    stops: int
    lines: int
    missing: int
    doubled: int


async def a_batch(ledger: SqlLedger, blobs: DiskBlobs, lines: int, *, number: int = 0) -> str:
    """A batch of so many lines, to be claimed."""
    rows = [
        json.dumps(
            {
                "custom_id": f"{number}-{line}",
                "method": "POST",
                "url": PATH,
                "body": {"model": "m", "messages": [{"role": "user", "content": f"{number}-{line}"}]},
            }
        ).encode()
        + b"\n"
        for line in range(lines)
    ]
    writer = await blobs.create(f"files/{number}")
    await writer.write(b"".join(rows))
    await writer.publish()
    shards, offset = [], 0
    for first in range(0, lines, SHARD_LINES):
        cut = rows[first : first + SHARD_LINES]
        length = sum(map(len, cut))
        shards.append(NewShard(offset=offset, length=length, lines=len(cut), tokens=len(cut)))
        offset += length
    now = int(time.time())
    batch = Batch(
        id=f"batch-{number}",
        input_file_id="file",
        input_blob=f"files/{number}",
        endpoint=PATH,
        completion_window="24h",
        status=Status.VALIDATING,
        created_at=now,
        expires_at=now + 86_400,
        policies=Policies(),
    )
    await ledger.add_batch(batch)
    await ledger.accept_batch(batch.id, deployment=DEPLOYMENT, endpoint=PATH, total=lines, tokens=lines, shards=shards)
    await ledger.enqueue([batch.id], now=now)
    for waiting in await ledger.unranked():
        await ledger.rank_shards(waiting.batch_id, [float(index) for index in range(waiting.shards)])
    return batch.id


class Workers:
    """The processes."""

    def __init__(self, address: str, data: Path, engine: SampledEngine, *, slots: int, chance: random.Random) -> None:
        self._arguments = [address, str(data), engine.url, str(slots)]
        self._log = data / "workers.log"
        self._chance = chance
        self._number = 0
        self.processes: list[subprocess.Popen[bytes]] = []
        self.dead: list[str] = []
        """Names of those who were killed and are to be buried: their processes have ended."""
        self._names: dict[int, str] = {}
        self._wakes: dict[int, float] = {}
        self.kills = self.stops = 0

    def start(self) -> None:
        """One more."""
        self._number += 1
        name = f"worker{self._number}"
        with self._log.open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.cluster.worker", *self._arguments, name],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )
        self._names[self.processes[-1].pid] = name

    def trouble(self) -> None:
        """Somebody dies, or stands still for a while."""
        awake = [each for each in self.processes if each.pid not in self._wakes]
        if not awake:
            return
        process = self._chance.choice(awake)
        if self._chance.random() < 0.4:
            process.kill()
            process.wait()
            self.processes.remove(process)
            self.dead.append(self._names[process.pid])
            self.kills += 1
            self.start()
        else:
            os.kill(process.pid, signal.SIGSTOP)
            self._wakes[process.pid] = time.monotonic() + self._chance.choice((2.0, 8.0, 15.0, 25.0))
            self.stops += 1

    def wake(self, *, everybody: bool = False) -> None:
        """Whoever has stood for long enough goes on."""
        for pid, until in list(self._wakes.items()):
            if everybody or time.monotonic() >= until:
                os.kill(pid, signal.SIGCONT)
                del self._wakes[pid]

    def end(self) -> None:
        self.wake(everybody=True)
        for each in self.processes:
            each.terminate()
        for each in self.processes:
            try:
                each.wait(20)
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()


async def outcome(ledger: SqlLedger, blobs: DiskBlobs, batch_id: str) -> Counter[str]:
    """How often each line is in the results."""
    found: Counter[str] = Counter()
    after = 0
    while segments := await ledger.segments(batch_id, after=after):
        after = segments[-1][0]
        for _, segment in segments:
            for place in (segment.output, segment.error):
                if place is not None and place.length:
                    found.update(json.loads(line)["custom_id"] for line in (await blobs.read(place)).splitlines())
    return found


async def keeps_house(ledger: SqlLedger, crew: Workers) -> None:
    """What the janitor and whoever watches over members do, and do again where somebody who is stopped has a lock."""
    while True:
        await asyncio.sleep(0.1)
        await _keep_house(ledger, crew)


async def _keep_house(ledger: SqlLedger, crew: Workers) -> None:
    try:
        while crew.dead:
            await ledger.bury_shares(crew.dead[0], gone=True)
            crew.dead.pop(0)
        await ledger.release_leases(now=time.time())
    except (psycopg.OperationalError, StorageTrouble) as error:
        print("later:", str(error).partition("\n")[0])


async def played(
    server: Postgresql,
    data: Path,
    *,
    workers: int,
    seconds: float,
    slots: int,
    seed: int,
    longest: float,
    calm: bool,
    restart: bool,
) -> Found:
    """All of it."""
    address = server.address("postgres")
    chance = random.Random(seed)
    ledger, blobs = SqlLedger.connect(address), DiskBlobs(data)
    with SampledEngine(shortest=longest / 10, longest=longest).serving() as engine:
        # Enough for the whole time, and hardly more.
        lines = int(1.1 * seconds * slots / (0.55 * longest))
        batch = await a_batch(ledger, blobs, lines)
        crew = Workers(address, data, engine, slots=slots, chance=chance)
        house = asyncio.create_task(keeps_house(ledger, crew))
        try:
            for _ in range(workers):
                crew.start()
            begun = time.monotonic()
            while engine.out < slots and time.monotonic() < begun + 30:
                await asyncio.sleep(0.1)
            begun, before = time.monotonic(), engine.used
            next_trouble = begun + WARM_UP_SECONDS + chance.expovariate(0.5)
            restarts_at = begun + seconds / 2 if restart else float("inf")
            while time.monotonic() < begun + seconds:
                await asyncio.sleep(0.1)
                crew.wake()
                if time.monotonic() >= restarts_at:
                    restarts_at = float("inf")
                    server.kill()
                    await asyncio.to_thread(server.start)
                if not calm and time.monotonic() >= next_trouble:
                    crew.trouble()
                    next_trouble = time.monotonic() + chance.expovariate(0.5)
            used = (engine.used - before) / (time.monotonic() - begun) / slots
            crew.wake(everybody=True)
            deadline = time.monotonic() + 60 + seconds
            while time.monotonic() < deadline:
                found = await ledger.batch(batch)
                assert found is not None
                if found.counts.completed + found.counts.failed == lines:
                    break
                await asyncio.sleep(0.2)
        finally:
            house.cancel()
            await asyncio.gather(house, return_exceptions=True)
            crew.end()
        answers = await outcome(ledger, blobs, batch)
    await ledger.close()
    return Found(
        slots=slots,
        out_max=engine.out_max,
        used=used,
        answered=engine.answered,
        broken_off=engine.broken_off,
        kills=crew.kills,
        stops=crew.stops,
        lines=lines,
        missing=lines - len(answers),
        doubled=sum(count > 1 for count in answers.values()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--slots", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=2.0)
    parser.add_argument("--calm", action="store_true")
    parser.add_argument("--restart", action="store_true")
    options = vars(parser.parse_args())
    with running(careless=False) as server, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        found = asyncio.run(played(server, Path(folder), **options))
        print(found)
        if found.out_max > found.slots or found.missing or found.doubled:
            print((Path(folder) / "workers.log").read_text()[-3000:])
            raise SystemExit(1)


if __name__ == "__main__":
    main()
