"""What a page of a list of batches costs: `python benchmarks/listing.py [--batches 100000]`.

A data directory with many batches, most of them completed, several per second; a real server; one kept connection. Each
list is first walked to its end by cursor, which also checks that every batch comes once. Then its first page and its last
full page are fetched in turn, list after list, round after round, so that noise meets all of them.
"""

import argparse
import asyncio
import http.client
import json
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from harness import RESULTS, median, table
from service import Service, service

from slackwater.adapters.disk.data_directory import DataDirectory
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.rows import batch_row
from slackwater.core.batch import Batch, Policies, RequestCounts, Status

LIMIT, BEGINNING, PER_SECOND = 100, 1_750_000_000, 3
# Of ten batches in a row: seven completed, one each failed, cancelled and in progress.
STATUSES = (*[Status.COMPLETED] * 3, Status.FAILED, *[Status.COMPLETED] * 4, Status.CANCELLED, Status.IN_PROGRESS)


def batch(number: int) -> Batch:
    """A batch as large as they are in practice."""
    created_at = BEGINNING + number // PER_SECOND
    return Batch(
        id=f"batch_{number:032x}",
        input_file_id=f"file-{number // 4:032x}",
        input_blob=f"files/{number // 4}",
        endpoint="/chat/completions",
        completion_window="24h",
        status=STATUSES[number % len(STATUSES)],
        created_at=created_at,
        expires_at=created_at + 86_400,
        policies=Policies(),
        metadata={"team": "tides", "run": f"nightly-{number}", "note": "n" * 100},
        counts=RequestCounts(total=1_000),
    )


async def fill(path: Path, count: int) -> None:
    """Makes a data directory of `count` batches, in one transaction."""
    with DataDirectory.open(path) as data:
        ledger = SqlLedger.open(data.ledger_path)

        def work(db: Any) -> None:
            db.executemany(ledger.sql.text("add_batch"), (batch_row(batch(number)) for number in range(count)))
            db.execute("UPDATE batch SET stage = 'ended', completed_at = created_at + seq % 3600")

        await ledger.sql.database.write(work)
        await ledger.close()


def lists(count: int) -> dict[str, dict[str, str]]:
    """The lists that are measured: their query parameters."""
    seconds = count // PER_SECOND
    within = f"created_at gt {BEGINNING + seconds // 10} and created_at lt {BEGINNING + seconds * 9 // 10}"
    completed = "status eq 'Completed'"
    return {
        "everything": {},
        "completed": {"$filter": completed},
        "completed, oldest first": {"$filter": completed, "$orderby": "created_at asc"},
        "completed, within a time": {"$filter": f"{within} and {completed}"},
        "completed, within a time, oldest first": {"$filter": f"{within} and {completed}", "$orderby": "created_at"},
        "not completed": {"$filter": "status ne 'completed'"},
        "by status": {"$orderby": "status"},
        "by completed_at (a pass over all)": {"$orderby": "completed_at desc"},
        "one input file (a pass over all)": {"$filter": f"input_file_id eq 'file-{1:032x}'"},
    }


class Pages:
    """Fetches pages over one connection."""

    def __init__(self, server: Service) -> None:
        self._connection = http.client.HTTPConnection(server.address)

    def get(self, query: dict[str, str], after: str | None) -> tuple[Any, float]:
        """One page, and the milliseconds until all of its bytes were here."""
        parameters = {"api-version": "2024-10-01-preview", "limit": LIMIT} | query | ({"after": after} if after else {})
        path = f"/openai/batches?{urlencode(parameters)}"
        started = time.perf_counter()
        self._connection.request("GET", path, headers={"api-key": "benchmark"})
        answer = self._connection.getresponse()
        data = answer.read()
        elapsed = (time.perf_counter() - started) * 1e3
        assert answer.status == 200, data
        return json.loads(data), elapsed

    def walk(self, query: dict[str, str]) -> tuple[int, str | None]:
        """Walks to the end; how many batches came, and the cursor of the last full page."""
        seen: set[str] = set()
        count, after, full = 0, None, None
        while True:
            page, _ = self.get(query, after)
            full = after if len(page["data"]) == LIMIT else full
            seen.update(each["id"] for each in page["data"])
            count += len(page["data"])
            after = page["last_id"]
            if not page["has_more"]:
                assert len(seen) == count, "a batch came twice"
                return count, full


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RESULTS) as scratch:
        asyncio.run(fill(Path(scratch) / "data", options.batches))
        with service(Path(scratch), "http://127.0.0.1:9/v1") as server:
            pages, wanted = Pages(server), lists(options.batches)
            walked = {name: pages.walk(query) for name, query in wanted.items()}
            times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in wanted}
            for turn in range(options.rounds):
                for name, query in wanted.items():
                    for place in (0, 1) if turn % 2 else (1, 0):
                        times[name][place].append(pages.get(query, walked[name][1] if place else None)[1])
    rows = []
    for name, (first, last) in times.items():
        begin, end = median(first), median(last)
        rows.append((name, f"{walked[name][0]:,}", f"{begin:.2f}", f"{end:.2f}", f"{end / begin:.2f}"))
    print(f"{options.batches:,} batches, pages of {LIMIT}, medians of {options.rounds} rounds")
    print(table(("list", "batches", "first ms", "last ms", "last / first (at most 1.5)"), rows))


if __name__ == "__main__":
    main()
