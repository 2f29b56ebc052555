"""What an object store does to a service, again and again and under load, and that no line is lost or doubled by it.

python -m tests.stores.matrix [--rounds 20] [--kinds gone,slow,twice,lost] [--store azurite|moto]

One server with its files in a store, customers who have batches open all the time, an engine whose calls take a third of a second
to one. In each round the store is in trouble for a while: gone for twenty seconds, two seconds slow with each call, doing puts
twice, or losing the answers of puts. A round is over when as much is out at the engine as before. There is a line of figures
for each kind.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from tests.cluster.witness import Witness
from tests.crash.rounds import input_lines
from tests.server import Server
from tests.stores.bad_line import BadLine
from tests.stores.servers import Azurite, Moto, running

SLOTS, LINES, OPEN = 24, 120, 6
SHORTEST, LONGEST = 0.3, 0.9
GONE_SECONDS, TROUBLED_SECONDS, SLOW_SECONDS = 20.0, 10.0, 2.0
FULL = 0.85
BAR_SECONDS = 15.0
TROUBLE = (OSError, http.client.HTTPException, AssertionError, ValueError)


class Seen(Struct):
    """What became of the batches."""

    batches: int = 0
    lines: int = 0
    lost: int = 0
    doubled: int = 0
    failed: int = 0
    asked_again: int = 0
    """Lines that the engine had more than once."""


class Customers:
    """Some batches of theirs are always open, and each that has ended is looked through."""

    def __init__(self, server: Server, engine: Witness) -> None:
        self.seen = Seen()
        self._server, self._engine = server, engine
        self._open: dict[str, str] = {}
        self._number = 0
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> Seen:
        """No new ones; returns when all have ended."""
        self._stopping.set()
        self._thread.join(180)
        if self._error is not None:
            raise self._error
        assert not self._thread.is_alive(), f"not ended: {self._open}"
        return self.seen

    def _run(self) -> None:
        try:
            while not self._stopping.is_set() or self._open:
                with contextlib.suppress(*TROUBLE):
                    if len(self._open) < OPEN and not self._stopping.is_set():
                        self._number += 1
                        prefix = f"batch{self._number}"
                        made = self._server.create_batch(self._server.upload("in.jsonl", input_lines(prefix, LINES)))
                        self._open[made] = prefix
                        continue
                    for batch_id in list(self._open):
                        self._look(batch_id)
                self._stopping.wait(0.2)
                time.sleep(0.1)
        except BaseException as error:
            self._error = error

    def _look(self, batch_id: str) -> None:
        batch = self._server.batch(batch_id)
        if batch["status"] not in ("completed", "failed", "expired", "cancelled"):
            return
        kinds = ("output_file_id", "error_file_id")
        texts = [self._server.raw("GET", f"/files/{batch[kind]}/content") for kind in kinds if batch[kind]]
        prefix = self._open.pop(batch_id)
        found = Counter(json.loads(line)["custom_id"] for text in texts for line in text.splitlines())
        seen = self.seen
        seen.batches += 1
        seen.lines += len(found)
        seen.lost += sum(f"{prefix}-{number}" not in found for number in range(LINES))
        seen.doubled += sum(found.values()) - len(found)
        seen.failed += batch["request_counts"]["failed"] + (batch["status"] != "completed")
        seen.asked_again += sum(self._engine.asked[f"{prefix} {number}"] - 1 for number in range(LINES))


class Figures(Struct, kw_only=True):
    """Of one kind of trouble."""

    kind: str
    n: int = 0
    full: list[float] = []
    """Seconds from the end of the trouble to the full rate; 0 where it never was less."""
    rate: list[float] = []
    """What was out meanwhile, of what was before."""
    told: int = 0
    """Rounds in which the log and readiness said so, and that it was over."""
    done: int = 0
    """Puts that were done twice, or whose answer was lost."""

    def line(self) -> str:
        """For people and programs."""
        return json.dumps(
            {
                "kind": self.kind,
                "n": self.n,
                "full_rate": {"median": round(statistics.median(self.full), 1), "worst": round(max(self.full), 1)},
                "rate_meanwhile": round(statistics.median(self.rate), 2),
                "told": self.told,
                "puts": self.done,
                "load": round(os.getloadavg()[0], 1),
            }
        )


class Matrix:
    """The service, its store, and what is between them."""

    def __init__(self, server: Server, log: Path, line: BadLine, engine: Witness) -> None:
        self._server, self._log, self._line, self._engine = server, log, line, engine
        self.kinds: dict[str, Callable[[Figures], None]] = {
            "gone": self._gone,
            "slow": self._slow,
            "twice": self._twice,
            "lost": self._lost,
        }

    def round(self, figures: Figures) -> None:
        """Trouble, and its end."""
        engine = self._engine
        _until(lambda: engine.use(time.monotonic() - 3.0, time.monotonic()) > FULL * SLOTS, 180)
        begun = time.monotonic()
        before = engine.use(begun - 3.0, begun)
        self.kinds[figures.kind](figures)
        over = time.monotonic()
        figures.rate.append(engine.use(begun, over) / before)

        def full() -> bool:
            now = time.monotonic()
            return now > over + 1.0 and engine.use(now - 1.0, now) >= FULL * before

        _until(full, 150)
        # The second over which the rate is looked at belongs to it.
        figures.full.append(max(0.0, time.monotonic() - over - 1.0))
        figures.n += 1

    def _gone(self, figures: Figures) -> None:
        said = self._log.stat().st_size
        self._line.die()
        time.sleep(GONE_SECONDS)
        refused = self._unready()
        self._line.dead = False
        _until(lambda: not self._unready(), 60)
        words = self._log.read_bytes()[said:]
        figures.told += refused and b"files_unavailable" in words and b"files_answer_again" in words

    def _slow(self, figures: Figures) -> None:
        self._line.delay = SLOW_SECONDS
        time.sleep(GONE_SECONDS)
        self._line.delay = 0.0
        figures.told += 1

    def _twice(self, figures: Figures) -> None:
        before = self._line.doubled
        self._line.twice = b"PUT ", 1 << 30
        time.sleep(TROUBLED_SECONDS)
        self._line.twice = b"", 0
        figures.done += self._line.doubled - before
        figures.told += 1

    def _lost(self, figures: Figures) -> None:
        before, end = self._line.lost, time.monotonic() + TROUBLED_SECONDS
        while time.monotonic() < end:
            self._line.lose = b"PUT ", 1
            time.sleep(0.5)
        self._line.lose = b"", 0
        figures.done += self._line.lost - before
        figures.told += 1

    def _unready(self) -> bool:
        try:
            urllib.request.urlopen(f"http://{self._server.address}/readyz", timeout=10).close()
        except urllib.error.HTTPError as error:
            return b"files_not_writable" in error.read()
        return False


def _until(what: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--kinds", default="gone,slow,twice,lost")
    parser.add_argument("--store", choices=["azurite", "moto"], default="azurite")
    options = parser.parse_args()
    random.seed(0)
    with contextlib.ExitStack() as held:
        scratch = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="slackwater-stores-")))
        store = held.enter_context(running(Azurite if options.store == "azurite" else Moto, scratch))
        line = BadLine(store.port)
        held.callback(line.close)
        engine = Witness(shortest=SHORTEST, longest=LONGEST)
        held.enter_context(engine.serving())
        config, log = scratch / "slackwater.toml", scratch / "server.log"
        endpoint = store.endpoint.replace(str(store.port), str(line.port))
        config.write_text(
            f'[server]\nfiles = "{store.address("box")}"\nfiles_endpoint = "{endpoint}"\nfiles_key_env = "FILES_KEY"\n'
            f'[[deployments]]\nname = "crash"\n[[deployments.backends]]\nurl = "{engine.url}"\nconcurrency = {SLOTS}\n'
        )
        server = Server(config, scratch / "data", log, {"FILES_KEY": store.secret})
        held.callback(server.kill)
        customers = Customers(server, engine)
        matrix = Matrix(server, log, line, engine)
        slow = False
        for kind in options.kinds.split(","):
            figures = Figures(kind=kind)
            for _ in range(options.rounds):
                matrix.round(figures)
            print(figures.line(), flush=True)
            slow |= max(figures.full) > BAR_SECONDS or figures.told < figures.n
        seen = customers.end()
        print(json.dumps({name: getattr(seen, name) for name in Seen.__struct_fields__}))
    sys.exit(1 if slow or seen.lost or seen.doubled or seen.failed else 0)


if __name__ == "__main__":
    main()
