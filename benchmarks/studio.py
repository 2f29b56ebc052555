"""What the calls cost that every open page of Studio makes every two seconds: `python benchmarks/studio.py [--batches 10000]`.

A data directory with many batches and a real server. Calls are made one after the other over one kept connection, in turn
with `GET /healthz`, which does nothing and so is what HTTP itself costs here. Wall time is the client's; processor time is
the server's own (all of its threads), over many calls of one kind. One batch has a large file, for looking into it.
"""

import argparse
import asyncio
import http.client
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness import RESULTS, big_input, median, table
from listing import batch
from service import Service, service

from slackwater.adapters.disk.data_directory import DataDirectory
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.overview import SqlOverview
from slackwater.adapters.sql.rows import batch_row, file_row
from slackwater.core.files.file import File, Purpose

TICKS = os.sysconf("SC_CLK_TCK")


async def fill(path: Path, count: int) -> None:
    """Makes a data directory of `count` batches with their input files, a tenth of them waiting for room."""
    with DataDirectory.open(path) as data:
        ledger = SqlLedger.open(data.ledger_path)

        def work(db: Any) -> None:
            batches = [batch(number) for number in range(count)]
            files = {
                each.input_file_id: File(
                    id=each.input_file_id,
                    filename=f"questions-{each.created_at}.jsonl",
                    # Results count against no quota of files.
                    purpose=Purpose.BATCH_OUTPUT,
                    size=1,
                    created_at=each.created_at,
                    blob=each.input_blob,
                )
                for each in batches
            }
            db.executemany(ledger.sql.text("add_file"), (file_row(each) for each in files.values()))
            for each in batches:
                db.execute(ledger.sql.text("add_batch"), batch_row(each))
                SqlOverview(ledger.sql).add_text(db, each)
            db.execute("UPDATE batch SET stage = 'ended', completed_at = created_at + seq % 3600, deployment = 'bench'")
            # As a validated batch that waits is; the status of these stays what the list of statuses says.
            db.execute(
                "UPDATE batch SET stage = 'waiting', deployment = 'gone', enqueued_tokens = 10 WHERE seq % 10 = 0"
            )

        await ledger.sql.database.write(work)
        await ledger.close()


class Caller:
    """One kept connection."""

    def __init__(self, server: Service) -> None:
        self._connection = http.client.HTTPConnection(server.address)
        self._stat = Path(f"/proc/{server.process.pid}/stat")

    def get(self, path: str) -> float:
        """The milliseconds of one call."""
        started = time.perf_counter()
        self._connection.request("GET", path, headers={"api-key": "benchmark"})
        answer = self._connection.getresponse()
        data = answer.read()
        elapsed = (time.perf_counter() - started) * 1e3
        assert answer.status == 200, data
        return elapsed

    def processor_ms(self, path: str, calls: int) -> float:
        """The server's processor time for a call, over many of them."""
        before = self._ticks()
        for _ in range(calls):
            self.get(path)
        return (self._ticks() - before) / TICKS / calls * 1e3

    def _ticks(self) -> int:
        fields = self._stat.read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])


def finished(server: Service, path: Path) -> str:
    """A batch that failed or ended, with a large input; nobody answers it, so it is cancelled."""
    batch_id = server.create(server.upload(path))
    while server.call("GET", f"/batches/{batch_id}")["status"] == "validating":
        time.sleep(0.2)
    server.call("POST", f"/batches/{batch_id}/cancel")
    server.wait(batch_id)
    return batch_id


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--calls", type=int, default=1_000, help="for processor time")
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RESULTS) as scratch:
        asyncio.run(fill(Path(scratch) / "data", options.batches))
        with service(Path(scratch), "http://127.0.0.1:9/v1") as server:
            large = finished(server, big_input(100_000, 200_000_000))
            some = f"/v1/batches/batch_{options.batches // 2 + 1:032x}"
            calls = {
                "GET /healthz (the floor)": "/healthz",
                "progress, waiting for room": f"/v1/batches/batch_{options.batches - 1:032x}/progress",
                "progress": f"{some}/progress",
                "batch_overview": "/v1/batch_overview",
                "batch_overview, two statuses": "/v1/batch_overview?status=failed,in_progress",
                "batch_overview, a deployment": "/v1/batch_overview?deployment=bench",
                "batch_overview, a search that finds": "/v1/batch_overview?search=NIGHTLY",
                "batch_overview, a search in vain": "/v1/batch_overview?search=nowhere",
                "deployment_status": "/v1/deployment_status",
                "error_groups, 100,000 lines, again": f"/v1/batches/{large}/error_groups",
                "lines, the first 50": f"/v1/batches/{large}/lines",
            }
            caller = Caller(server)
            first = caller.get(calls["error_groups, 100,000 lines, again"])
            times: dict[str, list[float]] = {name: [] for name in calls}
            for _ in range(options.rounds):
                for name, path in calls.items():
                    times[name].append(caller.get(path))
            processor = {name: caller.processor_ms(path, options.calls) for name, path in calls.items()}
            rare = {
                name: [caller.get(f"/v1/batches/{large}/{path}") for _ in range(5)]
                for name, path in {
                    "the last line of 200 MB": f"line?custom_id={quote('r-99999')}",
                    "an id that ends 50 results": "lines?custom_id=r-9999",
                }.items()
            }
    floor = median(times["GET /healthz (the floor)"])
    rows = [
        (name, f"{median(found):.2f}", f"{median(found) / floor:.1f}", f"{processor[name]:.2f}")
        for name, found in times.items()
    ]
    print(f"{options.batches:,} batches, medians of {options.rounds} rounds, processor time over {options.calls} calls")
    print(table(("call", "wall ms", "times the floor", "server CPU ms"), rows))
    print(f"error_groups of 100,000 lines for the first time: {first:.0f} ms")
    print("\n".join(f"{name}: {median(found):.0f} ms" for name, found in rare.items()))
    print(json.dumps({name: round(median(found), 3) for name, found in times.items()}))


if __name__ == "__main__":
    main()
