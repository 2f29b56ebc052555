"""Customers of a cluster in trouble: some batches of theirs are always open, and each that has ended is looked through."""

import http.client
import json
import random
import threading
import time
import traceback
from collections import Counter
from typing import Any

import psycopg
from msgspec import Struct

from tests.cluster.crew import Crew
from tests.crash.rounds import input_lines

TROUBLE = (OSError, http.client.HTTPException, AssertionError)


class Seen(Struct):
    """What became of their batches."""

    batches: int = 0
    lines: int = 0
    lost: int = 0
    doubled: int = 0
    failed: int = 0
    miscounted: int = 0
    slowest: float = 0.0
    """Seconds from the making of a batch to its end, at most."""


class Customers:
    """They work on a thread, at whichever server answers."""

    def __init__(self, crew: Crew, *, lines: int, open_at_once: int) -> None:
        self.seen = Seen()
        self._crew = crew
        self._lines = lines
        self._most = open_at_once
        self._open: dict[str, tuple[str, float]] = {}
        """Those that have not ended: what their lines are called by, and since when they are there."""
        self._number = 0
        self._stopping = threading.Event()
        self._nap = threading.Event()
        self._db: psycopg.Connection[tuple[Any, ...]] | None = None
        self._chance = random.Random(1)
        self._error: BaseException | None = None
        self._doing, self._since = "", time.monotonic()
        self._trouble: dict[str, str] = {}
        """What went wrong last with each of the batches that have not ended, or with the last that was made."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self, seconds: float = 120.0) -> Seen:
        """No new ones; waits until all have ended."""
        self._stopping.set()
        self._thread.join(seconds)
        self.at_work()
        assert not self._thread.is_alive(), f"not ended: {self._open}"
        self._check_account()
        return self.seen

    def at_work(self) -> bool:
        """Always true: raises what has kept them from it. Without them everybody else waits in vain."""
        if self._error is not None:
            raise self._error
        return True

    def told(self) -> str:
        """What they are at, for people."""
        alive = self._thread.is_alive()
        now = time.monotonic()
        ages = {each: round(now - made) for each, (_, made) in self._open.items()}
        at = f"{self._doing} for {now - self._since:.1f} s, alive {alive}"
        return f"{at}; open for seconds: {ages}; {self.seen}; trouble: {self._trouble}"

    def _does(self, what: str) -> None:
        self._doing, self._since = what, time.monotonic()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set() or self._open:
                if len(self._open) < self._most and not self._stopping.is_set():
                    self._create()
                    continue
                self._does("asking who has ended")
                for batch_id in self._ended():
                    self._look(batch_id)
                self._does("waiting")
                self._nap.wait(0.05)
        except BaseException as error:
            traceback.print_exc()
            self._error = error

    def _ended(self) -> list[str]:
        """Which of the open ones have. The database is asked, so that servers have no calls to answer for it."""
        try:
            if self._db is None or self._db.closed:
                self._db = psycopg.connect(self._crew.address, autocommit=True)
            rows = self._db.execute("SELECT id FROM batch WHERE stage = 'ended' AND id = ANY(%s)", [[*self._open]])
            return [str(row[0]) for row in rows.fetchall()]
        except psycopg.Error:
            self._db = None
            return []

    def _create(self) -> None:
        self._number += 1
        prefix = f"batch{self._number}"
        try:
            server = self._chance.choice(self._crew.servers())
            self._does(f"making {prefix} at {server.address}")
            batch_id = server.create_batch(server.upload("in.jsonl", input_lines(prefix, self._lines)))
        except (*TROUBLE, IndexError) as error:
            # It may exist all the same; then it ends as the others do, and nobody asks for it.
            self._trouble[""] = f"{prefix}: {error!r}"
            self._nap.wait(0.1)
            return
        self._open[batch_id] = prefix, time.monotonic()

    def _look(self, batch_id: str) -> None:
        try:
            server = self._chance.choice(self._crew.servers())
            self._does(f"reading {batch_id} at {server.address}")
            batch = server.batch(batch_id)
            texts = [
                server.raw("GET", f"/files/{batch[kind]}/content")
                for kind in ("output_file_id", "error_file_id")
                if batch[kind]
            ]
        except (*TROUBLE, IndexError) as error:
            self._trouble[batch_id] = repr(error)
            self._nap.wait(0.1)
            return
        prefix, made = self._open.pop(batch_id)
        self._trouble.pop(batch_id, None)
        found = Counter(json.loads(line)["custom_id"] for text in texts for line in text.splitlines())
        seen, counts = self.seen, batch["request_counts"]
        seen.batches += 1
        seen.slowest = max(seen.slowest, round(time.monotonic() - made, 1))
        seen.lines += len(found)
        seen.lost += sum(f"{prefix}-{number}" not in found for number in range(self._lines))
        seen.doubled += sum(found.values()) - len(found)
        seen.failed += counts["failed"] + (batch["status"] != "completed")
        tokens = (batch["usage"] or {}).get("input_tokens", 0)
        seen.miscounted += abs(tokens - self._lines) + abs(counts["completed"] - self._lines)

    def _check_account(self) -> None:
        """What the ledger has of all batches, of those as well whose create was never answered."""
        crew = self._crew
        ((batches, ended, completed),) = crew.asked(
            "SELECT count(*), count(*) FILTER (WHERE stage = 'ended'), sum(completed) FROM batch"
        )
        ((requests, tokens),) = crew.asked("SELECT sum(requests), sum(input_tokens) FROM usage_day")
        self.seen.lost += int(batches) - int(ended)
        self.seen.miscounted += sum(
            abs(int(each) - self._lines * int(batches)) for each in (completed or 0, requests or 0, tokens or 0)
        )
