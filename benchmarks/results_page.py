"""What a results page of a large job costs: `python benchmarks/results_page.py [--lines 100000] [--bytes 60000000]`.

A real server runs a job of so many lines twice on the built-in echo, so that there is something to compare. Then it is
restarted, as what is in memory is gone then, and asked what a page of Studio asks: the first view, the end, orders, a jump, a
filter, a search. "First" is the first call of its kind, "again" the median of those that follow. Wall time is the client's;
processor time is that of all threads of the server, and beside it that of the processes to which it gives heavy work.
"""

import argparse
import http.client
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from harness import RESULTS, big_input, median, table
from service import Service, service

ECHO = '[[deployments]]\nname = "echo"\n[[deployments.backends]]\necho = {}\nconcurrency = 256\n'
PAGES = {
    "open": {},
    "the end": {"offset": 10**9},
    "in order of lines": {"order": "line"},
    "a jump to a line": {"order": "line", "line": 54_321},
    "by output tokens, the most first": {"order": "output_tokens", "descending": "true"},
    "by latency, the end": {"order": "latency", "offset": 10**9},
    "a filter, by tokens": {"outcome": "completed", "order": "output_tokens"},
}


class Client:
    """One kept connection, and what the server's processor does meanwhile."""

    def __init__(self, server: Service) -> None:
        self._connection = http.client.HTTPConnection(server.address, timeout=600)
        self._process = Path(f"/proc/{server.process.pid}")

    def get(self, path: str) -> tuple[float, float, float, Any]:
        """Milliseconds of a call, of the server's processor, of its helpers', and the answer."""
        before, helped = self._ran(self._process), self._helpers()
        started = time.perf_counter()
        self._connection.request("GET", path, headers={"api-key": "benchmark"})
        answer = self._connection.getresponse()
        size, data = 0, b""
        while piece := answer.read(1 << 20):
            size, data = size + len(piece), piece if size < 1 << 22 else b""
        elapsed = (time.perf_counter() - started) * 1e3
        assert answer.status == 200, data
        ran, now = self._ran(self._process) - before, self._helpers()
        helpers = sum(spent - helped.get(name, 0.0) for name, spent in now.items())
        return elapsed, ran, helpers, json.loads(data) if data.startswith(b"{") and size == len(data) else size

    @staticmethod
    def _ran(process: Path) -> float:
        """Milliseconds that a process has been on a processor."""
        total = 0
        for thread in (process / "task").iterdir():
            try:
                total += int((thread / "schedstat").read_text().split()[0])
            except OSError:
                continue
        return total / 1e6

    def _helpers(self) -> dict[str, float]:
        found = {}
        for thread in (self._process / "task").iterdir():
            for pid in (thread / "children").read_text().split():
                found[pid] = self._ran(Path(f"/proc/{pid}"))
        return found


def shown(times: list[tuple[float, float, float, Any]]) -> list[str]:
    """Wall and processor time of the first call, and the medians of the others."""
    first, others = times[0], times[1:]
    row = [f"{first[0]:.1f}", f"{first[1]:.1f}", f"{first[2]:.0f}"]
    return [*row, *(f"{median([each[part] for each in others]):.1f}" if others else "" for part in (0, 1))]


def searched(client: Client, path: str, text: str) -> tuple[float, float, float, Any]:
    """A whole search, call by call: the longest call's wall time, and processor time of all of them."""
    longest = ran = helpers = 0.0
    after, calls = "", 0
    while True:
        took, server, helped, page = client.get(f"{path}?{urlencode({'text': text, 'after': after})}")
        longest, ran, helpers, calls = max(longest, took), ran + server, helpers + helped, calls + 1
        if not page["has_more"]:
            return longest, ran, helpers, calls
        after = page["next"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=60_000_000, help="of the input; answers have as many")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    path = big_input(options.lines, options.bytes, model="echo")
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory(dir=RESULTS) as scratch:
        with service(Path(scratch), "http://127.0.0.1:9/v1", more=ECHO) as server:
            jobs = [server.create(server.upload(path)) for _ in range(2)]
            for job in jobs:
                assert server.wait(job, seconds=600)["request_counts"]["completed"] == options.lines
        with service(Path(scratch), "http://127.0.0.1:9/v1", more=ECHO) as server:
            client = Client(server)
            client.get(f"/v1/batches/{jobs[0]}")
            base = f"/v1/batches/{jobs[0]}"

            def row(name: str, times: list[tuple[float, float, float, Any]]) -> None:
                rows.append((name, *shown(times)))

            def asked(call: str, **query: Any) -> Callable[[], tuple[float, float, float, Any]]:
                return lambda: client.get(f"{base}/{call}?{urlencode(query)}")

            first = asked("result_table")()
            rows.append(("open, before there is a table", *shown([first])))
            row("until there is one (the end, asked at once)", [asked("result_table", offset=10**9)()])
            for name, query in PAGES.items():
                row(name, [asked("result_table", **query)() for _ in range(options.rounds)])
            early = asked("result_search", text="a", limit=50)
            row("a search, found at once", [early() for _ in range(5)])
            found = [searched(client, f"{base}/result_search", text) for text in ("zzyzx nowhere", "ﬁ nowhere")]
            row(f"a search in vain, {found[0][3]} calls: the longest; CPU of all", found[:1])
            row("the same for a text with letters outside of ASCII", found[1:])
            row("two jobs side by side", [asked("comparison", **{"with": jobs[1]})() for _ in range(5)])
            row("all as CSV", [asked("result_export")()])
            row("all as lines, by tokens", [asked("result_export", format="jsonl", order="output_tokens")()])
    print(f"{options.lines:,} lines, {options.bytes / 1e6:.0f} MB of input; again: medians of {options.rounds - 1}")
    print(table(("", "first, ms", "server CPU ms", "beside it", "again, ms", "server CPU ms"), rows))


if __name__ == "__main__":
    main()
