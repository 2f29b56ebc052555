"""How long a poll waits while others keep the server busy: `python benchmarks/latency.py`.

`GET` of one batch, one call after another over one kept connection, 100 times a second, from another process than the
server's. First beside somebody who sends 200 MB up and takes them down again, without a pause; then beside a batch that
runs against the mock backend at no latency, while large files are validated again and again.
"""

import http.client
import tempfile
import threading
import time
from pathlib import Path

from harness import big_input, chat_input, mock_backend, table
from service import Service, service
from transfer import download, multipart, peer_of, upload

SECONDS = 10.0


def poll(server: Service, path: str, ended: threading.Event) -> list[float]:
    """Milliseconds of each poll."""
    connection = http.client.HTTPConnection(server.address)
    url, times = server._url(path), []
    while not ended.is_set():
        started = time.perf_counter()
        connection.request("GET", url, headers={"api-key": "benchmark"})
        connection.getresponse().read()
        times.append((time.perf_counter() - started) * 1e3)
        time.sleep(max(0.0, 0.01 - times[-1] / 1e3))
    return times


def row(what: str, times: list[float]) -> tuple[str, ...]:
    """Percentiles of one condition."""
    ordered = sorted(times)
    picks = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
    return (what, f"{len(times):,}", *(f"{pick:.2f}" for pick in picks), f"{ordered[-1]:.2f}")


def main() -> None:
    big = big_input()
    with tempfile.TemporaryDirectory(dir=big.parent) as scratch, mock_backend(core=None) as backend:
        with service(Path(scratch), backend) as server:
            small = server.create(server.upload(chat_input(Path(scratch) / "small.jsonl", 3, model="bench")))
            server.wait(small)
            rows = []
            ended = threading.Event()
            timer = threading.Timer(SECONDS / 3, ended.set)
            timer.start()
            rows.append(row("idle", poll(server, f"/batches/{small}", ended)))
            rows.append(row("200 MB go up and come down", beside_transfers(server, big, Path(scratch), small)))
            file_id = server.upload(big)
            running = server.create(file_id)
            while server.call("GET", f"/batches/{running}")["status"] == "validating":
                time.sleep(0.02)
            ended = threading.Event()

            def load() -> None:
                """Keeps one batch running and another validating for as long as the polls go."""
                deadline, batches = time.monotonic() + SECONDS, [running]
                while time.monotonic() < deadline:
                    batches.append(server.create(file_id))
                    while server.call("GET", f"/batches/{batches[-1]}")["status"] == "validating":
                        time.sleep(0.02)
                ended.set()
                for batch in batches:
                    server.call("POST", f"/batches/{batch}/cancel") if not done(server, batch) else None

            loading = threading.Thread(target=load)
            loading.start()
            rows.append(row("one batch at full speed, another validating", poll(server, f"/batches/{running}", ended)))
            loading.join()
    print(table(("condition", "polls", "p50 ms", "p99 ms (under 20)", "max ms (under 50)"), rows))


def beside_transfers(server: Service, source: Path, scratch: Path, batch_id: str) -> list[float]:
    """Milliseconds of polls while one client sends a file and takes it back, again and again."""
    body, peer, ended = multipart(source, scratch / "body"), peer_of(server), threading.Event()

    def load() -> None:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            file_id = upload(peer, body)
            download(peer, f"/v1/files/{file_id}/content", source.stat().st_size)
            server.call("DELETE", f"/files/{file_id}")
        ended.set()

    loading = threading.Thread(target=load)
    loading.start()
    times = poll(server, f"/batches/{batch_id}", ended)
    loading.join()
    return times


def done(server: Service, batch_id: str) -> bool:
    """Whether a batch has ended."""
    return server.call("GET", f"/batches/{batch_id}")["status"] in ("completed", "failed", "cancelled")


if __name__ == "__main__":
    main()
