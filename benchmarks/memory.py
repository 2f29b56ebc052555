"""How much memory a 200 MB batch takes, from upload to download: `python benchmarks/memory.py`.

Samples the server every 20 ms. RSS is that of the server's process; the tree adds the short-lived process that validates,
in proportional set size, which counts shared pages once.
"""

import tempfile
import threading
import time
from pathlib import Path

from harness import big_input, mock_backend, table
from service import service


def tree(pid: int) -> list[int]:
    """A process and everything below it."""
    found = [pid]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            if parent == pid:
                found += tree(int(entry.name))
    return found


def field(path: Path, name: str) -> int:
    """A field of a /proc page, in bytes; 0 if the process has just ended."""
    try:
        return next(int(line.split()[1]) * 1024 for line in path.read_text().splitlines() if line.startswith(name))
    except (OSError, StopIteration):
        return 0


class Sampler(threading.Thread):
    """Peaks of the server's RSS and of its tree's PSS."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self.rss = self.pss = 0
        self.ended = threading.Event()

    def sample(self) -> tuple[int, int]:
        rss = field(Path(f"/proc/{self._pid}/status"), "VmRSS")
        pss = sum(field(Path(f"/proc/{pid}/smaps_rollup"), "Pss:") for pid in tree(self._pid))
        return rss, pss

    def run(self) -> None:
        while not self.ended.wait(0.02):
            rss, pss = self.sample()
            self.rss, self.pss = max(self.rss, rss), max(self.pss, pss)


def main() -> None:
    source = big_input()
    with tempfile.TemporaryDirectory(dir=source.parent) as scratch, mock_backend(core=None) as backend:
        with service(Path(scratch), backend) as server:
            time.sleep(1.5)
            sampler = Sampler(server.process.pid)
            idle_rss, idle_pss = sampler.sample()
            sampler.start()
            marks = []

            def mark(what: str) -> None:
                marks.append(
                    (what, f"{(sampler.rss - idle_rss) / 2**20:.1f}", f"{(sampler.pss - idle_pss) / 2**20:.1f}")
                )

            file_id = server.upload(source)
            mark("uploaded")
            batch_id = server.create(file_id)
            while server.call("GET", f"/batches/{batch_id}")["status"] == "validating":
                time.sleep(0.05)
            mark("validated")
            started = time.monotonic()
            batch = server.wait(batch_id)
            took = time.monotonic() - started
            mark("completed")
            size = server.download(batch["output_file_id"])
            mark("downloaded")
            sampler.ended.set()
            sampler.join()
    counts = batch["request_counts"]
    assert counts["completed"] == counts["total"], counts
    print(f"{source.stat().st_size:,} bytes in, {size:,} out, {counts['total']:,} requests in {took:.1f} s")
    print(f"idle: {idle_rss / 2**20:.1f} MiB RSS, {idle_pss / 2**20:.1f} MiB PSS of the tree")
    print(table(("peak so far", "server RSS above idle, MiB (at most 60)", "tree PSS above idle, MiB"), marks))


if __name__ == "__main__":
    main()
